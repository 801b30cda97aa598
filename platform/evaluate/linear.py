"""Linear probe: multinomial logistic regression on frozen features, solved to convergence.

Features are standardised by the training set's mean and deviation per dimension; the objective is the mean
cross-entropy plus l2 / 2 times the squared weights (biases free), which is strictly convex in the weights, so the
answer depends on no learning rate, schedule or seed. L-BFGS with strong-Wolfe line search runs from zero until the
largest gradient entry is under the tolerance. Kornblith, Shlens, Le (2019), arXiv:1805.08974, probe the same way.
"""

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from unlabeled.platform.evaluate.features import Features
from unlabeled.platform.evaluate.probe import FeatureProbe, Score


class Linear(FeatureProbe):
    """Logistic regression; ``top1`` is its accuracy, ``converged`` 1.0 if the tolerance was met.

    Attributes:
        l2: strength of the penalty, relative to the mean cross-entropy.
        tolerance: largest gradient entry at which the solution counts as converged.
        most_iterations: L-BFGS iterations after which it gives up and says so.
    """

    name = "linear"
    version = 1
    l2: float = Field(default=1e-3, ge=0.0)
    tolerance: float = Field(default=1e-4, gt=0.0)
    most_iterations: int = Field(default=1000, ge=1)

    def learn(self, train: Features) -> Score:
        """Solve the regression on ``train``."""
        assert train.labels is not None
        mean, deviation = train.x.mean(dim=0), train.x.std(dim=0).clamp_min(1e-6)
        weight, bias, steepest = self.solve((train.x - mean) / deviation, train.labels)

        def score(test: Features) -> Mapping[str, float]:
            predicted = F.linear((test.x - mean) / deviation, weight, bias).argmax(dim=1)
            assert test.labels is not None
            top1 = predicted.eq(test.labels).double().mean().item()
            return {"top1": top1, "converged": float(steepest <= self.tolerance)}

        return score

    def solve(self, x_ND: Tensor, labels_N: Tensor) -> tuple[Tensor, Tensor, float]:
        """Return weights [num_classes, D], biases [num_classes] and the largest gradient entry left."""
        num_classes = int(labels_N.max()) + 1
        weight = torch.zeros(num_classes, x_ND.shape[1], device=x_ND.device, requires_grad=True)
        bias = torch.zeros(num_classes, device=x_ND.device, requires_grad=True)
        solver = torch.optim.LBFGS(
            [weight, bias],
            max_iter=self.most_iterations,
            max_eval=2 * self.most_iterations,
            history_size=20,
            tolerance_grad=self.tolerance,
            tolerance_change=0.0,
            line_search_fn="strong_wolfe",
        )

        def objective() -> Tensor:
            solver.zero_grad()
            loss = F.cross_entropy(F.linear(x_ND, weight, bias), labels_N) + self.l2 / 2.0 * weight.square().sum()
            loss.backward()  # type: ignore[no-untyped-call]
            return loss

        with torch.enable_grad():
            solver.step(objective)  # type: ignore[no-untyped-call]
            objective()
        assert weight.grad is not None
        assert bias.grad is not None
        steepest = max(weight.grad.abs().max().item(), bias.grad.abs().max().item())
        return weight.detach(), bias.detach(), steepest if math.isfinite(steepest) else math.inf
