"""Local aggregation: an image draws near those that share a cluster with it, of all that are near already.

Zhuang, Zhai, Yamins (2019), "Local Aggregation for Unsupervised Learning of Visual Embeddings", ICCV, arXiv:1903.12355.

Of a view of image i the network makes v, of length 1; a memory bank has v_j of each of the n images.

    B_i = the K images with the largest v v_j                       background neighbours
    C_i = those that are in i's cluster in any of H clusterings     close neighbours
    loss = -log (sum_{j in C_i and B_i} exp(v v_j / tau) / sum_{j in B_i} exp(v v_j / tau))
    v_i <- unit(m v_i + (1 - m) v)

Before each epoch the bank is clustered by k-means from H random starts. In the first epochs nobody has been clustered:
every image is its own cluster, and the loss is instance discrimination's among B_i. ``neighbours/close`` is how many of
B_i are close.

Shapes: B images per worker, V = n images in all, K background neighbours, H clusterings, D width.

Differs from the authors' code (neuroailab/LocalAggregation): before the first clustering it trains by noise-contrastive
estimation, here by the same loss with clusters of one; an image is always in its own B_i, there only if it is near, so
that no sum is empty, and the 1e-7 inside the logarithm is not needed; k-means starts as k-means++ and goes on until
centres stand, there for 20 passes.
"""

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from unlabeled.methods.contrastive.bank import MemoryBank, retrieved, scores
from unlabeled.methods.losses.numerics import exact_unit, in_full_precision, log_sum_exp
from unlabeled.methods.parts import SMALL_JITTER, one_view, projection_head
from unlabeled.platform.augment import MOCO_V1, ViewPlan
from unlabeled.platform.augment.figure import Figure
from unlabeled.platform.collective import of_first
from unlabeled.platform.data import Data
from unlabeled.platform.encoder import Encoder
from unlabeled.platform.errors import UserError
from unlabeled.platform.evaluate.lloyd import Lloyd
from unlabeled.platform.method import Batch, EmbeddingMethod, Example, MethodConfig, StepResult, Survey


class LocalAggregationConfig(MethodConfig):
    """Defaults are the authors' for ResNets on ImageNet.

    Attributes:
        views: one view of each image.
        temperature: tau.
        neighbours: K, how many background neighbours an image has; all images where there are fewer.
        clusters: of each clustering; at most as many as there are images.
        clusterings: H.
        warmup_epochs: before the first clustering.
        momentum: m, how much of an image's vector stays in the bank when it is seen again.
        head: widths after the encoder's own; the last is the bank's.
    """

    name = "local-aggregation"
    version = 2  # each epoch and seed has starts of its own
    paper = "Zhuang et al. 2019, arXiv:1903.12355"
    cost = 1.0
    num_views: ClassVar[int | None] = 1
    views: ViewPlan = one_view(MOCO_V1)
    temperature: float = Field(default=0.07, gt=0.0)
    neighbours: int = Field(default=4096, ge=2)
    clusters: int = Field(default=30_000, ge=2)
    clusterings: int = Field(default=10, ge=1)
    warmup_epochs: int = Field(default=10, ge=0)
    momentum: float = Field(default=0.5, ge=0.0, lt=1.0)
    head: tuple[int, ...] = Field(default=(128,), min_length=1)

    @classmethod
    def example(cls) -> Example:
        """Return a small run."""
        small = cls(views=one_view(SMALL_JITTER), head=(16,), temperature=0.2, neighbours=100, clusters=20)
        small = small.with_field("clusterings", 3).with_field("warmup_epochs", 1)
        others = {"clustered at once": small.with_field("warmup_epochs", 0)}
        longer = {"method.warmup_epochs": 16, "method.temperature": 0.1, "method.neighbours": 512}
        return Example(method=small, others=others, learning={"data.train_images": 512, "epochs": 32, **longer})

    def check(self, batch_size: int, workers: int, data: Data) -> None:
        """Raise UserError where there are more clusters than images."""
        if self.clusters > (count := len(data.pretrain)):
            raise UserError(
                f"method.clusters {self.clusters} is more than the {count} items to train on of {data.name}; use at "
                f"most {count}, and fewer to let items share them"
            )

    def build(self, encoder: Encoder, data: Data) -> "LocalAggregation":
        """Make it around an encoder, with a bank for the images that train."""
        return LocalAggregation(self, encoder, len(data.pretrain))


class LocalAggregation(EmbeddingMethod):
    """An encoder and a head to unit vectors, the bank of all images' vectors, and which clusters they are in.

    Attributes:
        cluster: int64 [H, V], each image's number in each clustering.
    """

    cluster: Tensor

    def __init__(self, config: LocalAggregationConfig, encoder: Encoder, num_images: int) -> None:
        super().__init__(encoder)
        self.config = config
        self.head = projection_head(encoder.dim, config.head, batch_norm=False)
        self.bank = MemoryBank(num_images, config.head[-1], config.momentum)
        self.register_buffer("cluster", torch.arange(num_images).repeat(config.clusterings, 1))

    def before_epoch(self, epoch: int, survey: Survey) -> None:
        """Cluster the bank, from each start anew."""
        if epoch < self.config.warmup_epochs:
            return
        order_V = survey.draws.uniform("order").argsort(stable=True)  # k-means++ draws its first centres by it
        solver = Lloyd(self.bank.vectors[order_V], self.config.clusters, order_V.device)
        for number, start in enumerate(solver.starts(self.config.clusterings)):
            _, centres = solver.refined(start)
            self.cluster[number, order_V] = of_first(solver.nearest(centres))  # a GPU's sums are not all the same

    def embed(self, batch: Batch) -> tuple[Tensor, ...]:
        """Return v of each image's view."""
        return (exact_unit(self.head(self.encoder(batch.views[0]))),)

    def contrast(self, embeddings: tuple[Tensor, ...], batch: Batch) -> StepResult:
        """Return the loss, how often an image is its own nearest, how many are close; then let the bank follow."""
        (v_BD,), bank_VD = embeddings, self.bank.vectors
        near_BK = background(v_BD, bank_VD, batch.index, min(self.config.neighbours, len(bank_VD)))
        _, score_BK = scores(v_BD, bank_VD, batch.index, near_BK, self.config.temperature)
        close_BK = (self.cluster[:, batch.index, None] == self.cluster[:, near_BK]).any(dim=0)
        loss = (score_BK.logsumexp(dim=1) - log_sum_exp(score_BK, close_BK)).mean()
        own_B = near_BK.gather(1, score_BK.detach().argmax(dim=1, keepdim=True))[:, 0]
        self.bank.write(batch.index, v_BD)
        logs = {"contrast/top1": own_B == batch.index, "neighbours/close": close_BK.sum(dim=1)}
        return StepResult(loss=loss, logs={name: value.to(loss.dtype).mean() for name, value in logs.items()})

    def figures(self, batch: Batch) -> Mapping[str, Figure]:
        """Return each picture beside those of the others whose vectors are nearest to its own."""
        (v_BD,) = self.embed(batch)
        return {"nearest": Figure(retrieved(v_BD, batch.views[0]))}


@torch.no_grad()
@in_full_precision
def background(vector_BD: Tensor, bank_VD: Tensor, index_B: Tensor, count: int) -> Tensor:
    """Return which items of the bank are nearest to each vector, its own among them: int64 [B, K]."""
    nearness_BV = vector_BD @ bank_VD.T
    return nearness_BV.scatter_(1, index_B[:, None], torch.inf).topk(count, dim=1).indices
