"""Which negative should an anchor learn from? The hardest one, or one that is hard but not too hard.

Schroff, Kalenichenko, Philbin (2015), "FaceNet: A Unified Embedding for Face Recognition and Clustering",
arXiv:1503.03832, sec. 3.2. Any measure that grows with dissimilarity serves as distance, minus a similarity too.

Shapes: B anchors, N candidates for all of them.
"""

import math
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from unlabeled.methods.losses.numerics import describe

Mining = Literal["none", "semi-hard", "hardest"]


class Mined(NamedTuple):
    """One negative per anchor.

    Attributes:
        column: int64 [B], which of the N candidates.
        found: bool [B], whether it is of the kind asked for; where false, ``column`` is the stated fallback.
    """

    column: Tensor
    found: Tensor


@torch.no_grad()
def hardest_negatives(distance_BN: Tensor, negative_BN: Tensor) -> Mined:
    """Pick each anchor's nearest negative.

    ``negative_BN`` (bool) says which candidates are negatives. Ties go to any one of the nearest. An anchor without
    negatives is not found, and its column is 0.

    Raises:
        ValueError: the shapes differ, or the mask isn't boolean.
    """
    _check(distance_BN, negative_BN)
    nearest = distance_BN.masked_fill(~negative_BN, torch.inf).argmin(dim=1)
    found = negative_BN.any(dim=1)
    return Mined(nearest.where(found, 0), found)


@torch.no_grad()
def semi_hard_negatives(
    distance_BN: Tensor, positive_B: Tensor, negative_BN: Tensor, margin: float = math.inf
) -> Mined:
    """Pick each anchor's nearest negative among those farther than its positive, and by less than ``margin``.

    ``positive_B`` is each anchor's distance to its positive, ``negative_BN`` (bool) says which candidates are
    negatives. Without a margin, every negative farther than the positive will do. Where there is none, the fallback is
    the farthest of all negatives: the easiest one, which pushes the least, and not at all if it lies outside the margin
    (after TensorFlow's triplet_semihard_loss). An anchor without negatives gets column 0.

    Raises:
        ValueError: the shapes differ, the mask isn't boolean, or the margin is negative.
    """
    _check(distance_BN, negative_BN)
    if positive_B.shape != distance_BN.shape[:1]:
        raise ValueError(f"positive distances must be [{len(distance_BN)}]; got {describe(positive_B)}")
    if not margin >= 0.0:
        raise ValueError(f"margin must be 0 or above; got {margin}")
    positive_B1 = positive_B[:, None]
    semi_hard_BN = negative_BN & (distance_BN > positive_B1) & (distance_BN < positive_B1 + margin)
    found = semi_hard_BN.any(dim=1)
    nearest = distance_BN.masked_fill(~semi_hard_BN, torch.inf).argmin(dim=1)
    farthest = distance_BN.masked_fill(~negative_BN, -torch.inf).argmax(dim=1)
    return Mined(nearest.where(found, farthest.where(negative_BN.any(dim=1), 0)), found)


def check_mining(mining: str) -> None:
    """Raise ValueError unless ``mining`` names a way to choose negatives."""
    if mining not in get_args(Mining):
        raise ValueError(f"mining must be one of {', '.join(get_args(Mining))}; got {mining!r}")


def _check(distance_BN: Tensor, negative_BN: Tensor) -> None:
    if distance_BN.dim() != 2 or distance_BN.shape != negative_BN.shape or negative_BN.dtype != torch.bool:
        got = f"distances {describe(distance_BN)}, negatives {describe(negative_BN)}"
        raise ValueError(f"distances must be [B, N] and the mask of negatives boolean of that shape; got {got}")
