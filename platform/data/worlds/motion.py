"""How the emoji of a film move, and how its camera does: closed formulas, in seconds and 48ths of the frame's side.

An emoji is in free flight until it meets the floor, at a moment that is drawn. There it keeps a part of its speed
upwards and of its speed along, and so on until it lies. Its loss is what gives time an arrow, and nothing else does: a
film starts at any moment of the fall or of the bounces, emoji come into the frame and leave it on any side, the camera
pans either way and may turn round, and grain moves with the ground.

Only sums, products and quotients of float64 are taken, one at a time, which every processor rounds alike.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unlabeled.platform.data.shipped import EMOJI_CLASSES
from unlabeled.platform.data.worlds.chance import Whole, between
from unlabeled.platform.data.worlds.drawings import Drawings
from unlabeled.platform.draws import Draws

MAX_EMOJI = 3
FRAMES, RATE = 16, 8.0  # and frames per second
SIDE = 48  # of a frame, in units of length
MARGIN = 14  # of the world around what the first camera may see, for the second one
WIDTH, HEIGHT = SIDE + 40 + 2 * MARGIN, SIDE + 12 + 2 * MARGIN  # of the world

_GRAVITY = 160.0
_BOUNCES = 9  # after the last an emoji lies
_LIES = 18.0  # it also does where it would leave the floor slower than this, and so rise by less than a unit
_SMALLEST, _LARGEST = 10, 22
_KEPT_ALONG = 0.9  # of the speed along the floor, at each bounce
_FINE = 16  # of a unit, in which the camera moves

Real = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Motion:
    """What happens in B films; N emoji each, of which the first ``count`` are there, the largest first.

    Attributes:
        count: int64 [B].
        drawing: int64 [B, N], of :class:`Drawings`.
        size: int64 [B, N], of the whole drawing, in units.
        depth: int64 [B, N], the higher the nearer.
        x: float64 [B, N, T], left of the whole drawing in the world.
        y: float64 [B, N, T], top of it.
        struck: float64 [B, N, K], seconds at which it meets the floor; they may lie outside the film.
        speed: float64 [B, N, K], with which it does; 0 where it lies already.
        along: float64 [B, N], its first speed to the right.
        floor: int64 [B], where the floor begins, from the top of the world.
        camera: float64 [B, T, 2], left and top of what the first camera sees.
    """

    count: Whole
    drawing: Whole
    size: Whole
    depth: Whole
    x: Real
    y: Real
    struck: Real
    speed: Real
    along: Real
    floor: Whole
    camera: Real

    def back_to_front(self, film: int) -> list[int]:
        """Return the emoji of a film in the order that they are drawn in."""
        return [int(slot) for slot in self.depth[film, : self.count[film]].argsort()]


def move(draws: Draws, drawn: Drawings, split: str) -> Motion:
    """Let one to three emoji of a split be thrown in each film, before a camera that pans."""
    count = between(draws, "count", 1, MAX_EMOJI)
    group = between(draws, "group", 0, len(EMOJI_CLASSES) - 1, MAX_EMOJI)
    drawing = drawn.pick(split, group, between(draws, "drawing", 0, (1 << 24) - 1, MAX_EMOJI))
    wanted = np.arange(MAX_EMOJI) < count[:, None]
    size = -np.sort(-np.where(wanted, between(draws, "size", _SMALLEST, _LARGEST, MAX_EMOJI), 0), axis=1)
    camera = _camera(draws)
    floor = between(draws, "floor", SIDE + MARGIN - 8, SIDE + MARGIN - 2)

    struck, speed, height = _falls(draws)
    along, way = _way(draws, struck)
    meeting = between(draws, "meeting", 2, FRAMES - 3, MAX_EMOJI)  # frame in which it is somewhere before the camera
    films, slots = np.ogrid[: len(count), :MAX_EMOJI]
    middle = camera[films, meeting, 0] + SIDE / 2 + between(draws, "from the middle", -14, 14, MAX_EMOJI)
    x = middle[:, :, None] + way - way[films, slots, meeting][:, :, None] - size[:, :, None] / 2
    stands = floor[:, None] + between(draws, "nearness", 1, 6, MAX_EMOJI)
    feet = drawn.extent[drawing, 3] * size / drawn.px
    y = (stands - feet)[:, :, None] - height
    depth = draws.permutation("depth", MAX_EMOJI).numpy()
    return Motion(count, drawing, size, depth, x, y, struck, speed, along, floor, camera)


def _falls(draws: Draws) -> tuple[Real, Real, Real]:
    """Return when emoji meet the floor and how fast, [B, N, K] each, and how high they are, [B, N, T]."""
    speed = between(draws, "speed", 450, 1000, MAX_EMOJI) / 10.0
    kept = between(draws, "kept", 55, 85, MAX_EMOJI) / 100.0
    moment = between(draws, "moment", -100, 95, MAX_EMOJI) / 100.0 * (2.0 * speed / _GRAVITY)
    time = np.arange(FRAMES) / RATE
    ahead = moment[:, :, None] - time
    height = speed[:, :, None] * ahead - _GRAVITY / 2.0 * ahead * ahead
    struck, speeds = np.empty((2, *moment.shape, _BOUNCES))
    for bounce in range(_BOUNCES):
        struck[:, :, bounce], speeds[:, :, bounce] = moment, speed
        speed = np.where(speed * kept >= _LIES, speed * kept, 0.0) if bounce < _BOUNCES - 1 else 0.0 * speed
        since = time - moment[:, :, None]
        flight = speed[:, :, None] * since - _GRAVITY / 2.0 * since * since
        height = np.where(since >= 0.0, np.maximum(flight, 0.0), height)
        moment = moment + 2.0 * speed / _GRAVITY
    return struck, speeds, height


def _way(draws: Draws, struck: Real) -> tuple[Real, Real]:
    """Return the first speed to the right, [B, N], and the way gone since the film's start, [B, N, T]."""
    fast = between(draws, "along", 4, 26, MAX_EMOJI) * (2 * between(draws, "side", 0, 1, MAX_EMOJI) - 1)
    first = speed = fast.astype(np.float64)
    time = np.arange(FRAMES) / RATE
    way = speed[:, :, None] * time
    for bounce in range(_BOUNCES):
        slower = speed * (_KEPT_ALONG if bounce < _BOUNCES - 1 else 0.0)
        way = way + (slower - speed)[:, :, None] * np.maximum(time - struck[:, :, bounce, None], 0.0)
        speed = slower
    return first, way


def _camera(draws: Draws) -> Real:
    """Return left and top of what the camera sees, [B, T, 2]: it pans, and pans otherwise from some frame on."""
    turn = between(draws, "camera turns", 4, FRAMES - 4)[:, None]
    early = (np.arange(1, FRAMES) < turn)[:, :, None]
    fast = [
        np.stack([between(draws, f"camera {when} x", -40, 40), between(draws, f"camera {when} y", -10, 10)], axis=1)
        for when in ("early", "late")
    ]
    steps = np.where(early, fast[0][:, None], fast[1][:, None])
    place = np.concatenate([np.zeros_like(steps[:, :1]), steps.cumsum(axis=1)], axis=1)
    middle = (place.min(axis=1, keepdims=True) + place.max(axis=1, keepdims=True)) // 2
    seen = np.array([WIDTH - SIDE, HEIGHT - SIDE]) * _FINE // 2
    corner: Real = (place - middle + seen) / _FINE
    return corner
