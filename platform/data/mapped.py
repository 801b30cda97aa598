"""Arrays of a large archive, decoded once and mapped into memory by every process: a machine holds them once.

They lie in the user's cache as .npy files, named by what the archive's own files hold: other files, another name. Each
is written beside its place and moved there, and what says that all are there comes last: of several processes that
decode at once, any may win, and one that is killed leaves nothing that is taken for whole. Where the cache can't be
written, each process has arrays of its own.
"""

import contextlib
import functools
import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from unlabeled.platform.cached import cache_folder, leave_newest, write_whole
from unlabeled.platform.data.digests import file_digests

LARGE = 100 * 2**20  # bytes on disk, from which on it pays
MOST = 8  # archives that are kept, those that were decoded last
_FIELDS = ("train_images", "train_labels", "test_images", "test_labels")


@dataclass(frozen=True)
class Decoded:
    """What an archive holds.

    Attributes:
        train_images: uint8 [N, C, H, W].
        train_labels: int64 [N].
        test_images: likewise.
        test_labels: likewise.
        classes: names by label.
        checksum: of the arrays.
    """

    train_images: npt.NDArray[Any]
    train_labels: npt.NDArray[Any]
    test_images: npt.NDArray[Any]
    test_labels: npt.NDArray[Any]
    classes: tuple[str, ...]
    checksum: str


def decoded_once(folder: Path, version: str, decode: Callable[[], Decoded]) -> Decoded:
    """Return what ``decode`` returns: mapped from the cache where the folder's files are large.

    Args:
        folder: of the archive; absolute.
        version: of the decoding, and what else it depends on.
        decode: reads the archive.

    Raises:
        UserError: a file can't be read. And what ``decode`` raises.
    """
    paths = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
    cache = cache_folder()
    if cache is None or sum((folder / path).stat().st_size for path in paths) < LARGE:
        return decode()
    names = [f"{path}\0{digest.hex()}" for path, digest in zip(paths, file_digests(folder, paths), strict=True)]
    place = cache / f"arrays-{hashlib.sha256(os.fsencode(chr(10).join([version, *names]))).hexdigest()[:32]}"
    if (found := _mapped(place)) is not None:
        return found
    decoded = decode()
    _keep(place, decoded)
    return _mapped(place) or decoded


def _mapped(place: Path) -> Decoded | None:
    """Map what is kept; None where it is not all there."""
    try:
        said = json.loads(_file(place, "json").read_text(encoding="utf-8"))
        arrays = {
            name: np.load(_file(place, f"{name}.npy"), mmap_mode="r" if "images" in name else None) for name in _FIELDS
        }
        if any(said["shapes"][name] != list(array.shape) for name, array in arrays.items()):
            return None
        return Decoded(**arrays, classes=tuple(said["classes"]), checksum=str(said["checksum"]))
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None


def _keep(place: Path, decoded: Decoded) -> None:
    arrays = {name: getattr(decoded, name) for name in _FIELDS}
    said = {
        "classes": decoded.classes,
        "checksum": decoded.checksum,
        "shapes": {name: array.shape for name, array in arrays.items()},
    }
    with contextlib.suppress(OSError):
        for name, array in arrays.items():
            write_whole(_file(place, f"{name}.npy"), functools.partial(_save, array))
        write_whole(_file(place, "json"), lambda file: file.write(json.dumps(said).encode()))
    for ending in ("json", *(f"{name}.npy" for name in arrays)):
        leave_newest(place.parent, f"arrays-*.{ending}", MOST)  # who has them mapped goes on with them


def _file(place: Path, ending: str) -> Path:
    return place.with_name(f"{place.name}.{ending}")


def _save(array: npt.NDArray[Any], file: IO[bytes]) -> None:
    np.save(file, array)
