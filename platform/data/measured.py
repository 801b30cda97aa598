"""What has to be known of each film, sound or picture before it is cut into items, kept so that it is found out once.

It is kept under the sha256 of a file's contents, beside the digests of :mod:`unlabeled.platform.data.digests`.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from unlabeled.platform.data.digests import Check, file_digests, keep_rows, kept_rows
from unlabeled.platform.data.pictures import check_picture, picture_named

_THREADS = 4


def measured(
    folder: Path,
    paths: Sequence[str],
    what: str,
    columns: int,
    measure: Callable[[Path], Sequence[float]],
    check: Check | None = None,
) -> tuple[list[bytes], npt.NDArray[np.float64]]:
    """Measure files, those that were not measured before.

    Args:
        folder: absolute; what the paths start at.
        paths: each once.
        what: names the measure and its version; another one is kept elsewhere.
        columns: how many numbers it gives.
        measure: is told a file's path, and may refuse it.
        check: as :func:`~unlabeled.platform.data.digests.file_digests` takes it.

    Returns:
        The sha256 of each file's contents, and float64 [len(paths), columns].

    Raises:
        UserError: a file is missing or can't be read; it is named. Or what ``measure`` or ``check`` raises.
    """
    digests = file_digests(folder, paths, check)
    kept = kept_rows(folder, what, np.dtype([("digest", "S32"), ("found", "<f8", (columns,))]))
    rows = np.zeros(len(paths), kept.dtype)
    rows["digest"] = digests
    known, first = np.unique(kept["digest"], return_index=True)
    place = np.searchsorted(known, rows["digest"]).clip(max=max(0, len(known) - 1))
    is_new = known[place] != rows["digest"] if len(known) else np.ones(len(rows), bool)
    rows["found"][~is_new] = kept["found"][first[place[~is_new]]]
    new = np.flatnonzero(is_new)
    with ThreadPoolExecutor(_THREADS) as pool:
        for number, found in zip(new, pool.map(lambda number: measure(folder / paths[number]), new), strict=True):
            rows["found"][number] = found
    if len(new):
        keep_rows(folder, what, np.concatenate([kept, rows[new]]))
    return digests, rows["found"].copy()


def sized_digests(folder: Path, paths: Sequence[str], other: str = "none") -> tuple[list[bytes], Tensor]:
    """Return what picture files hold and how large they are: their sha256, and int64 [N, 2] of height and width.

    Args:
        folder: absolute; what the paths start at.
        paths: each once.
        other: how files end that are no pictures, and have no size: 0, 0.

    Raises:
        UserError: a file is missing, can't be read or is no whole picture; it is named.
    """
    seen: dict[Path, tuple[int, int]] = {}

    def look(file: Path, content: bytes) -> None:
        seen[file] = (0, 0) if file.suffix == other else check_picture(file, content)

    def size(file: Path) -> tuple[int, int]:
        return seen.get(file) or ((0, 0) if file.suffix == other else _head(file))

    digests, sizes = measured(folder, paths, "sizes-1", 2, size, look)
    return digests, torch.from_numpy(sizes.astype(np.int64))


def _head(file: Path) -> tuple[int, int]:
    with picture_named(file), Image.open(file) as picture:
        return picture.height, picture.width
