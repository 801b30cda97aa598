"""Supervised baseline: cross-entropy on the labels, by one linear layer on the encoder.

What every paper of self-supervised learning compares with; SimCLR's table 1 (arXiv:2002.05709) trains it on the views
that the self-supervised method sees, one of each image.

Shapes: B images per worker.
"""

from collections.abc import Mapping
from typing import ClassVar

import torch.nn.functional as F
from torch import nn

from unlabeled.methods.losses.numerics import in_full_precision
from unlabeled.platform.augment import SIMCLR, ViewPlan
from unlabeled.platform.data import Data
from unlabeled.platform.encoder import Encoder
from unlabeled.platform.method import Batch, Method, MethodConfig, StepResult

cross_entropy = in_full_precision(F.cross_entropy)


class SupervisedConfig(MethodConfig):
    """Defaults are SimCLR's views.

    Attributes:
        views: one view of each image.
    """

    name = "supervised"
    paper = "SimCLR's table 1, arXiv:2002.05709"
    targets: ClassVar[tuple[str, ...]] = ("class",)
    num_views: ClassVar[int | None] = 1
    views: ViewPlan = ViewPlan(views=(SIMCLR,))

    def build(self, encoder: Encoder, data: Data) -> "Supervised":
        """Make the classifier of the data's classes around an encoder."""
        return Supervised(encoder, len(data.classes))


class Supervised(Method):
    """An encoder and a linear classifier, trained together."""

    split = "per-sample"

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
        top1 = logits.detach().argmax(dim=1).eq(classes).float().mean()
        return StepResult(loss=cross_entropy(logits, classes), logs={"classify/top1": top1})
