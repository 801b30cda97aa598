"""What a measured number means: its unit, which way is better, what it says, how it is written and what may be claimed.

This is the one place that knows. A metric is found by the end of its name, so that ``test/head/linear/top1`` is what
``linear/top1`` is declared to be, and ``test/linear-1pct/top1`` what any ``top1`` is. Fractions are read as percentages
and compared in points; all else is read as logged. What is not declared in ``known`` (a method's own log, a score of a
probe that another package brings before it is loaded) has the unit that its name ends in: ``_seconds``, ``_mb``.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from unlabeled.platform.metrics.known import METRICS, WITHIN_EPOCHS, Metric
from unlabeled.platform.metrics.units import (
    ABSENT,
    FRACTION,
    MEGABYTES,
    PER_SECOND,
    PLAIN,
    SECONDS,
    Unit,
    duration,
    number,
)

__all__ = [
    "ABSENT",
    "AREAS",
    "BEST",
    "COLLAPSE",
    "DIFFERENCE",
    "DOUBLE_DIFFERENCE",
    "FRACTION",
    "NEGLIGIBLE",
    "NO_DIFFERENCE",
    "ONCE",
    "ORDER",
    "OURS",
    "WITHIN_EPOCHS",
    "Metric",
    "Unit",
    "declare",
    "duration",
    "in_area",
    "metric_of",
    "number",
    "scores_of",
    "unit_of",
]
OURS: Final = "ours"
"""The source of a claim that no paper makes: it is what its study asks by itself."""
DIFFERENCE: Final = "difference"
"""The kind of claim that one row measures more than another; the other kinds are below."""
NO_DIFFERENCE: Final = "no difference"
DOUBLE_DIFFERENCE: Final = "difference of differences"
ORDER: Final = "order"
BEST: Final = "best in a set"
COLLAPSE: Final = "collapse"
NEGLIGIBLE: Final = 0.01
"""What is too small to matter of a fraction, unless a claim says otherwise: one point."""

_ENDINGS = {"_per_second": PER_SECOND, "seconds": SECONDS, "_mb": MEGABYTES}  # of names that nobody declared

ONCE: Final = ("test", "validation", "untrained", "system")
"""Areas of metrics that a run has one value of; others have one for each epoch."""
AREAS: Final = ("train", "health", "search", "steps", *ONCE)
"""Areas of names that are the engine's, so that no method's log may be in them."""


def metric_of(name: str) -> Metric:
    """Return what is declared of a metric, by the longest end of its name that is known.

    >>> metric_of("test/head/linear/top1").meaning, metric_of("untrained/zero-shot-prompts/top1").direction
    ('A linear probe on frozen features.', 'higher')
    >>> metric_of("bank/fetch_seconds").unit.word, metric_of("bank/fetch_seconds").direction
    ('s', None)
    """
    parts = name.split("/")
    for start in range(len(parts)):
        if (found := METRICS.get("/".join(parts[start:]))) is not None:
            return found
    return Metric(name, next((unit for ending, unit in _ENDINGS.items() if name.endswith(ending)), PLAIN))


def scores_of(probe: str, *scores: str) -> Mapping[str, Metric]:
    """Return what a probe's scores are declared as here: score -> metric."""
    return {score: metric_of(f"{probe}/{score}") for score in scores}


def unit_of(metric: str) -> Unit:
    """Return the unit of a metric."""
    return metric_of(metric).unit


def declare(metrics: Iterable[Metric]) -> None:
    """Make metrics known: those of a probe that another package brings, each by its whole name.

    Raises:
        ValueError: one is known already, and as something else.
    """
    for metric in metrics:
        known = METRICS.setdefault(metric.name, metric)
        if known != metric:
            raise ValueError(f"the metric {metric.name!r} is declared already, as {known}; give it another name")


def in_area(area: str) -> tuple[str, ...]:
    """Return the names of the metrics that are declared in an area.

    >>> in_area("health")
    ('health/rankme', 'health/deviation', 'health/alignment', 'health/uniformity')
    """
    return tuple(name for name in METRICS if name.startswith(f"{area}/"))
