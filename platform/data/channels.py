"""A data set shown to an encoder that takes other channels than its pictures have."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import final

import torch
from torch import Tensor

from unlabeled.platform.data.load import Data
from unlabeled.platform.data.source import Field, Source, Window


def with_channels(data: Data, channels: int) -> Data:
    """Show a data set to an encoder that takes other channels; its statistics are of what is shown.

    Args:
        data: loaded at the encoder's size.
        channels: 1 or 3.
    """
    return replace(
        data,
        pretrain=InChannels(data.pretrain, channels),
        train=InChannels(data.train, channels),
        validation=InChannels(data.validation, channels),
        test=InChannels(data.test, channels),
        measured=InChannels(data.measured, channels),
    )


@final
class InChannels(Source):
    """A source with every image in other channels, and all else as it is."""

    def __init__(self, source: Source, channels: int) -> None:
        self.fields: Mapping[str, Field] = {
            name: replace(field, shape=(channels, *field.shape[1:])) if field.kind == "image" else field
            for name, field in source.fields.items()
        }
        self._source, self._channels = source, channels

    def __len__(self) -> int:
        return len(self._source)

    def known(self, field: str) -> Tensor:
        """Return which items have the field, bool [N]."""
        return self._source.known(field)

    def files(self, index: Tensor, field: str) -> list[str] | None:
        """Return the paths of items' files."""
        return self._source.files(index, field)

    def read(self, index: Tensor, field: str) -> Tensor | list[str]:
        """Return the field of items ``index``."""
        values = self._source.read(index, field)
        if self.fields[field].kind != "image":
            return values
        assert isinstance(values, Tensor)
        return in_channels(values, self._channels)

    def extents(self, index: Tensor, field: str) -> Tensor | None:
        """Return how large the pictures ``index`` are as stored."""
        return self._source.extents(index, field)

    def read_windows(self, index: Tensor, field: str, windows: Sequence[Window]) -> list[Tensor]:
        """Return windows of pictures ``index``, or of what lies in them."""
        found = self._source.read_windows(index, field, windows)
        return [in_channels(each, self._channels) for each in found] if self.fields[field].kind == "image" else found

    def take(self, rows: Tensor) -> "InChannels":
        """Return the items ``rows`` in that order."""
        return InChannels(self._source.take(rows), self._channels)


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
