"""The contrastive loss of pixels' descriptors, and how pixels are drawn: Florence, Manuelli, Tedrake (2018).

"Dense Object Nets: Learning Dense Visual Object Descriptors By and For Robotic Manipulation", arXiv:1806.08756, sec. 3.

Shapes: B pictures, D descriptor width, K matches of a picture, P non-matches of a match.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.methods.losses.numerics import constants, in_full_precision
from unlabeled.platform.draws import Draws


class PixelContrast(NamedTuple):
    """The loss, and without gradient what it is made of.

    Attributes:
        loss: match + non_match.
        match: mean squared distance of matches.
        non_match: mean of what those within the margin lack.
        hard: share of non-matches that are within the margin.
    """

    loss: Tensor
    match: Tensor
    non_match: Tensor
    hard: Tensor


@in_full_precision
def pixel_contrast(
    of_first: Tensor,
    of_second: Tensor,
    here_BK: Tensor,
    there_BK2: Tensor,
    none_BKP: Tensor,
    counts_BKP: Tensor,
    margin: float,
) -> PixelContrast:
    """Pull descriptors of matches together, and push those of non-matches beyond a margin; mean over pictures.

    Of each picture: the mean over matches of the squared distance, and the sum over non-matches of
    max(0, margin - squared distance), divided by how many of these are not 0. A picture of which nothing counts has no
    loss.

    Args:
        of_first: descriptors of the first view, [B, D, H, W].
        of_second: of the second.
        here_BK: pixels of the first view, counted row by row.
        there_BK2: the same places in the second, x and y; between pixels descriptors are interpolated.
        none_BKP: pixels of the second view that show other places.
        counts_BKP: which of them count.
        margin: of the squared distance.
    """
    width = of_first.shape[1]
    anchor_BDK = of_first.flatten(2).gather(2, here_BK[:, None].expand(-1, width, -1))
    size = constants(there_BK2, (of_second.shape[3], of_second.shape[2]))
    place = (2.0 * there_BK2 / size - 1.0)[:, :, None].to(of_second.dtype)  # -1 and 1 are the picture's edges
    match_BDK = F.grid_sample(of_second, place, padding_mode="border", align_corners=False)[..., 0]
    has_B = counts_BKP.any(dim=(1, 2))
    match_B = (anchor_BDK - match_BDK).square().sum(dim=1).mean(dim=1).where(has_B, 0.0)
    other_BDKP = of_second.flatten(2).gather(2, none_BKP.flatten(1)[:, None].expand(-1, width, -1))
    other_BDKP = other_BDKP.view(*anchor_BDK.shape, -1)
    lack_BKP = (margin - (anchor_BDK[..., None] - other_BDKP).square().sum(dim=1)).clamp_min(0.0)
    lack_BKP = lack_BKP.where(counts_BKP, 0.0)
    hard_B = (lack_BKP > 0.0).sum(dim=(1, 2)).to(lack_BKP.dtype)
    non_match_B = lack_BKP.sum(dim=(1, 2)) / hard_B.clamp_min(1)
    share = (hard_B / counts_BKP.sum(dim=(1, 2)).clamp_min(1)).mean()
    match, non_match = match_B.mean(), non_match_B.mean()
    return PixelContrast(match + non_match, match.detach(), non_match.detach(), share)


def draw_pixels(where: Tensor, count: int, draws: Draws, purpose: str) -> tuple[Tensor, Tensor]:
    """Draw pixels [B, count] of those that ``where`` [B, H, W] marks, row by row, and tell which pictures have any [B].

    The same may be drawn again. Of a picture that has none it is the last one.
    """
    below = where.flatten(1).cumsum(dim=1)
    rank = (draws.uniform(purpose, count).double() * below[:, -1:]).long() + 1
    return torch.searchsorted(below, rank).clamp_max(below.shape[1] - 1), below[:, -1] > 0


def centres(pixel: Tensor, width: int) -> Tensor:
    """Return x and y of the centres of pixels that are counted row by row: [..., 2]."""
    return torch.stack((pixel % width, pixel // width), dim=-1) + 0.5
