"""What a few seeds can say: intervals, differences paired by seed, and verdicts on published claims.

A study has two to five seeds, so everything here is exact for small samples: Student's t throughout (Student 1908),
differences paired by seed because two rows with one seed share their data order and whatever else the seed decides,
the effect size with Hedges' correction (Hedges 1981), and Holm's correction over the claims of a study (Holm 1979).
A claim that has no p value yet counts in that correction like one of p = 1: else a decision made while runs are still
out could be undone by the mere end of another row's, and looks at every arrival would decide falsely too often.
Student's t takes the differences to be roughly normal, which so few of them can't check. An interval speaks of other
seeds, not of other data or encoders.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import special, stats

from unlabeled.dashboards import counted
from unlabeled.dashboards.power import CHANCES, MOST_SEEDS, seeds_for, seeds_in_words
from unlabeled.dashboards.wording import count, probability
from unlabeled.platform.metrics import OURS, unit_of

LEVEL = 0.95
EQUAL_WITHIN = 1e-6  # relative: fractions are often means taken in float32, which are equal up to 6e-8

Decision = Literal["held", "smaller than claimed", "contradicted", "not decided"]


@dataclass(frozen=True)
class Interval:
    """A mean with its confidence interval; the bounds are NaN where the values can't give one.

    Attributes:
        mean: NaN where there are no values.
        low: the interval's lower bound.
        high: its upper bound.
        n: how many values it comes from.
    """

    mean: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class PairedDifference:
    """The difference of two rows over the seeds that both have.

    Attributes:
        interval: of the mean difference.
        spread: standard deviation of the differences over seeds; NaN for one seed, 0 where they are equal.
        p: two-sided, of a mean difference equal to the bound it was tested against.
        effect_size: Hedges' g of the paired differences: their mean over their spread, corrected for few seeds. NaN
            below three seeds, for which the correction leaves nothing.
    """

    interval: Interval
    spread: float
    p: float
    effect_size: float

    @property
    def n(self) -> int:
        """How many seeds both rows have."""
        return self.interval.n


@dataclass(frozen=True)
class Verdict:
    """What the runs say of a claim.

    Attributes:
        claim: the claim as recorded.
        decision: ``held``; ``smaller than claimed``, where the claim asks for a size, and the mean has its sign but all
            of the interval lies below; ``contradicted``; or ``not decided``.
        reason: why, in one sentence with numbers in the measure's unit.
        difference: higher minus lower, with its interval.
        p: two-sided, of a difference equal to what the claim asks for at least.
        p_adjusted: the same after Holm's correction; equal to ``p`` where none was applied.
        effect_size: Hedges' g of the paired differences.
        n: seeds that both rows have.
        spread: of the differences over seeds; NaN below two seeds.
        seeds_to_decide: how many decide with a power of 80 % if the true mean and spread are those seen here; None
            where the claim is decided, where the seeds give no spread, or beyond ``MOST_SEEDS``.
    """

    claim: Mapping[str, Any]
    decision: Decision
    reason: str
    difference: Interval
    p: float
    p_adjusted: float
    effect_size: float
    n: int
    spread: float
    seeds_to_decide: int | None

    @property
    def label(self) -> str:
        """What a badge says: a claim that asks for no size can hold in its direction only, whatever was published."""
        if self.decision != "held" or self.claim["at_least"]:
            return self.decision
        published = self.claim.get("published_difference")
        if published is not None and self.difference.high < published:
            return "direction held, smaller than published"
        return "direction held"

    @property
    def is_ours(self) -> bool:
        """Whether no paper makes the claim."""
        return is_ours(self.claim)

    @property
    def published(self) -> str:
        """The size that the source gives, in its own words or as a number; empty where it gives none."""
        return published_of(self.claim)

    @property
    def sizes(self) -> str:
        """The published size beside the measured one."""
        unit, mean = unit_of(self.claim["measure"]), self.difference.mean
        here = f"measured here: {unit.difference(mean)}" if math.isfinite(mean) else "not measured here yet"
        if self.is_ours:
            return f"Ours, published nowhere; {here}."
        return f"Published: {self.published or 'without a size'}; {here}."

    @property
    def leaning(self) -> str:
        """Which way the mean leans where the seeds have not decided; empty where it does not."""
        if self.decision != "not decided" or math.isnan(self.difference.mean):
            return ""
        return _leaning(self.difference.mean, float(self.claim["at_least"]))


def is_ours(claim: Mapping[str, Any]) -> bool:
    """Tell whether no paper makes a claim."""
    return str(claim["source"]).strip().lower() == OURS


def published_of(claim: Mapping[str, Any]) -> str:
    """Return the size that a claim's source gives, in its own words or as a number; empty where it gives none."""
    number = claim.get("published_difference")
    words = str(claim["published"]).rstrip(".")
    return words or ("" if number is None else unit_of(claim["measure"]).difference(number))


def mean_interval(values: Iterable[float], level: float = LEVEL) -> Interval:
    """Return the mean with Student's interval at a level; NaN among the values are left out.

    One value has no interval, and neither have equal values: no spread was seen, which is not the same as certainty.
    """
    return _interval(_present(values), level)[0]


def paired_difference(
    higher: "pd.Series[float]", lower: "pd.Series[float]", bound: float = 0.0, level: float = LEVEL
) -> PairedDifference:
    """Compare two rows, each a series by seed, on the seeds that both have.

    The test is two-sided, because a claim can be contradicted as well as hold: p is below ``1 - level`` exactly where
    the interval leaves ``bound`` out. With one seed, or with equal differences, there is no interval and no p value.
    """
    both = pd.concat([higher, lower], axis="columns", keys=["higher", "lower"], join="inner").dropna()
    differences = (both["higher"] - both["lower"]).to_numpy(dtype=float)
    scale = float(np.abs(both.to_numpy(dtype=float)).max(initial=0.0))
    interval, spread = _interval(differences, level, scale)
    if not spread > 0:
        return PairedDifference(interval, spread, math.nan, math.nan)
    n = interval.n
    t = (interval.mean - bound) / (spread / math.sqrt(n))
    effect_size = interval.mean / spread * _few_seeds_correction(n - 1)
    return PairedDifference(interval, spread, float(2 * stats.t.sf(abs(t), n - 1)), effect_size)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p values corrected for being several, by Holm's step-down method; NaN stay NaN, and count as 1.

    So a corrected value never grows when another test gets its p value, or a smaller one.

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    >>> holm([0.01, float("nan"), float("nan")])
    [0.03, nan, nan]
    """
    adjusted = [math.nan] * len(p_values)
    largest = 0.0
    for index, factor in _holm_factors(p_values).items():  # from the smallest p value to the largest
        largest = max(largest, min(1.0, factor * p_values[index]))
        adjusted[index] = largest
    return adjusted


def verdict(claim: Mapping[str, Any], runs: pd.DataFrame, level: float = LEVEL) -> Verdict:
    """Judge one claim by itself, without a correction for other claims; see :func:`verdicts`.

    Raises:
        UserError: the rows were measured by different protocols.
    """
    return verdicts([claim], runs, level)[0]


def verdicts(
    claims: Sequence[Mapping[str, Any]],
    runs: pd.DataFrame,
    level: float = LEVEL,
    correct_for_several: bool = True,
) -> list[Verdict]:
    """Judge a study's claims on differences paired by seed.

    A claim held if the whole interval of ``higher`` minus ``lower`` lies above ``at_least``. If the whole interval lies
    below, it is smaller than claimed where the mean is above zero, else contradicted. Otherwise it is not decided. With
    ``correct_for_several`` the p value must stand after Holm's correction too, so that the chance of any wrong decision
    in the study stays at ``1 - level`` or less, for seeds whose number does not depend on what they showed.

    Args:
        claims: all of the study that are judged, whether or not their runs are done; with ``higher``, ``lower``,
            ``measure``, ``lower_measure`` and ``at_least`` (in the measure's unit).
        runs: one row per run, as ``dashboards.frames`` returns them.
        level: of the intervals.
        correct_for_several: apply Holm's correction.

    Raises:
        UserError: the rows were measured by different protocols.
    """
    wanted = {claim[of] for claim in claims for of in ("measure", "lower_measure")}
    by_seed = {measure: counted.scores(runs, measure) for measure in wanted}
    nothing = pd.Series(dtype="float64")
    differences = [
        paired_difference(
            by_seed[claim["measure"]].get(claim["higher"], nothing),
            by_seed[claim["lower_measure"]].get(claim["lower"], nothing),
            claim["at_least"],
            level,
        )
        for claim in claims
    ]
    p_values = [difference.p for difference in differences]
    adjusted = holm(p_values) if correct_for_several else p_values
    bounds = [float(claim["at_least"]) for claim in claims]
    factors = _holm_factors(p_values) if correct_for_several else {}
    levels = [1 - (1 - level) / factors.get(index, 1) for index in range(len(claims))]
    seeds = [_seeds_to_decide(*each) for each in zip(differences, bounds, levels, strict=True)]
    before = 0  # Holm's method decides in the order of p values, and ends at the first that is not decided
    for index in factors:
        before = seeds[index] = max(before, seeds[index])
    return [_judge(*each, level) for each in zip(claims, differences, adjusted, seeds, strict=True)]


def _judge(
    claim: Mapping[str, Any], difference: PairedDifference, p_adjusted: float, enough: int, level: float
) -> Verdict:
    interval, bound = difference.interval, float(claim["at_least"])
    decision: Decision = "not decided"
    if p_adjusted < 1 - level:
        if interval.low > bound:
            decision = "held"
        elif interval.high < bound:
            decision = "smaller than claimed" if interval.mean > 0 else "contradicted"
    seeds = enough if decision == "not decided" and difference.spread > 0 and enough <= MOST_SEEDS else None
    return Verdict(
        claim=claim,
        decision=decision,
        reason=_reason(claim, difference, decision, p_adjusted, seeds, level),
        difference=interval,
        p=difference.p,
        p_adjusted=p_adjusted,
        effect_size=difference.effect_size,
        n=interval.n,
        spread=difference.spread,
        seeds_to_decide=seeds,
    )


def _reason(
    claim: Mapping[str, Any],
    difference: PairedDifference,
    decision: Decision,
    p_adjusted: float,
    seeds: int | None,
    level: float,
) -> str:
    interval, bound, unit = difference.interval, float(claim["at_least"]), unit_of(claim["measure"])
    rows = f"{claim['higher']} minus {claim['lower']}"
    if claim["lower_measure"] != claim["measure"]:
        rows = f"{claim['measure']} of {claim['higher']} minus {claim['lower_measure']} of {claim['lower']}"
    if interval.n < 2:
        found = "none did" if interval.n == 0 else f"one did ({unit.difference(interval.mean)})"
        return f"{rows} needs at least two seeds that finished in both rows, and {found}."
    if difference.spread == 0:
        return (
            f"{rows} is {unit.difference(interval.mean)} in each of {interval.n} seeds: equal differences have no "
            "spread to judge by, so make sure that the seed reaches the run, or run more seeds."
        )
    goal = "zero" if bound == 0 else f"the {unit.difference(bound)} claimed"
    found = (
        f"{rows} is {unit.difference(interval.mean)}, {100 * level:g} % interval {unit.signed(interval.low)} to "
        f"{unit.signed(interval.high)} over {count(interval.n, 'seed')}"
    )
    if decision == "smaller than claimed":
        return f"{found}: all of it lies below {goal}, and {'' if interval.low > 0 else 'its mean '}above zero."
    if decision != "not decided":
        return f"{found}: all of it lies {'above' if decision == 'held' else 'below'} {goal}."
    if interval.low > bound or interval.high < bound:
        why = f"clear of {goal} by itself, but not after Holm's correction ({probability(p_adjusted)})"
    else:
        why = f"{goal} lies inside"
    leaning = _leaning(interval.mean, bound)
    leans = f"the mean leans {leaning}" if leaning else "the mean leans neither way"
    return (
        f"{found}: {why}. {leans.capitalize()}; if the difference is what was measured, it takes "
        f"{seeds_in_words(seeds)} to decide in {CHANCES}, and {count(interval.n, 'seed')} can tell "
        "no more than the order of magnitude."
    )


def _leaning(mean: float, bound: float) -> str:
    if mean == bound:
        return ""
    return "towards the claim" if mean > bound else "towards less than is claimed" if mean > 0 else "against the claim"


def _present(values: Iterable[float]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    array = np.fromiter((float(value) for value in values), dtype=np.float64)
    return array[~np.isnan(array)]


def _interval(
    values: np.ndarray[tuple[int], np.dtype[np.float64]], level: float, scale: float = 0.0
) -> tuple[Interval, float]:
    """Return the interval and the standard deviation; ``scale`` is the size of what the values were computed from."""
    n = len(values)
    if n == 0:
        return Interval(math.nan, math.nan, math.nan, 0), math.nan
    mean = float(values.mean())
    if n == 1:
        return Interval(mean, math.nan, math.nan, 1), math.nan
    if np.ptp(values) <= EQUAL_WITHIN * max(scale, float(np.abs(values).max())):
        return Interval(mean, math.nan, math.nan, n), 0.0
    spread = float(values.std(ddof=1))
    half = float(stats.t.ppf((1 + level) / 2, n - 1)) * spread / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, n), spread


def _few_seeds_correction(freedom: int) -> float:
    """Return Hedges' exact J, about 1 - 3 / (4 m - 1); NaN for one degree of freedom, where it is 0."""
    if freedom < 2:
        return math.nan
    log_ratio = special.gammaln(freedom / 2) - special.gammaln((freedom - 1) / 2)
    return float(np.exp(log_ratio) / math.sqrt(freedom / 2))


def _holm_factors(p_values: Sequence[float]) -> dict[int, int]:
    """Return index -> by how much Holm's method multiplies that p value, smallest first; NaN count but are left out."""
    order = sorted((index for index, p in enumerate(p_values) if not math.isnan(p)), key=lambda index: p_values[index])
    return {index: len(p_values) - rank for rank, index in enumerate(order)}


def _seeds_to_decide(difference: PairedDifference, bound: float, level: float) -> int:
    """Return how many seeds have a power of 80 % at this mean and spread; more than MOST_SEEDS: none.

    Without a spread nothing is known of more seeds, and nothing holds others up.
    """
    if not difference.spread > 0:
        return 0
    return seeds_for(abs(difference.interval.mean - bound) / difference.spread, level)
