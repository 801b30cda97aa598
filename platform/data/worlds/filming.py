"""Films of what moves, by either of two cameras.

The second camera goes along with the first one and sees the same world from elsewhere: larger or smaller, from the
side, perhaps in a mirror, by a similarity that is fixed for a film; and in other colours.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import Tensor

from unlabeled.platform.data.worlds.chance import Whole, between
from unlabeled.platform.data.worlds.drawings import drawings
from unlabeled.platform.data.worlds.grounds import grounds
from unlabeled.platform.data.worlds.motion import FRAMES, HEIGHT, MAX_EMOJI, SIDE, WIDTH, Motion, Real
from unlabeled.platform.data.worlds.pasting import Cutout, Pixels, claim, cutouts, paste
from unlabeled.platform.draws import Draws

_FLOOR = 36  # units of floor that are drawn, more than a camera sees
_ORDERS = np.array([(0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])  # of the channels, but as they are


@dataclass(frozen=True)
class Camera:
    """Where a camera stands beside the first one, in each of B films.

    Attributes:
        scale: float64 [B], how much larger it sees things.
        shift: float64 [B, 2], units by which the middle of its frame lies right of and below the first one's.
        mirrored: bool [B], whether left is right.
    """

    scale: Real
    shift: Real
    mirrored: npt.NDArray[np.bool_]

    @classmethod
    def first(cls, count: int) -> "Camera":
        """Return the first camera."""
        return cls(np.ones(count), np.zeros((count, 2)), np.zeros(count, np.bool_))

    @classmethod
    def second(cls, draws: Draws) -> "Camera":
        """Draw a second camera."""
        return cls(
            between(draws, "scale", 54, 80) / 64.0,
            between(draws, "shift", -6, 6, 2).astype(np.float64),
            between(draws, "mirrored", 0, 1) == 1,
        )

    def matrix(self, px: int) -> npt.NDArray[np.float32]:
        """Return what takes a place in the first camera's frame, in pixels, to the same in this one's: [B, 3, 3]."""
        matrix = np.zeros((len(self.scale), 3, 3), np.float32)
        way = np.where(self.mirrored, -self.scale, self.scale)
        middle = px / 2 + self.shift * (px / SIDE)
        matrix[:, 0, 0], matrix[:, 0, 2] = way, px / 2 - way * middle[:, 0]
        matrix[:, 1, 1], matrix[:, 1, 2] = self.scale, px / 2 - self.scale * middle[:, 1]
        matrix[:, 2, 2] = 1.0
        return matrix


@dataclass(frozen=True)
class Taken:
    """Where things lie on a camera's film, in whole pixels, before it is mirrored.

    Attributes:
        size: int64 [B, N], of drawings.
        corner: int64 [B, T, N, 2], left and top of drawings in the frame.
        camera: int64 [B, T, 2], left and top of the frame in the ground, scaled as the camera sees it.
    """

    size: Whole
    corner: Whole
    camera: Whole

    @classmethod
    def of(cls, motion: Motion, camera: Camera, px: int) -> "Taken":
        """Take a film with frames of ``px``."""
        scale = (camera.scale * (px / SIDE))[:, None, None]
        middle = motion.camera + SIDE / 2 + camera.shift[:, None]
        frame = _rounded(middle * scale - px / 2)
        things = _rounded(np.stack([motion.x, motion.y], axis=3) * scale[:, :, None]).transpose(0, 2, 1, 3)
        return cls(_rounded(motion.size * scale[:, 0]).clip(2), things - frame[:, :, None], frame)


def clips(
    numbers: Tensor, scope: tuple[int | str, ...], motion: Motion, camera: Camera, px: int
) -> npt.NDArray[np.uint8]:
    """Take the films ``numbers`` by a camera: uint8 [B, T, 3, px, px], not mirrored."""
    taken = Taken.of(motion, camera, px)
    tall, wide, strip = (-(-units * px // SIDE) for units in (HEIGHT, WIDTH, _FLOOR))
    walls = grounds(numbers, (*scope, "wall"), tall, wide, px)
    floors = grounds(numbers, (*scope, "floor"), strip, wide, px)
    made = np.empty((len(numbers), FRAMES, 3, px, px), np.uint8)
    for film, (wall, floor) in enumerate(zip(walls, floors, strict=True)):
        edge = int(motion.floor[film]) * px // SIDE
        wall[:, edge : edge + strip] = floor[:, : tall - edge]
        ground = _resized(wall, float(camera.scale[film]))
        for frame, (left, top) in enumerate(taken.camera[film].tolist()):
            made[film, frame] = ground[:, top : top + px, left : left + px]
    for film, frame, _, cutout, left, top in layers(motion, taken):
        paste(made[film, frame], cutout, left, top)
    return made


def owners(motion: Motion, taken: Taken, px: int) -> Pixels:
    """Return who is nearest at each pixel, uint8 [B, T, px, px]: 0 nobody, else the emoji's number and one."""
    owner = np.zeros((len(motion.count), FRAMES, px, px), np.uint8)
    for film, frame, slot, cutout, left, top in layers(motion, taken):
        claim(owner[film, frame], cutout, left, top, slot + 1)
    return owner


def layers(motion: Motion, taken: Taken) -> Iterator[tuple[int, int, int, Cutout, int, int]]:
    """Yield film, frame, emoji, its drawing, left and top, in each frame from the farthest to the nearest."""
    there = np.arange(MAX_EMOJI) < motion.count[:, None]
    cut = iter(cutouts(drawings(), motion.drawing[there], taken.size[there]))
    for film, count in enumerate(motion.count.tolist()):
        mine = [next(cut) for _ in range(count)]
        for slot in motion.back_to_front(film):
            for frame, (left, top) in enumerate(taken.corner[film, :, slot].tolist()):
                yield film, frame, slot, mine[slot], left, top


def recoloured(draws: Draws, films: Pixels) -> Pixels:
    """Show films [B, T, 3, H, W] in other colours: channels change places, and each gets its contrast and light."""
    order = _ORDERS[between(draws, "order", 0, len(_ORDERS) - 1)]
    gain, light = between(draws, "gain", 36, 72, 3), between(draws, "light", -24, 40, 3)
    tables = ((np.arange(256) * gain[:, :, None] >> 6) + light[:, :, None]).clip(0, 255).astype(np.uint8)
    made = np.empty_like(films)
    for film, table, channels in zip(range(len(films)), tables, order.tolist(), strict=True):
        for channel, old in enumerate(channels):
            made[film, :, channel] = table[channel][films[film, :, old]]
    return made


def _resized(ground: Pixels, scale: float) -> Pixels:
    """Resize uint8 [3, H, W], in whole numbers; itself where the scale is 1."""
    if scale == 1.0:
        return ground
    _, height, width = ground.shape
    picture = Image.fromarray(np.ascontiguousarray(ground.transpose(1, 2, 0)))
    size = round(width * scale), round(height * scale)
    return np.asarray(picture.resize(size, Image.Resampling.BILINEAR)).transpose(2, 0, 1)


def _rounded(values: Real) -> Whole:
    return np.floor(values + 0.5).astype(np.int64)
