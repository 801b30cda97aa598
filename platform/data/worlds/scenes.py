"""``emoji-scenes``: one to five emoji that overlap, on a textured ground, with all that is known of them.

A scene's ``class`` is the group of its largest emoji, ``count`` is how many there are. ``mask`` is the group at each
pixel: of the nearest emoji that is at least half there, or the ground. ``boxes`` hold what can be seen of each emoji,
from the farthest to the nearest. ``text`` names all, the largest first.

Nothing else tells a group: grounds are drawn apart from what stands on them, and groups from places and sizes.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from unlabeled.platform.data.contents import Contents, array_checksum, damage_named
from unlabeled.platform.data.shipped import BUNDLED, EMOJI_CLASSES, EMOJI_FILE, REMEDY
from unlabeled.platform.data.source import Field, Source
from unlabeled.platform.data.worlds.drawings import drawings
from unlabeled.platform.data.worlds.grounds import grounds
from unlabeled.platform.data.worlds.pasting import Cutout, Pixels, box_of, claim, cutouts, groups_at, paste
from unlabeled.platform.data.worlds.placing import MAX_EMOJI, Placed, place
from unlabeled.platform.data.worlds.words import side, with_article
from unlabeled.platform.draws import Draws

GROUND = "ground"
SIZES = {"train": 20_000, "validation": 1_000, "test": 2_000}

_PX = 64
_VERSION = 1  # raise it when the same number gives another scene


def read_scenes(name: str, root: Path, image_px: int | None) -> Contents:
    """Compose 20,000 scenes to train on, 1,000 to choose by and 2,000 to test, each split of emoji of its own."""
    with damage_named(name, BUNDLED / EMOJI_FILE, REMEDY):
        train, validation, test = (Scenes(split, torch.arange(SIZES[split]), image_px or _PX) for split in SIZES)
        return Contents(train=train, validation=validation, test=test, checksum=world_checksum(name, _VERSION))


def world_checksum(name: str, version: int) -> str:
    """Return the sha256 of what decides a world: its drawings, its name and its version."""
    return hashlib.sha256(f"{name} {version} {array_checksum([drawings().pixels])}".encode()).hexdigest()


@final
class Scenes(Source):
    """Scenes of a split by their numbers, composed when they are read."""

    def __init__(self, split: str, numbers: Tensor, px: int) -> None:
        """Take int64 [N] numbers of scenes and the height and width of pictures."""
        self._split, self._numbers, self._px = split, numbers, px
        self.fields = {
            "image": Field(kind="image", shape=(3, px, px)),
            "mask": Field(kind="mask", shape=(px, px), classes=(GROUND, *EMOJI_CLASSES), of="image"),
            "boxes": Field(kind="boxes", shape=(MAX_EMOJI, 5), classes=EMOJI_CLASSES, of="image"),
            "class": Field(kind="class", classes=EMOJI_CLASSES),
            "count": Field(kind="class", classes=tuple(str(count + 1) for count in range(MAX_EMOJI))),
            "text": Field(kind="text"),
        }

    def __len__(self) -> int:
        return len(self._numbers)

    def take(self, rows: Tensor) -> "Scenes":
        """Return the scenes ``rows`` in that order."""
        return Scenes(self._split, self._numbers[rows], self._px)

    def read(self, index: Tensor, field: str) -> Tensor | list[str]:
        """Compose a field of the scenes ``index``."""
        self.check_has(field)
        numbers, scope = self._numbers[index], ("emoji-scenes", self._split)
        placed = place(Draws(numbers, *scope), drawings(), self._split)
        if field == "class":
            return torch.from_numpy(drawings().group[placed.drawing[:, 0]])
        if field == "count":
            return torch.from_numpy(placed.count - 1)
        if field == "text":
            return [_caption(placed, scene) for scene in range(len(numbers))]
        if field == "image":
            pixels = grounds(numbers, (*scope, "ground"), self._px, self._px, self._px)
            return torch.from_numpy(_pictures(placed, pixels))
        if field == "mask":
            return torch.from_numpy(groups_at(_owners(placed, self._px), drawings().group[placed.drawing]))
        return torch.from_numpy(self._boxes(placed))

    def _boxes(self, placed: Placed) -> npt.NDArray[np.float32]:
        boxes = np.full((len(placed.count), MAX_EMOJI, 5), np.nan, np.float32)
        for scene, owner in enumerate(_owners(placed, self._px)):
            for row, slot in enumerate(placed.back_to_front(scene)):
                box = box_of(owner == slot + 1)
                if box is not None:
                    boxes[scene, row] = (*box, drawings().group[placed.drawing[scene, slot]])
        return boxes


def _pictures(placed: Placed, ground: Pixels) -> Pixels:
    """Paste what is placed on grounds [B, 3, px, px], in place."""
    for scene, _, cutout, left, top in _layers(placed, ground.shape[-1]):
        paste(ground[scene], cutout, left, top)
    return ground


def _owners(placed: Placed, px: int) -> Pixels:
    """Return who is nearest at each pixel, uint8 [B, px, px]: 0 nobody, else a slot and one."""
    owner = np.zeros((len(placed.count), px, px), np.uint8)
    for scene, slot, cutout, left, top in _layers(placed, px):
        claim(owner[scene], cutout, left, top, slot + 1)
    return owner


def _layers(placed: Placed, px: int) -> Iterator[tuple[int, int, Cutout, int, int]]:
    """Yield each scene's emoji from the farthest to the nearest: scene, slot, the drawing, left and top in pixels."""
    sizes, corners = placed.pixels(px)
    where = [(scene, slot) for scene in range(len(sizes)) for slot in placed.back_to_front(scene)]
    scenes, slots = np.array(where, np.int64).reshape(-1, 2).T
    cut = cutouts(drawings(), placed.drawing[scenes, slots], sizes[scenes, slots])
    for (scene, slot), cutout, (left, top) in zip(where, cut, corners[scenes, slots].tolist(), strict=True):
        yield scene, slot, cutout, left, top


def _caption(placed: Placed, scene: int) -> str:
    """Name the largest emoji, and on which side of each other one it is."""
    names = [with_article(drawings().names[drawing]) for drawing in placed.drawing[scene, : placed.count[scene]]]
    middle = placed.box[scene, :, :2] + placed.box[scene, :, 2:]
    others = [f"{side(*(middle[0] - middle[slot]).tolist())} {name}" for slot, name in enumerate(names) if slot]
    return f"{names[0]} {', '.join(others)}".rstrip()
