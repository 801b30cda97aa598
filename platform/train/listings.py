"""Data sets as a driver found them, told to the processes that train: they list, hash and measure nothing anew.

What a driver has loaded is kept in the home, in a file that is named by what is in it; where that lies goes with a run.
A process that sees the same files takes it: of some of them size, times and inode are looked at. Any other, and whoever
finds the file damaged or gone, loads the data itself. So a few files that are changed while a driver lives go as
unnoticed as in the driver, which does not look again either. Told are sets whose items are files; others are quick to
open.
"""

import contextlib
import hashlib
import os
import pickle
from collections.abc import Mapping
from pathlib import Path

import torch

from unlabeled.platform.cached import leave_newest, write_whole
from unlabeled.platform.data import Data, DataConfig
from unlabeled.platform.data.digests import file_state
from unlabeled.platform.errors import UserError

Told = Mapping[DataConfig, Path]

_LOOKED_AT = 8  # files of each split
_MOST = 16  # sets that a home keeps: those that were told last
_told: dict[DataConfig, Path] = {}


def keep(data: Data, home: Path) -> Path | None:
    """Keep a data set in a home, and return where; None where its items are no files, or it can't be written."""
    try:
        states = []
        for source in (data.pretrain, data.validation, data.test):
            some = torch.linspace(0, len(source) - 1, min(_LOOKED_AT, len(source))).long()
            files = source.files(some, data.field)
            if files is None:
                return None
            states += [(file, file_state(file)) for file in files]
        content = pickle.dumps((states, data))
        place = home / "listings" / f"{_digest(content)}.pickle"
        if place.exists():
            os.utime(place)
        else:
            write_whole(place, lambda file: file.write(content))
    except (OSError, UserError):  # a file that went meanwhile is for the run to meet
        return None
    leave_newest(place.parent, "*.pickle", _MOST)
    return place


def tell(told: Told) -> None:
    """Let this process take these where it is asked for their data."""
    _told.update(told)


def told() -> Told:
    """Return what this process was told, to tell it on."""
    return dict(_told)


def taken(config: DataConfig) -> Data | None:
    """Return the data that this process was told of; None where it was not, or does not see the same files."""
    if (place := _told.get(config)) is None:
        return None
    with contextlib.suppress(OSError, UserError):
        content = place.read_bytes()
        if _digest(content) == place.stem:
            states, data = pickle.loads(content)
            if all(file_state(file) == state for file, state in states):
                found: Data = data
                return found
    return None


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]
