"""What a measured number means: its unit, which way is better, what it says, how it is written and what may be claimed.

This is the one place that knows. A metric is found by the end of its name, so that ``test/head/linear/top1`` is what
``linear/top1`` is declared to be, and ``test/linear-1pct/top1`` what any ``top1`` is. Fractions are read as percentages
and compared in points; all else is read as logged. What is not declared here (a method's own log, a score of a probe
that another package brings before it is loaded) has the unit that its name ends in: ``_seconds``, ``_mb``.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

ABSENT = "—"
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


@dataclass(frozen=True)
class Unit:
    """How values of a metric, and differences of them, are written.

    Attributes:
        word: behind a value: "MB"; empty for plain numbers.
        difference_word: behind a difference: "points".
        is_fraction: values lie between 0 and 1 and are read as percentages.
    """

    word: str = ""
    difference_word: str = ""
    is_fraction: bool = False

    def value(self, value: float) -> str:
        """Write a value.

        >>> unit_of("test/knn/top1").value(0.8461), unit_of("system/training_memory_mb").value(812.4)
        ('84.6 %', '812 MB')
        """
        text = percent(value) if self.is_fraction else number(value)
        return text if self.is_fraction or text == ABSENT else f"{text} {self.word}".strip()

    def signed(self, difference: float) -> str:
        """Write a difference with its sign, without the unit.

        >>> unit_of("test/knn/top1").signed(0.025), unit_of("train/seconds").signed(-3.216)
        ('+2.5', '−3.22')
        """
        if self.is_fraction or not math.isfinite(difference):
            return points(difference)
        text = number(abs(difference))
        sign = "" if float(text.replace(",", "")) == 0 else "+" if difference > 0 else "−"
        return sign + text

    def difference(self, difference: float) -> str:
        """Write a difference with its sign and unit.

        >>> unit_of("test/knn/top1").difference(0.025), unit_of("health/rankme").difference(12.0)
        ('+2.5 points', '+12')
        """
        text = self.signed(difference)
        return text if text == ABSENT else f"{text} {self.difference_word}".strip()

    def axis(self, value: float, _position: int | None = None) -> str:
        """Write a tick of an axis, as matplotlib asks for it."""
        return f"{100 * value:.4g} %" if self.is_fraction else f"{value:,.6g}".replace("-", "−")


FRACTION = Unit("%", "points", is_fraction=True)
PLAIN = Unit()
SECONDS, MEGABYTES, PER_SECOND, NATS, BITS = (Unit(word, word) for word in ("s", "MB", "/s", "nats", "bits"))
_ENDINGS = {"_per_second": PER_SECOND, "seconds": SECONDS, "_mb": MEGABYTES}  # of names that nobody declared

ONCE: Final = ("test", "validation", "untrained", "system")
"""Areas of metrics that a run has one value of; others have one for each epoch."""
WITHIN_EPOCHS: Final = "steps/loss"  # logged by steps, all others by epochs or once
AREAS: Final = ("train", "health", "search", "steps", *ONCE)
"""Areas of names that are the engine's, so that no method's log may be in them."""

Direction = Literal["higher", "lower"]


@dataclass(frozen=True)
class Metric:
    """What one number is.

    Attributes:
        name: as it is logged, or the end of it: ``health/rankme``, ``linear/top1``, ``top1``.
        unit: how it is written.
        direction: which way is better; None where neither is, or it depends.
        meaning: in a sentence or two, for people.
    """

    name: str
    unit: Unit = PLAIN
    direction: Direction | None = None
    meaning: str = ""


def _score(name: str, meaning: str) -> Metric:
    return Metric(name, FRACTION, "higher", meaning)


def _cost(name: str, unit: Unit, meaning: str) -> Metric:
    return Metric(name, unit, "lower", meaning)


_METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            "train/loss",
            direction="lower",
            meaning="The pretraining loss. Rows that differ in loss, temperature or batch size have losses on "
            "different scales.",
        ),
        Metric(WITHIN_EPOCHS, PLAIN, "lower", "The loss within epochs, a mean over the steps since the point before."),
        Metric("train/learning_rate", meaning="The learning rate, a mean over the epoch's steps."),
        Metric("train/gradient_norm", meaning="The length of the gradient before it is clipped."),
        _cost("train/seconds", SECONDS, "The time of an epoch's steps."),
        Metric("train/images_per_second", PER_SECOND, "higher", "Pictures trained on a second, each once a step."),
        _score(
            "contrast/top1",
            "How often the positive is nearest among all keys: how well the pretext task is solved, not how good the "
            "features are.",
        ),
        Metric(
            "distill/spread",
            direction="higher",
            meaning="How much the directions of the teacher's outputs vary over images: 0 is collapse, 1 is even.",
        ),
        Metric("nats", NATS, meaning="What it costs to tell it."),
        _cost("bits_per_dim", BITS, "A bound on a number of a picture, of 256 levels: 8 is to know nothing."),
        _cost(
            "bits_given_code", BITS, "What a number of a picture costs once its code is known, which is not counted."
        ),
        Metric("tokenizer/in_use", meaning="How many tokens are in use: the exponential of their entropy."),
        _cost("bits_per_token", BITS, "What a token costs, told from those before it."),
        Metric("entropy", NATS, meaning="The entropy of a choice."),
        Metric("mutual_information_bound", NATS, meaning="A lower bound of the information that two views share."),
        Metric(
            "health/rankme",
            direction="higher",
            meaning="RankMe, the effective rank of the features (Garrido et al. 2023); towards 1 is collapse.",
        ),
        Metric(
            "health/deviation",
            direction="higher",
            meaning="Spread of unit features over images (Chen, He 2021): 0 is collapse, 1 is even.",
        ),
        Metric(  # no direction: it is perfect of features that are all the same
            "health/alignment",
            meaning="Mean squared distance of two views of an image (Wang, Isola 2020): 0 is perfect alignment.",
        ),
        Metric(
            "health/uniformity",
            direction="lower",
            meaning="Log potential of unit features (Wang, Isola 2020): 0 is collapse, lower is more even.",
        ),
        _cost("system/wall_seconds", SECONDS, "The time of the whole run, evaluation and checkpoints included."),
        _cost("system/cpu_seconds", SECONDS, "Processor time of the whole run."),
        _cost(
            "system/training_seconds",
            SECONDS,
            "in training steps, their views included; not in evaluation and checkpoints",
        ),
        _cost("system/peak_memory_mb", MEGABYTES, "The most memory that the run took at any time."),
        _cost(
            "system/training_memory_mb",
            MEGABYTES,
            "what the steps after the first add to the process, and the size of weights, gradients and the optimiser's "
            "state (of a GPU: its tensors)",
        ),
        Metric("system/encoder_parameters", meaning="Numbers in the encoder."),
        _cost("search/images_seen", PLAIN, "Pictures trained on until the trial ended."),
        _score("top1", "How often the answer is right."),
        _score("top5", "How often the answer is among the five likeliest."),
        _score("accuracy", "How often the answer is right."),
        _score("knn/top1", "Nearest neighbours on frozen features."),
        _score("linear/top1", "A linear probe on frozen features."),
        Metric("converged", meaning="1 where the solution met its tolerance."),
        _score("kmeans/top1", "The best matching of clusters to classes."),
        Metric("nmi", direction="higher", meaning="Mutual information of clusters and classes, over their entropy."),
        Metric("ari", direction="higher", meaning="The Rand index of clusters and classes; 0 is chance."),
        _score("fine-tune/top1", "The encoder trained further on labels."),
        _score("zero-shot/top1", "The nearest name of a class."),
        _score("classifier/top1", "The method's own classifier."),
        _score("miou", "Intersection over union of each class's pixels, a mean over the classes that are there."),
        _score("segment/accuracy", "How often a pixel's class is right."),
        _score("ap50", "Average precision of boxes that overlap by half, a mean over the classes that are there."),
        _score("jaccard", "Overlap of an object with where it was followed to, as intersection over union."),
        _score("boundary", "How well an object's outline was followed, as the F measure of its boundary."),
        _score("pck", "Points followed to within a tenth of the picture's longer side."),
        _score("frames/top1", "A linear probe of single frames."),
    )
}


def metric_of(name: str) -> Metric:
    """Return what is declared of a metric, by the longest end of its name that is known.

    >>> metric_of("test/head/linear/top1").meaning, metric_of("untrained/zero-shot-prompts/top1").direction
    ('A linear probe on frozen features.', 'higher')
    >>> metric_of("bank/fetch_seconds").unit.word, metric_of("bank/fetch_seconds").direction
    ('s', None)
    """
    parts = name.split("/")
    for start in range(len(parts)):
        if (found := _METRICS.get("/".join(parts[start:]))) is not None:
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
        known = _METRICS.setdefault(metric.name, metric)
        if known != metric:
            raise ValueError(f"the metric {metric.name!r} is declared already, as {known}; give it another name")


def in_area(area: str) -> tuple[str, ...]:
    """Return the names of the metrics that are declared in an area.

    >>> in_area("health")
    ('health/rankme', 'health/deviation', 'health/alignment', 'health/uniformity')
    """
    return tuple(name for name in _METRICS if name.startswith(f"{area}/"))


def percent(fraction: float) -> str:
    """Write a fraction as a percentage.

    >>> percent(0.8461)
    '84.6 %'
    """
    return f"{100 * fraction:.1f} %" if math.isfinite(fraction) else ABSENT


def points(difference: float) -> str:
    """Write a difference of two fractions in points, with its sign; below a tenth of a point with one digit more.

    >>> points(0.025), points(-0.0004), points(0.0)
    ('+2.5', '−0.04', '0.0')
    """
    if not math.isfinite(difference):
        return ABSENT
    size = abs(100 * difference)
    text = f"{size:.2f}" if 0 < size < 0.1 else f"{size:.1f}"
    sign = "" if float(text) == 0 else "+" if difference > 0 else "−"
    return sign + text


def number(value: float) -> str:
    """Write a plain number with three significant digits, large ones in whole thousands groups.

    >>> number(0.03214), number(12345.6), number(float("nan"))
    ('0.0321', '12,346', '—')
    """
    if not math.isfinite(value):
        return ABSENT
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def duration(seconds: float) -> str:
    """Write a length of time in the unit that people would use.

    >>> duration(41.2), duration(412), duration(7300), duration(float("nan"))
    ('41 s', '6 min 52 s', '2 h 1 min', '—')
    """
    if not math.isfinite(seconds):
        return ABSENT
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
