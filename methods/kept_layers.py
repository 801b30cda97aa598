"""Layers of a head that stay on an encoder once it is trained: they are fine-tuned, exported and probed with it.

Shapes: B images, D features.
"""

from collections.abc import Mapping

from torch import Tensor, nn

from unlabeled.methods.parts import hidden_layers
from unlabeled.platform.encoder import Encoder, Maps


def with_layers(encoder: Encoder, widths: tuple[int, ...]) -> Encoder:
    """Put layers on an encoder, linear with batch norm and ReLU; without any it stays as it is."""
    return Deeper(encoder, widths) if widths else encoder


class Deeper(Encoder):
    """An encoder with layers on its features, which are features too."""

    def __init__(self, inner: Encoder, widths: tuple[int, ...]) -> None:
        super().__init__(widths[-1], inner.channels)
        self.inner, self.layers = inner, nn.Sequential(*hidden_layers(inner.dim, widths))

    def maps(self, x: Tensor) -> Maps:
        """Return what the layers make of the features, and the grid and tokens as they are."""
        made = self.inner.maps(x)
        return made._replace(pooled=self.layers(made.pooled))

    def blocks(self) -> Mapping[str, nn.Module]:
        """Return the encoder's stages."""
        return self.inner.blocks()

    def channels_first(self, made: Tensor) -> Tensor:
        """Return what a stage made as the encoder does."""
        return self.inner.channels_first(made)

    def check_size(self, image_px: int) -> None:
        """Raise UserError where the encoder can't see such pictures."""
        self.inner.check_size(image_px)
