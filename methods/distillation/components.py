"""Pictures of what patches are like: their first principal components as colours."""

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.platform.augment.figure import Figure
from unlabeled.platform.encoder import Encoder


def components(encoder: Encoder, images: Tensor) -> Figure:
    """Return pictures and their middles enlarged, each beside its places' first three principal components as colours.

    One set of axes for all (Oquab et al. 2023, arXiv:2304.07193, figure 1): what is alike has one colour in all of
    them. Each component goes from its lowest to its highest; its sign is that of its largest weight.

    Args:
        encoder: whose grid's features are shown.
        images: [B, C, H, W], of a size that it takes.
    """
    size, (top, left) = images.shape[2:], (side // 6 for side in images.shape[2:])
    middle = images[:, :, top : size[0] - top, left : size[1] - left]
    middle = F.interpolate(middle.float(), tuple(size), mode="bilinear").to(images.dtype)
    grid = torch.cat([encoder.maps(each).grid for each in (images, middle)]).double()
    x_ND = grid.movedim(1, 3).flatten(0, 2)
    x_ND = x_ND - x_ND.mean(dim=0)
    _, axes_DD = torch.linalg.eigh(x_ND.T @ x_ND)  # in rising order
    axes_D3 = axes_DD[:, -3:].flip(1)
    axes_D3 = axes_D3 * axes_D3.gather(0, axes_D3.abs().argmax(dim=0, keepdim=True)).sign()
    y_N3 = x_ND @ axes_D3
    low, high = y_N3.amin(dim=0), y_N3.amax(dim=0)
    colors = ((y_N3 - low) / (high - low).clamp_min(1e-12)).unflatten(0, (len(grid), *grid.shape[2:])).movedim(3, 1)
    shown = F.interpolate(colors.to(images.dtype), tuple(size), mode="nearest-exact").chunk(2)
    return Figure({"picture": images, "components": shown[0], "its middle": middle, "its components": shown[1]})
