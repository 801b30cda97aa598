"""A linear probe of single frames: does each moment of a sound know what the sound is?

The features of a sound's moments are probed one by one, as Mel frames and contexts are (Oord, Li, Vinyals 2018,
arXiv:1807.03748, sec. 3.1, who classify phones and speakers frame by frame, linearly).
"""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from unlabeled.platform.evaluate import regression
from unlabeled.platform.evaluate.features import Features
from unlabeled.platform.evaluate.linear import Linear
from unlabeled.platform.evaluate.probe import FeatureProbe, Score
from unlabeled.platform.metrics import Metric, scores_of

_LONGEST = 2**14  # frames of a sound, almost three minutes of the usual hundred a second


class Frames(FeatureProbe):
    """Logistic regression on the features of every frame; ``top1`` is its accuracy over frames.

    Solved as :class:`~unlabeled.platform.evaluate.linear.Linear` solves it. Each frame is told what the whole sound is
    told; or where there is a class for each of some moments, the one of the moment that it lies in.

    Attributes:
        l2: strength of the penalty, relative to the mean cross-entropy.
        tolerance: largest gradient entry at which the solution counts as converged.
        max_iterations: Newton steps after which it gives up and says so.
    """

    name = "frames"
    reads: ClassVar[Literal["pooled", "grid", "method"]] = "grid"
    sees: ClassVar[tuple[str, ...]] = ("wave",)
    scores: ClassVar[Mapping[str, Metric]] = scores_of("frames", "top1")
    l2: float = Field(default=1e-3, ge=0.0)
    tolerance: float = Field(default=1e-8, gt=0.0)
    max_iterations: int = Field(default=50, ge=1)

    def learn(self, train: Features) -> Score:
        """Solve the regression on all frames of ``train``."""
        score = self._linear.learn(one_by_one(train))
        return lambda test: score(one_by_one(test))

    def at_size(self, items: int, classes: int) -> str:
        """Say from how many frames on it is solved in float32, where sounds may have as many."""
        exact = regression.KEPT // max(1, items * classes)  # frames of each
        if exact >= _LONGEST:
            return ""
        said = self._linear.at_size(items * (exact + 1), classes)
        return f"{said} where sounds have more than {exact} frames" if exact else said

    @property
    def _linear(self) -> Linear:
        return Linear(l2=self.l2, tolerance=self.tolerance, max_iterations=self.max_iterations)


def one_by_one(sounds: Features) -> Features:
    """Return the frames of sounds [N, D, T], one after another: [N T, D], with a class each."""
    x_NDT, told = sounds.x, sounds.labels
    assert told is not None
    count = x_NDT.shape[2]
    return Features(x_NDT.transpose(1, 2).flatten(0, 1), _of_each(told, count).flatten())


def _of_each(told: Tensor, count: int) -> Tensor:
    """Return the class of each of ``count`` frames, [N, count], from classes [N] or [N, moments]."""
    if told.ndim == 1:
        return told[:, None].expand(-1, count)
    moment = ((torch.arange(count, device=told.device) + 0.5) * told.shape[1] / count).long()
    return told[:, moment]
