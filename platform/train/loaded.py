"""The data of runs, loaded once per process, and what names a run on them."""

import functools
from dataclasses import dataclass

from unlabeled.platform.config import RunConfig, transfer_name
from unlabeled.platform.data import Data, DataConfig, load, seen_as
from unlabeled.platform.errors import UserError


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


def load_transfer(run: RunConfig, data: Data) -> dict[str, Data]:
    """Load the further data sets that a run is probed on: its name in metrics -> it, as the encoder sees it.

    Raises:
        UserError: a set is missing or damaged, or has no labels to probe by.
    """
    found = {}
    for config in run.evaluation.transfer:
        other = load_cached(config.with_field("image_px", data.image_px))
        if any("class" not in split.fields for split in (other.train, other.validation, other.test)):
            raise UserError(
                f"evaluation.transfer needs labels, and {config.name} has none; choose a data set with class folders"
            )
        found[transfer_name(config)] = seen_as(other, data.channels)
    return found


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


def identify(run: RunConfig) -> Identity:
    """Return what names a run on its data, which is loaded.

    Raises:
        UserError: a data set is missing or damaged.
    """
    data = data_of(run)
    checksums = (data.checksum, *(other.checksum for other in load_transfer(run, data).values()))
    return Identity(run.fingerprint(*checksums), run.training(data.checksum), run.row(*checksums))
