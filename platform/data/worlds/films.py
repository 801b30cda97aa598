"""``emoji-films``: emoji thrown before a camera that pans, by two cameras and with sound, and all that is known of it.

Two seconds: 16 frames, 8 of them a second, and 16,000 samples of sound. An item has

- ``clip``, what the first camera sees, and ``clip2``, what the second one does at the same moments;
- ``camera2``, the 3 x 3 matrix that takes a place in a frame of ``clip`` to where ``clip2`` has it, to a pixel;
- ``pose``, by how many pixels the first camera went right and down since the frame before; nothing in the first;
- ``wave``, the sound of the bounces;
- of ``clip``: ``mask``, the group at each pixel; ``objects``, which of the emoji; ``boxes``, what can be seen of each,
  in their order; ``points``, four on each emoji, fixed to it, not told where they are hidden or outside;
- ``class``, the group of the largest emoji, which is the first; ``text``, what happens.

Time has an arrow by the physics alone: see :mod:`unlabeled.platform.data.worlds.motion`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from unlabeled.platform.data.contents import Contents, damage_named
from unlabeled.platform.data.shipped import BUNDLED, EMOJI_CLASSES, EMOJI_FILE, REMEDY
from unlabeled.platform.data.source import Field, Source
from unlabeled.platform.data.worlds.chance import between
from unlabeled.platform.data.worlds.drawings import drawings
from unlabeled.platform.data.worlds.filming import Camera, Taken, clips, layers, owners, recoloured
from unlabeled.platform.data.worlds.motion import FRAMES, MAX_EMOJI, RATE, Motion, move
from unlabeled.platform.data.worlds.pasting import Pixels, box_of, groups_at
from unlabeled.platform.data.worlds.scenes import GROUND, world_checksum
from unlabeled.platform.data.worlds.sounds import SAMPLES, WAVE_RATE, waves
from unlabeled.platform.data.worlds.words import bounces, with_article
from unlabeled.platform.draws import Draws

SIZES = {"train": 6_000, "validation": 500, "test": 1_000}
POINTS = 4  # on each emoji

_PX = 48
_SAMPLE = 64  # films that statistics are taken from: a thousand frames
_VERSION = 1  # raise it when the same number gives another film


def read_films(name: str, root: Path, image_px: int | None) -> Contents:
    """Make 6,000 films to train on, 500 to choose by and 1,000 to test, each split of emoji of its own."""
    with damage_named(name, BUNDLED / EMOJI_FILE, REMEDY):
        train, validation, test = (Films(split, torch.arange(SIZES[split]), image_px or _PX) for split in SIZES)
        return Contents(train=train, validation=validation, test=test, checksum=world_checksum(name, _VERSION))


@final
class Films(Source):
    """Films of a split by their numbers, made when they are read, and of each only the field that is."""

    def __init__(self, split: str, numbers: Tensor, px: int) -> None:
        """Take int64 [N] numbers of films and the height and width of frames."""
        self._split, self._numbers, self._px = split, numbers, px
        groups = (GROUND, *EMOJI_CLASSES)
        ordinals = (GROUND, "first", "second", "third")
        self.fields = {
            "clip": Field(kind="clip", shape=(FRAMES, 3, px, px), rate=RATE),
            "clip2": Field(kind="clip", shape=(FRAMES, 3, px, px), rate=RATE),
            "wave": Field(kind="wave", shape=(1, SAMPLES), rate=WAVE_RATE),
            "mask": Field(kind="mask", shape=(FRAMES, px, px), classes=groups, of="clip"),
            "objects": Field(kind="mask", shape=(FRAMES, px, px), classes=ordinals, of="clip"),
            "boxes": Field(kind="boxes", shape=(FRAMES, MAX_EMOJI, 5), classes=EMOJI_CLASSES, of="clip"),
            "points": Field(kind="points", shape=(FRAMES, MAX_EMOJI * POINTS, 2), of="clip"),
            "pose": Field(kind="pose", shape=(FRAMES, 2)),
            "camera2": Field(kind="pose", shape=(3, 3)),
            "class": Field(kind="class", classes=EMOJI_CLASSES),
            "text": Field(kind="text"),
        }

    def __len__(self) -> int:
        return len(self._numbers)

    def take(self, rows: Tensor) -> "Films":
        """Return the films ``rows`` in that order."""
        return Films(self._split, self._numbers[rows], self._px)

    def sample(self, field: str) -> Iterator[Tensor]:
        """Yield the field of the first 64 films, in parts: statistics of films are of frames, of which each has 16."""
        for index in torch.split(self.rows[:_SAMPLE], 16):
            yield self.tensor(index, field)

    def read(self, index: Tensor, field: str) -> Tensor | list[str]:
        """Make a field of the films ``index``."""
        self.check_has(field)
        numbers = self._numbers[index]
        draws = Draws(numbers, *self._scope)
        motion = move(draws, drawings(), self._split)
        if field == "text":
            return [_told(motion, film) for film in range(len(numbers))]
        if field == "class":
            return torch.from_numpy(drawings().group[motion.drawing[:, 0]])
        if field == "wave":
            return torch.from_numpy(waves(draws.fold_in("wave"), motion, drawings()))
        if field == "camera2":
            return torch.from_numpy(Camera.second(draws.fold_in("camera2")).matrix(self._px))
        if field in ("clip", "clip2"):
            return torch.from_numpy(self._clips(numbers, motion, second=field == "clip2"))
        return torch.from_numpy(self._where(draws, motion, field))

    @property
    def _scope(self) -> tuple[str, str]:
        return "emoji-films", self._split

    def _clips(self, numbers: Tensor, motion: Motion, *, second: bool) -> Pixels:
        draws = Draws(numbers, *self._scope, "camera2")
        camera = Camera.second(draws) if second else Camera.first(len(numbers))
        made = clips(numbers, self._scope, motion, camera, self._px)
        if second:
            made = recoloured(draws, made)
            made[camera.mirrored] = made[camera.mirrored][..., ::-1]
        return made

    def _where(self, draws: Draws, motion: Motion, field: str) -> npt.NDArray[np.uint8] | npt.NDArray[np.float32]:
        """Return a field that says where things are on the first camera's film."""
        taken = Taken.of(motion, Camera.first(len(motion.count)), self._px)
        if field == "pose":
            return np.diff(taken.camera, axis=1, prepend=taken.camera[:, :1]).astype(np.float32)
        owner = owners(motion, taken, self._px)
        if field == "objects":
            return owner
        group = drawings().group[motion.drawing]
        if field == "boxes":
            return _boxes(owner, group)
        if field == "points":
            return _points(draws.fold_in("points"), motion, taken, owner)
        return groups_at(owner, group)


def _boxes(owner: Pixels, group: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    boxes = np.full((*owner.shape[:2], MAX_EMOJI, 5), np.nan, np.float32)
    for film, frame in np.ndindex(*owner.shape[:2]):
        found = [(slot, box_of(owner[film, frame] == slot + 1)) for slot in range(MAX_EMOJI)]
        seen = [(*box, group[film, slot]) for slot, box in found if box is not None]
        if seen:  # what is seen comes first, and then nothing does
            boxes[film, frame, : len(seen)] = seen
    return boxes


def _points(draws: Draws, motion: Motion, taken: Taken, owner: Pixels) -> npt.NDArray[np.float32]:
    """Choose pixels of each emoji's drawing, and follow them while they are on top."""
    px = owner.shape[-1]
    luck = between(draws, "pixel", 0, (1 << 24) - 1, MAX_EMOJI, POINTS)
    points = np.full((*owner.shape[:2], MAX_EMOJI, POINTS, 2), np.nan, np.float32)
    for film, frame, slot, cutout, left, top in layers(motion, taken):
        y, x = cutout.solid.nonzero()
        if not len(y):  # thin, and small: no pixel is solid
            continue
        chosen = (luck[film, slot] * len(y)) >> 24
        right, down = x[chosen] + left, y[chosen] + top
        inside = (right >= 0) & (right < px) & (down >= 0) & (down < px)
        right, down = right[inside], down[inside]
        (which,) = inside.nonzero()
        seen = owner[film, frame, down, right] == slot + 1
        points[film, frame, slot, which[seen]] = np.stack([right, down], axis=1)[seen] + 0.5
    return points.reshape(*owner.shape[:2], MAX_EMOJI * POINTS, 2)


def _told(motion: Motion, film: int) -> str:
    """Say what each emoji does while the film runs, and the camera."""
    seconds = FRAMES / RATE
    parts = []
    for slot in range(motion.count[film]):
        way = "right" if motion.along[film, slot] > 0 else "left"
        moments = motion.struck[film, slot][motion.speed[film, slot] > 0.0]
        struck = int(((moments >= 0.0) & (moments < seconds)).sum())
        name = with_article(drawings().names[motion.drawing[film, slot]])
        parts.append(f"{name} goes {way} and {bounces(struck)}")
    panned = motion.camera[film, -1, 0] - motion.camera[film, 0, 0]
    pans = "pans right" if panned > 0 else "pans left" if panned < 0 else "comes back"
    return f"{', '.join(parts)}; the camera {pans}"
