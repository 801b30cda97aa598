"""A small convnet, made for 28-32 px on a CPU."""

from collections.abc import Mapping
from itertools import pairwise

from pydantic import Field
from torch import Tensor, nn

from unlabeled.platform.data import Format, PictureFormat
from unlabeled.platform.data.format import taken
from unlabeled.platform.encoder.config import EncoderConfig
from unlabeled.platform.encoder.encoder import Maps, StandardisingEncoder, numbered


class ConvNetConfig(EncoderConfig):
    """A :class:`ConvNet`.

    Attributes:
        width: channels of its first layer; it ends eight times wider.
    """

    name = "convnet"
    width: int = Field(default=24, ge=4)

    def build(self, shown: Format) -> "ConvNet":
        """Make it."""
        return ConvNet(taken(shown, PictureFormat, self.called), self.width)


class ConvNet(StandardisingEncoder):
    """Four 3x3 convolutions with batch norm, halving the picture three times: 28 px to 4, 24 channels to 192."""

    def __init__(self, pictures: PictureFormat, width: int) -> None:
        super().__init__(pictures, dim=8 * width)
        widths = [pictures.channels, width, 2 * width, 4 * width, 8 * width]
        self.stages = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv2d(before, after, 3, stride=1 if i == 0 else 2, padding=1, bias=False),
                    nn.BatchNorm2d(after),
                    nn.ReLU(inplace=True),
                )
                for i, (before, after) in enumerate(pairwise(widths))
            )
        )

    def maps(self, x: Tensor) -> Maps:
        """Return the last convolution's grid, and its mean over places as the features."""
        grid = self.stages(self.standardise(x))
        return Maps.of_grid(grid.mean(dim=(2, 3)), grid)

    def blocks(self) -> Mapping[str, nn.Module]:
        """Return the four convolutions, each with its batch norm and ReLU."""
        return numbered(self.stages)
