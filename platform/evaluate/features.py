"""Frozen features: what an encoder, or a layer behind it, makes of pictures, clips or sounds in eval mode."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from unlabeled.platform.data import Source
from unlabeled.platform.evaluate.corruptions import Corruption
from unlabeled.platform.evaluate.reading import pixels
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
    """Features of some items.

    Attributes:
        x: float32 [N, D]; or in their places: [N, D, h, w] of pictures, [N, T, D, h, w] of clips, [N, D, T] of sounds.
        labels: what the items are told by, where they are: classes int64 [N]; masks, boxes or points as the data have
            them, [N, ...].
        size: height and width of the pictures in pixels, or the samples of the sounds.
    """

    x: Tensor
    labels: Tensor | None
    size: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.x)

    def take(self, rows: Tensor) -> "Features":
        """Return those of some rows, int64 [M]."""
        return Features(self.x[rows], None if self.labels is None else self.labels[rows], self.size)


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


@torch.no_grad()
def extract(
    module: nn.Module,
    source: Source,
    processor: Processor,
    max_items: int | None = None,
    change: Change | None = None,
    *,
    field: str = "image",
    told: str = "class",
    shown: Corruption | None = None,
) -> Features:
    """Embed the items, or the first ``max_items`` of them (splits are shuffled, so these are a fair sample).

    Args:
        module: the encoder, or what maps pixels to a layer behind it; it runs in eval mode and is left as it was.
        source: of the items; those that lack what they are told by are left out, unless all lack it.
        processor: what to compute on.
        max_items: how many.
        change: how to change them, and what they are labelled by instead; None takes clean ones and their labels.
        field: what of them the module sees: pictures, clips or sounds.
        told: what they are labelled by: a class or whatever else is numbers.
        shown: how they are corrupted.

    Raises:
        NotFiniteError: a feature is NaN or infinite.
    """
    has_labels = told in source.fields
    index = (source.rows[source.known(told)] if has_labels else source.rows)[:max_items]
    shape = source.fields[field].shape
    chunks, ways = [], []
    parts = torch.split(index, max(1, CHUNK // (shape[0] if len(shape) == 4 else 1)))
    with in_eval_mode(module), contextlib.closing(pixels(source, parts, processor, field)) as shown_pixels:
        for rows, x in zip(parts, shown_pixels, strict=True):
            if change is not None:
                x, labels = change(x, rows)
                ways.append(labels)
            if shown is not None:
                x = on_frames(x, rows, shown)
            with processor.autocast():
                chunks.append(encode(module, x, processor).float())
    check_finite(*chunks)
    size = shape[-2:] if len(shape) > 2 else shape[-1:]
    if ways:
        return Features(torch.cat(chunks), torch.cat(ways), size)
    return Features(torch.cat(chunks), processor.put(source.tensor(index, told)) if has_labels else None, size)
