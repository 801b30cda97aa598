"""Supervised baseline: cross-entropy on the labels, by one linear layer on the encoder.

What every paper of self-supervised learning compares with; SimCLR's table 1 (arXiv:2002.05709) trains it on the views
that the self-supervised method sees, one of each image.

Shapes: B images per worker.
"""

from collections.abc import Mapping
from typing import ClassVar

from torch import nn

from unlabeled.methods.parts import SMALL_JITTER, classify, one_view
from unlabeled.platform.augment import SIMCLR, ViewPlan
from unlabeled.platform.data import Data
from unlabeled.platform.encoder import Encoder
from unlabeled.platform.method import Batch, Example, Method, MethodConfig, StepResult


class SupervisedConfig(MethodConfig):
    """Defaults are SimCLR's views.

    Attributes:
        views: one view of each image.
    """

    name = "supervised"
    paper = "SimCLR's table 1, arXiv:2002.05709"
    cost = 1.0
    targets: ClassVar[tuple[str, ...]] = ("class",)
    num_views: ClassVar[int | None] = 1
    views: ViewPlan = one_view(SIMCLR)

    @classmethod
    def example(cls) -> Example:
        """Return a small run."""
        return Example(method=cls(views=one_view(SMALL_JITTER)))

    def build(self, encoder: Encoder, data: Data) -> "Supervised":
        """Make the classifier of the data's classes around an encoder."""
        return Supervised(encoder, len(data.classes))


class Supervised(Method):
    """An encoder and a linear classifier, trained together."""

    cut = "per-sample"

    def __init__(self, encoder: Encoder, classes: int) -> None:
        super().__init__(encoder)
        self.classifier = nn.Linear(encoder.dim, classes)

    def layers(self) -> Mapping[str, nn.Module]:
        """Return what it says of each class, ``logits``."""
        return {"logits": nn.Sequential(self.encoder, self.classifier)}

    def forward(self, batch: Batch) -> StepResult:
        """Return the cross-entropy of the labels, and how often the largest logit is right."""
        (view,), classes = batch.views, batch.targets["class"]
        logits = self.classifier(self.encoder(view))
        loss, top1 = classify(logits, classes)
        return StepResult(loss=loss, logs={"classify/top1": top1})
