"""Prototypes: heads that end with them, rows shared out evenly among them, and views that predict each other's share.

Shapes: B rows of this worker, K prototypes, V views of each image, the first G of them targets.
"""

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.methods.losses.numerics import in_full_precision
from unlabeled.platform.collective import gather, sum_over_workers


class PrototypeHead(nn.Module):
    """A head that ends with cosines: whatever leads to a bottleneck of length 1, then K prototypes of length 1.

    DINO's (app. C) and SwAV's. The last layer is a linear one with weights normalised and their lengths fixed to 1.
    :meth:`cancel_gradient` freezes it.

    Args:
        mlp: makes the bottleneck, [..., width].
        width: of the bottleneck.
        prototypes: K.
    """

    def __init__(self, mlp: nn.Module, width: int, prototypes: int) -> None:
        super().__init__()
        self.mlp = mlp
        self.last = nn.Linear(width, prototypes, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return cosines [..., K] of what the MLP takes."""
        return self.cosines(self.embed(x))

    def embed(self, x: Tensor) -> Tensor:
        """Return the bottleneck, unit vectors [..., width]."""
        return F.normalize(self.mlp(x), dim=-1)

    def cosines(self, unit_vectors: Tensor) -> Tensor:
        """Return cosines [..., K] of unit vectors [..., width] with the prototypes."""
        return F.linear(unit_vectors, F.normalize(self.last.weight, dim=1))

    @torch.no_grad()
    def renormalise(self) -> None:
        """Bring the prototypes' own weights to length 1, which changes no cosine: a long one turns more slowly."""
        self.last.weight.copy_(F.normalize(self.last.weight, dim=1))

    def cancel_gradient(self) -> None:
        """Let the prototypes have no gradient, so that no optimiser moves, decays or counts them in this step."""
        self.last.weight.grad = None


def gelu_head(in_features: int, widths: tuple[int, ...]) -> nn.Sequential:
    """Make DINO's head up to its bottleneck: linear layers with GELU between them, of small weights."""
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise((in_features, *widths)):
        layer = nn.Linear(before, after)
        nn.init.trunc_normal_(layer.weight, std=0.02)
        nn.init.zeros_(layer.bias)
        layers += [layer, nn.GELU()]
    return nn.Sequential(*layers[:-1])


def warmed_up(first: float, then: float, share: float) -> float:
    """Return a number on its straight way from the first to the other, where that share of the way is past; or there.

    >>> [warmed_up(0.25, 0.75, share) for share in (0.0, 0.5, 1.0, 3.0)]
    [0.25, 0.5, 0.75, 0.75]
    """
    return first + (then - first) * min(share, 1.0)


@torch.no_grad()
@in_full_precision
def sinkhorn(scores_BK: Tensor, epsilon: float, iterations: int = 3, weight_B: Tensor | None = None) -> Tensor:
    """Share each row out among prototypes, so that all prototypes get as much: [B, K], each row sums to 1.

    Sinkhorn-Knopp (Cuturi 2013, arXiv:1306.0895) as SwAV has it (Caron et al. 2020, arXiv:2006.09882, eq. 3 to 5).
    Maximises Tr(Q' scores) + epsilon H(Q) over the Q whose rows, and whose columns, have equal sums (eq. 3). In turn
    columns and rows of exp(scores / epsilon) are scaled to that, all workers' rows together, rows last; so columns are
    even as far as the iterations go. Without any it is the softmax of each row.

    Args:
        scores_BK: of this worker's rows, floating.
        epsilon: how smooth it is, above 0.
        iterations: how often both are scaled.
        weight_B: how much each row counts among those that prototypes share, 0 or more; None is 1 each. Rows of
            weight 0 are shared out by what the others made of the prototypes.
    """
    logits_BK = scores_BK / epsilon
    size_B, q_BK = logits_BK.logsumexp(dim=1), logits_BK.softmax(dim=1)
    weight_B = torch.ones_like(size_B) if weight_B is None else weight_B.to(size_B)
    largest = gather(size_B.amax().view(1)).amax()  # one for all rows: it changes nothing but what overflows
    counts_B = weight_B * (size_B - largest).exp()  # rows of exp(scores / epsilon) are so large at first
    for _ in range(iterations):
        share_K = sum_over_workers(counts_B @ q_BK)
        q_BK = q_BK / torch.where(share_K > 0.0, share_K, 1.0)
        q_BK, counts_B = q_BK / q_BK.sum(dim=1, keepdim=True), weight_B
    return q_BK


def across_views(p: Tensor, log_q: Tensor) -> Tensor:
    """Return the cross-entropy of each target with the predictions from all other views, a mean over such pairs.

    Args:
        p: [G, B, K], what the first G views are said to be, each row a distribution.
        log_q: [V, B, K], logarithms of what is predicted from each view.
    """
    log_q_others = (log_q.sum(dim=0) - log_q[: len(p)]) / (len(log_q) - 1)
    return -(p * log_q_others).sum(dim=2).mean()
