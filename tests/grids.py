"""Features in their places of pictures, clips and sounds that are easy to make and not too easy to read."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.platform.data import Data, Field, Source
from unlabeled.platform.draws import Draws
from unlabeled.platform.evaluate import FeatureProbe, Features

PX, GRID, CLASSES, CHANNELS = 24, 6, 3, 8


class Items(Source):
    """Items in memory: what each holds under each name."""

    def __init__(self, fields: Mapping[str, Field], values: Mapping[str, Tensor]) -> None:
        self.fields, self.values = fields, values

    def __len__(self) -> int:
        return len(next(iter(self.values.values())))

    def read(self, index: Tensor, field: str) -> Tensor:
        """Return the field of items ``index``."""
        self.check_has(field)
        return self.values[field][index]

    def take(self, rows: Tensor) -> "Items":
        """Return the items ``rows`` in that order."""
        return Items(self.fields, {name: values[rows] for name, values in self.values.items()})


def data_of(source: Source, name: str = "made") -> Data:
    """Return the items as a data set, three in five of them to train on, one in five in each other split."""
    part = len(source) // 5
    train, validation, test = (
        source.take(torch.arange(start * part, end * part)) for start, end in ((0, 3), (3, 4), (4, 5))
    )
    return Data(name, train, train, validation, test, train, "0" * 64, "ours", "tests")


def scenes(count: int = 160) -> Items:
    """Return grey pictures of two kinds of squares, each with its mask, its boxes, and whether there are two."""
    masks, boxes = squares(count, "scenes")
    draws = Draws(torch.arange(count), "scenes")
    pixels = masks[:, None].float() * 90.0 + 30.0 * draws.uniform("pixels", 1, PX, PX)
    values = {"image": pixels.to(torch.uint8), "mask": masks, "boxes": boxes}
    values["class"] = boxes[:, 1, 4].isfinite().long()
    values["brightness"] = (boxes[:, 0, 4] == 2).long()
    names = ("nothing", "dim", "bright")
    fields = {
        "image": Field(kind="image", shape=(1, PX, PX)),
        "mask": Field(kind="mask", shape=(PX, PX), classes=names, of="image"),
        "boxes": Field(kind="boxes", shape=(2, 5), classes=names, of="image"),
        "class": Field(kind="class", classes=("one", "two")),
        "brightness": Field(kind="class", classes=("dim", "bright")),
    }
    return Items(fields, values)


def clips(count: int = 20, frames: int = 3) -> Items:
    """Return colour clips of noise, each with a class, masks and a point."""
    draws = Draws(torch.arange(count), "clips")
    _, masks, points = films(count, frames)
    pixels = draws.integers("pixels", 256, frames, 3, PX, PX).to(torch.uint8)
    fields = {
        "clip": Field(kind="clip", shape=(frames, 3, PX, PX), rate=8.0),
        "class": Field(kind="class", classes=("left", "right")),
        "mask": Field(kind="mask", shape=(frames, PX, PX), classes=("none", "thing"), of="clip"),
        "points": Field(kind="points", shape=(frames, 1, 2), of="clip"),
    }
    return Items(fields, {"clip": pixels, "class": draws.integers("class", 2), "mask": masks, "points": points})


def sounds(count: int = 40, samples: int = 480) -> Items:
    """Return sounds of two pitches, each with its class."""
    draws = Draws(torch.arange(count), "sounds")
    pitch = draws.integers("class", 2)
    moments = torch.arange(samples)[None] * (0.2 + 0.4 * pitch[:, None])
    waves = (0.5 * torch.sin(moments) + 0.1 * draws.normal("wave", samples)).clamp(-1.0, 1.0)[:, None]
    fields = {
        "wave": Field(kind="wave", shape=(1, samples), rate=16_000.0),
        "class": Field(kind="class", classes=("low", "high")),
    }
    return Items(fields, {"wave": waves, "class": pitch})


def squares(count: int, seed: str = "train") -> tuple[Tensor, Tensor]:
    """Return masks uint8 [N, 24, 24] with one to two squares on background 0, and their boxes [N, 2, 5]."""
    draws = Draws(torch.arange(count), "squares", seed)
    place, side = draws.integers("place", 15, 2, 2), draws.integers("side", 4, 2) + 6
    number, there = draws.integers("class", CLASSES - 1, 2) + 1, draws.uniform("there", 2) < 0.6
    masks = torch.zeros(count, PX, PX, dtype=torch.uint8)
    boxes = torch.full((count, 2, 5), torch.nan)
    for row in range(count):
        for which in (0, 1) if there[row, 1] else (0,):
            x, y = place[row, which].tolist()
            end = int(side[row, which])
            masks[row, y : y + end, x : x + end] = number[row, which].to(torch.uint8)
            box = [x, y, min(x + end, PX), min(y + end, PX), int(number[row, which])]
            boxes[row, which] = torch.tensor(box, dtype=torch.float32)
    return masks, boxes


def grid_of(masks: Tensor, noise: float, seed: str = "train") -> Tensor:
    """Return what an encoder might see of masks, [N, 8, 6, 6]: how much there is of each class, mixed, and noise."""
    shares = F.one_hot(masks.long(), CLASSES).permute(0, 3, 1, 2).float()
    shares = F.avg_pool2d(shares, PX // GRID)
    mix = Draws(torch.arange(CHANNELS), "mix").normal("mix", CLASSES)
    draws = Draws(torch.arange(len(masks)), "noise", seed)
    return torch.einsum("dk,nkhw->ndhw", mix, shares) + noise * draws.normal("noise", CHANNELS, GRID, GRID) + 3.0


def films(count: int, frames: int, seed: str = "films") -> tuple[Tensor, Tensor, Tensor]:
    """Return grids [N, T, 8, 6, 6] of a pattern that moves by a place a frame, with its masks and the path of a point.

    Masks are uint8 [N, T, 24, 24], points [N, T, 1, 2].
    """
    draws = Draws(torch.arange(count), seed)
    world = draws.normal("world", CHANNELS, GRID, GRID + frames)
    world[:, :, :, : frames + 1] = draws.normal("sky", CHANNELS)[:, :, None, None]  # what moves in was seen before
    cell, step = draws.integers("cell", GRID - 3, 2) + 1, PX // GRID
    x = torch.stack([world[:, :, :, frames - t : frames - t + GRID] for t in range(frames)], dim=1)
    masks = torch.zeros(count, frames, PX, PX, dtype=torch.uint8)
    points = torch.full((count, frames, 1, 2), torch.nan)
    for row in range(count):
        for t in range(frames):
            left, top = int(cell[row, 0]) + t, int(cell[row, 1])
            if left < GRID:
                masks[row, t, top * step : (top + 2) * step, left * step : (left + 2) * step] = 1
                points[row, t, 0] = torch.tensor([(left + 0.5) * step, (top + 0.5) * step])
    return x, masks, points


def told_of(probe: FeatureProbe) -> tuple[Features, Features]:
    """Return features to learn from and to score that a probe of places can read and is told of."""
    if probe.target in ("mask", "boxes") and "image" in probe.sees:
        found = []
        for seed, count in (("train", 96), ("test", 48)):
            masks, boxes = squares(count, seed)
            told = masks if probe.target == "mask" else boxes
            found.append(Features(grid_of(masks, 0.3, seed), told, (PX, PX)))
        return found[0], found[1]
    if "clip" in probe.sees:
        x, masks, points = films(6, 3)
        x = x + 0.5 * Draws(torch.arange(6), "noise").normal("noise", *x.shape[1:])
        features = Features(x, masks if probe.target == "mask" else points, (PX, PX))
        return features, features
    draws = Draws(torch.arange(80), "sounds")
    labels = draws.integers("labels", CLASSES)
    x = draws.normal("x", CHANNELS, 5) + 0.8 * F.one_hot(labels, CHANNELS)[:, :, None]
    return Features(x[:50], labels[:50], (400,)), Features(x[50:], labels[50:], (400,))
