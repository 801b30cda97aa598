"""Frozen features: what an encoder, or a layer behind it, makes of pictures, clips or sounds in eval mode."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from unlabeled.platform.processor import Processor

CHUNK = 512  # pictures, or texts, embedded at a time
BLOCK = 2**21  # numbers of features looked at at a time, 8 MiB


class NotFiniteError(ArithmeticError):
    """Features are NaN or infinite: whatever is computed of them measures nothing."""


def check_finite(*x: Tensor) -> None:
    """Check features, or what is computed of them.

    Raises:
        NotFiniteError: a number is NaN or infinite.
    """
    if not all(bool(some.isfinite().all()) for part in x for some in torch.split(part, _rows_of(part))):
        raise NotFiniteError("features are not finite; lower optimizer.learning_rate, or take precision=fp32")


@dataclass(frozen=True, slots=True)
class Features:
    """Features of some items: in memory, or where they are large mapped from a file, which is then the only copy.

    Attributes:
        x: float32 [N, D], on the device that computes, or in a file on the CPU; or in their places: [N, D, h, w] of
            pictures, [N, T, D, h, w] of clips, [N, D, T] of sounds.
        labels: what the items are told by, where they are: classes int64 [N]; masks, boxes or points as the data have
            them, [N, ...].
        size: height and width of the pictures in pixels, or the samples of the sounds.
    """

    x: Tensor
    labels: Tensor | None
    size: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.x)

    def blocks(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield some rows and their labels after others, a few MB at a time, on the device that the labels are on."""
        assert self.labels is not None
        rows = _rows_of(self.x)
        for x, labels in zip(torch.split(self.x, rows), torch.split(self.labels, rows), strict=True):
            yield x.to(labels.device), labels

    def take(self, rows: Tensor) -> "Features":
        """Return those of some rows, int64 [M]."""
        labels = None if self.labels is None else self.labels[rows.to(self.labels.device)]
        return Features(self.x[rows.to(self.x.device)], labels, self.size)


def _rows_of(x: Tensor) -> int:
    return max(1, BLOCK // max(1, x[:1].numel()))


@contextlib.contextmanager
def in_eval_mode(module: nn.Module) -> Iterator[None]:
    """Put a module and its parts in eval mode for a while."""
    was_training = {part: part.training for part in module.modules()}  # its parts may be in different modes
    module.eval()
    try:
        yield
    finally:
        for part, mode in was_training.items():
            part.training = mode


def encode(module: nn.Module, x: Tensor, processor: Processor) -> Tensor:
    """Return what a module makes of pictures [B, C, H, W], or of sounds [B, C, S].

    Of clips [B, T, C, H, W] it sees each frame by itself; features [D] of a frame are averaged over the clip, features
    in their places are not.
    """
    if x.ndim != 5:
        made: Tensor = module(processor.layout(x) if x.ndim == 4 else x)
        return made
    made = module(processor.layout(x.flatten(0, 1))).unflatten(0, x.shape[:2])
    return made.mean(dim=1) if made.ndim == 3 else made


def on_frames(x: Tensor, rows: Tensor, change: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Change pictures [B, C, H, W] by their rows, int64 [B]; or all frames of each clip [B, T, C, H, W] alike."""
    if x.ndim == 4:
        return change(x, rows)
    return change(x.flatten(0, 1), rows.repeat_interleave(x.shape[1])).view_as(x)
