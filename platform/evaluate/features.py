"""Frozen features: what an encoder, or a layer behind it, makes of pictures in eval mode."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import final

import torch
from torch import Tensor, nn

from unlabeled.platform.data import Data, Images
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
    images: Images,
    data: Data,
    processor: Processor,
    at_most: int | None = None,
    change: Change | None = None,
) -> Features:
    """Embed the pictures, or the first ``at_most`` of them (splits are shuffled, so these are a fair sample).

    Args:
        module: the encoder, or what maps pixels to a layer behind it; it runs in eval mode and is left as it was.
        images: pictures without a label (-1) are left out, unless none has one.
        data: whose they are.
        processor: what to compute on.
        at_most: how many.
        change: how to change them, and what they are labelled by instead; None takes clean pictures and their labels.

    Raises:
        NotFiniteError: a feature is NaN or infinite.
    """
    index = torch.arange(len(images))
    if images.labels is not None:
        index = index[images.labels >= 0]
    index = index[:at_most]
    chunks, told = [], []
    with in_eval_mode(module):
        for rows in torch.split(index, CHUNK):
            x = processor.put(images.batch(rows)).float() / 255.0
            if change is not None:
                x, labels = change(x, rows)
                told.append(labels)
            with processor.autocast():
                chunks.append(module(processor.layout(x)).float())
    check_finite(*chunks)
    if told:
        return Features(torch.cat(chunks), torch.cat(told))
    return Features(torch.cat(chunks), None if images.labels is None else images.labels[index].to(processor.device))


@final
class _InChannels(Images):
    """Another set's pictures in the channels that an encoder takes."""

    def __init__(self, images: Images, channels: int) -> None:
        self.labels, self.captions = images.labels, images.captions
        self.channels, self.image_px = channels, images.image_px
        self._images = images

    def __len__(self) -> int:
        return len(self._images)

    def batch(self, index: Tensor) -> Tensor:
        return in_channels(self._images.batch(index), self.channels)

    def subset(self, index: Tensor) -> "_InChannels":
        return _InChannels(self._images.subset(index), self.channels)

    def chunks(self) -> Iterator[Tensor]:
        return (in_channels(x, self.channels) for x in self._images.chunks())


def in_channels(images: Tensor, channels: int) -> Tensor:
    """Give pictures another number of channels: colour becomes its luminance, grey three equal channels.

    The luminance has the weights of ITU-R BT.601 in ten-thousandths, as torchvision has them, and is rounded half
    upwards: in whole numbers, so that it is the same on every processor.

    Args:
        images: uint8 [B, 1 or 3, H, W].
        channels: 1 or 3.
    """
    if images.shape[1] == channels:
        return images
    if channels == 1:
        red, green, blue = images.to(torch.int32).unbind(1)
        parts = red.mul_(2989).add_(green.mul_(5870)).add_(blue.mul_(1140)).add_(5000)
        return parts.floor_divide_(10_000).to(torch.uint8)[:, None]
    return images.expand(-1, channels, -1, -1).contiguous()


def seen_as(data: Data, channels: int) -> Data:
    """Show a data set to an encoder that takes other channels. Its statistics stay as they are: the encoder has others.

    Args:
        data: loaded at the encoder's size.
        channels: 1 or 3.
    """
    return replace(
        data,
        channels=channels,
        pretrain=_InChannels(data.pretrain, channels),
        train=_InChannels(data.train, channels),
        validation=_InChannels(data.validation, channels),
        test=_InChannels(data.test, channels),
    )
