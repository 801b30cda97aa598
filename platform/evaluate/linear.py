"""Linear probe: multinomial logistic regression on frozen features, solved to its optimum.

Features are standardised by the training set's mean and deviation per dimension; the objective is the mean
cross-entropy plus l2 / 2 times the squared weights (biases free), which is strictly convex in the weights, so the
answer depends on no learning rate, schedule or seed. Kornblith, Shlens, Le (2019), arXiv:1805.08974, probe the same
way.

It is solved in float64: float32 ends at gradients of 1e-5 to 1e-4, where up to 0.3 % of the predictions are not yet
those of the optimum, and other ones on another processor. Only where pictures times classes are more than 2^26 (1.28
million pictures of 1,000 classes are 19 times as many) products are float32 with sums in float64, and it ends at a
gradient of 1e-6 if less is asked; what it took is in the logged protocol. How it is solved, and in what memory, is in
``regression.py``.
"""

from collections.abc import Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from unlabeled.platform.evaluate.features import Features
from unlabeled.platform.evaluate.probe import FeatureProbe, Score
from unlabeled.platform.evaluate.regression import Moments, Regression, Solution, is_exact
from unlabeled.platform.metrics import Metric, scores_of

STREAMED = 1e-6  # largest gradient entry that is asked where products are float32, whose rounding it is above


class Linear(FeatureProbe):
    """Logistic regression; ``top1`` is its accuracy, ``converged`` 1.0 if the tolerance was met.

    Attributes:
        l2: strength of the penalty, relative to the mean cross-entropy. Without one, classes that can be told apart
            have no optimum, and the tolerance decides where it stops.
        tolerance: largest gradient entry at which the solution counts as converged.
        max_iterations: Newton steps after which it gives up and says so.
    """

    name = "linear"
    scores: ClassVar[Mapping[str, Metric]] = scores_of("linear", "top1")
    version = 2
    l2: float = Field(default=1e-3, ge=0.0)
    tolerance: float = Field(default=1e-8, gt=0.0)
    max_iterations: int = Field(default=50, ge=1)

    def learn(self, train: Features) -> Score:
        """Solve the regression on ``train``."""
        assert train.labels is not None
        moments = Moments.of(train.x, train.labels.device)
        tolerance = self.tolerance_of(len(train), int(train.labels.max()) + 1)
        found = Regression(train.x, train.labels, moments, self.l2).solve(tolerance, self.max_iterations)

        @torch.no_grad()
        def score(test: Features) -> Mapping[str, float]:
            correct = 0
            for x, labels in test.blocks():
                predicted = F.linear(moments.standardised(x), found.weight, found.bias).argmax(dim=1)
                correct += int(predicted.eq(labels).sum())
            return {"top1": correct / len(test), "converged": float(found.steepest <= tolerance)}

        return score

    def at_size(self, items: int, classes: int) -> str:
        """Say where it is solved in float32."""
        if is_exact(items, classes):
            return ""
        return f"solved with products in float32 to a gradient of {self.tolerance_of(items, classes):g}"

    def tolerance_of(self, pictures: int, classes: int) -> float:
        """Return the largest gradient entry at which so many pictures of so many classes count as solved."""
        return self.tolerance if is_exact(pictures, classes) else max(self.tolerance, STREAMED)

    @torch.no_grad()
    def solve(self, x_ND: Tensor, labels_N: Tensor) -> Solution:
        """Solve for features as they are, [N, D]."""
        as_they_are = Moments(x_ND.new_zeros(x_ND.shape[1]).double(), x_ND.new_ones(x_ND.shape[1]).double())
        tolerance = self.tolerance_of(len(x_ND), int(labels_N.max()) + 1)
        return Regression(x_ND, labels_N, as_they_are, self.l2).solve(tolerance, self.max_iterations)
