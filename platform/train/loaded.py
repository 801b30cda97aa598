"""The data of runs, loaded once per process, and what names a run on them."""

import functools
from dataclasses import dataclass

from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data, DataConfig, load, with_channels


@functools.lru_cache(maxsize=16)
def load_cached(config: DataConfig) -> Data:
    """Load a data set once per process."""
    return load(config)


@functools.lru_cache(maxsize=16)
def _showing(config: DataConfig, field: str) -> Data:
    return load_cached(config).showing(field)


def data_of(run: RunConfig) -> Data:
    """Return a run's data, which show the encoder what the method's first view is of."""
    return _showing(run.data, run.method.field)


def load_other(run: RunConfig, data: Data) -> dict[DataConfig, Data]:
    """Load the further data sets that a run is measured on, as the encoder sees them.

    Raises:
        UserError: a set is missing or damaged.
    """
    return {config: _as_seen(config, run, data) for config in run.evaluation.other_data}


def _as_seen(config: DataConfig, run: RunConfig, data: Data) -> Data:
    if data.train.fields[data.field].kind == "wave":
        return _showing(config, run.method.field)
    other = _showing(config.with_field("image_px", data.image_px), run.method.field)
    return with_channels(other, data.channels)


@dataclass(frozen=True)
class Identity:
    """What names a run on its data; each 16 hexadecimal digits.

    Attributes:
        fingerprint: all that decides its numbers.
        training: all that decides its weights: runs that share it differ in what is measured alone.
        row: all but the seed: runs that share it are repetitions.
    """

    fingerprint: str
    training: str
    row: str


def identify(run: RunConfig, data: Data | None = None) -> Identity:
    """Return what names a run on its data, which is loaded unless it is given.

    Raises:
        UserError: a data set is missing or damaged.
    """
    data = data_of(run) if data is None else data
    checksums = (data.checksum, *(other.checksum for other in load_other(run, data).values()))
    return Identity(run.fingerprint(*checksums), run.training(data.checksum), run.row(*checksums))
