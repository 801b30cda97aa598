"""What a reader finds on disk, before it is split; and how it says that something on disk is not there or not whole."""

import hashlib
import os
import pickle
import shlex
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from unlabeled.platform.data.source import Source
from unlabeled.platform.errors import UserError

_DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AssertionError,
    RuntimeError,
    pickle.UnpicklingError,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)  # what readers of arrays, pickles and archives raise when a file is truncated or altered; not MemoryError


@dataclass(frozen=True)
class Contents:
    """A data set as published.

    Attributes:
        train: where some items have a class, those without are for methods only, not for probes.
        checksum: sha256, in hexadecimal, of what is there, and of how it is read.
        validation: None to have it carved from train.
        test: None to have it carved from train.
        groups: int64 [len(train)], rows that must not be parted have equal numbers; None when each stands alone.
    """

    train: Source
    checksum: str
    validation: Source | None = None
    test: Source | None = None
    groups: Tensor | None = None

    @classmethod
    def of_splits(cls, splits: Mapping[str, Source], checksum: str, groups: Tensor | None = None) -> "Contents":
        """Take splits by name: "train", and "validation" and "test" where there are any."""
        return cls(splits["train"], checksum, splits.get("validation"), splits.get("test"), groups)

    def __post_init__(self) -> None:
        """Check that the splits are of one kind."""
        for split in (self.validation, self.test):
            if split is not None and split.fields != self.train.fields:
                raise ValueError(f"its splits differ: {dict(split.fields)} is not {dict(self.train.fields)}")


@contextmanager
def damage_named(name: str, where: Path, remedy: str) -> Iterator[None]:
    """Turn what a reader raises on a damaged file into one line that names the set, the place and the remedy."""
    try:
        yield
    except _DAMAGE as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        if "download=True" in reason:
            reason = "a file is missing there, or its checksum is not the published one"
        raise UserError(f"{name} in {where} is damaged ({reason}); {remedy}") from error


def how_to_get(name: str, root: Path) -> str:
    """Return the command that brings a data set to ``root``."""
    return f"`unlabeled data download {name} --data-root {shlex.quote(str(root))}`"


def array_checksum(arrays: Iterable[npt.NDArray[Any]]) -> str:
    """Return the sha256 of arrays: their types, shapes and bytes."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.str} {array.shape}\n".encode())
        digest.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def checksum(labels: Sequence[tuple[str, object]], digests: Sequence[bytes], version: int = 1) -> str:
    """Return the sha256 of files by their sorted paths, contents and what is told of each.

    Args:
        labels: of each file its path, and what is told.
        digests: of each file the sha256 of its contents.
        version: of how they are read; raised where the same files would give other numbers.
    """
    digest = hashlib.sha256()
    if version > 1:
        digest.update(f"read {version}\n".encode())
    for (path, told), content in sorted(zip(labels, digests, strict=True), key=lambda row: row[0][0]):
        digest.update(os.fsencode(path) + f"\0{content.hex()}\0{told}\n".encode())
    return digest.hexdigest()
