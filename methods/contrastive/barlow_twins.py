"""Barlow Twins: each number of two views' embeddings should agree with itself, and with no other number.

Zbontar, Jing, Misra, LeCun, Deny (2021), "Barlow Twins: Self-Supervised Learning via Redundancy Reduction",
arXiv:2103.03230. Procedure: algorithm 1. Loss: eq. 1. Correlation: eq. 2. Projector and views: sec. 2.2.

Of the embeddings z^A, z^B [N, D] of two views of a batch, less their means over it:

    C_ij = sum_b z^A_bi z^B_bj / (sqrt(sum_b (z^A_bi)^2) sqrt(sum_b (z^B_bj)^2))
    loss = sum_i (1 - C_ii)^2 + lambda sum_{i != j} C_ij^2

It is contrast turned on its side: the rows of what SimCLR compares are images, here they are dimensions, so that an
embedding's other dimensions are the negatives and no other image is pushed away (Garrido, Chen, Bardes, Najman, LeCun
2022, arXiv:2206.02574, show how near the two are). One z for all images has no correlation, and costs D;
dimensions that repeat each other cost the second sum.

Shapes: B images per worker, N on all workers, D projection width.

Differs from the authors' code (facebookresearch/barlowtwins, ``main.py``): lambda is the paper's 0.005, where it has
0.0051; a dimension that is the same for all images correlates with nothing, where they add 1e-5
to its variance; their rate of biases and norms is 0.024 times that of weights, ours is one rate, and the optimiser is
the run's (theirs is LARS).
"""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from unlabeled.methods.losses.numerics import in_full_precision, unit
from unlabeled.methods.parts import SMALL_JITTER, projection_head
from unlabeled.platform.augment import BYOL, ViewPlan, two_views
from unlabeled.platform.collective import gather
from unlabeled.platform.data import Data
from unlabeled.platform.encoder import Encoder
from unlabeled.platform.method import Batch, EmbeddingMethod, Example, MethodConfig, StepResult


class BarlowTwinsConfig(MethodConfig):
    """Defaults are the paper's ResNet-50 settings.

    Attributes:
        views: two views of each image; BYOL's.
        head: widths of the projector, all but the last with batch norm.
        off_diagonal: lambda, what the correlation of two different dimensions weighs.
    """

    name = "barlow-twins"
    paper = "Zbontar et al. 2021, arXiv:2103.03230"
    cost = 2.02
    num_views: ClassVar[int | None] = 2
    views: ViewPlan = ViewPlan(views=BYOL)
    head: tuple[int, ...] = Field(default=(8192, 8192, 8192), min_length=1)
    off_diagonal: float = Field(default=0.005, ge=0.0)

    @classmethod
    def example(cls) -> Example:
        """Return a small run."""
        return Example(method=cls(views=two_views(SMALL_JITTER), head=(64, 32), off_diagonal=0.02))

    def build(self, encoder: Encoder, data: Data) -> "BarlowTwins":
        """Make Barlow Twins around an encoder."""
        return BarlowTwins(self, encoder)


class BarlowTwins(EmbeddingMethod):
    """An encoder and a projector, trained together."""

    def __init__(self, config: BarlowTwinsConfig, encoder: Encoder) -> None:
        super().__init__(encoder)
        self.off_diagonal = config.off_diagonal
        self.head = projection_head(encoder.dim, config.head, last_bias=False)

    def embed(self, batch: Batch) -> tuple[Tensor, ...]:
        """Return the embeddings of both views."""
        return tuple(self.head(self.encoder(view)) for view in batch.views)

    def contrast(self, embeddings: tuple[Tensor, ...], batch: Batch) -> StepResult:
        """Return the loss over all workers' rows, and how dimensions correlate with themselves and with others."""
        c_DD = correlation(*(gather(z_BD) for z_BD in embeddings))
        same_D = c_DD.diagonal()
        others_DD = c_DD - torch.diag(same_D)
        loss = (1.0 - same_D).square().sum() + self.off_diagonal * others_DD.square().sum()
        pairs = max(1, len(c_DD) * (len(c_DD) - 1))
        logs = {"same": same_D.mean(), "others": (others_DD.square().sum() / pairs).sqrt()}
        return StepResult(loss=loss, logs={f"correlation/{name}": value.detach() for name, value in logs.items()})


@in_full_precision
def correlation(a_ND: Tensor, b_ND: Tensor) -> Tensor:
    """Return eq. 2: how each of D numbers of the one correlates with each of the other, over N rows, [D, D]."""
    a_DN, b_DN = (unit((x_ND - x_ND.mean(dim=0)).T) for x_ND in (a_ND, b_ND))
    return a_DN @ b_DN.T
