"""Verdicts on published claims: what the runs of a study say of each, and how sure that is."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from unlabeled.dashboards import counted, reasons
from unlabeled.dashboards.comparisons import (
    Comparison,
    Tables,
    correlations,
    identity,
    rising,
    tables_of,
)
from unlabeled.dashboards.decisions import Decision, Judged, both, has_side, main_decision, side_decision
from unlabeled.dashboards.inference import LEVEL, Interval, few_seeds_correction
from unlabeled.dashboards.power import seeds_to_decide
from unlabeled.dashboards.rates import Design, Look, step_down
from unlabeled.dashboards.tested import at_look, digests_of
from unlabeled.platform.metrics import NO_DIFFERENCE, OURS, unit_of

SIDE_SHARE = 0.1  # of a study's rate, for what a claim does not ask: that a claimed difference is none

__all__ = ["Decision", "Verdict", "judge", "verdict", "verdicts"]


@dataclass(frozen=True)
class Verdict:
    """What the runs say of a claim.

    Attributes:
        claim: the claim as recorded.
        decision: ``held``; ``contradicted``; ``no difference``, where all of the interval is negligible; ``smaller than
            claimed``, where the claim asks for a size that all of the interval lies below; or ``not decided``.
        reason: why, in a sentence or two with numbers in the measure's unit.
        difference: the claim's contrast with its 95 % interval, by itself.
        deciding: the same with the interval that decides what the claim asks, in view of the study's other claims and
            looks; of a claimed absence, that of the two one-sided tests.
        level: two-sided, of the deciding interval; 0 where the design decides nothing with these seeds.
        p: two-sided, of a contrast equal to what the claim asks for at least, by itself.
        effect_size: Hedges' g: the contrast over its spread, corrected for few seeds.
        n: seeds that all rows of the claim have.
        spread: of the contrast over seeds, as the model has it; NaN below two seeds.
        freedom: degrees of freedom of the model's error.
        model: what the error is taken from.
        why: why that model.
        tau: of an order of rows: Kendall's tau with the true means, and its interval; None for other kinds.
        seeds_to_decide: how many decide with a power of 80 % if the true contrast and spread are those seen here; None
            where the claim is decided, where the seeds give no spread, or where no number that may decide does.
        decided_earlier: seeds at the earlier look that has decided; 0 where this one does, or none.
    """

    claim: Mapping[str, Any]
    decision: Decision
    reason: str
    difference: Interval
    deciding: Interval
    level: float
    p: float
    effect_size: float
    n: int
    spread: float
    freedom: float
    model: str
    why: str
    tau: Interval | None
    seeds_to_decide: int | None
    decided_earlier: int = 0

    @property
    def label(self) -> str:
        """What a badge says: a claim that asks for no size can hold in its direction only, whatever was published."""
        if self.decision != "held" or self.claim["at_least"] or not reasons.is_directed(self.claim):
            return self.decision
        return f"direction held{', smaller than published' if self.size == 'smaller than published' else ''}"

    @property
    def direction(self) -> str:
        """Which way the contrast is shown to be: ``as claimed``, ``reversed``, or ``open``."""
        if self.deciding.low > 0:
            return "as claimed"
        return "reversed" if self.deciding.high < 0 else "open"

    @property
    def size(self) -> str:
        """How the contrast compares with the published one, on the same scale; empty where none is published."""
        published = self.claim.get("published_difference")
        if published is None or not reasons.is_directed(self.claim):
            return ""
        if self.deciding.high < published:
            return "smaller than published"
        return "at least as large as published" if self.deciding.low >= published else "open"

    @property
    def answers(self) -> str:
        """Direction and size, which are two answers; empty where a claim is not of that kind, or nothing is known."""
        if not reasons.is_directed(self.claim) or not self.difference.n or self.level <= 0:
            return ""
        size = f"; size: {self.size}" if self.size else ""
        return f"Direction: {self.direction}{size}."

    @property
    def is_ours(self) -> bool:
        """Whether no paper makes the claim."""
        return str(self.claim["source"]).strip().lower() == OURS

    @property
    def published(self) -> str:
        """The size that the source gives, in its own words or as a number; empty where it gives none."""
        number = self.claim.get("published_difference")
        words = str(self.claim["published"]).rstrip(".")
        return words or ("" if number is None else unit_of(self.claim["measure"]).difference(number))

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
        """Which way the contrast leans where the seeds have not decided; empty where it does not."""
        if self.decision != "not decided" or math.isnan(self.difference.mean):
            return ""
        return reasons.leaning(self.claim, self.difference.mean)


def judge(
    record: Mapping[str, Any], runs: pd.DataFrame, looks: Sequence[Look] = (), when: str = ""
) -> tuple[list[Verdict], Look]:
    """Judge a study's claims, and say what to write down of this look, so that the next one knows of it.

    With earlier looks, the first one's design stays (:class:`unlabeled.dashboards.rates.Design`), and what a look has
    decided stays decided. A look at the same claims with as many runs is this one, made again.

    Args:
        record: of the study, as :func:`unlabeled.dashboards.declared.declared` reads it.
        runs: one row per run.
        looks: those before, the oldest first; :mod:`unlabeled.dashboards.looking` knows them.
        when: this look's time in UTC, as ISO 8601; now, where none is given.

    Raises:
        UserError: the rows were measured by different protocols.
    """
    first = looks[0].first if looks else len(record["seeds"])
    fixed = looks[0].fixed if looks else bool(record.get("fixed"))
    design = Design(first, fixed=fixed) if first else None
    found = verdicts(record["claims"], runs, design=design, looks=looks, rows=list(record.get("rows", ())))
    seeds = tuple(sorted({int(seed) for seed in counted.counted(runs)["seed"].dropna()}))
    digests = digests_of(runs)
    said = {
        identity(one.claim, digests): {"n": one.n, "level": float(f"{one.level:.4g}"), "decision": one.decision}
        for one in found
    }
    when = when or f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return found, Look(when, first, seeds, said, fixed, len(counted.counted(runs)))


def verdict(claim: Mapping[str, Any], runs: pd.DataFrame, level: float = LEVEL) -> Verdict:
    """Judge one claim by itself, as if it were its study's only one; see :func:`verdicts`.

    Raises:
        UserError: the rows were measured by different protocols.
    """
    return verdicts([claim], runs, level)[0]


def verdicts(
    claims: Sequence[Mapping[str, Any]],
    runs: pd.DataFrame,
    level: float = LEVEL,
    design: Design | None = None,
    looks: Sequence[Look] = (),
    rows: Sequence[str] = (),
) -> list[Verdict]:
    """Judge a study's claims by one model of its rows and seeds.

    The chance of any false decision, over all claims and all looks that the design allows, is at most ``1 - level``.
    A claim's own question has nine tenths of that rate: does the difference lie above what is asked for, or below; is a
    claimed absence negligible. The other question (is a claimed difference negligible, a claimed absence a difference)
    has the rest, as both could be decided falsely. Within each, claims that share rows are tested together and step
    down. A study of one claim has the whole rate for either, of which one null hypothesis is true at most.

    Args:
        claims: all of the study, whether or not their runs are done, as recorded.
        runs: one row per run, as ``dashboards.frames`` returns them.
        level: 1 minus the study's error rate.
        design: when claims are looked at; None takes this look for the only one, with whatever seeds there are.
        looks: earlier ones.
        rows: that all have the first look's seeds, finished or failed, before it is made.

    Raises:
        UserError: the rows were measured by different protocols.
    """
    tables = {measure: counted.scores(runs, measure) for measure in tables_of(claims)}
    at = at_look(claims, tables, runs, design, looks, rows)
    judged, names, older = at.judged, at.names, at.older
    rate = 1 - level
    side = [place for place, one in enumerate(judged) if has_side(one.claim)]
    split = len(judged) > 1 and bool(side)
    correlation = correlations([one.compared for one in judged])
    earlier = [place for place, name in enumerate(names) if name in older]
    main_rates = step_down(
        [_falls(main_decision, one) for one in judged], correlation, rate * (1 - SIDE_SHARE * split), earlier
    )
    of_side = step_down(
        [_falls(side_decision, judged[place]) for place in side],
        correlation[np.ix_(side, side)],
        rate * (SIDE_SHARE if split else 1.0),
        [at for at, place in enumerate(side) if place in earlier],
    )
    side_rates = dict(zip(side, of_side, strict=True))
    return [
        _verdict(
            one,
            main_rates[place],
            side_rates.get(place, 0.0),
            len(judged),
            level,
            tables,
            at.before.get(names[place]),
            is_older=names[place] in older,
        )
        for place, one in enumerate(judged)
    ]


def _falls(decides: Callable[[Judged, float], Decision | None], one: Judged) -> Callable[[float], bool]:
    return lambda rate: decides(one, rate) is not None


def _verdict(
    one: Judged,
    main_rate: float,
    side_rate: float,
    num_claims: int,
    level: float,
    tables: Tables,
    said: Mapping[str, Any] | None,
    is_older: bool,
) -> Verdict:
    claim, compared = one.claim, one.compared
    decision, earlier = both(one, main_rate, side_rate), 0
    if said is not None and (is_older or said["decision"] != decision):
        decision, earlier = said["decision"], int(said["n"])
    alone, now = compared.interval(1 - level), one.level(main_rate)
    tau, more = rising(claim, tables), None
    if decision == "not decided":
        more = seeds_to_decide(claim, compared, one.design, main_rate, side_rate)
    return Verdict(
        claim=claim,
        decision=decision,
        reason=reasons.reason(one, decision, alone, now, num_claims, more, earlier, tau, level),
        difference=alone,
        deciding=one.of_none(main_rate) if claim["kind"] == NO_DIFFERENCE else one.interval(main_rate),
        level=now,
        p=compared.p(float(claim["at_least"])),
        effect_size=_effect_size(compared),
        n=compared.n,
        spread=compared.spread,
        freedom=compared.freedom,
        model=compared.model,
        why=compared.why,
        tau=tau,
        seeds_to_decide=more,
        decided_earlier=earlier,
    )


def _effect_size(compared: Comparison) -> float:
    """Return Hedges' g of the contrast, NaN for fewer than two degrees of freedom."""
    if not compared.spread > 0:
        return math.nan
    return compared.estimate / compared.spread * few_seeds_correction(max(1.0, compared.freedom))
