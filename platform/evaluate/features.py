"""Frozen features: what an encoder, or a layer behind it, makes of pictures in eval mode."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from unlabeled.platform.data import Source
from unlabeled.platform.processor import Processor

CHUNK = 512  # pictures embedded at a time

Change = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Changes float32 images [B, C, H, W] in [0, 1] by their rows, int64 [B]; returns them, and the change's labels [B]."""


class NotFiniteError(ArithmeticError):
    """Features are NaN or infinite: whatever is computed of them measures nothing."""


def check_finite(*x: Tensor) -> None:
    """Check features, or what is computed of them.

    Raises:
        NotFiniteError: a number is NaN or infinite.
    """
    if not all(bool(part.isfinite().all()) for part in x):
        raise NotFiniteError("features are not finite; lower optimizer.learning_rate, or take precision=fp32")


@dataclass(frozen=True, slots=True)
class Features:
    """Features of some pictures: ``x`` float32 [N, D], and ``labels`` int64 [N] where they are known."""

    x: Tensor
    labels: Tensor | None

    def __len__(self) -> int:
        return len(self.x)

    def take(self, rows: Tensor) -> "Features":
        """Return those of some rows, int64 [M]."""
        return Features(self.x[rows], None if self.labels is None else self.labels[rows])


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


@torch.no_grad()
def extract(
    module: nn.Module,
    source: Source,
    processor: Processor,
    at_most: int | None = None,
    change: Change | None = None,
) -> Features:
    """Embed the pictures, or the first ``at_most`` of them (splits are shuffled, so these are a fair sample).

    Args:
        module: the encoder, or what maps pixels to a layer behind it; it runs in eval mode and is left as it was.
        source: of the pictures; those without a class are left out, unless no picture has one.
        processor: what to compute on.
        at_most: how many.
        change: how to change them, and what they are labelled by instead; None takes clean pictures and their labels.

    Raises:
        NotFiniteError: a feature is NaN or infinite.
    """
    has_classes = "class" in source.fields
    index = (source.rows[source.known("class")] if has_classes else source.rows)[:at_most]
    chunks, told = [], []
    with in_eval_mode(module):
        for rows in torch.split(index, CHUNK):
            x = processor.put(source.tensor(rows, "image")).float() / 255.0
            if change is not None:
                x, labels = change(x, rows)
                told.append(labels)
            with processor.autocast():
                chunks.append(module(processor.layout(x)).float())
    check_finite(*chunks)
    if told:
        return Features(torch.cat(chunks), torch.cat(told))
    return Features(torch.cat(chunks), processor.put(source.tensor(index, "class")) if has_classes else None)
