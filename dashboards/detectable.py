"""What a study's declared seeds can show, said before they have run and beside what they gave."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from unlabeled.dashboards import counted
from unlabeled.dashboards.inference import LEVEL, paired_difference
from unlabeled.dashboards.power import CHANCES, TYPICAL_SPREAD, corrected, pooled, smallest_effect
from unlabeled.dashboards.wording import count
from unlabeled.platform.metrics import DIFFERENCE, unit_of


def detectable(record: Mapping[str, Any], runs: pd.DataFrame | None = None) -> list[str]:
    """Say, of each measure that has claims to judge, the smallest true difference that the seeds are likely to decide.

    That is with a power of 80 % at the level that Holm's method asks of the first claim. The spread over seeds is that
    of the finished runs, the claims of a measure taken together; before there are any, a typical one where there is one
    for the measure's unit, and else the answer is in spreads.

    Args:
        record: from ``Study.record``.
        runs: the study's runs; None or empty where there are none.

    Returns:
        A sentence a measure; nothing where no claim is judged, or no seeds are declared.

    Raises:
        UserError: the rows were measured by different protocols.
    """
    judged = [claim for claim in record["claims"] if claim.get("kind", DIFFERENCE) == DIFFERENCE]
    n = len(record["seeds"])
    if not judged or not n:
        return []
    several = count(n, "seed") + (f" and {len(judged)} claims" if len(judged) > 1 else " and 1 claim")
    if n == 1:
        return ["1 seed has no spread, so it can't decide any claim."]
    effect = smallest_effect(n, corrected(LEVEL, len(judged)))
    found = []
    for measure in dict.fromkeys(claim["measure"] for claim in judged):
        spread, whence = _spread([claim for claim in judged if claim["measure"] == measure], runs)
        unit = unit_of(measure)
        in_spreads = f"{effect:.2g} times the spread of the difference over seeds"
        if not math.isfinite(spread) and unit.is_fraction:
            spread, whence = TYPICAL_SPREAD, "typical of a linear probe here; no runs tell this study's own"
        size = in_spreads
        if math.isfinite(spread):
            smallest, one = (unit.difference(value).lstrip("+") for value in (effect * spread, spread))
            size = f"{smallest}, {in_spreads} ({one}, {whence})"
        found.append(f"{several} decide a true difference in {measure} in {CHANCES} if it is at least {size}.")
    if n == 2:
        found.append("Two seeds decide practically nothing: three or more need far smaller differences.")
    return found


def _spread(claims: list[Mapping[str, Any]], runs: pd.DataFrame | None) -> tuple[float, str]:
    """Return the spread of the claims' differences over seeds, all taken together, and where it comes from."""
    if runs is None or runs.empty:
        return math.nan, ""
    nothing = pd.Series(dtype="float64")
    spreads = []
    for claim in claims:
        sides = ((claim["measure"], claim["higher"]), (claim["lower_measure"] or claim["measure"], claim["lower"]))
        higher, lower = (counted.scores(runs, measure).get(row, nothing) for measure, row in sides)
        spreads.append(paired_difference(higher, lower).spread)
    known = sum(math.isfinite(spread) for spread in spreads)
    return pooled(spreads), f"from the finished runs of {count(known, 'claim')}"
