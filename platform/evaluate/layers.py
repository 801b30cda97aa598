"""The layers of a method that probes may read: the encoder's blocks, and what the method names behind its output."""

from collections.abc import Mapping

from torch import Tensor, nn

from unlabeled.platform.data import Data
from unlabeled.platform.data.format import SEEN
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


def layers(method: Method, encoder: str = "") -> Mapping[str, nn.Module]:
    """Return every layer's name -> what makes its features, [B, C, H, W] to [B, D]; blocks first.

    Args:
        method: whose.
        encoder: one of its encoders, by name; what the method names behind its output is there of the one called "".
    """
    chosen = method.encoders()[encoder]
    blocks = {name: Block(chosen, name) for name in chosen.blocks()}
    return {**blocks, **({} if encoder else method.layers())}


def grids(method: Method, encoder: str = "") -> Mapping[str, nn.Module]:
    """Return every layer's name -> what makes its features in their places; the encoder's output has no name."""
    chosen = method.encoders()[encoder]
    blocks = {name: Block(chosen, name, places=True) for name in chosen.blocks()}
    return {"": Grid(chosen), **blocks}


def seen_by(encoder: Encoder, data: Data) -> str:
    """Return which field an encoder is shown: that of the data, or where it takes none of that kind, the first it does.

    Sounds and pictures are told apart by the mean that the encoder subtracts; one that subtracts none is shown what the
    data show.
    """
    mean = getattr(encoder, "mean", None)
    if not isinstance(mean, Tensor):
        return data.field

    def takes(name: str) -> bool:
        field = data.train.fields[name]
        same_kind = (field.kind == "wave") == (mean.ndim == 2)
        return field.kind in SEEN and same_kind and field.shape[-mean.ndim] == len(mean)

    return next((name for name in (data.field, *data.train.fields) if takes(name)), data.field)
