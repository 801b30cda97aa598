"""Linear probe: multinomial logistic regression on frozen features, solved to its optimum.

Features are standardised by the training set's mean and deviation per dimension; the objective is the mean
cross-entropy plus l2 / 2 times the squared weights (biases free), which is strictly convex in the weights, so the
answer depends on no learning rate, schedule or seed. Kornblith, Shlens, Le (2019), arXiv:1805.08974, probe the same
way.

All of it is in float64: float32 ends at gradients of 1e-5 to 1e-4, where up to 0.3 % of the predictions are not yet
those of the optimum, and other ones on another processor. Newton's method runs from zero until the largest gradient
entry is under the tolerance. Each step is solved by conjugate gradients, the nearer the end the better (Nocedal, Wright
2006, "Numerical Optimization", alg. 7.1), preconditioned by what the Hessian would be if how uncertain a picture is had
nothing to do with its features: a Kronecker product of two small covariances.
"""

from collections.abc import Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from unlabeled.platform.evaluate.features import Features
from unlabeled.platform.evaluate.probe import FeatureProbe, Score
from unlabeled.platform.metrics import Metric, scores_of

_MAX_PRODUCTS = 500  # with the Hessian, in one Newton step
_MAX_HALVINGS = 30  # of a Newton step


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
        x_ND = train.x.double()
        mean, deviation = x_ND.mean(dim=0), x_ND.std(dim=0).clamp_min(1e-6)
        weight, bias, steepest = self.solve((x_ND - mean) / deviation, train.labels)

        def score(test: Features) -> Mapping[str, float]:
            predicted = F.linear((test.x.double() - mean) / deviation, weight, bias).argmax(dim=1)
            assert test.labels is not None
            top1 = predicted.eq(test.labels).double().mean().item()
            return {"top1": top1, "converged": float(steepest <= self.tolerance)}

        return score

    @torch.no_grad()
    def solve(self, x_ND: Tensor, labels_N: Tensor) -> tuple[Tensor, Tensor, float]:
        """Return weights [num_classes, D], biases [num_classes], both float64, and the largest gradient entry left."""
        problem = _Problem(x_ND.double(), labels_N, self.l2)
        w_KD = x_ND.new_zeros(problem.num_classes, x_ND.shape[1] + 1, dtype=torch.float64)
        value, gradient, p_NK = problem.value_and_gradient(w_KD)
        for _ in range(self.max_iterations):
            if gradient.abs().max() <= self.tolerance:
                break
            step = problem.newton_step(p_NK, gradient)
            slope = (gradient * step).sum()
            rounding = 1e-14 * value.abs()  # near the optimum the value is as flat as float64 can tell
            for halvings in range(_MAX_HALVINGS):
                share = 0.5**halvings
                new_value, new_gradient, new_p_NK = problem.value_and_gradient(w_KD + share * step)
                if new_value <= value + 1e-4 * share * slope + rounding:
                    break
            else:
                break
            w_KD, value, gradient, p_NK = w_KD + share * step, new_value, new_gradient, new_p_NK
        return w_KD[:, :-1].contiguous(), w_KD[:, -1].clone(), float(gradient.abs().max())


class _Problem:
    """The regression. Weights are [K, D + 1], the last column the biases; K is num_classes."""

    def __init__(self, x_ND: Tensor, labels_N: Tensor, l2: float) -> None:
        self.labels_N, self.l2 = labels_N, l2
        self.num_classes = int(labels_N.max()) + 1
        self.x_ND = torch.cat([x_ND, x_ND.new_ones(len(x_ND), 1)], dim=1)
        self.penalty_D = x_ND.new_full((self.x_ND.shape[1],), l2)
        self.penalty_D[-1] = 0.0
        self.spread_D, self.directions_DD = torch.linalg.eigh(self._mean_product(self.x_ND, self.x_ND))

    def value_and_gradient(self, w_KD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the objective, its gradient like the weights, and the probabilities [N, K]."""
        log_p_NK = F.linear(self.x_ND, w_KD).log_softmax(dim=1)
        value = F.nll_loss(log_p_NK, self.labels_N) + (self.penalty_D * w_KD.square()).sum() / 2.0
        p_NK = log_p_NK.exp_()
        wrong_NK = p_NK - F.one_hot(self.labels_N, self.num_classes)
        return value, self._mean_product(wrong_NK, self.x_ND) + self.penalty_D * w_KD, p_NK

    def newton_step(self, p_NK: Tensor, gradient_KD: Tensor) -> Tensor:
        """Solve Hessian @ step = -gradient by preconditioned conjugate gradients."""
        scale_K, mix_KK = torch.linalg.eigh(torch.diag(p_NK.mean(dim=0)) - self._mean_product(p_NK, p_NK))
        scale_KD = (scale_K.clamp_min(0.0)[:, None] * self.spread_D.clamp_min(0.0) + self.l2).clamp_min(1e-12)

        def precondition(residual_KD: Tensor) -> Tensor:
            rotated_KD = mix_KK.T @ residual_KD @ self.directions_DD
            made_KD: Tensor = mix_KK @ (rotated_KD / scale_KD) @ self.directions_DD.T
            return made_KD

        step, residual = torch.zeros_like(gradient_KD), -gradient_KD
        enough = gradient_KD.norm() * min(0.25, float(gradient_KD.norm()) ** 0.5)
        direction = preconditioned = precondition(residual)
        product = (residual * preconditioned).sum()
        for _ in range(_MAX_PRODUCTS):
            curved = self._hessian_times(direction, p_NK)
            curvature = (direction * curved).sum()
            if curvature <= 0.0:  # by rounding
                break
            step, residual = step + product / curvature * direction, residual - product / curvature * curved
            if residual.norm() <= enough:
                break
            preconditioned = precondition(residual)
            before, product = product, (residual * preconditioned).sum()
            direction = preconditioned + product / before * direction
        return step

    def _hessian_times(self, v_KD: Tensor, p_NK: Tensor) -> Tensor:
        moved_NK = F.linear(self.x_ND, v_KD)
        moved_NK = p_NK * (moved_NK - (p_NK * moved_NK).sum(dim=1, keepdim=True))
        return self._mean_product(moved_NK, self.x_ND) + self.penalty_D * v_KD

    def _mean_product(self, a_NK: Tensor, b_ND: Tensor) -> Tensor:
        """Return the mean over pictures of each product, [K, D]."""
        return a_NK.T @ b_ND / len(a_NK)
