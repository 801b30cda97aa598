"""The contract of probes: versioned protocols that score what was learned.

Most read frozen features; some need the method itself, to train its encoder further or to ask its text tower.
"""

import contextlib
import hashlib
import math
import re
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field, ValidationError
from torch import Tensor, nn

from unlabeled.platform.data import Data, Source
from unlabeled.platform.encoder import Encoder
from unlabeled.platform.evaluate.corruptions import Corruption
from unlabeled.platform.evaluate.extraction import extract
from unlabeled.platform.evaluate.features import Features, check_finite
from unlabeled.platform.method import Method
from unlabeled.platform.metrics import Metric, declare, metric_of, scores_of
from unlabeled.platform.processor import Processor
from unlabeled.platform.settings import Variant

_MAX_VALUE = 16  # letters of a setting's value in a metric's name

Score = Callable[[Features], Mapping[str, float]]


class ProbeConfig(Variant):
    """A probe is a value: its fields are its settings.

    Attributes:
        reads: "pooled", features [N, D]; "grid", features in their places; "method", the method itself.
        target: the kind of field that it is told, "class" or "mask"; and the field's name where no other is given.
        sees: kinds of what the encoder sees, where it can measure.
        asks_method: whether it scores the whole method and not only its encoder, so that two methods may score
            differently before any training.
        scores: those of its values that reports compare, and what each is; they are logged with the probe's protocol.
        unsaid: settings and the values at which the protocol leaves them out.
        labels: share of each class's training labels that it may see, at least one of each; a smaller share's pictures
            are among a larger one's.
    """

    group = "unlabeled.probes"
    reads: ClassVar[Literal["pooled", "grid", "method"]] = "pooled"
    target: ClassVar[str] = "class"
    sees: ClassVar[tuple[str, ...]] = ("image", "clip", "wave")
    asks_method: ClassVar[bool] = False
    scores: ClassVar[Mapping[str, Metric]] = scores_of("", "top1")
    unsaid: ClassVar[Mapping[str, Any]] = {"labels": 1.0}
    labels: float = Field(default=1.0, gt=0.0, le=1.0)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Join the family, and make the scores known."""
        super().__pydantic_init_subclass__(**kwargs)
        if "name" in cls.__dict__:
            for score, metric in cls.scores.items():
                if metric_of(whole := f"{cls.name}/{score}") != metric:
                    declare([replace(metric, name=whole)])

    @property
    def key(self) -> str:
        """Its name in metrics where no other is called so: ``linear``, or with 1 % of the labels ``linear-1pct``.

        See :func:`keys` for several.
        """
        return self.name if self.labels == 1.0 else f"{self.name}-{100 * self.labels:g}pct"

    @property
    def protocol(self) -> str:
        """The probe's name, version and settings, to be kept beside every number it gives."""
        settings = ", ".join(
            f"{name} {value}"
            for name, value in self.flat().items()
            if name != "name" and (name, value) not in self.unsaid.items()
        )
        return f"{self.name}@{self.version}" + (f" ({settings})" if settings else "")

    @property
    def is_frozen(self) -> bool:
        """Whether it scores features as they are, by ``learn``; else the encoder or the method itself, by ``measure``.

        A kind that is both a :class:`FeatureProbe` and a :class:`MethodProbe` is told apart by its settings.
        """
        return isinstance(self, FeatureProbe)

    def at_size(self, items: int, classes: int) -> str:
        """Say what is done otherwise where it learns from so many items of so many classes; nothing if nothing is."""
        return ""

    def check(self, method: Method) -> None:
        """Raise UserError where the probe can't score this method."""


class FeatureProbe(ProbeConfig):
    """A probe on frozen features of any layer. Abstract; calling it measures.

    What it draws does not depend on the run's seed: equal features give equal scores.
    """

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
        field: what of the data the encoder sees.
        told: what the probe is told of them, the name of a field.
        shown: how what is scored is corrupted; what is learned from never is.
    """

    method: Method
    encoder: Encoder
    data: Data
    processor: Processor
    seed: int
    field: str = "image"
    told: str = "class"
    shown: Corruption | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes that it is told, by number."""
        return self.data.train.fields[self.told].classes

    def features(self, module: nn.Module, split: str) -> Features:
        """Return what a module makes of a split that is scored."""
        source = getattr(self.data, split)
        return extract(module, source, self.processor, field=self.field, told=self.told, shown=self.shown)


class MethodProbe(ProbeConfig):
    """A probe of a method as a whole. Abstract."""

    reads: ClassVar[Literal["pooled", "grid", "method"]] = "method"

    @abstractmethod
    def measure(self, subject: Subject, splits: tuple[str, ...]) -> Mapping[str, Mapping[str, float]]:
        """Return split -> short key ("top1") -> a fraction in [0, 1], for ``splits`` of the subject's data."""


def keys(probes: Sequence[ProbeConfig]) -> dict[ProbeConfig, str]:
    """Return what probes that measure the same run are called in metrics, a name for each.

    Those whose own names are equal get what differs from their defaults behind them, so that kNN by 5 and by 200
    neighbours are ``knn-neighbors-5`` and ``knn-neighbors-200``, and the default stays ``knn``.

    Raises:
        ValueError: a probe is listed twice.
    """
    if len(set(probes)) < len(probes):
        twice = next(probe for probe in probes if list(probes).count(probe) > 1)
        raise ValueError(f"{twice.protocol} is listed twice and would be measured once; leave one out")
    own = Counter(probe.key for probe in probes)
    found = {probe: probe.key if own[probe.key] == 1 else _long_key(probe) for probe in probes}
    for name, count in Counter(found.values()).items():
        if count > 1:
            alike = [probe for probe in probes if found[probe] == name]
            found |= {probe: f"{name}-{_digits(probe.canonical_json())}" for probe in alike}
    return found


def _long_key(probe: ProbeConfig) -> str:
    """Return a probe's name with the settings that differ from its defaults; long ones as a few digits of a hash."""
    usual: dict[str, Any] = {}
    with contextlib.suppress(ValidationError):  # it has no defaults
        usual = type(probe)().flat()
    words = [probe.key]
    for path, value in probe.flat().items():
        if path != "labels" and value != usual.get(path):
            text = re.sub(r"[^A-Za-z0-9._+]+", "-", str(value)).strip("-")
            words += [
                path,
                text if 0 < len(text) <= _MAX_VALUE else _digits(repr(value)),
            ]
    return "-".join(words)


def _digits(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:6]


def _sound(features: Features) -> Features:
    if not len(features):
        raise ValueError("there are no pictures with a label")
    check_finite(features.x)
    return features


def share_of_labels(labels_N: Tensor, share: float) -> Tensor:
    """Choose the first pictures of each class: int64 rows, in order; all of them for a share of 1.

    Args:
        labels_N: int64 [N], or masks, boxes and points [N, ...], which count as one class; splits are shuffled, so the
            first are a fair sample.
        share: in (0, 1]; each class gives that share of its pictures, rounded up.
    """
    if labels_N.ndim > 1:
        labels_N = torch.zeros(len(labels_N), dtype=torch.int64, device=labels_N.device)
    chosen = [
        rows[: math.ceil(round(share * len(rows), 6))]
        for rows in (torch.nonzero(labels_N == label).flatten() for label in labels_N.unique(sorted=True))  # type: ignore[no-untyped-call]
    ]
    return torch.cat(chosen).sort().values


def labelled_rows(source: Source, told: str, share: float) -> Tensor:
    """Return the rows that a probe may learn from, int64: a share of those that have what it is told."""
    known = source.rows[source.known(told)]
    return known[share_of_labels(source.tensor(known, told), share)]
