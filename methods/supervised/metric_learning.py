"""Metric learning: what is of one class should lie near, what is of different classes apart; the loss says how.

Before instances were contrasted, classes were. All embed pictures by a network and compare them in pairs of the batch:

- Chopra, Hadsell, LeCun (2005), "Learning a Similarity Metric Discriminatively, with Application to Face Verification":
  the contrastive loss of pairs.
- Schroff, Kalenichenko, Philbin (2015), "FaceNet: A Unified Embedding for Face Recognition and Clustering",
  arXiv:1503.03832: the triplet loss, and which negatives to learn from (sec. 3.2).
- Song, Xiang, Jegelka, Savarese (2015), "Deep Metric Learning via Lifted Structured Feature Embedding",
  arXiv:1511.06452: all pairs of the batch at once.
- Sohn (2016), "Improved Deep Metric Learning with Multi-class N-pair Loss Objective": all negatives at once.
- Frosst, Papernot, Hinton (2019), "Analyzing and Improving Representations with the Soft Nearest Neighbor Loss",
  arXiv:1902.01889; and noise-contrastive estimation and InfoNCE, with a class in the place of an image or a context.

The losses are in ``class_losses.py``. SupCon is a method of its own.

Shapes: B images per worker, V views of each, D width.

Differs from the papers: batches are drawn at random, not so that there are several items of each class in them (FaceNet
takes some forty, N-pair two); with two views of each image every sample has a positive nevertheless. Positives and
negatives are of all views on all workers. FaceNet's triplets are of all pairs of an anchor and a positive, ours of each
anchor and one positive, drawn. Networks, views and optimisers are the run's.
"""

from typing import ClassVar

from torch import Tensor

from unlabeled.methods.losses.numerics import in_full_precision, unit
from unlabeled.methods.parts import SMALL_JITTER, by_size, projection_head
from unlabeled.methods.supervised.class_losses import ClassLoss, InfoNCE, Triplet, nearest_is_of_its_class
from unlabeled.platform.augment import SIMCLR, ViewPlan, two_views
from unlabeled.platform.data import Data
from unlabeled.platform.encoder import Encoder
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Batch, EmbeddingMethod, Example, MethodConfig, StepResult


class MetricLearningConfig(MethodConfig):
    """Defaults are FaceNet's loss and width, on SimCLR's views.

    Attributes:
        views: of each image, any number.
        head: widths after the encoder's own; () is no head, one width FaceNet's linear embedding.
        loss: a kind by its name, or with its options.
    """

    name = "metric-learning"
    paper = "Chopra et al. 2005; Schroff et al. 2015, arXiv:1503.03832"
    cost = 2.0
    targets: ClassVar[tuple[str, ...]] = ("class",)
    views: ViewPlan = two_views(SIMCLR)
    head: tuple[int, ...] = (128,)
    loss: ClassLoss = Triplet()

    @classmethod
    def example(cls) -> Example:
        """Return a small run, by a loss that falls as it learns: a mined negative is always about as far."""
        small = cls(views=two_views(SMALL_JITTER), head=(16,), loss=InfoNCE(temperature=0.2))
        others = {name: small.with_field("loss", name) for name in ClassLoss.kinds() if name != small.loss.name}
        return Example(method=small, others=others)

    def check(self, batch_size: int, workers: int, data: Data) -> None:
        """Raise UserError where there are no two classes to tell apart."""
        if len(data.classes) < 2:
            raise UserError(
                f"metric-learning needs two classes or more to tell apart, and {data.name} has {len(data.classes)}; "
                "choose other data, or a method that tells images apart, such as simclr"
            )

    def build(self, encoder: Encoder, data: Data) -> "MetricLearning":
        """Make the embedding around an encoder."""
        return MetricLearning(self, encoder)


class MetricLearning(EmbeddingMethod):
    """An encoder and an embedding on it, trained together."""

    def __init__(self, config: MetricLearningConfig, encoder: Encoder) -> None:
        super().__init__(encoder)
        self.loss = config.loss
        self.head = projection_head(encoder.dim, config.head, batch_norm=False, last_bias=False)  # distances lack it

    def embed(self, batch: Batch) -> tuple[Tensor, ...]:
        """Return the embeddings of all views, [B, V, D]."""
        return (self.head(by_size(self.encoder, batch.views)).transpose(0, 1),)

    def contrast(self, embeddings: tuple[Tensor, ...], batch: Batch) -> StepResult:
        """Return the loss over all views, and how often a view's nearest one is of its class."""
        (z_BVD,) = embeddings
        views = z_BVD.shape[1]
        classes = batch.targets["class"].repeat_interleave(views)
        chance = batch.draws.uniform("positive", views).flatten()
        loss, top1 = _measure(self.loss, z_BVD.flatten(0, 1), classes, chance)
        return StepResult(loss=loss, logs={"contrast/top1": top1})


@in_full_precision
def _measure(loss: ClassLoss, x: Tensor, classes: Tensor, chance: Tensor) -> tuple[Tensor, Tensor]:
    x = unit(x) if loss.on_sphere else x
    return loss(x, classes, chance), nearest_is_of_its_class(x.detach(), classes)
