"""BYOL: from one view of an image, predict what a slow copy of the network makes of another; no image is pushed away.

Grill, Strub, Altché, Tallec, Richemond et al. (2020), "Bootstrap Your Own Latent: A New Approach to Self-Supervised
Learning", arXiv:2006.07733. Procedure: sec. 3.1, algorithm 1. Loss: eq. 2. Target: eq. 1 (after each step). Heads and
momentum: sec. 3.3. Views: app. B.

The online network is an encoder f, a projector g and a predictor q; the target is f and g, with weights xi that follow
the online ones theta. Of views v and v':

    L = |unit(q(z)) - unit(z'_xi)|^2 = 2 - 2 cos(q(z), z'_xi),    z = g(f(v)), z'_xi = g_xi(f_xi(v'))
    loss = L + L with the views exchanged
    xi <- m xi + (1 - m) theta,    m from 0.996 to 1 by half a cosine

That every image gets the same z makes this loss 0. What prevents it is not in the loss: the predictor, and a target
that changes slowly and gets no gradient. It is distillation, like DINO: from a teacher that is the student of earlier.
``distill/spread`` is 0 where all images get the same z.

Shapes: B images per worker, D projection width.

Differs from the authors' code: the optimiser and its rates are the run's (theirs is LARS); their target's momentum
depends on how long is trained (0.99 for 100 and 300 epochs), ours is the paper's for 1,000.
"""

from typing import ClassVar

from pydantic import Field
from torch import nn

from unlabeled.methods.parts import SMALL_JITTER, MomentumCopy, cosine, projection_head, spread
from unlabeled.platform.augment import BYOL as BYOL_VIEWS
from unlabeled.platform.augment import ViewPlan, two_views
from unlabeled.platform.data import Data
from unlabeled.platform.encoder import Encoder
from unlabeled.platform.method import Batch, Example, Method, MethodConfig, StepResult


class BYOLConfig(MethodConfig):
    """Defaults are the paper's ResNet-50 settings.

    Attributes:
        views: two views of each image.
        head: widths of the projector g: a hidden layer with batch norm, and the output.
        predictor: widths of the predictor's hidden layers, which have batch norm; its output is as wide as g's. () is a
            linear predictor.
        momentum: m at the start; half a cosine leads it to 1.
    """

    name = "byol"
    paper = "Grill et al. 2020, arXiv:2006.07733"
    cost = 2.71
    num_views: ClassVar[int | None] = 2
    views: ViewPlan = ViewPlan(views=BYOL_VIEWS)
    head: tuple[int, ...] = Field(default=(4096, 256), min_length=1)
    predictor: tuple[int, ...] = (4096,)
    momentum: float = Field(default=0.996, ge=0.0, le=1.0)

    @classmethod
    def example(cls) -> Example:
        """Return a small run."""
        small = cls(views=two_views(SMALL_JITTER), head=(64, 32), predictor=(64,), momentum=0.97)
        return Example(method=small, learning={"epochs": 16, "optimizer.learning_rate": 0.02})

    def build(self, encoder: Encoder, data: Data) -> "BYOL":
        """Make BYOL around an encoder."""
        return BYOL(self, encoder)


class BYOL(Method):
    """The online network, and the target that follows it."""

    cut = "per-sample"

    def __init__(self, config: BYOLConfig, encoder: Encoder) -> None:
        super().__init__(encoder)
        self.head = projection_head(encoder.dim, config.head, last_bias=False)  # a predictor's batch norm takes it away
        self.predictor = projection_head(config.head[-1], (*config.predictor, config.head[-1]), last_bias=False)
        self.target = MomentumCopy(nn.Sequential(encoder, self.head), config.momentum, final=1.0)

    def forward(self, batch: Batch) -> StepResult:
        """Return the loss, and how far the targets are spread."""
        predicted = [self.predictor(self.head(self.encoder(view))) for view in batch.views]
        target_1, target_2 = (self.target(view) for view in batch.views)
        loss = 4.0 - 2.0 * (cosine(predicted[0], target_2) + cosine(predicted[1], target_1))
        return StepResult(loss=loss, logs={"distill/spread": spread(target_1, target_2)})

    def after_step(self, progress: float) -> None:
        """Let the target follow, the less the later: eq. 1."""
        self.target.follow(progress)
