"""Drawings put on a ground, in whole numbers: scaled, one over another, and who is on top at which pixel."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from unlabeled.platform.data.resize import resized
from unlabeled.platform.data.worlds.chance import Whole
from unlabeled.platform.data.worlds.drawings import SOLID, Drawings

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Cutout:
    """A drawing at one size.

    Attributes:
        colour: uint16 [3, S, S], times alpha.
        clear: uint16 [S, S], 255 - alpha.
        solid: bool [S, S].
    """

    colour: npt.NDArray[np.uint16]
    clear: npt.NDArray[np.uint16]
    solid: npt.NDArray[np.bool_]


def cutouts(drawn: Drawings, numbers: Whole, sizes: Whole) -> list[Cutout]:
    """Scale drawings ``numbers`` [M] to ``sizes`` [M] pixels, as Pillow does; equal sizes in one go."""
    found: list[Cutout | None] = [None] * len(numbers)
    for size in np.unique(sizes):
        (rows,) = np.nonzero(sizes == size)
        scaled = resized(torch.from_numpy(drawn.pixels[numbers[rows]]), int(size)).numpy()
        solid, wide = scaled[:, 3] >= SOLID, scaled.astype(np.uint16)
        for place, row in enumerate(rows.tolist()):
            found[row] = Cutout(wide[place, :3], 255 - wide[place, 3], solid[place])
    return [cutout for cutout in found if cutout is not None]


def paste(ground: Pixels, cutout: Cutout, left: int, top: int) -> None:
    """Put a cutout over uint8 [3, H, W], in place; what lies outside is lost."""
    there, inside = _windows(cutout, left, top, ground.shape[1], ground.shape[2])
    window = ground[:, *there]
    mixed = window * cutout.clear[inside]  # below 2**16; divided by 255, rounded to the nearest
    mixed += 128
    mixed += mixed >> 8
    mixed >>= 8
    mixed += cutout.colour[:, *inside]
    np.minimum(mixed, 255, out=window, casting="unsafe")  # colour and alpha are rounded apart


def claim(owner: Pixels, cutout: Cutout, left: int, top: int, number: int) -> None:
    """Write ``number`` where a cutout is solid into uint8 [H, W], in place."""
    there, inside = _windows(cutout, left, top, *owner.shape)
    np.copyto(owner[there], np.uint8(number), where=cutout.solid[inside])


def groups_at(owner: Pixels, group: Whole) -> Pixels:
    """Return the group at each pixel and one, 0 where nobody is, as uint8.

    Args:
        owner: uint8 [B, ...], 0 nobody, else which and one.
        group: int64 [B, N], of each.
    """
    table = np.zeros((len(group), group.shape[1] + 1), np.uint8)
    table[:, 1:] = group + 1
    found: Pixels = table[np.arange(len(group)).reshape(-1, *[1] * (owner.ndim - 1)), owner]
    return found


def box_of(mine: npt.NDArray[np.bool_]) -> tuple[int, int, int, int] | None:
    """Return left, top, right and bottom edge of what is true in bool [H, W]; None where nothing is."""
    columns, rows = (np.flatnonzero(mine.any(axis=axis)) for axis in (0, 1))
    if not len(columns):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _windows(
    cutout: Cutout, left: int, top: int, height: int, width: int
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return where a cutout lies within height x width pixels, and which part of it that is."""
    size = cutout.solid.shape[0]
    y, x = min(max(top, 0), height), min(max(left, 0), width)
    bottom, right = max(min(top + size, height), y), max(min(left + size, width), x)
    there = slice(y, bottom), slice(x, right)
    return there, (slice(y - top, bottom - top), slice(x - left, right - left))
