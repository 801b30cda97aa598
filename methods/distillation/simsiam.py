"""SimSiam: from one view of an image, predict what the same network makes of another, as if that were given.

Chen, He (2020), "Exploring Simple Siamese Representation Learning", arXiv:2011.10566. Procedure: algorithm 1. Loss:
eq. 1 to 4. Heads: sec. 3. Collapse: sec. 4.1, figure 2; sec. 4.2, table 1.

An encoder f with a projector, and a predictor h. Of views x1 and x2, with z = f(x) and p = h(z):

    D(p, z) = -cos(p, z)
    loss = D(p1, stopgrad(z2)) / 2 + D(p2, stopgrad(z1)) / 2

It is BYOL without the slow copy: the teacher is the student itself, behind ``stopgrad``. Without that
(``stop_gradient`` false) the paper's network gives all images one z, at a loss of -1 and a ``distill/spread`` of 0;
without the predictor (``predictor`` None) it does not learn either (table 1). A thousand steps on small pictures go but
part of the way: the loss is lower, and so is the spread.

Shapes: B images per worker, D projection width.

Differs from the paper: the last batch norm of the projector has neither scale nor shift, as in the authors' code
(``simsiam/builder.py``). Differs from that code: the predictor's learning rate falls like the others', as in the
paper's baseline, where ``--fix-pred-lr`` keeps it (table 1's better one).
"""

from typing import ClassVar

from pydantic import Field, PositiveInt
from torch import Tensor, nn

from unlabeled.methods.parts import SMALL_JITTER, cosine, projection_head, spread
from unlabeled.platform.augment import MOCO_V2, ViewPlan, two_views
from unlabeled.platform.data import Data
from unlabeled.platform.encoder import Encoder
from unlabeled.platform.method import Batch, Example, Method, MethodConfig, StepResult


class SimSiamConfig(MethodConfig):
    """Defaults are the paper's ResNet-50 settings.

    Attributes:
        views: two views of each image.
        head: widths of the projector's layers, each with batch norm, the last one too.
        predictor: width of the hidden layer of h, a bottleneck; None is no predictor.
        stop_gradient: take z for given; without it the paper's network collapses.
    """

    name = "simsiam"
    paper = "Chen, He 2020, arXiv:2011.10566"
    cost = 2.03
    num_views: ClassVar[int | None] = 2
    views: ViewPlan = two_views(MOCO_V2)
    head: tuple[int, ...] = Field(default=(2048, 2048, 2048), min_length=1)
    predictor: PositiveInt | None = 512
    stop_gradient: bool = True

    @classmethod
    def example(cls) -> Example:
        """Return a small run."""
        small = cls(views=two_views(SMALL_JITTER), head=(64, 64), predictor=16)
        others = {"no stop-gradient": small.with_field("stop_gradient", False)}
        return Example(method=small, learning={"epochs": 12}, others=others)

    def build(self, encoder: Encoder, data: Data) -> "SimSiam":
        """Make SimSiam around an encoder."""
        return SimSiam(self, encoder)


class SimSiam(Method):
    """A network, and a predictor of what it makes of the other view."""

    cut = "per-sample"

    def __init__(self, config: SimSiamConfig, encoder: Encoder) -> None:
        super().__init__(encoder)
        width = config.head[-1]
        self.stop_gradient = config.stop_gradient
        self.head = projection_head(encoder.dim, config.head, last_batch_norm=True, last_scale=False)
        hidden = config.predictor
        self.predictor = nn.Identity() if hidden is None else projection_head(width, (hidden, width))

    def forward(self, batch: Batch) -> StepResult:
        """Return the loss, and how far the projections are spread."""
        z1_BD, z2_BD = (self.head(self.encoder(view)) for view in batch.views)
        agreement = self.agreement(z1_BD, z2_BD) + self.agreement(z2_BD, z1_BD)
        return StepResult(loss=-0.5 * agreement, logs={"distill/spread": spread(z1_BD, z2_BD)})

    def agreement(self, z_BD: Tensor, other_BD: Tensor) -> Tensor:
        """Return -D of what is predicted of the one and the other."""
        return cosine(self.predictor(z_BD), other_BD.detach() if self.stop_gradient else other_BD)
