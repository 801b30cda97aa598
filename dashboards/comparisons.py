"""What a claim compares: a contrast of rows, with its error from the one model of the study's runs.

Every kind of claim but one is a sum of rows' means with weights: a difference, a difference of differences, the rise
over an order of rows, the gain of one row over its untrained encoder. "The best is one of these" is many differences at
once, of each row to each other.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from unlabeled.dashboards.inference import EQUAL_WITHIN, Interval
from unlabeled.dashboards.spread import contrast_error, spreads
from unlabeled.platform.metrics import BEST, ORDER

ROWS_AND_SEEDS, PAIRS = "rows and seeds", "pairs"

Tables = Mapping[str, pd.DataFrame]
"""Metric -> its values by seed (index) and row (columns)."""


@dataclass(frozen=True)
class Comparison:
    """A contrast as measured.

    Attributes:
        estimate: in the measure's unit; NaN where nothing was measured.
        error: its standard error; NaN where there is no spread to judge by.
        freedom: its degrees of freedom.
        n: seeds that all its rows have.
        spread: standard deviation over seeds of the contrast of one seed, as the model has it.
        model: ``ROWS_AND_SEEDS``, or ``PAIRS`` where only the contrast's own seeds can tell.
        why: why that model, in half a sentence.
        table: what the contrast's rows are measured by; contrasts of one table are correlated.
        weights: row -> weight.
    """

    estimate: float
    error: float
    freedom: float
    n: int
    spread: float
    model: str
    why: str
    table: str
    weights: Mapping[str, float]

    def interval(self, level: float) -> Interval:
        """Return the interval whose two-sided error is ``level``; infinite where that is 0, NaN without a spread."""
        if not self.error > 0:
            return Interval(self.estimate, math.nan, math.nan, self.n)
        half = self.error * float(stats.t.isf(level / 2, self.freedom)) if level > 0 else math.inf
        return Interval(self.estimate, self.estimate - half, self.estimate + half, self.n)

    def p(self, bound: float = 0.0) -> float:
        """Return the two-sided p value of the contrast being ``bound``; NaN without a spread."""
        if not self.error > 0:
            return math.nan
        return float(2 * stats.t.sf(abs(self.estimate - bound) / self.error, self.freedom))


def identity(claim: Mapping[str, Any], digests: Mapping[str, str] | None = None) -> str:
    """Return what tells claims apart whatever their words are: what is compared, and against what.

    Args:
        claim: as recorded.
        digests: row -> what tells its settings and data apart; a row that is declared otherwise is another claim's.
    """
    names = ("kind", "higher", "lower", "than", "order", "best", "among", "measure", "lower_measure")
    parts = [claim.get(name) or None for name in names] + [claim["at_least"], claim.get("negligible") or 0.0]
    if digests:
        parts.append([digests.get(row, "") for row in rows_of(claim)])
    return hashlib.sha256(json.dumps(parts, default=list).encode()).hexdigest()[:12]


def rows_of(claim: Mapping[str, Any]) -> list[str]:
    """List the rows that a claim needs runs of."""
    given = [claim["higher"], claim["lower"], *(claim.get("than") or ())]
    named = claim.get("order") or (claim.get("among") if claim.get("kind") == BEST else None) or given
    return [row for row in dict.fromkeys(named) if row]


def weights_of(claim: Mapping[str, Any]) -> dict[str, float]:
    """Return row -> its weight in the claim's contrast, of a claim on means of one metric.

    An order's contrast is the rise from its first row to its last along the straight line through all of them.
    """
    if claim["kind"] == ORDER:
        ranks = np.arange(len(claim["order"])) - (len(claim["order"]) - 1) / 2
        slope = ranks / (ranks @ ranks) * (len(ranks) - 1)
        return dict(zip(claim["order"], slope.tolist(), strict=True))
    found: dict[str, float] = {}
    pairs = [(claim["higher"], claim["lower"], 1.0)]
    if claim.get("than"):
        pairs.append((*claim["than"], -1.0))
    for higher, lower, sign in pairs:
        found[higher] = found.get(higher, 0.0) + sign
        found[lower] = found.get(lower, 0.0) - sign
    return found


def compare(claim: Mapping[str, Any], tables: Tables) -> Comparison:
    """Return a claim's contrast; of a claim that the best is in a set, see :func:`pairs_of`."""
    measure, other = claim["measure"], claim["lower_measure"]
    if measure == other:
        return contrast(tables[measure], weights_of(claim), measure)
    same_rows = claim["higher"] == claim["lower"] and (not claim.get("than") or claim["than"][0] == claim["than"][1])
    name = f"{measure} minus {other}"
    if same_rows:  # each row against itself by another metric: a table of gains
        gains = tables[measure] - tables[other]
        weights = {claim["higher"]: 1.0, **({claim["than"][0]: -1.0} if claim.get("than") else {})}
        return contrast(gains.dropna(axis="columns", how="all"), weights, name)
    nothing = pd.Series(dtype="float64")
    differences = tables[measure].get(claim["higher"], nothing) - tables[other].get(claim["lower"], nothing)
    return _paired(differences.dropna(), name, {}, "two rows by two metrics have no spread in common with others")


def contrast(table: pd.DataFrame, weights: Mapping[str, float], name: str = "") -> Comparison:
    """Return a weighted sum of rows' means over the seeds that all of them have.

    Args:
        table: values by seed (index) and row (columns); NaN where a row has no value for a seed.
        weights: row -> weight. Where they sum to 0, what a seed has in common is taken out.
        name: of the table.
    """
    weights = {row: weight for row, weight in weights.items() if weight}
    if not weights or not set(weights) <= set(table.columns):
        return Comparison(math.nan, math.nan, math.nan, 0, math.nan, PAIRS, "", name, weights)
    complete = table[list(weights)].dropna()
    by_seed = (complete * pd.Series(weights)).sum(axis="columns")
    scale = float(np.abs(complete.to_numpy(dtype=float)).max(initial=0.0))
    if len(by_seed) < 2:
        return _paired(by_seed, name, weights, "one seed has no spread")
    filled = table.dropna(axis="columns", how="all")
    present = filled.notna().to_numpy().T
    blocks = abs(sum(weights.values())) < 1e-9
    if len(filled.columns) == len(weights) <= 2 - (not blocks):
        return _paired(by_seed, name, weights, "no other row lends its spread", scale)
    spread = spreads(filled.fillna(0.0).to_numpy(dtype=float).T, present, blocks)
    of_rows = np.array([weights.get(str(row), 0.0) for row in filled.columns])
    error, freedom = (float(x) for x in contrast_error(spread, of_rows, len(by_seed)))
    if error * math.sqrt(len(by_seed)) <= EQUAL_WITHIN * scale:
        return _paired(by_seed, name, weights, "the rows have no spread", scale)
    rows = f"{len(filled.columns)} {'rows' if len(filled.columns) > 1 else 'row'}"
    why = f"{rows} of one metric lend each other their spread"
    size = error * math.sqrt(len(by_seed))
    return Comparison(float(by_seed.mean()), error, freedom, len(by_seed), size, ROWS_AND_SEEDS, why, name, weights)


def pairs_of(claim: Mapping[str, Any], tables: Tables) -> dict[tuple[str, str], Comparison]:
    """Return the difference of each two rows that a claim on the best compares, (better, worse) -> contrast."""
    table, rows = tables[claim["measure"]], list(claim["among"])
    return {
        (one, other): contrast(table, {one: 1.0, other: -1.0}, claim["measure"])
        for one in rows
        for other in rows
        if one != other
    }


def correlations(compared: Sequence[Comparison]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return how contrasts are correlated by the rows that they share, if all rows spread alike.

    Those of different tables are taken as free of each other, which makes what follows from it no smaller.
    """
    found = np.eye(len(compared))
    for i, one in enumerate(compared):
        for j, other in enumerate(compared[:i]):
            if one.table == other.table and one.n and other.n:
                shared = sum(weight * other.weights.get(row, 0.0) for row, weight in one.weights.items())
                sizes = [math.sqrt(sum(weight**2 for weight in each.weights.values())) for each in (one, other)]
                overlap = math.sqrt(min(one.n, other.n) / max(one.n, other.n))
                if all(sizes):
                    found[i, j] = found[j, i] = shared / math.prod(sizes) * overlap
    return found


def rising(claim: Mapping[str, Any], tables: Tables, draws: int = 20_000) -> Interval | None:
    """Return Kendall's tau of an order of rows and their true means, with the interval that the runs leave for it.

    The means are drawn as the model has them, given what was measured; None where rows are not measured.
    """
    if claim["kind"] != ORDER:
        return None
    table = tables[claim["measure"]]
    rows = list(claim["order"])
    if not set(rows) <= set(table.columns) or len(complete := table[rows].dropna()) < 2:
        return None
    filled = table.dropna(axis="columns", how="all")
    spread = spreads(filled.fillna(0.0).to_numpy(dtype=float).T, filled.notna().to_numpy().T)
    at = [list(filled.columns).index(row) for row in rows]
    random = np.random.default_rng(0)
    errors = np.sqrt(spread.variance[at] / len(complete)) * random.standard_t(
        np.minimum(spread.row_freedom[at], spread.freedom), (draws, len(rows))
    )
    means = complete.mean().to_numpy()

    def tau(values: Any) -> Any:
        first, second = np.triu_indices(len(rows), 1)
        return np.sign(values[..., second] - values[..., first]).mean(-1)

    low, high = np.quantile(tau(means + errors), [0.025, 0.975])
    return Interval(float(tau(means)), float(low), float(high), len(complete))


def tables_of(claims: Sequence[Mapping[str, Any]]) -> list[str]:
    """List the metrics that claims read."""
    return list(dict.fromkeys(str(claim[name]) for claim in claims for name in ("measure", "lower_measure")))


def _paired(
    by_seed: "pd.Series[float]", name: str, weights: Mapping[str, float], why: str, scale: float = 0.0
) -> Comparison:
    """Judge a contrast by its own seeds alone: Student's t of its values, one a seed."""
    values, n = by_seed.to_numpy(dtype=float), len(by_seed)
    mean = float(values.mean()) if n else math.nan
    if n < 2:
        return Comparison(mean, math.nan, math.nan, n, math.nan, PAIRS, why, name, weights)
    size = float(values.std(ddof=1))
    if np.ptp(values) <= EQUAL_WITHIN * max(scale, float(np.abs(values).max())):
        size = 0.0
    return Comparison(mean, size / math.sqrt(n) or math.nan, n - 1.0, n, size, PAIRS, why, name, weights)
