"""SwAV: from any crop of an image, predict to which prototypes a large crop is assigned, where all get as many.

Caron, Misra, Mairal, Goyal, Bojanowski, Joulin (2020), "Unsupervised Learning of Visual Features by Contrasting Cluster
Assignments", arXiv:2006.09882. Loss: eq. 1 and 2, over many crops eq. 6. Codes: eq. 3 to 5. Queue and heads: sec. 4 and
the appendix, as in facebookresearch/swav (``main_swav.py``).

Crops are embedded as unit vectors z and compared with K prototypes c of length 1:

    codes of the first G crops:    q = Sinkhorn(exp(z c / epsilon)), where all prototypes get as many images
    predictions from each crop:    p = softmax(z c / tau)
    loss = mean over g of the first G crops, and v != g, of -sum_k q_g log p_v

Codes get no gradient. As they share out the prototypes evenly, the loss does not fall where all images get the same z.
Where a batch has few images for the prototypes, earlier ones, kept in a queue, are assigned along with it.

Shapes: B images per worker, N of all, V crops of each, the first G of them assigned, D width, K prototypes.

Differs from the authors' code: prototypes are brought to length 1 after each step, theirs before, and their gradient is
that of the direction alone, so that a step differs from theirs by the rate's square; queues are filled from the first
step, theirs from where they are used; scores are computed in float32, theirs in float16.
"""

import itertools
from collections.abc import Iterable, Mapping
from typing import cast

import torch
from pydantic import Field
from torch import Tensor, nn

from unlabeled.methods.clustering.shown import where_it_looks
from unlabeled.methods.losses.numerics import in_full_precision
from unlabeled.methods.parts import SMALL_JITTER, KeyQueue, by_size, projection_head
from unlabeled.methods.prototypes import PrototypeHead, across_views, sinkhorn
from unlabeled.platform.augment import SIMCLR, Crop, ViewPlan
from unlabeled.platform.augment.figure import Figure
from unlabeled.platform.collective import gather, world_size
from unlabeled.platform.data import Data
from unlabeled.platform.encoder import Encoder
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Batch, EmbeddingMethod, Example, MethodConfig, StepResult

ASSIGNED = 2  # G


def multi_crop(num_local: int = 6, local_px: int = 96, area: float = 0.14) -> ViewPlan:
    """Plan two crops of more than ``area`` of the picture, and small ones of less; colours are SimCLR's."""
    large, small = (SIMCLR.replacing(crop) for crop in (Crop(area=(area, 1.0)), Crop(area=(0.05, area), size=local_px)))
    return ViewPlan(views=(large,) * 2 + (small,) * num_local)


class SwAVConfig(MethodConfig):
    """Defaults are the paper's ResNet-50 settings for 800 epochs on ImageNet.

    Attributes:
        views: the two crops that are assigned first; the others may be smaller.
        head: widths of the head's hidden layers, which have batch norm, and of the embeddings.
        prototypes: K.
        temperature: tau.
        epsilon: how smooth codes are.
        queue: how many earlier embeddings of each assigned crop are assigned along with a batch; 0 is none.
        queue_from: share of training after which they are; by then the queue should be full.
        frozen: share of training in which the prototypes do not learn.
    """

    name = "swav"
    paper = "Caron et al. 2020, arXiv:2006.09882"
    cost = 2.33
    views: ViewPlan = multi_crop()
    head: tuple[int, ...] = Field(default=(2048, 128), min_length=1)
    prototypes: int = Field(default=3000, ge=2)
    temperature: float = Field(default=0.1, gt=0.0)
    epsilon: float = Field(default=0.05, gt=0.0)
    queue: int = Field(default=0, ge=0)
    queue_from: float = Field(default=0.075, ge=0.0, lt=1.0)  # epoch 15 of 200
    frozen: float = Field(default=0.00125, ge=0.0, lt=1.0)  # one epoch of 800

    @classmethod
    def example(cls) -> Example:
        """Return a small run."""
        local = SMALL_JITTER.replacing(Crop(area=(0.15, 0.5), size=16))
        small = cls(views=ViewPlan(views=(SMALL_JITTER, SMALL_JITTER, local)), head=(64, 32), prototypes=64, frozen=0.0)
        queued = cls.checked(**{**small.model_dump(), "queue": 100, "queue_from": 0.3, "frozen": 0.3})
        return Example(method=small, others={"queue": queued})

    def check(self, batch_size: int, workers: int, data: Data) -> None:
        """Raise UserError where there is nothing to predict from, or the batch overflows the queue."""
        if (views := len(self.views.views)) < ASSIGNED:
            raise UserError(f"swav needs {ASSIGNED} views or more, got {views}; set method.views to a plan of more")
        if 0 < self.queue < batch_size:
            raise UserError(f"method.queue {self.queue} is shorter than a batch; make it {batch_size} or more, or 0")

    def build(self, encoder: Encoder, data: Data) -> "SwAV":
        """Make SwAV around an encoder."""
        return SwAV(self, encoder)


class SwAV(EmbeddingMethod):
    """An encoder, a head that ends with prototypes, and a queue of embeddings for each crop that is assigned."""

    def __init__(self, config: SwAVConfig, encoder: Encoder) -> None:
        super().__init__(encoder)
        self.config = config
        self.head = PrototypeHead(projection_head(encoder.dim, config.head), config.head[-1], config.prototypes)
        self.head.renormalise()
        queues = (KeyQueue(config.queue, config.head[-1]) for _ in range(ASSIGNED if config.queue else 0))
        self.queues = nn.ModuleList(queues)

    def embed(self, batch: Batch) -> tuple[Tensor, ...]:
        """Return the unit vectors of each crop."""
        features = by_size(self.encoder, batch.views).flatten(0, 1)  # batch norm in the head sees all crops together
        return self.head.embed(features).chunk(len(batch.views))

    def contrast(self, embeddings: tuple[Tensor, ...], batch: Batch) -> StepResult:
        """Return the loss; how sure the codes are, and how often a crop's nearest prototype is the code's first."""
        config, z_VBD = self.config, torch.stack(embeddings)
        scores_VBK = in_full_precision(self.head.cosines)(z_VBD)
        queues = self.queues if batch.progress >= config.queue_from else ()
        assigned = itertools.zip_longest(scores_VBK[:ASSIGNED], cast(Iterable[KeyQueue], queues))
        codes = torch.stack([self._codes(*each) for each in assigned])
        loss = across_views(codes, (scores_VBK / config.temperature).log_softmax(dim=2))
        order_N = gather(batch.draws.rows).argsort()  # of all rows: in micro-batches workers hold them otherwise
        for queue, z_BD in zip(self.queues, embeddings, strict=False):
            cast(KeyQueue, queue).push(gather(z_BD.detach())[order_N])
        entropy = -torch.special.xlogy(codes, codes).sum(dim=2).mean()
        top1 = codes[0].argmax(dim=1).eq(scores_VBK[1].detach().argmax(dim=1)).float().mean()
        return StepResult(loss=loss, logs={"codes/entropy": entropy, "codes/top1": top1})

    @torch.no_grad()
    def _codes(self, scores_BK: Tensor, queue: KeyQueue | None) -> Tensor:
        """Return a crop's codes, [B, K]; the queue, which all workers have alike, is assigned along with it."""
        if queue is None:
            return sinkhorn(scores_BK, self.config.epsilon)
        queued = in_full_precision(self.head.cosines)(queue.keys)
        weight = torch.cat([scores_BK.new_full((len(queued),), 1.0 / world_size()), scores_BK.new_ones(len(scores_BK))])
        return sinkhorn(torch.cat([queued, scores_BK]), self.config.epsilon, weight_B=weight)[len(queued) :]

    def before_step(self, progress: float) -> None:
        """Keep the prototypes as they are for the first steps."""
        if progress < self.config.frozen:
            self.head.cancel_gradient()

    def after_step(self, progress: float) -> None:
        """Bring the prototypes back to length 1."""
        self.head.renormalise()

    def figures(self, batch: Batch) -> Mapping[str, Figure]:
        """Return where each picture's prototype is seen in it."""
        return where_it_looks(self.encoder, self.head, batch.views[0], "its prototype")
