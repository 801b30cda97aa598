"""Textured grounds: what a world is seen before. Drawn in whole numbers, independently of what stands on them.

A pattern is an amount of 0 .. 255 for each pixel; it mixes two colours, and grain goes over all. So every ground has
detail everywhere, and neither its colours nor its pattern say anything of the emoji.
"""

from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from unlabeled.platform.data.resize import resized
from unlabeled.platform.data.worlds.chance import Whole, between
from unlabeled.platform.draws import Draws

PATTERNS = ("clouds", "patches", "slope", "stripes", "checks", "dots", "bricks")

_SHEET = 256  # height and width of the one sheet that grain is cut from
_TURN = (  # 256 times cosine and sine of sixteenths of half a turn
    (256, 0), (251, 50), (237, 98), (213, 142), (181, 181), (142, 213), (98, 237), (50, 251),
    (0, 256), (-50, 251), (-98, 237), (-142, 213), (-181, 181), (-213, 142), (-237, 98), (-251, 50),
)  # fmt: skip

Amount = npt.NDArray[np.int32]


def grounds(rows: Tensor, scope: tuple[int | str, ...], height: int, width: int, frame: int) -> npt.NDArray[np.uint8]:
    """Draw a ground for each row.

    Args:
        rows: int64 [B], of which worlds.
        scope: of the draws, theirs alone.
        height: in pixels.
        width: in pixels.
        frame: height in pixels of what is seen at once; patterns are so and so many times finer than it.

    Returns:
        uint8 [B, 3, height, width].
    """
    draws = Draws(rows, *scope)
    pattern = between(draws, "pattern", 0, len(PATTERNS) - 1)
    amount = np.empty((len(pattern), height, width), np.int32)
    for number, name in enumerate(PATTERNS):
        (chosen,) = np.nonzero(pattern == number)
        if len(chosen):
            part = Draws(rows[torch.from_numpy(chosen)], *scope)
            amount[chosen] = _amount(name, part, height, width, frame)
    dark, light = (between(draws, end, 10, 245, 3).astype(np.int32)[:, :, None, None] for end in ("dark", "light"))
    x = dark + (((light - dark) * amount[:, None] + 128) >> 8)
    x += _grain(draws, height, width)[:, None]
    return x.clip(0, 255, out=x).astype(np.uint8)


def _amount(name: str, draws: Draws, height: int, width: int, frame: int) -> Amount:
    if name in ("clouds", "patches"):
        return _noise(draws, height, width, frame, levels=3 if name == "patches" else 0)
    if name == "bricks":
        return _bricks(draws, height, width, frame)
    down, right = np.arange(height, dtype=np.int32)[:, None], np.arange(width, dtype=np.int32)
    turn = between(draws, "turn", 0, len(_TURN) - 1)
    cos, sin = (np.array(_TURN, np.int32)[turn, part][:, None, None] for part in (0, 1))
    if name == "slope":  # once from end to end, across the whole ground
        along = cos * right + sin * down
        low, high = (ends(axis=(1, 2), keepdims=True) for ends in (along.min, along.max))
        slope: Amount = (along - low) * 255 // np.maximum(high - low, 1)
        return slope
    pitch = (between(draws, "pitch", frame * 8, frame * 24) // 64).clip(4).astype(np.int32)[:, None, None]
    phases = between(draws, "phase", 0, 511, 2).astype(np.int32)[:, :, None, None]
    first = _wave((cos * right + sin * down) * 2 // pitch + phases[:, 0])
    if name == "stripes":
        return _sharper(first, 4)
    second = _wave((cos * down - sin * right) * 2 // pitch + phases[:, 1])
    if name == "checks":
        return _sharper((((first - 128) * (second - 128)) >> 6) + 128, 3)
    return _sharper((first + second) // 2 - 32, 6)  # dots


def _wave(place: Amount) -> Amount:
    """Return a triangle of 0 .. 255 and back that repeats after 512."""
    place = place & 511
    return np.minimum(place, 511 - place)


def _sharper(amount: Amount, times: int) -> Amount:
    return ((amount - 128) * times + 128).clip(0, 255)


def _noise(draws: Draws, height: int, width: int, frame: int, levels: int) -> Amount:
    """Smooth random values from a coarse grid and a finer one; in a few levels where that is asked."""
    side = max(height, width)
    total = np.zeros((len(draws.rows), side, side), np.int32)
    for share, cells in ((2, 3), (1, 9)):
        points = max(2, -(-cells * side // frame))
        grid = between(draws, f"grid {cells}", 0, 255, 1, points, points).astype(np.uint8)
        total += share * resized(torch.from_numpy(grid), side).numpy()[:, 0]
    amount = _sharper(total[:, :height, :width] // 3, 2)
    return amount if not levels else (amount * levels // 256) * (255 // (levels - 1))


def _bricks(draws: Draws, height: int, width: int, frame: int) -> Amount:
    """Rows of bricks, each row half a brick further; the joints are dark, each brick has a shade of its own."""
    tall = (between(draws, "tall", frame * 6, frame * 12) // 64).clip(3)[:, None]
    wide = 2 * tall
    y = np.arange(height) + between(draws, "start", 0, 511, 1)
    row, in_row = y // tall, y % tall
    x = np.arange(width) + ((row & 1) * tall)[:, :, None]
    column, in_column = x // wide[:, :, None], x % wide[:, :, None]
    shade = 120 + (row[:, :, None] * 7919 + column * 104729) % 136
    joint = max(1, frame // 64)
    return np.where((in_row < joint)[:, :, None] | (in_column < joint), 0, shade).astype(np.int32)


def _grain(draws: Draws, height: int, width: int) -> Amount:
    """Cut noise from the one sheet, anywhere, and give it a strength."""
    top, left = between(draws, "grain", 0, _SHEET - 1, 2).T
    down = (top[:, None] + np.arange(height)) % _SHEET
    right = (left[:, None] + np.arange(width)) % _SHEET
    strength = between(draws, "strength", 3, 24).astype(np.int32)
    grain: Amount = (_sheet()[down[:, :, None], right[:, None, :]] * strength[:, None, None]) >> 7
    return grain


@lru_cache(maxsize=1)
def _sheet() -> Amount:
    sheet: Whole = between(Draws(torch.arange(_SHEET, device="cpu"), "worlds", "grain"), "sheet", -128, 127, _SHEET)
    return sheet.astype(np.int32)
