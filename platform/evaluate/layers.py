"""The layers of a method that probes may read: the encoder's blocks, and what the method names behind its output."""

from collections.abc import Mapping

from torch import Tensor, nn

from unlabeled.platform.encoder import Encoder
from unlabeled.platform.method import Method


class Block(nn.Module):
    """What a block inside an encoder makes of pictures, [B, C, H, W] to [B, D]: the mean over all but its channels."""

    def __init__(self, encoder: Encoder, name: str) -> None:
        super().__init__()
        self.encoder, self.name = encoder, name

    def forward(self, x: Tensor) -> Tensor:
        """Run the whole encoder, and keep what the block hands on."""
        kept: list[Tensor] = []
        hook = self.encoder.blocks()[self.name].register_forward_hook(lambda _, __, made: kept.append(made))
        try:
            self.encoder(x)
        finally:
            hook.remove()
        (made,) = kept
        made = self.encoder.channels_first(made)
        return made.mean(dim=tuple(range(2, made.ndim)))


def layers(method: Method) -> Mapping[str, nn.Module]:
    """Return every layer's name -> what makes its features, [B, C, H, W] to [B, D]; blocks first."""
    blocks = {name: Block(method.encoder, name) for name in method.encoder.blocks()}
    return {**blocks, **method.layers()}
