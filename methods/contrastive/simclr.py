"""SimCLR: two views of one image should agree, and disagree with the rest of the batch.

Chen, Kornblith, Norouzi, Hinton (2020), "A Simple Framework for Contrastive Learning of Visual Representations",
arXiv:2002.05709. Procedure: algorithm 1. Loss: eq. 1. Head: sec. 4.2. Views: app. A.

Shapes: B images per worker, D projection width.

Differs from the paper: none known.
"""

import torch
from pydantic import Field
from torch import Tensor

from unlabeled.methods.losses import nt_xent_with_top1
from unlabeled.methods.parts import projection_head
from unlabeled.platform.augment import SIMCLR, ViewPlan, two_views
from unlabeled.platform.encoder import Encoder
from unlabeled.platform.method import Batch, EmbeddingMethod, MethodConfig, StepResult


class SimCLRConfig(MethodConfig):
    """Defaults are the paper's ResNet-50 settings.

    Attributes:
        views: two views of each image.
        temperature: tau in eq. 1.
        head: widths of g after the encoder's own; () is no head, one width a linear head.
    """

    name = "simclr"
    views: ViewPlan = two_views(SIMCLR)
    temperature: float = Field(default=0.1, gt=0.0)
    head: tuple[int, ...] = (2048, 128)

    def build(self, encoder: Encoder) -> "SimCLR":
        """Make SimCLR around an encoder."""
        return SimCLR(self, encoder)


class SimCLR(EmbeddingMethod):
    """An encoder f and a projection head g, trained together."""

    def __init__(self, config: SimCLRConfig, encoder: Encoder) -> None:
        super().__init__(encoder)
        self.temperature = config.temperature
        self.head = projection_head(encoder.dim, config.head)

    def embed(self, batch: Batch) -> tuple[Tensor, ...]:
        """Return the projections z of both views."""
        h = self.encoder(torch.cat(batch.views))
        z: Tensor = self.head(h)
        return z.chunk(2)

    def contrast(self, embeddings: tuple[Tensor, ...], batch: Batch) -> StepResult:
        """Return NT-Xent over both views, and how often a view's partner is its nearest neighbour."""
        z1_BD, z2_BD = embeddings
        contrast = nt_xent_with_top1(z1_BD, z2_BD, self.temperature)
        return StepResult(loss=contrast.loss, logs={"contrast/top1": contrast.top1})
