"""VICReg: two views of an image get one embedding, each number of it varies over images, and no two say the same.

Bardes, Ponce, LeCun (2021), "VICReg: Variance-Invariance-Covariance Regularization for Self-Supervised Learning",
arXiv:2105.04906. Procedure: algorithm 1. Variance: eq. 1, 2. Covariance: eq. 3, 4. Invariance: eq. 5. Loss: eq. 6.

Of the embeddings Z, Z' [N, D] of two views of a batch:

    s(Z, Z') = mean (z_bj - z'_bj)^2
    v(Z) = mean_j max(0, 1 - sqrt(Var(z_j) + 0.0001))
    c(Z) = sum_{i != j} Cov(Z)_ij^2 / D
    loss = lambda s(Z, Z') + mu (v(Z) + v(Z')) + nu (c(Z) + c(Z'))

Variance and covariance are over N - 1. It is contrast by dimensions, as Barlow Twins is; but each view is held against
collapse by itself, so that the two need not share anything. With ``variance`` 0 all images get one z, and
``views/variance`` rises to 2; with ``covariance`` 0 nothing keeps dimensions from repeating each other.

Shapes: B images per worker, N on all workers, D embedding width.

Differs from the paper: s is a mean over dimensions, as in algorithm 1, where eq. 5 sums them. Differs from the authors'
code (facebookresearch/vicreg): ``main_vicreg.py`` halves v, and ``augmentations.py`` has BYOL's two policies for the
paper's one; the optimiser is the run's (theirs is LARS).
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from unlabeled.methods.losses.numerics import in_full_precision
from unlabeled.methods.parts import SMALL_JITTER, projection_head
from unlabeled.platform.augment import VICREG, ViewPlan, two_views
from unlabeled.platform.collective import gather
from unlabeled.platform.data import Data
from unlabeled.platform.encoder import Encoder
from unlabeled.platform.method import Batch, EmbeddingMethod, Example, MethodConfig, StepResult


class VICRegConfig(MethodConfig):
    """Defaults are the paper's ResNet-50 settings.

    Attributes:
        views: two views of each image.
        head: widths of the expander, all but the last with batch norm.
        invariance: lambda, what the distance of the views weighs.
        variance: mu, what too small a deviation weighs.
        covariance: nu, what the covariances weigh.
    """

    name = "vicreg"
    paper = "Bardes et al. 2021, arXiv:2105.04906"
    cost = 2.02
    num_views: ClassVar[int | None] = 2
    views: ViewPlan = two_views(VICREG)
    head: tuple[int, ...] = Field(default=(8192, 8192, 8192), min_length=1)
    invariance: float = Field(default=25.0, ge=0.0)
    variance: float = Field(default=25.0, ge=0.0)
    covariance: float = Field(default=1.0, ge=0.0)

    @classmethod
    def example(cls) -> Example:
        """Return a small run."""
        weights = {"invariance": 1.0, "variance": 1.0, "covariance": 0.04}  # the ratios of the paper's
        return Example(method=cls(views=two_views(SMALL_JITTER), head=(64, 32), **weights))

    def build(self, encoder: Encoder, data: Data) -> "VICReg":
        """Make VICReg around an encoder."""
        return VICReg(self, encoder)


class VICReg(EmbeddingMethod):
    """An encoder and an expander, trained together."""

    def __init__(self, config: VICRegConfig, encoder: Encoder) -> None:
        super().__init__(encoder)
        self.config = config
        self.head = projection_head(encoder.dim, config.head, last_bias=False)

    def embed(self, batch: Batch) -> tuple[Tensor, ...]:
        """Return the embeddings of both views."""
        return tuple(self.head(self.encoder(view)) for view in batch.views)

    def contrast(self, embeddings: tuple[Tensor, ...], batch: Batch) -> StepResult:
        """Return eq. 6 over all workers' rows, and its three parts."""
        config, (one_ND, other_ND) = self.config, (gather(z_BD) for z_BD in embeddings)
        parts = terms(one_ND, other_ND)
        weights = (config.invariance, config.variance, config.covariance)
        loss = torch.stack([weight * part for weight, part in zip(weights, parts, strict=True)]).sum()
        names = ("invariance", "variance", "covariance")
        return StepResult(
            loss=loss, logs={f"views/{name}": part.detach() for name, part in zip(names, parts, strict=True)}
        )


@in_full_precision
def terms(one_ND: Tensor, other_ND: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return s, v(Z) + v(Z') and c(Z) + c(Z')."""
    distance, variances, covariances = F.mse_loss(one_ND, other_ND), [], []
    for z_ND in (one_ND, other_ND):
        z_ND = z_ND - z_ND.mean(dim=0)
        cov_DD = z_ND.T @ z_ND / (len(z_ND) - 1)
        variance_D = cov_DD.diagonal()
        variances.append(F.relu(1.0 - (variance_D + 1e-4).sqrt()).mean())
        covariances.append((cov_DD - torch.diag(variance_D)).square().sum() / len(cov_DD))
    return distance, variances[0] + variances[1], covariances[0] + covariances[1]
