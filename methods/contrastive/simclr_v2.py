"""SimCLR v2: a deeper head, of which the first layer is kept; then few labels, then a student that is told the rest.

Chen, Kornblith, Swersky, Norouzi, Hinton (2020), "Big Self-Supervised Models are Strong Semi-Supervised Learners",
arXiv:2006.10029. Three steps:

1. Pre-training, this method: SimCLR with a head of three layers instead of two.
2. Fine-tuning, on a few labels, from a middle layer of the head: with f the network and W_1 the head's first layer,
   the classifier is W relu(W_1 f(x)), and not W f(x). So W_1 belongs to the encoder here: the probe ``fine-tune``, what
   is exported and what ``encoder.weights`` gives to other runs have it. What f makes is the layer ``trunk``.
3. Distillation, on all pictures without their labels: ``simclr-v2-distillation``, of which this run is a start.

    h = relu(W_1 f(v)),  z = W_3 relu(W_2 h),  loss = NT-Xent(z, z')

each W followed by batch norm. The loss is SimCLR's eq. 1.

Shapes: B images per worker, D projection width.

Differs from the paper: the memory of MoCo, by which it gains about a point at its large batches, is not in it, nor in
the authors' code (google-research/simclr); neither are selective kernels and wider networks, which are encoders.
Differs from the code: in what SimCLR here does, but that the head ends in batch norm as theirs does; ours has no scale.
"""

from collections.abc import Mapping
from typing import ClassVar, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from unlabeled.methods.kept_layers import Deeper, with_layers
from unlabeled.methods.losses import nt_xent_with_top1
from unlabeled.methods.parts import SMALL_JITTER, projection_head
from unlabeled.platform.augment import SIMCLR, ViewPlan, two_views
from unlabeled.platform.data import Data, Format
from unlabeled.platform.encoder import Encoder, EncoderConfig
from unlabeled.platform.method import Batch, EmbeddingMethod, Example, MethodConfig, StepResult


class SimCLRV2Config(MethodConfig):
    """Defaults are the paper's for a ResNet-50.

    Attributes:
        views: two views of each image.
        temperature: tau.
        head: widths of the head's layers, each with batch norm.
        kept: how many of them belong to the encoder; 0 throws the head away, as SimCLR does.
    """

    name = "simclr-v2"
    paper = "Chen et al. 2020, arXiv:2006.10029"
    cost = 2.02
    num_views: ClassVar[int | None] = 2
    one_size = slice(None)
    views: ViewPlan = two_views(SIMCLR)
    temperature: float = Field(default=0.1, gt=0.0)
    head: tuple[int, ...] = Field(default=(2048, 2048, 128), min_length=1)
    kept: int = Field(default=1, ge=0)

    @model_validator(mode="after")
    def _keeps_less_than_all(self) -> Self:
        if self.kept >= len(self.head):
            raise ValueError(
                f"kept {self.kept} leaves nothing of a head of {len(self.head)}; keep {len(self.head) - 1} or fewer"
            )
        return self

    @classmethod
    def example(cls) -> Example:
        """Return a small run."""
        small = cls(views=two_views(SMALL_JITTER), head=(64, 32, 16), temperature=0.2)
        return Example(method=small, others={"nothing kept": small.with_field("kept", 0)})

    def make_encoder(self, config: EncoderConfig, shown: Format) -> Encoder:
        """Make the encoder, with what it keeps of the head."""
        return with_layers(config.build(shown), self.head[: self.kept])

    def check_encoder(self, encoder: Encoder, image_px: int) -> None:
        """Raise UserError where the network can't see the views."""
        super().check_encoder(encoder.inner if isinstance(encoder, Deeper) else encoder, image_px)

    def build(self, encoder: Encoder, data: Data) -> "SimCLRV2":
        """Make SimCLR v2 around such an encoder."""
        return SimCLRV2(self, encoder)


class SimCLRV2(EmbeddingMethod):
    """An encoder with the first layers of the head, and the rest of the head."""

    def __init__(self, config: SimCLRV2Config, encoder: Encoder) -> None:
        super().__init__(encoder)
        self.temperature = config.temperature
        self.head = projection_head(encoder.dim, config.head[config.kept :], last_batch_norm=True, last_scale=False)

    def layers(self) -> Mapping[str, nn.Module]:
        """Return the head's end, and what the network makes before any layer of the head, ``trunk``."""
        trunk = {"trunk": self.encoder.inner} if isinstance(self.encoder, Deeper) else {}
        return {**trunk, **super().layers()}

    def embed(self, batch: Batch) -> tuple[Tensor, ...]:
        """Return the projections z of both views."""
        z: Tensor = self.head(self.encoder(torch.cat(batch.views)))
        return z.chunk(2)

    def contrast(self, embeddings: tuple[Tensor, ...], batch: Batch) -> StepResult:
        """Return SimCLR's loss over both views, and what to follow of it."""
        z1_BD, z2_BD = embeddings
        contrast = nt_xent_with_top1(z1_BD, z2_BD, self.temperature)
        return StepResult(loss=contrast.loss, logs=contrast.logs())
