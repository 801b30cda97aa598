"""Why a claim has its verdict, in sentences with numbers in the measure's unit."""

import math
from collections.abc import Mapping
from typing import Any

from unlabeled.dashboards.decisions import Decision, Judged
from unlabeled.dashboards.inference import Interval
from unlabeled.dashboards.power import CHANCES, seeds_in_words
from unlabeled.dashboards.rates import Design
from unlabeled.dashboards.wording import count, probability, quoted
from unlabeled.platform.metrics import BEST, COLLAPSE, NO_DIFFERENCE, ORDER, unit_of


def is_directed(claim: Mapping[str, Any]) -> bool:
    """Whether a claim says which way a contrast goes, so that its direction and its size are two answers."""
    return claim["kind"] not in (NO_DIFFERENCE, COLLAPSE, BEST)


def compared_rows(claim: Mapping[str, Any]) -> str:
    """Say what a claim compares.

    >>> claim = {"kind": "order", "order": ["25 %", "50 %", "75 %"], "higher": "75 %", "lower": "25 %"}
    >>> compared_rows(claim)
    'the rise over 25 %, 50 %, 75 %'
    """
    higher, lower = quoted(claim["higher"]), quoted(claim["lower"])
    if claim["kind"] == ORDER:
        return f"the rise over {', '.join(map(quoted, claim['order']))}"
    if claim["kind"] == BEST:
        return f"the best of {' and '.join(map(quoted, claim['best']))} minus the best of the others"
    if claim["lower_measure"] != claim["measure"]:
        if higher == lower:
            rows = f"{claim['measure']} minus {claim['lower_measure']} of {higher}"
        else:
            rows = f"{claim['measure']} of {higher} minus {claim['lower_measure']} of {lower}"
    else:
        rows = f"{higher} minus {lower}"
    return f"({rows}) minus ({' minus '.join(map(quoted, claim['than']))})" if claim.get("than") else rows


def leaning(claim: Mapping[str, Any], mean: float) -> str:
    """Say which way a measured contrast leans; nothing where neither."""
    bound, limit = float(claim["at_least"]), float(claim.get("negligible") or 0.0)
    if claim["kind"] == NO_DIFFERENCE:
        return "towards the claim" if abs(mean) < limit else "towards a difference"
    if claim["kind"] == COLLAPSE:
        return "towards the claim" if mean < limit else "against the claim"
    if mean == bound:
        return ""
    return "towards the claim" if mean > bound else "towards less than is claimed" if mean > 0 else "against the claim"


def reason(
    one: Judged,
    decision: Decision,
    alone: Interval,
    level_now: float,
    num_claims: int,
    seeds: int | None,
    earlier: int,
    tau: Interval | None,
    level: float,
) -> str:
    """Say why: what was measured, with its interval by itself, and what that is clear of."""
    claim, compared = one.claim, one.compared
    unit, rows = unit_of(claim["measure"]), compared_rows(claim)
    if compared.n < 2:
        found = "none did" if compared.n == 0 else f"one did ({unit.difference(alone.mean)})"
        return f"{rows} needs at least two seeds that finished in all its rows, and {found}."
    if not compared.error > 0:
        return (
            f"{rows} is {unit.difference(alone.mean)} in each of {compared.n} seeds: equal differences have no "
            "spread to judge by, so make sure that the seed reaches the run, or run more seeds."
        )
    said = (
        f"{rows} is {unit.difference(alone.mean)}, {100 * level:g} % interval {unit.signed(alone.low)} to "
        f"{unit.signed(alone.high)} over {count(compared.n, 'seed')}"
    )
    if tau is not None:
        said += f"; Kendall's tau of the order is {tau.mean:.2f} ({tau.low:.2f} to {tau.high:.2f})".replace("-", "−")
    if earlier:
        return f"{said}. Decided with {count(earlier, 'seed')}: what a look has decided stays decided."
    if decision != "not decided":
        return f"{said}: {_clear_of(claim, decision, alone)}."
    if level_now <= 0:
        return f"{said}: {one.closed or _not_now(one.design, compared.n)}."
    return f"{said}: {_open(one, alone, level_now, num_claims)}. {_outlook(claim, alone.mean, compared.n, seeds)}"


def _clear_of(claim: Mapping[str, Any], decision: Decision, alone: Interval) -> str:
    limit = _negligible(claim)
    if claim["kind"] == COLLAPSE:
        return f"all of it lies {'below' if decision == 'held' else 'above'} a gain of {limit}"
    if claim["kind"] == BEST and decision != "no difference":
        return "every other row is shown to be lower" if decision == "held" else "another row is shown to be higher"
    if claim["kind"] == NO_DIFFERENCE and decision == "contradicted":
        return f"all of it lies more than {limit} from zero"
    if decision == "no difference" or claim["kind"] == NO_DIFFERENCE:
        return f"two one-sided tests show it to be within {limit} of zero, which is negligible"
    goal = _goal(claim)
    if decision == "held":
        return f"all of it lies above {goal}"
    if decision == "contradicted":
        return "all of it lies below zero"
    beside = ", and above zero" if alone.low > 0 else ", and its mean above zero" if alone.mean > 0 else ""
    return f"all of it lies below {goal}{beside}"


def _not_now(design: Design, n: int) -> str:
    if n < design.first:
        return f"nothing is decided before all {design.first} declared seeds have finished in all its rows"
    if design.fixed:
        return f"the study is declared to be decided by its {design.first} seeds alone"
    return f"beyond {design.most} seeds nothing new is decided"


def _open(one: Judged, alone: Interval, level_now: float, num_claims: int) -> str:
    claim, bound = one.claim, float(one.claim["at_least"])
    if claim["kind"] == BEST:
        return "rows of both sides can still be the best"
    many = f"{num_claims} claims and " if num_claims > 1 else ""
    strict = f"by itself, but not at the level that {many}this look {'ask' if many else 'asks'} for"
    if claim["kind"] in (NO_DIFFERENCE, COLLAPSE):
        limit = float(claim.get("negligible") or 0.0)
        least = -limit if claim["kind"] == NO_DIFFERENCE else -math.inf
        if least < alone.low and alone.high < limit:
            return f"within what is negligible ({_negligible(claim)}) {strict}"
        if alone.low > limit or alone.high < least:
            return f"beyond what is negligible ({_negligible(claim)}) {strict}"
        return f"that is not all on one side of what is negligible ({_negligible(claim)})"
    if not (alone.low > bound or alone.high < bound):
        return f"{_goal(claim)} lies inside"
    return f"clear of {_goal(claim)} {strict} ({probability(one.compared.p(bound))}, to be below {level_now:.2g})"


def _goal(claim: Mapping[str, Any]) -> str:
    bound = float(claim["at_least"])
    return "zero" if bound == 0 else f"the {unit_of(claim['measure']).difference(bound)} claimed"


def _negligible(claim: Mapping[str, Any]) -> str:
    return unit_of(claim["measure"]).difference(float(claim.get("negligible") or 0.0)).lstrip("+")


def _outlook(claim: Mapping[str, Any], mean: float, n: int, seeds: int | None) -> str:
    way = leaning(claim, mean)
    leans = f"the mean leans {way}" if way else "the mean leans neither way"
    if not math.isfinite(mean):
        return f"{leans.capitalize()}."
    return (
        f"{leans.capitalize()}; if the difference is what was measured, it takes {seeds_in_words(seeds)} to decide in "
        f"{CHANCES}, and {count(n, 'seed')} can tell no more than the order of magnitude."
    )
