"""What all sides train: the same pictures, sizes and settings, and turns that are taken when a line says so."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

BATCH = 256
HEAD = (192, 128)
QUEUE = 4096
TEMPERATURE = 0.2
RATE = 0.06
VIT = {"width": 24, "depth": 4}  # 192 channels
DECODER_WIDTH, DECODER_DEPTH = 96, 2


@dataclass(frozen=True)
class Task:
    """What one process trains.

    Attributes:
        side: who trains.
        method: "simclr", "moco" or "mae".
        px: of a picture's sides.
    """

    side: str
    method: str
    px: int

    @classmethod
    def told(cls) -> "Task":
        """Take what the command says, on all cores."""
        torch.set_num_threads(os.cpu_count() or 1)
        side, method, px = sys.argv[1:]
        return cls(side, method, int(px))

    @property
    def patch_px(self) -> int:
        """Side of a patch: 64 of them at 32 px, 144 at 96."""
        return 4 if self.px == 32 else 8

    @property
    def steps(self) -> int:
        """In a turn: an epoch, as what others read ahead of a turn's end would be given to them."""
        return 20 if self.px == 32 else 6

    def pictures(self) -> Tensor:
        """Return uint8 [N, 3, px, px], smooth, as pictures are."""
        generator = torch.Generator().manual_seed(0)
        coarse = torch.rand(self.steps * BATCH, 3, 8, 8, generator=generator)
        smooth = torch.nn.functional.interpolate(coarse, size=(self.px, self.px), mode="bilinear")
        noise = torch.rand(smooth.shape, generator=generator) * 0.1
        return ((smooth + noise) / 1.1 * 255).to(torch.uint8)

    def serve(self, steps: Iterator[object], precision: str) -> None:
        """Take a turn for each line that comes in, and print its seconds."""
        say(f"{self.steps * BATCH} {precision}")
        for _ in sys.stdin:
            started = time.perf_counter()
            for _ in range(self.steps):
                next(steps)
            say(f"{time.perf_counter() - started:.6f}")


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def without_end(epoch: Callable[[], Iterator[object]]) -> Iterator[object]:
    """Yield the steps of one epoch after another."""
    while True:
        yield from epoch()
