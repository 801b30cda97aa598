"""SupCon: views of one class should agree, whichever images they are of, and disagree with those of other classes.

Khosla, Teterwak, Wang, Sarna, Tian, Isola, Maschinot, Liu, Krishnan (2020), "Supervised Contrastive Learning",
arXiv:2004.11362. Networks: sec. 3.1. Loss: L_out, eq. 2.

Shapes: B images per worker, D projection width.

Differs from the paper: views are by SimCLR's policy; its best results are with AutoAugment. The classifier that it
trains afterwards, on the frozen features, is the linear probe. The loss is not multiplied by tau during training (sec.
4.5; by tau / 0.07 in the authors' code): under SGD, tau times their learning rate does the same.
"""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from unlabeled.methods.losses.labelled import sup_con_with_top1
from unlabeled.methods.losses.numerics import unit
from unlabeled.methods.parts import SMALL_JITTER, projection_head
from unlabeled.platform.augment import SIMCLR, ViewPlan, two_views
from unlabeled.platform.data import Data
from unlabeled.platform.encoder import Encoder
from unlabeled.platform.method import Batch, EmbeddingMethod, Example, MethodConfig, StepResult


class SupConConfig(MethodConfig):
    """Defaults are the paper's ResNet-50 settings.

    Attributes:
        views: two views of each image.
        temperature: tau in eq. 2; the authors' PyTorch code has 0.07 unless told otherwise.
        head: widths of Proj after the encoder's own; () is no head, one width a linear head.
    """

    name = "supcon"
    paper = "Khosla et al. 2020, arXiv:2004.11362"
    cost = 2.01
    targets: ClassVar[tuple[str, ...]] = ("class",)
    num_views: ClassVar[int | None] = 2
    one_size = slice(None)
    views: ViewPlan = two_views(SIMCLR)
    temperature: float = Field(default=0.1, gt=0.0)
    head: tuple[int, ...] = (2048, 128)

    @classmethod
    def example(cls) -> Example:
        """Return a small run."""
        return Example(method=cls(views=two_views(SMALL_JITTER), head=(32, 16)))

    def build(self, encoder: Encoder, data: Data) -> "SupCon":
        """Make SupCon around an encoder."""
        return SupCon(self, encoder)


class Unit(nn.Module):
    """Scales each vector to length 1."""

    def forward(self, x: Tensor) -> Tensor:
        """Scale [B, D]."""
        return unit(x)


class SupCon(EmbeddingMethod):
    """An encoder Enc and a projection network Proj on its unit vectors, trained together."""

    def __init__(self, config: SupConConfig, encoder: Encoder) -> None:
        super().__init__(encoder)
        self.temperature = config.temperature
        self.head = nn.Sequential(Unit(), projection_head(encoder.dim, config.head, batch_norm=False))

    def embed(self, batch: Batch) -> tuple[Tensor, ...]:
        """Return the projections z of both views."""
        z: Tensor = self.head(self.encoder(torch.cat(batch.views)))
        return z.chunk(2)

    def contrast(self, embeddings: tuple[Tensor, ...], batch: Batch) -> StepResult:
        """Return the loss over all views, and how often a view's nearest one is of its class."""
        classes = torch.cat([batch.targets["class"]] * 2)
        loss, top1 = sup_con_with_top1(torch.cat(embeddings), classes, self.temperature)
        return StepResult(loss=loss, logs={"contrast/top1": top1})
