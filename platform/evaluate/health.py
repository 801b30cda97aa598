"""Health of a representation, without labels: is it collapsing, and how evenly does it use its space?

Each raises NotFiniteError where a feature is NaN or infinite, and is NaN where there are too few pictures to tell.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.platform.evaluate.features import check_finite


@torch.no_grad()
def rankme(z_ND: Tensor) -> float:
    """Return the smooth rank of features: exp of the entropy of their normalised singular values.

    Garrido, Balestriero, Najman, LeCun (2023), arXiv:2210.02885, eq. 1. Between 1 (all on a line) and min(N, D).
    """
    check_finite(z_ND)
    singular = torch.linalg.svdvals(z_ND.float())
    p = singular / singular.sum().clamp_min(1e-12) + 1e-7
    return float((-(p * p.log()).sum()).exp())


@torch.no_grad()
def alignment(z1_ND: Tensor, z2_ND: Tensor) -> float:
    """Return the mean squared distance of two views' unit features: 0 is perfect, 2 is unrelated.

    Wang, Isola (2020), arXiv:2005.10242, sec. 4.1, alpha = 2.
    """
    check_finite(z1_ND, z2_ND)
    return float((F.normalize(z1_ND, dim=1) - F.normalize(z2_ND, dim=1)).square().sum(dim=1).mean())


@torch.no_grad()
def uniformity(z_ND: Tensor) -> float:
    """Return log of the mean Gaussian potential of all pairs of unit features: 0 is collapsed, lower is more even.

    Wang, Isola (2020), arXiv:2005.10242, sec. 4.1, t = 2. Needs two pictures or more.
    """
    check_finite(z_ND)
    squared_distances = torch.pdist(F.normalize(z_ND.float(), dim=1)).square()
    return float((-2.0 * squared_distances).exp().mean().log())


@torch.no_grad()
def deviation(z_ND: Tensor) -> float:
    """Return the standard deviation of unit features, averaged over dimensions, times sqrt(D): 0 collapsed, 1 even.

    Chen, He (2021), "Exploring Simple Siamese Representation Learning", arXiv:2011.10566, fig. 2.
    """
    check_finite(z_ND)
    if len(z_ND) < 2:
        return math.nan
    return float(F.normalize(z_ND, dim=1).std(dim=0).mean() * z_ND.shape[1] ** 0.5)
