"""Verdicts on published claims: what the runs of a study say of each, by differences paired by seed."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from unlabeled.dashboards import counted
from unlabeled.dashboards.inference import LEVEL, Interval, PairedDifference, holm, holm_factors, paired_difference
from unlabeled.dashboards.power import CHANCES, MAX_SEEDS, seeds_for, seeds_in_words
from unlabeled.dashboards.wording import count, probability
from unlabeled.platform.metrics import OURS, unit_of

Decision = Literal["held", "smaller than claimed", "contradicted", "not decided"]


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
            where the claim is decided, where the seeds give no spread, or beyond ``MAX_SEEDS``.
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
    factors = holm_factors(p_values) if correct_for_several else {}
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
    seeds = enough if decision == "not decided" and difference.spread > 0 and enough <= MAX_SEEDS else None
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


def _seeds_to_decide(difference: PairedDifference, bound: float, level: float) -> int:
    """Return how many seeds have a power of 80 % at this mean and spread; more than MAX_SEEDS: none.

    Without a spread nothing is known of more seeds, and nothing holds others up.
    """
    if not difference.spread > 0:
        return 0
    return seeds_for(abs(difference.interval.mean - bound) / difference.spread, level)
