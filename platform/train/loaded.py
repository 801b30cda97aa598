"""The data of runs, loaded once per process, and what names a run on them."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data, DataConfig, load, with_channels
from unlabeled.platform.train import listings


@functools.lru_cache(maxsize=16)
def load_cached(config: DataConfig) -> Data:
    """Load a data set once per process, or take what this process was told of it."""
    return listings.taken(config) or load(config)


@functools.lru_cache(maxsize=16)
def _showing(config: DataConfig, field: str) -> Data:
    return load_cached(config).showing(field)


def data_of(run: RunConfig) -> Data:
    """Return a run's data, which show the encoder what the method's first view is of."""
    return _showing(run.data, run.method.field)


def to_tell(run: RunConfig, home: Path) -> dict[DataConfig, Path]:
    """Keep a run's data sets in the home, and return what the process that does it is to be told."""
    kept = ((config, _kept(config, home)) for config in _configs(run))
    return {config: place for config, place in kept if place is not None}


@functools.lru_cache(maxsize=16)
def _kept(config: DataConfig, home: Path) -> Path | None:
    return listings.keep(load_cached(config), home)


def _configs(run: RunConfig) -> Iterator[DataConfig]:
    yield run.data
    for config in run.evaluation.other_data:
        yield _at_size(config, data_of(run))


def load_other(run: RunConfig, data: Data) -> dict[DataConfig, Data]:
    """Load the further data sets that a run is measured on, as the encoder sees them.

    Raises:
        UserError: a set is missing or damaged.
    """
    return {config: _as_seen(config, run, data) for config in run.evaluation.other_data}


def _as_seen(config: DataConfig, run: RunConfig, data: Data) -> Data:
    other = _showing(_at_size(config, data), run.method.field)
    return other if _is_heard(data) else with_channels(other, data.channels)


def _at_size(config: DataConfig, data: Data) -> DataConfig:
    """Return the settings by which other data are loaded as the encoder of these sees them."""
    return config if _is_heard(data) else config.with_field("image_px", data.image_px)


def _is_heard(data: Data) -> bool:
    return data.train.fields[data.field].kind == "wave"


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
