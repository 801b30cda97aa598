"""What encoders in tests are made for."""

import torch
from torch import Tensor

from unlabeled.platform.data import PictureFormat


def format_of(channels: int, px: int) -> PictureFormat:
    """Return the format of pictures whose channels have means and deviations of their own."""
    return PictureFormat(channels, px, (0.4, 0.5, 0.45)[:channels], (0.3, 0.25, 0.2)[:channels])


def plain(channels: int, px: int) -> PictureFormat:
    """Return the format of pictures that stay what they are when they are standardised."""
    return PictureFormat(channels, px, (0.0,) * channels, (1.0,) * channels)


def by_hand(x: Tensor, pictures: PictureFormat) -> Tensor:
    """Standardise pixels [B, C, H, W] a channel at a time."""
    channels = [
        (x[:, channel] - torch.tensor(mean)) / torch.tensor(std)  # as float32 has them
        for channel, (mean, std) in enumerate(zip(pictures.mean, pictures.std, strict=True))
    ]
    return torch.stack(channels, dim=1)
