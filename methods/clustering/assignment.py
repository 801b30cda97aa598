"""What DeepCluster clusters, and how: whitened features, by k-means that leaves no cluster empty.

Shapes: N items, D width, K clusters.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.platform.evaluate.lloyd import Lloyd


def whitened(x_ND: Tensor, components: int) -> Tensor:
    """Return unit vectors of features' first principal components, each scaled to variance 1 before: float64.

    What varies less than a millionth of what the first does is scaled as if it were that: it is rounding.
    """
    x_ND = x_ND.double()
    x_ND = x_ND - x_ND.mean(dim=0)
    variance_D, axes_DD = torch.linalg.eigh(x_ND.T @ x_ND / len(x_ND))  # in rising order
    variance_D, axes_DD = variance_D.flip(0)[:components], axes_DD.flip(1)[:, :components]
    scale_D = variance_D.clamp_min(1e-6 * float(variance_D[0])).clamp_min(1e-30).rsqrt()
    return F.normalize(x_ND @ (axes_DD * scale_D), dim=1)


def clustered(x_ND: Tensor, clusters: int, order_N: Tensor) -> Tensor:
    """Return the cluster of each unit vector, int64 [N]: of the nearest centre by k-means, and none empty.

    Args:
        x_ND: features.
        clusters: K, at most N.
        order_N: a permutation of the items; k-means++ draws its first centres by it.
    """
    solver = Lloyd(x_ND[order_N], clusters, x_ND.device)
    own_N = torch.empty_like(order_N)
    own_N[order_N] = solver.nearest(solver.solve(num_starts=1))
    return without_empty(x_ND, own_N, clusters, order_N)


def without_empty(x_ND: Tensor, own_N: Tensor, clusters: int, order_N: Tensor) -> Tensor:
    """Return clusters where each empty one has got a part of another; who is in none of those stays.

    The other is the next item's in this order: those that lie on its side of the cluster's mean go. Where nobody in its
    cluster differs, the next item is asked; clusters stay empty only where there is none.
    """
    own_N, items = own_N.clone(), iter(order_N.tolist())
    for empty in (own_N.bincount(minlength=clusters) == 0).nonzero()[:, 0].tolist():
        for item in items:
            members = (own_N == own_N[item]).nonzero()[:, 0]
            mean_D = x_ND[members].mean(dim=0)
            goes = (x_ND[members] - mean_D) @ (x_ND[item] - mean_D) > 1e-12
            if goes.any():
                own_N[members[goes]] = empty
                break
    return own_N


def agreement(one_N: Tensor, other_N: Tensor) -> float:
    """Return the mutual information of two clusterings over the mean of their entropies: 1 where they are the same."""
    from sklearn.metrics import normalized_mutual_info_score  # here, for it takes a second

    return float(normalized_mutual_info_score(one_N.cpu().numpy(), other_N.cpu().numpy()))
