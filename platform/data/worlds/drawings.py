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
from scipy import ndimage

from unlabeled.platform.data.shipped import EMOJI_CLASSES, emoji_arrays
from unlabeled.platform.data.splits import carve

SPLITS = ("train", "validation", "test")
SOLID = 128  # alpha from which on a pixel counts as the drawing's

_TEST, _VALIDATION = 0.2, 0.1  # of each class's emoji, as `emoji` is split, so that its test emoji are these
_PAPER = 250  # the darkest channel of paper is at least this
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
        split: of each split's name, the drawings [n] in it, class by class.
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
        return self.pixels.shape[-1]

    def pick(
        self, split: str, group: npt.NDArray[np.int64], luck: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64]:
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
    group, identity = labels.astype(np.int64), emoji.astype(np.int64)
    return Drawings(
        pixels=pixels,
        extent=_extents(pixels[:, 3] >= SOLID),
        group=group,
        emoji=identity,
        names=tuple(str(name).lower() if str(name).isupper() else str(name) for name in captions),
        split=_splits(group, identity),
    )


def cut_out(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Take drawings on white, uint8 [N, H, W, 3], off their paper: uint8 [N, 4, H, W] as in :class:`Drawings`."""
    count, height, width, _ = images.shape
    white = np.pad(images.min(axis=3) >= _PAPER, ((0, 0), (1, 1), (1, 1)), constant_values=True)
    touching = np.zeros((3, 3, 3), np.int64)
    touching[1] = [[0, 1, 0], [1, 1, 1], [0, 1, 0]]  # within a picture, not between two
    parts, _ = ndimage.label(white, touching)
    paper = parts == parts[:, :1, :1]
    beside = np.zeros((count, height, width), np.bool_)
    for y, x in np.ndindex(3, 3):
        beside |= paper[:, y : y + height, x : x + width]
    beside &= ~paper[:, 1:-1, 1:-1]

    alpha = np.where(paper[:, 1:-1, 1:-1], 0, 255).astype(np.uint8)
    ink = np.pad(255 - images, ((0, 0), (1, 1), (1, 1), (0, 0))).astype(np.int32)
    inside = np.pad(~beside, ((0, 0), (1, 1), (1, 1)))
    n, y, x = np.nonzero(beside)
    own = ink[n, y + 1, x + 1]
    drawn, best = own, np.zeros(len(n), np.int32)
    for down, right in np.ndindex(3, 3):  # the darkest neighbour, one of the inside if there is any
        place = (n, y + down, x + right)
        rank = np.where(paper[place], 0, (ink[place] ** 2).sum(axis=1) + (inside[place] << 20))
        drawn, best = np.where((rank > best)[:, None], ink[place], drawn), np.maximum(rank, best)
    full = (drawn**2).sum(axis=1)
    share = np.clip(255 * (own * drawn).sum(axis=1) // np.maximum(full, 1), 0, 255)
    share = np.maximum(np.where(full >= _INK, share, 255), own.max(axis=1))  # colour times alpha is not below 0
    alpha[n, y, x] = share.astype(np.uint8)
    colour = images.transpose(0, 3, 1, 2) - (255 - alpha[:, None])
    colour[np.broadcast_to(alpha[:, None] == 0, colour.shape)] = 0
    return np.concatenate([colour, alpha[:, None]], axis=1)


def _extents(solid: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    columns, rows = solid.any(axis=1), solid.any(axis=2)
    left, top = columns.argmax(axis=1), rows.argmax(axis=1)
    right, bottom = (side.shape[1] - side[:, ::-1].argmax(axis=1) for side in (columns, rows))
    return np.stack([left, top, right, bottom], axis=1).astype(np.int64)


def _splits(group: npt.NDArray[np.int64], emoji: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[np.int64]]:
    labels, groups = torch.from_numpy(group), torch.from_numpy(emoji)
    train, test = carve(torch.arange(len(group)), labels, groups, _TEST, "test")
    train, validation = carve(train, labels, groups, _VALIDATION, "validation")
    found = dict(zip(SPLITS, (train.numpy(), validation.numpy(), test.numpy()), strict=True))
    return {split: rows[group[rows].argsort(kind="stable")] for split, rows in found.items()}
