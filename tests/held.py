"""Small data of every kind, held in memory, each number of which says where it is from."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from unlabeled.platform.data import Data, Field, Source

ITEMS, FRAMES, SAMPLES, RATE, SAMPLE_RATE = 48, 12, 120, 4.0, 40.0
HEIGHT, WIDTH = 10, 12


class Held(Source):
    """Fields held in memory; some items may lack some."""

    def __init__(
        self,
        fields: Mapping[str, Field],
        values: Mapping[str, Tensor | list[str]],
        lacking: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.fields, self.values, self.lacking = fields, values, lacking or {}
        self.count = len(next(iter(values.values())))

    def __len__(self) -> int:
        return self.count

    def known(self, field: str) -> Tensor:
        """Return which items have the field."""
        known = super().known(field)
        return ~self.lacking[field] if field in self.lacking else known

    def read(self, index: Tensor, field: str) -> Tensor | list[str]:
        """Return the field of items."""
        self.check_has(field)
        values = self.values[field]
        return values[index].clone() if isinstance(values, Tensor) else [values[row] for row in index.tolist()]

    def take(self, rows: Tensor) -> "Held":
        """Return some of the items."""
        values = {field: self.read(rows, field) for field in self.values}
        return Held(self.fields, values, {field: lacks[rows] for field, lacks in self.lacking.items()})


def held(items: int = ITEMS) -> Held:
    """Return items with a picture, a film of two cameras, a sound, and what is told of them.

    The first sample of a sound's part says which of its item's samples it is; a picture's and a film's first channel
    which item, its second which frame. A class is known of one item in two.
    """
    generator = torch.Generator().manual_seed(8)
    number = torch.arange(items)
    clip = torch.randint(0, 256, (items, FRAMES, 3, HEIGHT, WIDTH), generator=generator, dtype=torch.uint8)
    clip[:, :, 0] = number[:, None, None, None].byte()
    clip[:, :, 1] = torch.arange(FRAMES, dtype=torch.uint8)[:, None, None]
    boxes = torch.tensor([1.0, 2.0, 5.0, 6.0, 3.0]).repeat(items, 2, 1)
    boxes[:, 1] = torch.nan
    wave = (number[:, None] / 1000 + torch.arange(SAMPLES) / 1_000_000)[:, None]
    values: dict[str, Tensor | list[str]] = {
        "image": clip[:, 0].clone(),
        "clip": clip,
        "camera 2": 255 - clip,
        "sound": wave,
        "class": number % 3,
        "text": [f"item {each}" for each in number.tolist()],
        "mask": torch.randint(0, 5, (items, HEIGHT, WIDTH), generator=generator, dtype=torch.uint8),
        "masks": torch.randint(0, 5, (items, FRAMES, HEIGHT, WIDTH), generator=generator, dtype=torch.uint8),
        "boxes": boxes,
        "points": torch.rand(items, FRAMES, 2, 2, generator=generator) * 9,
        "pose": torch.rand(items, FRAMES, 3, generator=generator),
    }
    shapes = {field: tuple(each.shape[1:]) if isinstance(each, Tensor) else () for field, each in values.items()}
    fields = {
        "image": Field(kind="image", shape=shapes["image"]),
        "clip": Field(kind="clip", shape=shapes["clip"], rate=RATE),
        "camera 2": Field(kind="clip", shape=shapes["clip"], rate=RATE),
        "sound": Field(kind="wave", shape=shapes["sound"], rate=SAMPLE_RATE),
        "class": Field(kind="class", classes=("ant", "bee", "cat")),
        "text": Field(kind="text"),
        "mask": Field(kind="mask", shape=shapes["mask"], classes=tuple("01234"), of="image"),
        "masks": Field(kind="mask", shape=shapes["masks"], classes=tuple("01234"), of="clip"),
        "boxes": Field(kind="boxes", shape=shapes["boxes"], classes=tuple("0123"), of="image"),
        "points": Field(kind="points", shape=shapes["points"], of="clip"),
        "pose": Field(kind="pose", shape=shapes["pose"]),
    }
    return Held(fields, values, {"class": number % 2 == 1})


def with_held(data: Data, source: Source) -> Data:
    """Return the data with these items to train on."""
    return replace(data, pretrain=source, train=source, measured=source)
