"""The layers of a method that probes may read: the encoder's blocks, and what the method names behind its output."""

from collections.abc import Mapping

from torch import Tensor, nn

from unlabeled.platform.encoder import Encoder
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Method


class Block(nn.Module):
    """What a block inside an encoder makes of pictures, [B, C, H, W] to [B, D]: the mean over all but its channels.

    With ``places`` it makes all that the block does, [B, D, h, w].
    """

    def __init__(self, encoder: Encoder, name: str, *, places: bool = False) -> None:
        super().__init__()
        self.encoder, self.name, self.places = encoder, name, places

    def forward(self, x: Tensor) -> Tensor:
        """Run the whole encoder, and keep what the block hands on.

        Raises:
            UserError: the places of tokens are asked for, which only the encoder's output has in a grid.
        """
        kept: list[Tensor] = []
        hook = self.encoder.blocks()[self.name].register_forward_hook(lambda _, __, made: kept.append(made))
        try:
            self.encoder(x)
        finally:
            hook.remove()
        (made,) = kept
        made = self.encoder.channels_first(made)
        if not self.places:
            return made.mean(dim=tuple(range(2, made.ndim)))
        if made.ndim != x.ndim:
            raise UserError(f"{self.name} of this encoder makes tokens and no grid; leave the layer out")
        return made


class Grid(nn.Module):
    """The last features of an encoder before they are pooled, [B, C, H, W] to [B, D, h, w]."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x: Tensor) -> Tensor:
        """Return the grid of the encoder's maps."""
        return self.encoder.maps(x).grid


def layers(method: Method) -> Mapping[str, nn.Module]:
    """Return every layer's name -> what makes its features, [B, C, H, W] to [B, D]; blocks first."""
    blocks = {name: Block(method.encoder, name) for name in method.encoder.blocks()}
    return {**blocks, **method.layers()}


def grids(method: Method) -> Mapping[str, nn.Module]:
    """Return every layer's name -> what makes its features in their places; the encoder's output has no name."""
    blocks = {name: Block(method.encoder, name, places=True) for name in method.encoder.blocks()}
    return {"": Grid(method.encoder), **blocks}
