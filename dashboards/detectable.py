"""What a study's declared seeds can show, said before they have run and beside what they gave; and what is open."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from unlabeled.dashboards import counted
from unlabeled.dashboards.comparisons import (
    PAIRS,
    Comparison,
    compare,
    correlations,
    rows_of,
    tables_of,
    weights_of,
)
from unlabeled.dashboards.inference import LEVEL
from unlabeled.dashboards.power import CHANCES, TYPICAL_SPREAD, pooled, seeds_in_words, smallest_effect
from unlabeled.dashboards.rates import MOST_SEEDS, Design, rate_of_each
from unlabeled.dashboards.spread import LENT
from unlabeled.dashboards.verdicts import SIDE_SHARE, Verdict
from unlabeled.dashboards.wording import count
from unlabeled.platform.metrics import BEST, DIFFERENCE, DOUBLE_DIFFERENCE, ORDER, duration, unit_of


def detectable(record: Mapping[str, Any], runs: pd.DataFrame | None = None) -> list[str]:
    """Say, of each measure that has claims on differences, the smallest true one that the seeds are likely to decide.

    That is with a power of 80 % at the level that the first look asks of the first claim. The spread over seeds is that
    of the finished runs, the claims of a measure taken together; before there are any, a typical one where there is one
    for the measure's unit, and else the answer is in spreads.

    Args:
        record: from ``Study.record``.
        runs: the study's runs; None or empty where there are none.

    Returns:
        A sentence a measure; nothing where no claim is on a difference, or no seeds are declared.

    Raises:
        UserError: the rows were measured by different protocols.
    """
    claims, n = record["claims"], len(record["seeds"])
    judged = [claim for claim in claims if claim.get("kind", DIFFERENCE) in (DIFFERENCE, DOUBLE_DIFFERENCE, ORDER)]
    if not judged or not n:
        return []
    several = count(n, "seed") + f" and {count(len(claims), 'claim')}"
    if n == 1:
        return ["1 seed has no spread, so it can't decide any claim."]
    found = []
    for measure in dict.fromkeys(claim["measure"] for claim in judged):
        of_measure = [claim for claim in judged if claim["measure"] == measure]
        spread, whence = _spread(of_measure, runs)
        effect, unit = smallest_of(record, of_measure[0], n), unit_of(measure)
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


def smallest_of(record: Mapping[str, Any], claim: Mapping[str, Any], n: int) -> float:
    """Return the smallest true contrast of a claim, in its spreads, that ``n`` declared seeds decide with 80 %."""
    claims, rows = record["claims"], len(record["rows"])
    rate = 1 - LEVEL if len(claims) == 1 else (1 - SIDE_SHARE) * (1 - LEVEL)
    each = rate_of_each(correlations([_planned(one, n) for one in claims]), rate)
    design = Design(n, fixed=bool(record.get("fixed")))
    of_pairs = rows <= 2 or (claim["lower_measure"] or claim["measure"]) != claim["measure"]
    freedom = n - 1.0 if of_pairs else min((rows - 1.0) * (n - 1), 2 * (n - 1.0 + LENT))
    return smallest_effect(n, 1 - design.level(each, n), freedom)


@dataclass(frozen=True)
class Need:
    """What it takes to decide a claim that is open.

    Attributes:
        verdict: of the claim as it stands.
        seeds: that all of its rows need, in 4 chances of 5; None where no number that may decide is enough.
        runs: row -> how many more runs of it that is; empty where ``seeds`` is None.
        seconds: what those runs take one after the other; NaN where no run of a row has told.
    """

    verdict: Verdict
    seeds: int | None
    runs: Mapping[str, int]
    seconds: float


def needs(judged: Sequence[Verdict], runs: pd.DataFrame, most: int) -> list[Need]:
    """Say of each open claim how many more runs of its rows decide it, and how long those take.

    Args:
        judged: verdicts of the study.
        runs: one row per run.
        most: seeds that a row may have.
    """
    done, found = counted.counted(runs), []
    have = done.groupby("row")["seed"].nunique()
    seconds = seconds_of(runs)
    for verdict in judged:
        if verdict.decision != "not decided":
            continue
        seeds = verdict.seeds_to_decide
        if seeds is None or seeds > most:
            found.append(Need(verdict, None, {}, math.nan))
            continue
        more = {row: max(0, seeds - int(have.get(row, 0))) for row in rows_of(verdict.claim)}
        found.append(Need(verdict, seeds, more, sum(num * seconds.get(row, math.nan) for row, num in more.items())))
    return found


def seconds_of(runs: pd.DataFrame) -> dict[str, float]:
    """Return row -> how long a run of it took on average, of rows with finished runs."""
    done = counted.counted(runs)
    means = pd.to_numeric(done["seconds"]).groupby(done["row"]).mean().dropna()
    return {str(row): float(seconds) for row, seconds in means.items()}


def open_in_words(judged: Sequence[Verdict], runs: pd.DataFrame) -> list[str]:
    """Say how many claims are open, and which runs, and how much time of work, decide those that can be.

    Args:
        judged: verdicts of the study.
        runs: one row per run.
    """
    found, seconds = needs(judged, runs, MOST_SEEDS), seconds_of(runs)
    if not found:
        return ["All of its claims are decided."] if judged else []
    said = f"{len(found)} of {count(len(judged), 'claim')} {'is' if len(found) == 1 else 'are'} open"
    can = [need for need in found if need.seeds is not None]
    if not can:
        return [f"{said}; as far as the runs can tell, to decide takes {seeds_in_words(None)}."]
    more: dict[str, int] = {}  # rows that several claims need are run once
    for need in can:
        more |= {row: max(number, more.get(row, 0)) for row, number in need.runs.items()}
    work = sum(number * seconds.get(row, math.nan) for row, number in more.items())
    took = f", {duration(work)} of work," if math.isfinite(work) else ""
    return [
        f"{said}; about {count(sum(more.values()), 'more run')}{took} would decide {len(can)} in {CHANCES}, if "
        "differences are what was measured: --until-decided does them."
    ]


def _planned(claim: Mapping[str, Any], n: int) -> Comparison:
    """Return a claim's contrast before anything is measured: it is correlated with others by the rows that it has."""
    lower = claim["lower_measure"] or claim["measure"]
    weights = weights_of(claim) if lower == claim["measure"] and claim.get("kind") != BEST else {}
    name = claim["measure"] if lower == claim["measure"] else f"{claim['measure']} minus {lower}"
    return Comparison(math.nan, math.nan, math.nan, n, math.nan, PAIRS, "", name, weights)


def _spread(claims: list[Mapping[str, Any]], runs: pd.DataFrame | None) -> tuple[float, str]:
    """Return the spread of the claims' differences over seeds, all taken together, and where it comes from."""
    if runs is None or runs.empty:
        return math.nan, ""
    filled = [{**claim, "lower_measure": claim["lower_measure"] or claim["measure"]} for claim in claims]
    tables = {measure: counted.scores(runs, measure) for measure in tables_of(filled)}
    spreads = [compare(claim, tables).spread for claim in filled]
    known = sum(math.isfinite(spread) for spread in spreads)
    return pooled(spreads), f"from the finished runs of {count(known, 'claim')}"
