"""What all blocks of an encoder make in places of a picture, and colours as hue and chroma, in histograms.

Shapes: B pictures, R places of each, n pixels of a window, K bins.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.methods.losses.numerics import in_full_precision
from unlabeled.platform.encoder import Encoder, with_blocks


def hypercolumns(encoder: Encoder, x: Tensor, place_BR2: Tensor) -> Tensor:
    """Return what each of the encoder's blocks makes in these places, one after the other: [B, R, channels of all].

    Between the places of a block it is bilinear (Hariharan et al. 2015, arXiv:1411.5752). A block of a ViT has its
    patches' tokens for places.

    Args:
        encoder: with blocks.
        x: what it sees, [B, C, H, W].
        place_BR2: y and x of pixels.
    """
    last, made = with_blocks(encoder, x)
    grid = last.grid.shape[2:]
    maps = [each if each.ndim == 4 else each[:, :, -grid.numel() :].reshape(*each.shape[:2], *grid) for each in made]
    size = torch.stack([place_BR2.new_full((), side) for side in x.shape[2:]])
    at = ((2.0 * place_BR2 + 1.0) / size - 1.0).flip(2)[:, :, None]  # x and y of the pixels' middles, in [-1, 1]
    columns = [
        F.grid_sample(each, at.to(each.dtype), padding_mode="border", align_corners=False)[..., 0] for each in maps
    ]
    return torch.cat(columns, dim=1).transpose(1, 2)


def hue_and_chroma(rgb: Tensor) -> Tensor:
    """Return the hue, in [0, 1), and the chroma, in [0, 1], of RGB [..., 3, H, W]: [..., 2, H, W]. Grey has hue 0."""
    red, green, blue = rgb.unbind(-3)
    high, low = rgb.amax(dim=-3), rgb.amin(dim=-3)
    chroma = high - low
    safe = chroma.clamp_min(1e-12)
    of_red, of_green, of_blue = (green - blue) / safe, (blue - red) / safe + 2.0, (red - green) / safe + 4.0
    hue = torch.where(high == red, of_red, torch.where(high == green, of_green, of_blue)) / 6.0
    return torch.stack([torch.where(chroma > 0.0, hue - hue.floor(), 0.0), chroma], dim=-3)


def colored(grey: Tensor, hue: Tensor, chroma: Tensor) -> Tensor:
    """Return RGB [..., 3, H, W] of this hue and chroma whose mean is ``grey``, each [..., H, W]; it may need clipping.

    >>> colored(*torch.tensor([[[0.5]], [[0.0]], [[0.6]]])).flatten()
    tensor([0.9000, 0.3000, 0.3000])
    """
    sixth = 6.0 * hue
    red = ((sixth - 3.0).abs() - 1.0).clamp(0.0, 1.0)
    green, blue = ((2.0 - (sixth - middle).abs()).clamp(0.0, 1.0) for middle in (2.0, 4.0))
    weights = torch.stack([red, green, blue], dim=-3)
    return grey.unsqueeze(-3) + chroma.unsqueeze(-3) * (weights - weights.mean(dim=-3, keepdim=True))


def histogram(values_BRn: Tensor, bins: int) -> Tensor:
    """Return the share of values in [0, 1] that lie in each of K equal bins, [B, R, K]; 1 lies in the last."""
    bin_BRn = (values_BRn * bins).long().clamp(0, bins - 1)
    empty = values_BRn.new_zeros(*values_BRn.shape[:2], bins)
    share = values_BRn.new_full((), 1.0 / values_BRn.shape[2]).expand_as(values_BRn)
    return empty.scatter_add(2, bin_BRn, share)


@in_full_precision
def divergence(logits: Tensor, share: Tensor) -> Tensor:
    """Return the Kullback-Leibler divergence of softmaxes [..., K] from distributions [..., K], in nats: [...]."""
    own: Tensor = torch.special.xlogy(share, share)
    return (own - share * logits.log_softmax(dim=-1)).sum(dim=-1)
