"""What games have in common: how a discriminator sees pictures, what its players lose, and who moves by that.

Goodfellow et al. (2014), "Generative Adversarial Nets", arXiv:1406.2661; the convolutions are DCGAN's, Radford, Metz,
Chintala (2016), arXiv:1511.06434. Shapes: B pairs per worker.
"""

import contextlib
from collections.abc import Iterator

import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.methods.losses.numerics import in_full_precision

softplus = in_full_precision(F.softplus)


def sight(channels: int, side: int, width: int) -> tuple[nn.Sequential, int]:
    """Make DCGAN's way from pictures [B, channels, side, side] to [B, n]: strided convolutions to 4 px or less; and n.

    It has ``width`` channels at first, and doubles them step by step.
    """
    layers, side = [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2)], side // 2
    while side > 4:
        layers += [nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False), nn.BatchNorm2d(2 * width), nn.LeakyReLU(0.2)]
        side, width = side // 2, 2 * width
    return nn.Sequential(*layers, nn.Flatten()), width * side**2


def mistaken(real_B1: Tensor, fake_B1: Tensor) -> Tensor:
    """Return what a discriminator of these logits loses: the mean of -log D(real) - log(1 - D(fake)), in nats.

    With the two exchanged it is what its opponents lose: the gradient that they get is larger where they are told from
    what is real than that of their own part of the game, -log D (Goodfellow et al. 2014, sec. 3).
    """
    return softplus(-real_B1).mean() + softplus(fake_B1).mean()


@contextlib.contextmanager
def unmoved(network: nn.Module) -> Iterator[None]:
    """Pass gradient through a network that gets none of it itself: its parameters are as good as constants."""
    moved = [parameter for parameter in network.parameters() if parameter.requires_grad]
    for parameter in moved:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in moved:
            parameter.requires_grad_(True)
