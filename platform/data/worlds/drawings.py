"""The bundled emoji, cut out of the white that they are drawn on, and who of them is in which split.

The drawings have no transparency. White that reaches the border is taken for paper. A pixel beside paper may be half
drawn: it lies between white and the colour of the drawing's inside next to it, and how far from white is its alpha.
Over white every drawing then looks exactly as it did.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch

from unlabeled.platform.data.shipped import EMOJI_CLASSES, emoji_arrays
from unlabeled.platform.data.splits import carve

SPLITS = ("train", "validation", "test")
SOLID = 128  # alpha from which on a pixel counts as the drawing's

_TEST, _VALIDATION = 0.2, 0.1  # of each class's emoji, as `emoji` is split, so that its test emoji are these
_PAPER = 250  # the darkest channel of paper is at least this
_LEAST = 128  # solid pixels that a drawing must have to be used: an eighth
_INK = 3 * 9**2  # squared distance from white below which a colour is too light to tell an alpha by


@dataclass(frozen=True)
class Drawings:
    """All N drawings.

    Attributes:
        pixels: uint8 [N, 4, 32, 32], red, green, blue times alpha, and alpha.
        extent: int64 [N, 4], left, top, right and bottom edge of what is solid.
        group: int64 [N], number of EMOJI_CLASSES.
        emoji: int64 [N], equal for the two drawings of one emoji.
        names: of what is drawn, in lower case unless it is a flag's.
        split: of each split's name, the drawings [n] in it, class by class, without those that show next to nothing:
            scaled down, dots and thin lines could not be seen.
    """

    pixels: npt.NDArray[np.uint8]
    extent: npt.NDArray[np.int64]
    group: npt.NDArray[np.int64]
    emoji: npt.NDArray[np.int64]
    names: tuple[str, ...]
    split: Mapping[str, npt.NDArray[np.int64]]

    @property
    def px(self) -> int:
        """Height and width of a drawing."""
        return int(self.pixels.shape[-1])

    def pick(self, split: str, group: npt.NDArray[np.int64], luck: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return a drawing of the split for each group; luck, 0 .. 2**24 - 1 and of group's shape, says which."""
        members = self.split[split]
        starts = np.searchsorted(self.group[members], np.arange(len(EMOJI_CLASSES) + 1))
        sizes = np.diff(starts)
        return members[starts[group] + ((luck * sizes[group]) >> 24)]


@lru_cache(maxsize=1)
def drawings() -> Drawings:
    """Cut the bundled emoji out, once in a process.

    Raises:
        ValueError, OSError: the bundled file is damaged.
    """
    images, labels, captions, _, emoji = emoji_arrays()
    pixels = cut_out(images)
    solid = pixels[:, 3] >= SOLID
    group, identity = labels.astype(np.int64), emoji.astype(np.int64)
    return Drawings(
        pixels=pixels,
        extent=_extents(solid),
        group=group,
        emoji=identity,
        names=tuple(str(name).lower() if str(name).isupper() else str(name) for name in captions),
        split=_splits(group, identity, solid.sum(axis=(1, 2)) >= _LEAST),
    )


def cut_out(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Take drawings on white, uint8 [N, H, W, 3], off their paper: uint8 [N, 4, H, W] as in :class:`Drawings`."""
    from scipy import ndimage  # here, as whoever composes nothing need not wait for it

    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=255)
    red, green, blue = (255 - padded[..., channel].astype(np.int32) for channel in range(3))
    ink = red * red + green * green + blue * blue  # squared distance from white
    touching = np.zeros((3, 3, 3), np.int64)
    touching[1] = [[0, 1, 0], [1, 1, 1], [0, 1, 0]]  # within a picture, not between two
    parts, _ = ndimage.label(np.maximum(np.maximum(red, green), blue) <= 255 - _PAPER, touching)
    paper = parts == parts[:, :1, :1]
    beside = np.zeros_like(paper)
    for shift in np.ndindex(3, 3):
        beside |= np.roll(paper, np.array(shift) - 1, axis=(1, 2))
    beside &= ~paper

    rank = np.where(paper, 0, ink + np.where(beside, 0, 1 << 20)).ravel()  # the darkest, of the inside if there is any
    places = np.flatnonzero(beside)
    steps = [down * padded.shape[2] + right for down in (-1, 0, 1) for right in (-1, 0, 1)]
    ranks = np.stack([rank[places + step] for step in steps])
    drawn = places + np.array(steps)[ranks.argmax(axis=0)]
    full, along = ink.ravel()[drawn], np.zeros_like(places)
    for channel in (red, green, blue):
        along += channel.ravel()[places] * channel.ravel()[drawn]
    share = np.clip(255 * along // np.maximum(full, 1), 0, 255)
    least = np.maximum(np.maximum(red, green), blue).ravel()[places]  # colour times alpha is not below 0
    alpha = np.where(paper, 0, 255).astype(np.uint8)
    alpha.ravel()[places] = np.maximum(np.where(full >= _INK, share, 255), least)
    alpha = alpha[:, None, 1:-1, 1:-1]
    colour = images.transpose(0, 3, 1, 2) - (255 - alpha)
    colour[np.broadcast_to(alpha == 0, colour.shape)] = 0
    return np.concatenate([colour, alpha], axis=1)


def _extents(solid: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    columns, rows = np.any(solid, axis=1), np.any(solid, axis=2)
    left, top = columns.argmax(axis=1), rows.argmax(axis=1)
    right, bottom = (side.shape[1] - side[:, ::-1].argmax(axis=1) for side in (columns, rows))
    return np.stack([left, top, right, bottom], axis=1).astype(np.int64)


def _splits(
    group: npt.NDArray[np.int64], emoji: npt.NDArray[np.int64], used: npt.NDArray[np.bool_]
) -> dict[str, npt.NDArray[np.int64]]:
    labels, groups = torch.from_numpy(group), torch.from_numpy(emoji)
    train, test = carve(torch.arange(len(group), device="cpu"), labels, groups, _TEST, "test")
    train, validation = carve(train, labels, groups, _VALIDATION, "validation")
    found = dict(zip(SPLITS, (train.numpy(), validation.numpy(), test.numpy()), strict=True))
    by_class = {split: rows[group[rows].argsort(kind="stable")] for split, rows in found.items()}
    return {split: rows[used[rows]] for split, rows in by_class.items()}
