"""Where the emoji of a scene stand, how large, and who is before whom.

Places are counted in 2,048ths of the frame's side and sizes in 64ths, whatever the picture's size in pixels, so that
what is in a scene does not depend on it. Emoji are placed from the largest to the smallest, which is before which is
drawn apart. Of some places drawn, each takes the first where it and those before and behind it stay visible; one that
finds none is left out. So what is told of a scene can be seen in it.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unlabeled.platform.data.shipped import EMOJI_CLASSES
from unlabeled.platform.data.worlds.chance import Whole, between
from unlabeled.platform.data.worlds.drawings import Drawings
from unlabeled.platform.draws import Draws

MAX_EMOJI = 5
SIDE, FINE = 64, 32  # a scene's side in units of size, and places in one such unit

_SMALLEST, _LARGEST = 12, 32  # in 64ths of the side: pixels, at 64 px
_TRIES = 8
_MAX_HIDDEN = 40  # percent of the box of what an emoji shows, by all that are before it


@dataclass(frozen=True)
class Placed:
    """What stands in B scenes; K slots each, of which the first ``count`` are taken, largest first.

    Attributes:
        count: int64 [B].
        drawing: int64 [B, K], of :class:`Drawings`.
        size: int64 [B, K], of the whole drawing, in 64ths of the side.
        corner: int64 [B, K, 2], left and top of the whole drawing in 2,048ths of the side; it may lie outside.
        box: int64 [B, K, 4], left, top, right, bottom of what the drawing shows, inside, in 2,048ths.
        depth: int64 [B, K], the higher the nearer.
    """

    count: Whole
    drawing: Whole
    size: Whole
    corner: Whole
    box: Whole
    depth: Whole

    def back_to_front(self, scene: int) -> list[int]:
        """Return the taken slots of a scene in the order that they are drawn in."""
        taken = self.depth[scene, : self.count[scene]]
        return [int(slot) for slot in taken.argsort()]

    def pixels(self, px: int) -> tuple[Whole, Whole]:
        """Return sizes [B, K] and corners [B, K, 2] in whole pixels of pictures of ``px``."""
        return to_pixels(self.size * FINE, px).clip(2), to_pixels(self.corner, px)


def to_pixels(fine: Whole, px: int) -> Whole:
    """Round 2,048ths of a side of ``px`` pixels to whole pixels."""
    return (fine * (2 * px) + SIDE * FINE) // (2 * SIDE * FINE)


def place(draws: Draws, drawn: Drawings, split: str) -> Placed:
    """Place one to five emoji of a split in each scene; groups are drawn evenly, and then one of the group."""
    count = between(draws, "count", 1, MAX_EMOJI)
    group = between(draws, "group", 0, len(EMOJI_CLASSES) - 1, MAX_EMOJI)
    drawing = drawn.pick(split, group, between(draws, "drawing", 0, (1 << 24) - 1, MAX_EMOJI))
    wanted = np.arange(MAX_EMOJI) < count[:, None]
    size = np.where(wanted, between(draws, "size", _SMALLEST, _LARGEST, MAX_EMOJI), 0)
    size = -np.sort(-size, axis=1)
    depth = draws.permutation("depth", MAX_EMOJI).numpy()
    shown = drawn.extent[drawing] * size[:, :, None]  # from the drawing's corner, in 2,048ths
    extent = shown[:, :, 2:] - shown[:, :, :2]
    free = SIDE * FINE - extent
    tries = between(draws, "place", 0, free[:, None], _TRIES, MAX_EMOJI, 2)

    box = np.zeros((len(count), MAX_EMOJI, 4), np.int64)
    hidden = np.zeros((len(count), MAX_EMOJI), np.int64)
    taken = np.zeros_like(wanted)
    scenes = np.arange(len(count))
    for slot in range(MAX_EMOJI):
        start = tries[:, :, slot]
        candidate = np.concatenate([start, start + extent[:, None, slot]], axis=2)
        shared = _shared(candidate[:, :, None], box[:, None])  # [B, tries, K]; with those not placed it is 0
        nearer = (depth[:, slot, None] > depth)[:, None]
        others = hidden[:, None] + np.where(nearer, shared, 0)
        own = np.where(nearer, 0, shared).sum(axis=2)
        area = extent.prod(axis=2)
        good = (100 * others <= _MAX_HIDDEN * area[:, None]).all(axis=2) & (
            100 * own <= _MAX_HIDDEN * area[:, slot, None]
        )
        first = good.argmax(axis=1)
        fits = good[scenes, first] & wanted[:, slot]
        taken[:, slot] = fits
        box[:, slot] = np.where(fits[:, None], candidate[scenes, first], 0)
        hidden = np.where(fits[:, None], others[scenes, first], hidden)
        hidden[:, slot] = np.where(fits, own[scenes, first], 0)
    order = (~taken).argsort(axis=1, kind="stable")  # the gaps of those left out close
    return _in_order(Placed(taken.sum(axis=1), drawing, size, box[:, :, :2] - shown[:, :, :2], box, depth), order)


def _shared(one: Whole, other: Whole) -> Whole:
    """Return the area that boxes [..., 4] have in common."""
    low, high = np.maximum(one[..., :2], other[..., :2]), np.minimum(one[..., 2:], other[..., 2:])
    area: Whole = (high - low).clip(0).prod(axis=-1)
    return area


def _in_order(placed: Placed, order: npt.NDArray[np.int64]) -> Placed:
    def taken(values: Whole) -> Whole:
        return np.take_along_axis(values, order.reshape(order.shape + (1,) * (values.ndim - 2)), axis=1)

    return Placed(
        placed.count,
        *(taken(values) for values in (placed.drawing, placed.size, placed.corner, placed.box, placed.depth)),
    )
