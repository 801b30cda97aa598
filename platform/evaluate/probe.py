"""The contract of probes: versioned protocols that score what was learned.

Most read frozen features; some need the method itself, to train its encoder further or to ask its text tower.
"""

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from unlabeled.platform.data import Data
from unlabeled.platform.encoder import Encoder
from unlabeled.platform.evaluate.features import Features, check_finite
from unlabeled.platform.method import Method
from unlabeled.platform.processor import Processor
from unlabeled.platform.settings import Variant

Score = Callable[[Features], Mapping[str, float]]


class ProbeConfig(Variant):
    """A probe is a value: its fields are its settings.

    Attributes:
        asks_method: whether it scores the whole method and not only its encoder, so that two methods may score
            differently before any training.
        scores: which of its values reports compare; each is logged with its protocol.
        labels: share of each class's training labels that it may see, at least one of each; a smaller share's pictures
            are among a larger one's.
    """

    asks_method: ClassVar[bool] = False
    scores: ClassVar[tuple[str, ...]] = ("top1",)
    labels: float = Field(default=1.0, gt=0.0, le=1.0)

    @property
    def key(self) -> str:
        """Its name in metrics: ``linear``, or with 1 % of the labels ``linear-1pct``."""
        return self.name if self.labels == 1.0 else f"{self.name}-{100 * self.labels:g}pct"

    @property
    def protocol(self) -> str:
        """The probe's name, version and settings, to be kept beside every number it gives."""
        settings = ", ".join(
            f"{name} {value}"
            for name, value in self.flat().items()
            if name != "name" and (name, value) != ("labels", 1.0)
        )
        return f"{self.name}@{self.version}" + (f" ({settings})" if settings else "")

    def check(self, method: Method) -> None:
        """Raise UserError where the probe can't score this method."""


class FeatureProbe(ProbeConfig):
    """A probe on frozen features of any layer. Abstract; calling it measures."""

    @abstractmethod
    def learn(self, train: Features) -> Score:
        """Fit on labelled, finite features and return what scores others: short keys ("top1"), fractions in [0, 1]."""

    def fit(self, train: Features) -> Score:
        """Fit on labelled features and return what scores others.

        Raises:
            NotFiniteError: a feature is NaN or infinite, here or when others are scored. (The arg max of NaN is a
                class like any other, so a score of them would look measured.)
            ValueError: there are no pictures, here or when others are scored.
        """
        score = self.learn(_sound(train))
        return lambda test: score(_sound(test))

    def __call__(self, train: Features, test: Features) -> Mapping[str, float]:
        """Fit on ``train``, score on ``test``; both labelled. Raises as :meth:`fit`."""
        return self.fit(train)(test)


@dataclass(frozen=True)
class Subject:
    """What a :class:`MethodProbe` scores.

    Attributes:
        method: in any mode; the probe leaves it as it was.
        encoder: a copy of the method's, which the probe may change: as it is configured, its batch norm neither grouped
            by the method nor shared between workers.
        data: whose pictures; labelled.
        processor: what to compute on.
        seed: the run's, for whatever the probe draws.
    """

    method: Method
    encoder: Encoder
    data: Data
    processor: Processor
    seed: int


class MethodProbe(ProbeConfig):
    """A probe of a method as a whole. Abstract."""

    @abstractmethod
    def measure(self, subject: Subject, splits: tuple[str, ...]) -> Mapping[str, Mapping[str, float]]:
        """Return split -> short key ("top1") -> a fraction in [0, 1], for ``splits`` of the subject's data."""


def _sound(features: Features) -> Features:
    if not len(features):
        raise ValueError("there are no pictures with a label")
    check_finite(features.x)
    return features


def share_of_labels(labels_N: Tensor, share: float) -> Tensor:
    """Choose the first pictures of each class: int64 rows, in order; all of them for a share of 1.

    Args:
        labels_N: int64 [N]; splits are shuffled, so the first are a fair sample.
        share: in (0, 1]; each class gives that share of its pictures, rounded up.
    """
    chosen = [
        rows[: math.ceil(round(share * len(rows), 6))]
        for rows in (torch.nonzero(labels_N == label).flatten() for label in labels_N.unique(sorted=True))  # type: ignore[no-untyped-call]
    ]
    return torch.cat(chosen).sort().values
