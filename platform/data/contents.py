"""What a reader finds on disk, before it is split; and how it says that something on disk is not there or not whole."""

import hashlib
import os
import pickle
import shlex
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from unlabeled.platform.data.digests import file_digests
from unlabeled.platform.data.images import Images, check_picture
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
        train: rows labelled -1 beside labelled ones are for methods only, not for probes.
        checksum: sha256, in hexadecimal, of what is there.
        classes: names by label; empty when there are no labels.
        validation: None to have it carved from train.
        test: None to have it carved from train.
        groups: int64 [len(train)], rows that must not be parted have equal numbers; None when each stands alone.
    """

    train: Images
    checksum: str
    classes: tuple[str, ...] = ()
    validation: Images | None = None
    test: Images | None = None
    groups: Tensor | None = None

    def __post_init__(self) -> None:
        for images in (self.train, self.validation, self.test):
            if images is not None and images.labels is not None and len(images):
                low, high = int(images.labels.min()), int(images.labels.max())
                if low < -1 or high >= len(self.classes):
                    raise ValueError(f"labels go from {low} to {high}, but there are {len(self.classes)} classes")


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


def file_checksum(folder: Path, labels: Iterable[tuple[str, int]]) -> str:
    """Return the sha256 of picture files by their sorted paths below ``folder``, contents and labels.

    Raises:
        UserError: a file is missing, can't be read or is no picture; it is named.
    """
    labels = sorted(labels)
    digest = hashlib.sha256()
    digests = file_digests(folder, [path for path, _ in labels], check_picture)
    for (path, label), content in zip(labels, digests, strict=True):
        digest.update(os.fsencode(path) + f"\0{content.hex()}\0{label}\n".encode())
    return digest.hexdigest()
