"""Data as tests look at it, and data as tests need it."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from unlabeled.platform.data import ArrayImages, Classes, Data, Joined, Source
from unlabeled.platform.data.source import Field


def images_of(source: Source) -> Tensor:
    """Return all pictures, uint8 [N, C, H, W]."""
    return source.tensor(source.rows, "image")


def classes_of(source: Source) -> Tensor:
    """Return the classes of all items, each of which has one, int64 [N]."""
    assert source.known("class").all()
    return source.tensor(source.rows, "class")


def with_fields(source: Source, *fields: Source, without: str = "") -> Joined:
    """Return the items with fields in the place of those that have the same name, or without one."""
    new = {name for field in fields for name in field.fields}
    assert isinstance(source, Joined)
    return Joined(*(part for name, part in source.parts.items() if name not in {*new, without}), *fields)


def with_classes(data: Data, names: Sequence[str]) -> Data:
    """Return the data with other names of its classes, at least as many as are there."""
    splits = {split: getattr(data, split) for split in ("pretrain", "train", "validation", "test")}
    return replace(
        data, **{split: with_fields(items, Classes(classes_of(items), names)) for split, items in splits.items()}
    )


@final
class Silence(Source):
    """Words that nobody says: 1.28 s of silence at 16 kHz, with the classes that ``stamps-spoken`` has."""

    def __init__(self, count: int) -> None:
        kind: dict[str, Any] = {"kind": "class", "classes": ("one", "other")}
        self.fields = {
            "wave": Field(kind="wave", shape=(1, 20_480), rate=16_000.0),
            "class": Field(**kind),
            "initial": Field(**kind),
        }
        self._count = count

    def __len__(self) -> int:
        return self._count

    def read(self, index: Tensor, field: str) -> Tensor:
        self.check_has(field)
        return torch.zeros(len(index), *self.fields[field].shape) if field == "wave" else index % 2

    def take(self, rows: Tensor) -> "Silence":
        return Silence(len(rows))

    def sample(self, field: str) -> Iterator[Tensor]:
        yield self.tensor(self.rows[:2], field)


def with_silence(data: Data, count: int) -> Data:
    """Return the data with so many silent words in the place of each split's items."""
    words = Silence(count)
    return replace(data, **dict.fromkeys(("pretrain", "train", "validation", "test", "measured"), words), field="wave")


def with_pictures(data: Data, channels: int, px: int, count: int | None = None) -> Data:
    """Return the data with plain pictures of another shape, as many to train on as it has, or as are said."""
    size = len(data.pretrain) if count is None else count
    colors = np.random.default_rng(0).integers(256, size=(1024, channels, 1, 1), dtype=np.uint8)
    plain = ArrayImages(colors, px).take(torch.arange(size) % len(colors))
    rows = torch.arange(size) % len(data.pretrain)
    train = with_fields(data.pretrain.take(rows), plain)
    return replace(data, train=train, pretrain=train, measured=train)
