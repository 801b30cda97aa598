"""What an interval decides of a claim, by the claim's kind.

Of a claim on a difference, one interval decides all: above what is asked for it held, below zero it is contradicted,
within what is negligible there is no difference (Schuirmann's (1987) two one-sided tests, whose interval is the one of
twice the rate), below what is asked for it is smaller than claimed.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from unlabeled.dashboards.comparisons import Comparison
from unlabeled.dashboards.inference import Interval
from unlabeled.dashboards.rates import Design
from unlabeled.platform.metrics import COLLAPSE, NO_DIFFERENCE

Decision = Literal["held", "no difference", "smaller than claimed", "contradicted", "not decided"]
Pairs = Mapping[tuple[str, str], Comparison]


@dataclass(frozen=True)
class Judged:
    """A claim with what was measured of it, and when it may be decided.

    Attributes:
        claim: as recorded.
        compared: its contrast.
        pairs: of a claim on the best: every two rows.
        design: when it is looked at.
        closed: why it is not tested at this look, whatever its seeds; empty where it is.
    """

    claim: Mapping[str, Any]
    compared: Comparison
    pairs: Pairs
    design: Design
    closed: str = ""

    def level(self, rate: float, patient: bool = False) -> float:
        """Return the two-sided level of its test now, 0 where there is none; arguments as for :meth:`interval`."""
        return 0.0 if self.closed else self.design.level(min(rate, 1.0), self.compared.n, patient)

    def interval(self, rate: float, patient: bool = False) -> Interval:
        """Return the two-sided interval whose error over all looks is ``rate``; ``patient`` as in :class:`Design`."""
        level = self.level(rate, patient)
        if self.pairs:
            return _of_the_best(self.claim, self.pairs, level)
        return self.compared.interval(level)

    def of_none(self, rate: float) -> Interval:
        """Return the interval of two one-sided tests, each of ``rate`` over all looks, which shows an absence."""
        # where a size is asked for, too large and too small could both be decided falsely, so they share the rate;
        # each end of an interval of the best has the whole rate already
        shares = self.claim["at_least"] or self.pairs
        return self.interval(rate if shares else 2 * rate, patient=True)

    def is_negligible(self, rate: float) -> bool:
        """Tell whether two one-sided tests, each of ``rate`` over all looks, show the contrast to be negligible."""
        limit, found = float(self.claim.get("negligible") or 0.0), self.of_none(rate)
        return found.low > -limit and found.high < limit


def has_side(claim: Mapping[str, Any]) -> bool:
    """Tell whether a claim can be decided by more than what it asks."""
    return bool(claim.get("negligible")) and claim["kind"] != COLLAPSE


def main_decision(one: Judged, rate: float) -> Decision | None:
    """Decide what the claim asks, at its rate; None where that stays open."""
    claim, limit = one.claim, float(one.claim.get("negligible") or 0.0)
    if claim["kind"] == NO_DIFFERENCE:
        return "held" if one.is_negligible(rate) else None
    found, bound = one.interval(rate), float(claim["at_least"])
    if claim["kind"] == COLLAPSE:
        return "held" if found.high < limit else "contradicted" if found.low > limit else None
    if found.low > bound:
        return "held"
    if found.high < 0:
        return "contradicted"
    return "smaller than claimed" if found.high < bound else None


def side_decision(one: Judged, rate: float) -> Decision | None:
    """Decide what the claim does not ask, at the rate for that; None where that stays open."""
    if not has_side(one.claim):
        return None
    if one.claim["kind"] == NO_DIFFERENCE:
        limit, found = float(one.claim["negligible"]), one.interval(rate)
        return "contradicted" if found.low > limit or found.high < -limit else None
    return "no difference" if one.is_negligible(rate) else None


def both(one: Judged, main_rate: float, side_rate: float) -> Decision:
    """Decide a claim by both questions; a negligible difference is rather none than a small one."""
    asked, beside = main_decision(one, main_rate), side_decision(one, side_rate)
    if asked == "smaller than claimed" and beside:
        return beside
    return asked or beside or "not decided"


def best_in_set(claim: Mapping[str, Any], pairs: Pairs) -> Comparison:
    """Return the best of a set minus the best of the other rows, with the error of the two that are the best here."""
    best, others = claim["best"], [row for row in claim["among"] if row not in claim["best"]]
    num = min((pair.n for pair in pairs.values()), default=0)
    known = [pair for pair in pairs.values() if math.isfinite(pair.estimate)]
    if len(known) < len(pairs) or not pairs:
        return replace(next(iter(pairs.values())), estimate=math.nan, error=math.nan, n=0)
    leader = max(best, key=lambda row: sum(pairs[row, other].estimate for other in claim["among"] if other != row))
    rival = max(others, key=lambda row: -pairs[leader, row].estimate)
    return replace(pairs[leader, rival], n=num)


def _of_the_best(claim: Mapping[str, Any], pairs: Pairs, level: float) -> Interval:
    """Return the interval that decides which rows can be the best (Hsu 1984): multiple comparisons with the best.

    A row is ruled out where one of the other side is shown to be higher, each by a one-sided test of ``level`` over
    the rows that the best is compared with. The true best is then ruled out at ``level`` at most. All others ruled out,
    the best is in the set; all of the set ruled out, it is not. Either end of the interval errs at ``level`` at most:
    the best of one side is above the best of the other by no less than any row of it is.
    """
    best, others = claim["best"], [row for row in claim["among"] if row not in claim["best"]]
    each = 2 * level / (len(claim["among"]) - 1)  # pairs' intervals are two-sided

    def ruled_out(row: str, by: Sequence[str]) -> float:
        """By how much at least another row is higher, for the row that shows it best."""
        return max(pairs[other, row].interval(min(each, 1.0)).low for other in by)

    estimate = best_in_set(claim, pairs)
    if not estimate.n or any(not pair.error > 0 for pair in pairs.values()):
        return Interval(estimate.estimate, math.nan, math.nan, estimate.n)
    low = min(ruled_out(row, best) for row in others)
    high = -min(ruled_out(row, others) for row in best)
    return Interval(estimate.estimate, low, high, estimate.n)
