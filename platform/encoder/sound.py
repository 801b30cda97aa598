"""A convnet on raw sound: van den Oord, Li, Vinyals (2018), arXiv:1807.03748, sec. 3.1."""

from collections.abc import Mapping
from itertools import pairwise

from pydantic import Field, model_validator
from torch import Tensor, nn

from unlabeled.platform.data import Format, WaveFormat
from unlabeled.platform.data.format import taken
from unlabeled.platform.encoder.config import EncoderConfig
from unlabeled.platform.encoder.encoder import Maps, StandardisingEncoder, numbered
from unlabeled.platform.errors import UserError


class WaveConfig(EncoderConfig):
    """A :class:`WaveConvNet`; strides and kernels are the paper's, for 16 kHz: a feature each 10 ms.

    Attributes:
        width: channels of each layer; the paper has 512.
        kernels: of its layers, samples of what each sees.
        strides: likewise.
    """

    name = "wave"
    width: int = Field(default=128, ge=4)
    kernels: tuple[int, ...] = Field(default=(10, 8, 4, 4, 4), min_length=1)
    strides: tuple[int, ...] = Field(default=(5, 4, 2, 2, 2), min_length=1)

    @model_validator(mode="after")
    def _a_stride_for_each_kernel(self) -> "WaveConfig":
        if len(self.kernels) != len(self.strides):
            raise ValueError(f"{len(self.kernels)} kernels need as many strides, and there are {len(self.strides)}")
        if any(not 1 <= stride <= kernel for kernel, stride in zip(self.kernels, self.strides, strict=True)):
            raise ValueError("each stride is at least 1, and at most its kernel, so that no sample is left out")
        return self

    def build(self, shown: Format) -> "WaveConvNet":
        """Make it; UserError where a sound is shorter than what one feature sees."""
        return WaveConvNet(taken(shown, WaveFormat, self.called), self)


class ChannelNorm(nn.LayerNorm):
    """Layer norm of [B, C, S] over C, at each moment by itself."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise."""
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


class WaveConvNet(StandardisingEncoder):
    """One-dimensional convolutions over samples, each normalised over its channels at every moment, then ReLU.

    The paper does not say whether its encoder normalises. Over channels alone no moment learns of another beyond what
    the kernels reach, and no sound of another.

    Attributes:
        receptive: how many samples a feature sees.
        stride: samples from one feature to the next.
    """

    def __init__(self, sounds: WaveFormat, config: WaveConfig) -> None:
        super().__init__(sounds, dim=config.width)
        widths = [sounds.channels, *[config.width] * len(config.kernels)]
        self.receptive, self.stride = 1, 1
        stages = []
        for (before, after), kernel, stride in zip(pairwise(widths), config.kernels, config.strides, strict=True):
            stages.append(
                nn.Sequential(
                    nn.Conv1d(before, after, kernel, stride, bias=False), ChannelNorm(after), nn.ReLU(inplace=True)
                )
            )
            self.receptive += (kernel - 1) * self.stride
            self.stride *= stride
        self.stages = nn.Sequential(*stages)
        if sounds.num_samples < self.receptive:
            raise UserError(
                f"the encoder {config.name} sees {self.receptive} samples at a time, and sounds here have "
                f"{sounds.num_samples}; take longer ones, or smaller encoder.kernels"
            )

    def maps(self, x: Tensor) -> Maps:
        """Return a feature for each moment, [B, channels, t], and their mean as the features."""
        grid = self.stages(self.standardise(x))
        return Maps.of_grid(grid.mean(dim=2), grid)

    def blocks(self) -> Mapping[str, nn.Module]:
        """Return the convolutions, each with its norm and ReLU."""
        return numbered(self.stages)
