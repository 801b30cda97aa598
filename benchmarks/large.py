"""How fast are views of 224 px made?

Measured: two views by SimCLR's policy (crop, flip, colour jitter, colour drop, blur) of 96 decoded colour pictures of
500 x 375 and of 256 x 256 px, in batches of 32, against torchvision's transforms of Pillow's pictures, as
reimplementations of SimCLR write them: they round to 8 bits at each step, ours do not. First CPU time on one thread,
then wall time of the whole machine: ours by threads, torchvision's in a DataLoader with a worker for each core.
Target: at least 3 times torchvision's views per second.
"""

import os
import statistics
import time
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from benchmarks.compare import Row, in_turns, one_thread, paired_ratio
from unlabeled.platform.augment import SIMCLR, ColorJitter, Crop, two_views
from unlabeled.platform.draws import Draws
from unlabeled.platform.processor import keep_freed_memory

PICTURES, BATCH, ROUNDS = 96, 32, 5
SIDE, BLUR_PX = 224, 23
TARGET = 3.0


def rows() -> Iterator[Row]:
    keep_freed_memory()  # as runs do
    for height, width in ((375, 500), (256, 256)):
        generator = torch.Generator().manual_seed(0)
        coarse = torch.rand(PICTURES, 3, 12, 16, generator=generator).mul_(255.0)
        smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
        pictures = smooth.add_(torch.randn(smooth.shape, generator=generator).mul_(8.0)).clamp_(0.0, 255.0).byte()
        what = f"two views of {SIDE} px of {width} x {height} px"
        with one_thread():
            yield _row(f"{what}, one thread", pictures, 0, time.process_time)
        yield _row(f"{what}, whole machine", pictures, os.cpu_count() or 1, time.perf_counter)


def _row(what: str, pictures: Tensor, num_workers: int, clock: Any) -> Row:
    plan = two_views(SIMCLR.replacing(Crop(area=(0.08, 1.0), size=SIDE)))
    loader = DataLoader(Views(pictures), BATCH, num_workers=num_workers, persistent_workers=num_workers > 0)

    def ours() -> None:
        for rows in torch.split(torch.arange(len(pictures)), BATCH):
            plan({"image": pictures[rows]}, Draws(rows, 0, "benchmark"))

    def theirs() -> None:
        for _ in loader:
            pass

    measured = in_turns((ours, theirs), ROUNDS, clock)
    speed, other = (2 * len(pictures) / statistics.median(seconds) for seconds in measured)
    ratio = paired_ratio(measured[1], measured[0])
    return Row.of_ratio(
        what=what,
        ours=f"{speed:,.0f} views/s",
        reference=f"{other:,.0f} views/s, torchvision on Pillow",
        ratio=ratio,
        least=TARGET,
    )


class Views(Dataset[Sequence[Tensor]]):
    """Two views of each picture, by torchvision's transforms of Pillow's pictures."""

    def __init__(self, pictures: Tensor) -> None:
        self._pictures = [Image.fromarray(picture.permute(1, 2, 0).numpy()) for picture in pictures]
        jitter = ColorJitter.of_strength(1.0)
        amounts = jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue
        self._transform = v2.Compose(
            [
                v2.RandomResizedCrop(SIDE, scale=(0.08, 1.0)),
                v2.RandomHorizontalFlip(),
                v2.RandomApply([v2.ColorJitter(*amounts)], p=jitter.p),
                v2.RandomGrayscale(0.2),
                v2.RandomApply([v2.GaussianBlur(BLUR_PX, (0.1, 2.0))], p=0.5),
                v2.ToImage(),
                v2.ToDtype(torch.float32, scale=True),
            ]
        )

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        picture = self._pictures[index]
        return self._transform(picture), self._transform(picture)
