"""How large picture files are as stored: found out when they are hashed, or from their heads, and kept."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from unlabeled.platform.data.digests import file_digests, keep_rows, kept_rows
from unlabeled.platform.data.pictures import check_picture, picture_named

_ROW = np.dtype([("digest", "S32"), ("size", "<i4", (2,))])
_THREADS = 8  # that wait for a disk


def sized_digests(folder: Path, paths: Sequence[str]) -> tuple[list[bytes], Tensor]:
    """Return what picture files hold and how large they are: their sha256, and int64 [N, 2] of height and width.

    Args:
        folder: absolute; what the paths start at.
        paths: each once.

    Raises:
        UserError: a file is missing, can't be read or is no whole picture; it is named.
    """
    seen: dict[Path, tuple[int, int]] = {}

    def look(file: Path, content: bytes) -> None:
        seen[file] = check_picture(file, content)

    digests = file_digests(folder, paths, look)
    kept = np.sort(kept_rows(folder, "sizes", _ROW), order="digest")
    asked = np.array(digests, "S32")
    place = np.searchsorted(kept["digest"], asked).clip(max=max(0, len(kept) - 1))
    is_known = kept["digest"][place] == asked if len(kept) else np.zeros(len(asked), bool)
    sizes = np.zeros((len(asked), 2), np.int64)
    sizes[is_known] = kept["size"][place[is_known]]

    def find(number: int) -> tuple[int, int]:
        file = folder / paths[number]
        return seen[file] if file in seen else _head(file)

    new = np.flatnonzero(~is_known)
    with ThreadPoolExecutor(_THREADS) as pool:
        for number, size in zip(new, pool.map(find, new.tolist()), strict=True):
            sizes[number] = size
    if len(new):
        rows = np.zeros(len(new), _ROW)
        rows["digest"], rows["size"] = asked[new], sizes[new]
        keep_rows(folder, "sizes", np.unique(np.concatenate([kept, rows])))
    return digests, torch.from_numpy(sizes)


def _head(file: Path) -> tuple[int, int]:
    with picture_named(file), Image.open(file) as picture:
        return picture.height, picture.width
