"""MoCo: tell an image's other view from a long queue of earlier images.

He, Fan, Wu, Xie, Girshick (2020), "Momentum Contrast for Unsupervised Visual Representation Learning",
arXiv:1911.05722. Procedure: algorithm 1. Loss: eq. 1. Momentum: eq. 2. Shuffled batch norm: sec. 3.3. Version 2: Chen,
Fan, Girshick, He (2020), "Improved Baselines with Momentum Contrastive Learning", arXiv:2003.04297.

Shapes: B images per worker, N on all workers, K queue length, D projection width.

Differs from the paper: batch norm is grouped by settings, not by GPUs, so that the number of workers changes nothing;
the symmetric loss is the mean of both directions, where the authors' CIFAR demo adds them; biases and norms are not
decayed, where their ``main_moco.py`` decays all parameters.
``contrast/mutual_information_bound`` takes the queue for fresh draws: its keys come from slightly older key networks,
at first from random directions, so it is an estimate of the bound, no proof.
"""

from typing import ClassVar

from pydantic import Field
from torch import Tensor, nn

from unlabeled.methods.losses import Contrast, info_nce_with_top1
from unlabeled.methods.losses.numerics import exact_unit
from unlabeled.methods.parts import SMALL_JITTER, KeyQueue, MomentumCopy, check_queue, projection_head, shuffled
from unlabeled.platform.augment import MOCO_V1, MOCO_V2, ViewPlan, two_views
from unlabeled.platform.collective.batch_norm import check_groups, group_batch_norms
from unlabeled.platform.data import Data
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import Encoder
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Batch, Example, Method, MethodConfig, StepResult


class MoCoConfig(MethodConfig):
    """Defaults are version 2's ResNet-50 settings, :meth:`v1` gives version 1's.

    Attributes:
        views: the query's and the key's.
        temperature: tau in eq. 1.
        momentum: m in eq. 2.
        queue: K, the number of negatives.
        head: widths after the encoder's own; () is no head, one width version 1's linear head.
        symmetric: let each view be the query once; both are scored before their keys enter the queue.
        bn_groups: batch norm sees the global batch in so many groups (the paper's GPUs); 1 sees it whole. Workers have
            to divide it. An encoder without batch norm has nothing to group.
        shuffle_bn: shuffle the keys between groups, against cheating by batch statistics.
    """

    name = "moco"
    paper = "He et al. 2020, arXiv:1911.05722; Chen et al. 2020, arXiv:2003.04297"
    cost = 1.35
    num_views: ClassVar[int | None] = 2
    views: ViewPlan = two_views(MOCO_V2)
    temperature: float = Field(default=0.2, gt=0.0)
    momentum: float = Field(default=0.999, ge=0.0, le=1.0)
    queue: int = Field(default=65_536, ge=1)
    head: tuple[int, ...] = (2048, 128)
    symmetric: bool = False
    bn_groups: int = Field(default=8, ge=1)
    shuffle_bn: bool = True

    @classmethod
    def v1(cls) -> "MoCoConfig":
        """Return version 1's ResNet-50 settings."""
        return cls(views=two_views(MOCO_V1), temperature=0.07, head=(128,))

    @classmethod
    def example(cls) -> Example:
        """Return a small run."""
        return Example(
            method=(small := cls(views=two_views(SMALL_JITTER), head=(32, 16), queue=150, momentum=0.99)),
            others={  # the queue is not a multiple of the batch
                "symmetric": small.with_field("symmetric", True),
                "unshuffled": (unshuffled := small.with_field("shuffle_bn", False)),
                "synchronised": unshuffled.with_field("bn_groups", 1),
            },
        )

    def check(self, batch_size: int, workers: int, data: Data) -> None:
        """Raise UserError where the batch overflows the queue, its groups don't fit, or shuffling does nothing."""
        check_queue(self.queue, batch_size * (1 + self.symmetric))
        if self.shuffle_bn and self.bn_groups == 1:
            raise UserError(
                "method.shuffle_bn does nothing with method.bn_groups 1; make it false, or bn_groups 2 or more"
            )
        check_groups("method.bn_groups", self.bn_groups, batch_size, workers)

    def build(self, encoder: Encoder, data: Data) -> "MoCo":
        """Make MoCo around an encoder, whose batch norms it groups."""
        return MoCo(self, encoder)


class MoCo(Method):
    """A query network, its momentum copy that makes the keys, and the queue of keys."""

    def __init__(self, config: MoCoConfig, encoder: Encoder) -> None:
        super().__init__(encoder)
        self.temperature, self.symmetric, self.shuffle_bn = config.temperature, config.symmetric, config.shuffle_bn
        self.head = projection_head(encoder.dim, config.head, batch_norm=False)
        group_batch_norms(encoder, config.bn_groups)
        self.key_net = MomentumCopy(nn.Sequential(encoder, self.head), config.momentum)
        self.queue = KeyQueue(config.queue, (encoder.dim, *config.head)[-1])

    def forward(self, batch: Batch) -> StepResult:
        """Return InfoNCE, how often the positive beats the whole queue, and what else to follow."""
        view_1, view_2 = batch.views
        sides = [self._contrast(view_1, view_2, batch.draws.fold_in("key", 2))]
        if self.symmetric:
            sides.append(self._contrast(view_2, view_1, batch.draws.fold_in("key", 1)))
        for _, keys_ND in sides:
            self.queue.push(keys_ND)
        contrast = Contrast.mean_of([each for each, _ in sides])
        return StepResult(loss=contrast.loss, logs=contrast.logs())

    def _contrast(self, query: Tensor, key: Tensor, draws: Draws) -> tuple[Contrast, Tensor]:
        """Score the queries against their keys and the queue as it is; return that, and the keys of all workers."""
        q_BD = self.head(self.encoder(query))
        k_BD, k_ND = shuffled(self.key_net, key, draws if self.shuffle_bn else None)
        q_BD, k_BD = exact_unit(q_BD), exact_unit(k_BD)  # as the queue's keys are since they were pushed
        return info_nce_with_top1(q_BD, k_BD, self.queue.keys, self.temperature, cosine=False), k_ND

    def after_step(self, progress: float) -> None:
        """Let the key network follow: eq. 2."""
        self.key_net.follow()
