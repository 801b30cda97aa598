"""The contract of a probe: a versioned protocol that scores frozen features."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar

from unlabeled.platform.evaluate.features import Features
from unlabeled.platform.settings import Variant

Score = Callable[[Features], Mapping[str, float]]


class ProbeConfig(Variant):
    """A probe is a value: its fields are its settings, and calling it measures.

    Attributes:
        version: raised whenever the same settings would give other numbers; reports do not mix versions.
    """

    version: ClassVar[int]

    @abstractmethod
    def fit(self, train: Features) -> Score:
        """Fit on labelled features and return what scores others: short keys ("top1"), fractions in [0, 1]."""

    def __call__(self, train: Features, test: Features) -> Mapping[str, float]:
        """Fit on ``train``, score on ``test``; both labelled."""
        return self.fit(train)(test)

    @property
    def protocol(self) -> str:
        """The probe's name, version and settings, to be kept beside every number it gives."""
        settings = ", ".join(f"{name} {value}" for name, value in self.flat().items() if name != "name")
        return f"{self.name}@{self.version}" + (f" ({settings})" if settings else "")
