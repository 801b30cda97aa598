"""Data as tests look at it, and data as tests need it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from unlabeled.platform.data import ArrayImages, Classes, Data, Joined, Source


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


def with_pictures(data: Data, channels: int, px: int, count: int | None = None) -> Data:
    """Return the data with black pictures of another shape, as many to train on as it has, or as are said."""
    size = len(data.pretrain) if count is None else count
    black = ArrayImages(np.zeros((1, channels, 1, 1), np.uint8), px).take(torch.zeros(size, dtype=torch.int64))
    rows = torch.arange(size) % len(data.pretrain)
    train = with_fields(data.pretrain.take(rows), black)
    return replace(data, train=train, pretrain=train, measured=train)
