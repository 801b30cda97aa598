"""Supervised baseline: cross-entropy on the labels, by one linear layer on the encoder.

What every paper of self-supervised learning compares with; SimCLR's table 1 (arXiv:2002.05709) trains it on the views
that the self-supervised method sees, one of each image.

Shapes: B images per worker.
"""

from typing import ClassVar

import torch.nn.functional as F
from pydantic import Field
from torch import nn

from unlabeled.methods.losses.numerics import in_full_precision
from unlabeled.platform.augment import SIMCLR, ViewPlan
from unlabeled.platform.data import Data
from unlabeled.platform.encoder import Encoder
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Batch, Method, MethodConfig, StepResult

cross_entropy = in_full_precision(F.cross_entropy)


class SupervisedConfig(MethodConfig):
    """Defaults are SimCLR's views.

    Attributes:
        views: one view of each image.
        classes: how many the data has.
    """

    name = "supervised"
    needs_labels: ClassVar[bool] = True
    num_views: ClassVar[int | None] = 1
    views: ViewPlan = ViewPlan(views=(SIMCLR,))
    classes: int = Field(default=10, ge=2)

    def check(self, batch_size: int, workers: int, data: Data) -> None:
        """Raise UserError where the data has another number of classes."""
        if len(data.classes) != self.classes:
            raise UserError(
                f"method.classes {self.classes} is not the {len(data.classes)} classes of {data.name}; "
                f"set method.classes to {len(data.classes)}"
            )

    def build(self, encoder: Encoder) -> "Supervised":
        """Make the classifier around an encoder."""
        return Supervised(self, encoder)


class Supervised(Method):
    """An encoder and a linear classifier, trained together."""

    split = "per-sample"

    def __init__(self, config: SupervisedConfig, encoder: Encoder) -> None:
        super().__init__(encoder)
        self.classifier = nn.Linear(encoder.dim, config.classes)

    def forward(self, batch: Batch) -> StepResult:
        """Return the cross-entropy of the labels, and how often the largest logit is right."""
        assert batch.labels is not None
        (view,) = batch.views
        logits = self.classifier(self.encoder(view))
        top1 = logits.detach().argmax(dim=1).eq(batch.labels).float().mean()
        return StepResult(loss=cross_entropy(logits, batch.labels), logs={"classify/top1": top1})
