"""SimCLR: two views of one image should agree, and disagree with the rest of the batch.

Chen, Kornblith, Norouzi, Hinton (2020), "A Simple Framework for Contrastive Learning of Visual Representations",
arXiv:2002.05709. Procedure: algorithm 1. Loss: eq. 1. Head: sec. 4.2. Views: app. A.

Shapes: B images per worker, D projection width.

Differs from the paper: the losses of table 2 take the negatives from both views, where app. B.10 takes one view's.
Differs from the authors' code: their head has batch norm after its last layer too, and no bias there, which the paper's
formula has not (``last_batch_norm`` is that head); their blur pads with zeros, ours reflects at the border; their
contrast goes about each channel's mean, ours about the grey mean; their crops are resized with a bicubic filter, ours
with a bilinear one; their LARS has the learning rate inside the momentum (see ``platform/optim.py``).
"""

from typing import ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from unlabeled.methods.losses import Mining, margin_triplet, nt_logistic, nt_xent_with_top1
from unlabeled.methods.parts import SMALL_JITTER, projection_head
from unlabeled.platform.augment import SIMCLR, ViewPlan, two_views
from unlabeled.platform.data import Data
from unlabeled.platform.encoder import Encoder
from unlabeled.platform.method import Batch, EmbeddingMethod, Example, MethodConfig, StepResult


class SimCLRConfig(MethodConfig):
    """Defaults are the paper's ResNet-50 settings.

    Attributes:
        views: two views of each image.
        temperature: tau in eq. 1.
        head: widths of g after the encoder's own; () is no head, one width a linear head.
        last_batch_norm: end the head in batch norm instead of a bias, as in the authors' code.
        loss: eq. 1, or one of those it was compared with (table 2).
        cosine: compare views by their cosine; false takes the dot product (table 5, eq. 1 only).
        mining: which negatives the losses of table 2 look at.
        margin: of the margin loss.
    """

    name = "simclr"
    paper = "Chen et al. 2020, arXiv:2002.05709"
    cost = 2.01
    num_views: ClassVar[int | None] = 2
    one_size = slice(None)
    views: ViewPlan = two_views(SIMCLR)
    temperature: float = Field(default=0.1, gt=0.0)
    head: tuple[int, ...] = (2048, 128)
    last_batch_norm: bool = False
    loss: Literal["nt-xent", "nt-logistic", "margin-triplet"] = "nt-xent"
    cosine: bool = True
    mining: Mining = "none"
    margin: float = Field(default=0.5, ge=0.0)

    @model_validator(mode="after")
    def _options_belong_to_the_loss(self) -> Self:
        if self.loss == "nt-xent" and self.mining != "none":
            raise ValueError(f"mining {self.mining!r} is for nt-logistic and margin-triplet; nt-xent weighs them all")
        if self.loss != "nt-xent" and not self.cosine:
            raise ValueError(f"cosine false is for nt-xent; {self.loss} compares by cosine only")
        if self.last_batch_norm and not self.head:
            raise ValueError(
                "last_batch_norm ends a head, and head () is none; make it false, or head one width or more"
            )
        return self

    @classmethod
    def example(cls) -> Example:
        """Return a small run."""
        return Example(
            method=(small := cls(views=two_views(SMALL_JITTER), head=(32, 16), temperature=0.2)),
            others={
                "head that ends in batch norm": small.with_field("last_batch_norm", True),
                "dot product": small.with_field("cosine", False).with_field("temperature", 10.0),
                "logistic": small.with_field("loss", "nt-logistic"),
                "margin": small.with_field("loss", "margin-triplet").with_field("mining", "semi-hard"),
            },
        )

    def build(self, encoder: Encoder, data: Data) -> "SimCLR":
        """Make SimCLR around an encoder."""
        return SimCLR(self, encoder)


class SimCLR(EmbeddingMethod):
    """An encoder f and a projection head g, trained together."""

    def __init__(self, config: SimCLRConfig, encoder: Encoder) -> None:
        super().__init__(encoder)
        self.config, self.temperature = config, config.temperature
        self.head = projection_head(encoder.dim, config.head, last_batch_norm=config.last_batch_norm)

    def embed(self, batch: Batch) -> tuple[Tensor, ...]:
        """Return the projections z of both views."""
        h = self.encoder(torch.cat(batch.views))
        z: Tensor = self.head(h)
        return z.chunk(2)

    def contrast(self, embeddings: tuple[Tensor, ...], batch: Batch) -> StepResult:
        """Return the loss over both views, and what to follow of it."""
        z1_BD, z2_BD = embeddings
        config, temperature = self.config, self.temperature
        if config.loss == "nt-logistic":
            return StepResult(loss=nt_logistic(z1_BD, z2_BD, temperature, config.mining))
        if config.loss == "margin-triplet":
            return StepResult(loss=margin_triplet(z1_BD, z2_BD, config.margin, config.mining))
        contrast = nt_xent_with_top1(z1_BD, z2_BD, temperature, cosine=config.cosine)
        return StepResult(loss=contrast.loss, logs=contrast.logs())
