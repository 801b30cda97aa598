"""Instance discrimination: every image is a class of its own, and what was made of it before is the class's weight.

Wu, Xiong, Yu, Lin (2018), "Unsupervised Feature Learning via Non-Parametric Instance Discrimination", arXiv:1805.01978.
Softmax over all images and memory bank: sec. 3.1. Noise-contrastive estimation: sec. 3.2. Proximal term: sec. 3.3.

Of a view of image i the network makes v, of length 1; the bank remembers v_j of each of the n images.

    P(i|v) = exp(v v_i / tau) / Z,                    Z = sum_j exp(v v_j / tau)
    exact:  loss = -log P(i|v) + lambda |v - v_i|^2
    NCE:    h(i, v) = P(i|v) / (P(i|v) + K / n),      K noise images j, drawn evenly; Z is estimated once
            loss = -log h(i, v) - sum_j log(1 - h(j, v)) + lambda |v - v_i|^2
    v_i <- unit(m v_i + (1 - m) v)

The term with lambda keeps v near where it was an epoch before: a class of one example is seen once an epoch, and would
swing. The bank's momentum m serves the same end. ``bank/drift`` is how far v went, |v - v_i|^2.

Shapes: B images per worker, V = n images in all, K noise samples, D width.

Differs from the paper: m and lambda are those of the authors' code (zhirongw/lemniscate.pytorch), which has no proximal
term and keeps half of v_i; the paper has the term, and replaces v_i: momentum 0. The bank starts with vectors of length
1, as in the paper, and not about 1, as in the code.
"""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field
from torch import Tensor

from unlabeled.methods.contrastive.bank import FEW_ITEMS_OFTEN, BankContrast, MemoryBank, retrieved
from unlabeled.methods.losses.numerics import exact_unit
from unlabeled.methods.parts import SMALL_JITTER, one_view, projection_head
from unlabeled.platform.augment import MOCO_V1, ViewPlan
from unlabeled.platform.augment.figure import Figure
from unlabeled.platform.data import Data
from unlabeled.platform.encoder import Encoder
from unlabeled.platform.method import Batch, EmbeddingMethod, Example, MethodConfig, StepResult


class InstanceDiscriminationConfig(MethodConfig):
    """Defaults are those of the paper's ResNet-50, as its authors' code has them.

    Attributes:
        views: one view of each image.
        temperature: tau in eq. 2.
        negatives: K, how many noise samples an image is told from; None takes the softmax over all, eq. 2, which suits
            a few ten thousand images.
        momentum: m, how much of an image's vector stays in the bank when it is seen again.
        proximal: lambda.
        head: widths after the encoder's own; the last is the bank's.
    """

    name = "instance-discrimination"
    paper = "Wu et al. 2018, arXiv:1805.01978"
    cost = 1.0
    num_views: ClassVar[int | None] = 1
    views: ViewPlan = one_view(MOCO_V1)
    temperature: float = Field(default=0.07, gt=0.0)
    negatives: int | None = Field(default=4096, ge=1)
    momentum: float = Field(default=0.5, ge=0.0, lt=1.0)
    proximal: float = Field(default=0.0, ge=0.0)
    head: tuple[int, ...] = Field(default=(128,), min_length=1)

    @classmethod
    def example(cls) -> Example:
        """Return a small run."""
        small = cls(views=one_view(SMALL_JITTER), negatives=128, head=(16,), temperature=0.2)
        exact = small.with_field("negatives", None)
        others = {"exact": exact, "proximal": exact.with_field("proximal", 1.0).with_field("momentum", 0.0)}
        return Example(method=small, others=others, learning=FEW_ITEMS_OFTEN)

    def build(self, encoder: Encoder, data: Data) -> "InstanceDiscrimination":
        """Make it around an encoder, with a bank for the images that train."""
        return InstanceDiscrimination(self, encoder, len(data.pretrain))


class InstanceDiscrimination(EmbeddingMethod):
    """An encoder and a head to unit vectors, and the bank of all images' vectors."""

    def __init__(self, config: InstanceDiscriminationConfig, encoder: Encoder, num_images: int) -> None:
        super().__init__(encoder)
        self.proximal = config.proximal
        self.head = projection_head(encoder.dim, config.head, batch_norm=False)
        self.bank = MemoryBank(num_images, config.head[-1], config.momentum)
        self.tell = BankContrast(config.temperature, config.negatives)

    def embed(self, batch: Batch) -> tuple[Tensor, ...]:
        """Return v of each image's view."""
        return (exact_unit(self.head(self.encoder(batch.views[0]))),)

    def contrast(self, embeddings: tuple[Tensor, ...], batch: Batch) -> StepResult:
        """Return the loss, how often the image is found, and how far v went; then let the bank follow."""
        (v_BD,), index_B = embeddings, batch.index
        loss, top1 = self.tell(v_BD, self.bank.vectors, index_B, batch.draws)
        drift = (v_BD - self.bank.vectors[index_B]).square().sum(dim=1).mean()
        self.bank.write(index_B, v_BD)
        logs = {"contrast/top1": top1, "bank/drift": drift.detach()}
        return StepResult(loss=loss + self.proximal * drift, logs=logs)

    def figures(self, batch: Batch) -> Mapping[str, Figure]:
        """Return each picture beside those of the others whose vectors are nearest to its own."""
        (v_BD,) = self.embed(batch)
        return {"nearest": Figure(retrieved(v_BD, batch.views[0]))}
