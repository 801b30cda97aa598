"""MoCo v3: tell an image's other view among those of the batch, as a slow copy of the network sees them.

Chen, Xie, He (2021), "An Empirical Study of Training Self-Supervised Vision Transformers", arXiv:2104.02057. Loss:
eq. 1. Procedure: algorithm 1. Networks: sec. 3. Frozen patch projection: sec. 4.2.

Of MoCo it keeps the copy, from BYOL it has the predictor; the queue is gone, since large batches have as many keys.
With f the encoder with its head, p the predictor, and f_xi the copy of f (it has no predictor):

    q = unit(p(f(v))),  k = unit(f_xi(v))
    ctr(q, k) = -2 tau mean_i log( exp(q_i.k_i / tau) / sum_j exp(q_i.k_j / tau) ),  j over all workers' images
    loss = ctr(q_1, k_2) + ctr(q_2, k_1)
    xi <- m xi + (1 - m) theta,  m from 0.99 to 1 by half a cosine

A ViT's training is unstable, and it starts in the first layer: there gradients jump, and the other layers follow. So
its patches are embedded by a random projection that stays as it is. It works with convnets too, which have none.

Shapes: B images per worker, N on all workers, D projection width.

Differs from the authors' code (facebookresearch/moco-v3): timm's ViT learns its positions and has timm's first weights,
theirs has fixed sines and cosines and Xavier's; norms have timm's epsilon. Their ResNet-50 has a head of two layers, a
predictor that does not end in batch norm, tau 1 and crops of 0.2 of the area or more. The copy follows after a step,
theirs before the next: the same, but that its momentum is taken a step later. Rates are the run's.
"""

from typing import ClassVar

from pydantic import Field
from torch import Tensor, nn

from unlabeled.methods.losses import Contrast
from unlabeled.methods.losses.chunked import choose_positive
from unlabeled.methods.losses.numerics import in_full_precision, unit
from unlabeled.methods.parts import SMALL_JITTER, MomentumCopy, projection_head
from unlabeled.platform.augment import BYOL, ViewPlan, two_views
from unlabeled.platform.collective import gather, row_ids
from unlabeled.platform.data import Data
from unlabeled.platform.encoder import Encoder, ViT
from unlabeled.platform.method import Batch, EmbeddingMethod, Example, MethodConfig, StepResult


class MoCoV3Config(MethodConfig):
    """Defaults are the paper's for ViTs.

    Attributes:
        views: two views of each image.
        temperature: tau in eq. 1.
        momentum: m at the start; half a cosine leads it to 1.
        head: widths of the head's layers, each with batch norm, the last one too.
        predictor: widths of the predictor's hidden layers; it ends like the head. () is a linear predictor.
        frozen_patches: leave a ViT's projection of patches as it begins.
    """

    name = "moco-v3"
    paper = "Chen, Xie, He 2021, arXiv:2104.02057"
    cost = 2.71
    num_views: ClassVar[int | None] = 2
    views: ViewPlan = ViewPlan(views=BYOL)
    temperature: float = Field(default=0.2, gt=0.0)
    momentum: float = Field(default=0.99, ge=0.0, le=1.0)
    head: tuple[int, ...] = Field(default=(4096, 4096, 256), min_length=1)
    predictor: tuple[int, ...] = (4096,)
    frozen_patches: bool = True

    @classmethod
    def example(cls) -> Example:
        """Return a small run."""
        return Example(method=cls(views=two_views(SMALL_JITTER), head=(64, 32), predictor=(64,), momentum=0.97))

    def build(self, encoder: Encoder, data: Data) -> "MoCoV3":
        """Make MoCo v3 around an encoder."""
        return MoCoV3(self, encoder)


class MoCoV3(EmbeddingMethod):
    """An encoder with its head and a predictor, and the momentum copy of the first two, which makes the keys."""

    def __init__(self, config: MoCoV3Config, encoder: Encoder) -> None:
        super().__init__(encoder)
        if config.frozen_patches and isinstance(encoder, ViT):
            encoder.model.patch_embed.proj.requires_grad_(False)
        self.temperature = config.temperature
        width, ends = config.head[-1], {"last_batch_norm": True, "last_scale": False}
        self.head = projection_head(encoder.dim, config.head, **ends)
        self.predictor = projection_head(width, (*config.predictor, width), **ends)
        self.key_net = MomentumCopy(nn.Sequential(encoder, self.head), config.momentum, final=1.0)

    def embed(self, batch: Batch) -> tuple[Tensor, ...]:
        """Return the queries of both views, and their keys, [B, D] each."""
        queries = [self.predictor(self.head(self.encoder(view))) for view in batch.views]
        return (*queries, *(self.key_net(view) for view in batch.views))

    def contrast(self, embeddings: tuple[Tensor, ...], batch: Batch) -> StepResult:
        """Return the loss of both directions, how often the right key is nearest, and what else to follow."""
        q1_BD, q2_BD, k1_BD, k2_BD = embeddings
        sides = [_choose(q_BD, k_BD.detach(), self.temperature) for q_BD, k_BD in ((q1_BD, k2_BD), (q2_BD, k1_BD))]
        contrast = Contrast.mean_of(sides)
        return StepResult(loss=2 * (2.0 * self.temperature) * contrast.loss, logs=contrast.logs())

    def after_step(self, progress: float) -> None:
        """Let the copy follow, the less the later."""
        self.key_net.follow(progress)


@in_full_precision
def _choose(q_BD: Tensor, k_BD: Tensor, temperature: float) -> Contrast:
    """Return what queries say of which key of all workers is theirs."""
    q_BD, k_BD = unit(q_BD), unit(k_BD)
    k_ND, own_B1 = gather(k_BD), row_ids(len(k_BD), k_BD.device)[:, None]
    return Contrast.among(len(k_ND), *choose_positive(q_BD / temperature, k_BD, k_ND, own_B1.expand(-1, 2)))
