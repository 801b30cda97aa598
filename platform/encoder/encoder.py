"""What an encoder is, and what it makes of pictures."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from unlabeled.platform.data import Format
from unlabeled.platform.errors import UserError


class Maps(NamedTuple):
    """All that an encoder makes of pictures in one pass.

    Attributes:
        pooled: the features that probes read and heads stand on, [B, dim].
        grid: the last features before pooling, [B, channels, h, w]: of a ViT, its patches' tokens in their grid. Of
            sounds [B, channels, t].
        tokens: the last tokens, [B, T, channels]; a convnet's are its grid's places, row by row.
    """

    pooled: Tensor
    grid: Tensor
    tokens: Tensor

    @classmethod
    def of_grid(cls, pooled: Tensor, grid: Tensor) -> "Maps":
        """Take a convnet's, whose tokens are the places of its grid."""
        return cls(pooled, grid, grid.flatten(2).transpose(1, 2))


class Encoder(nn.Module, ABC):
    """Maps pixels [B, C, H, W] in [0, 1], or sounds [B, C, S] in [-1, 1], to features [B, dim]. Abstract.

    Attributes:
        dim: width of the feature vector.
        channels: of the grid and the tokens.
        compiled: names of the methods from tensors to tensors that training goes through, and that may be compiled.
    """

    compiled: ClassVar[tuple[str, ...]] = ("maps",)

    def __init__(self, dim: int, channels: int | None = None) -> None:
        super().__init__()
        self.dim, self.channels = dim, channels or dim

    @abstractmethod
    def maps(self, x: Tensor) -> Maps:
        """Return the features, the grid and the tokens."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the features alone, [B, dim]."""
        return self.maps(x).pooled

    def blocks(self) -> Mapping[str, nn.Module]:
        """Return the stages that probes may read, in order: "block1" and so on -> what makes a grid or tokens."""
        return {}

    def channels_first(self, made: Tensor) -> Tensor:
        """Return what a block made as [B, channels, ...]."""
        return made

    def check_size(self, image_px: int) -> None:
        """Raise UserError where pictures of another size than it was built for, such as small crops, do not do."""


class StandardisingEncoder(Encoder, ABC):
    """An encoder that standardises its pictures first, channel by channel. Abstract; every subclass is final.

    Attributes:
        mean: float32 [C, 1, 1], of the pixels it was made for: a buffer, so part of its weights.
        std: likewise, the standard deviation.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, shown: Format, dim: int, channels: int | None = None) -> None:
        super().__init__(dim, channels)
        places = [1] * (len(shown.shape) - 1)
        self.register_buffer("mean", torch.tensor(shown.mean).view(-1, *places))
        self.register_buffer("std", torch.tensor(shown.std).view(-1, *places))

    def standardise(self, x: Tensor) -> Tensor:
        """Subtract the mean of pixels [B, C, H, W] in [0, 1], and divide by the deviation; float32 under autocast too.

        Raises:
            UserError: they are whole numbers, or have another number of channels.
        """
        if not x.is_floating_point() or x.ndim != self.mean.ndim + 1 or x.shape[1] != len(self.mean):
            takes = "pixels [B, {}, H, W] as floats in [0, 1]" if self.mean.ndim == 3 else "sounds [B, {}, S] as floats"
            raise UserError(
                f"this encoder takes {takes.format(len(self.mean))}, got "
                f"{str(x.dtype).removeprefix('torch.')} {list(x.shape)}"
            )
        return x.sub(self.mean).div_(self.std)

    def pixels(self, x: Tensor) -> Tensor:
        """Return the pixels that :meth:`standardise` makes ``x`` of; what was predicted may lie outside [0, 1]."""
        return x * self.std + self.mean


def numbered(stages: Iterable[nn.Module]) -> dict[str, nn.Module]:
    """Name stages "block1" and so on."""
    return {f"block{number}": stage for number, stage in enumerate(stages, start=1)}


def with_blocks(encoder: Encoder, x: Tensor) -> tuple[Maps, list[Tensor]]:
    """Return what an encoder makes of pictures, and what each of its blocks does, in order, [B, channels, ...]."""
    made: list[Tensor] = []
    hooks = [
        block.register_forward_hook(lambda _, __, out: made.append(encoder.channels_first(out)))
        for block in encoder.blocks().values()
    ]
    try:
        maps = encoder.maps(x)
    finally:
        for hook in hooks:
            hook.remove()
    return maps, made
