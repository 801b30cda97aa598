"""One metric of a study: each row's mean with its interval, beside the published number."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from scipy import stats

from unlabeled.dashboards import counted, figures, varied, wording
from unlabeled.dashboards.drawing import Drawn
from unlabeled.dashboards.inference import mean_interval, seeds_apart
from unlabeled.dashboards.shape import Grid, Line, shape_of
from unlabeled.dashboards.strokes import strokes_of
from unlabeled.dashboards.titles import title_of
from unlabeled.platform.metrics import Unit, unit_of


def table(record: Mapping[str, Any], runs: pd.DataFrame, measure: str | None = None) -> pd.DataFrame:
    """Return the study's rows with what was measured and what was published.

    Args:
        record: from ``Study.record``.
        runs: one row per run.
        measure: the metric; by default the one that answers the study's question.

    Returns:
        Indexed by row, in reading order (rows that only the runs know come last), with ``n`` (seeds measured),
        ``mean``, ``low`` and ``high`` (95 % interval; NaN for one seed), ``untrained`` (the same encoders untrained),
        ``gain``, ``gain_low`` and ``gain_high`` (over untrained, paired by run), ``published`` (as printed there) and
        ``published_number`` (NaN where the text is not a number). All but the last two are in the metric's unit.

    Raises:
        UserError: the rows were measured by different protocols.
    """
    measure = measure or str(record["measure"])
    by_seed = counted.scores(runs, measure)
    untrained = counted.scores(runs, f"untrained/{measure.removeprefix('test/')}")
    published: Mapping[str, str] = next((each["rows"] for each in _published(record, measure)), {})
    nothing = pd.Series(index=by_seed.index, dtype="float64")
    lines = {}
    for row in [*record["rows"], *(row for row in by_seed.columns if row not in record["rows"])]:
        values, start = by_seed.get(row, nothing), untrained.get(row, nothing)
        interval, gain = mean_interval(values), mean_interval(values - start)
        lines[row] = {
            "n": interval.n,
            "mean": interval.mean,
            "low": interval.low,
            "high": interval.high,
            "untrained": mean_interval(start).mean,
            "gain": gain.mean,
            "gain_low": gain.low,
            "gain_high": gain.high,
            "published": str(published.get(row, "")),
            "published_number": _as_number(str(published.get(row, ""))),
        }
    return pd.DataFrame.from_dict(lines, orient="index").rename_axis("row")


@dataclass(frozen=True)
class Measured:
    """What a report says of one metric.

    Attributes:
        metric: its name.
        unit: how its values are read.
        protocol: how it was measured.
        table: from :func:`table`.
        published: the numbers that stand beside it, None where there are none.
        further: further published tables of the same metric, listed below it.
        figures: name, SVG and caption of each.
        apart: of rows some of whose seeds lie apart from the others, which ones, in sentences.
    """

    metric: str
    unit: Unit
    protocol: str
    table: pd.DataFrame
    published: Mapping[str, Any] | None
    further: list[Mapping[str, Any]]
    figures: list[Drawn]
    apart: list[str]

    @property
    def rows(self) -> list[dict[Any, Any]]:
        """The table's rows."""
        return self.table.reset_index().to_dict("records")

    @property
    def is_measured(self) -> bool:
        """Whether any run has a value."""
        return bool((self.table["n"] > 0).any())

    @property
    def has_untrained(self) -> bool:
        """Whether encoders were measured before training, too."""
        return bool(self.table["untrained"].notna().any())


def _published(record: Mapping[str, Any], measure: str) -> list[Mapping[str, Any]]:
    """Return the published tables of a metric, the one that stands beside the rows first."""
    return [_with_others(each) for each in record["published"] if each["measure"] == measure]


def _with_others(published: Mapping[str, Any]) -> Mapping[str, Any]:
    others = published.get("others")  # they came later
    return {**published, "others": dict(others) if isinstance(others, Mapping) else {}}


def measured(record: Mapping[str, Any], runs: pd.DataFrame, measure: str, *, is_drawn: bool = True) -> Measured:
    """Read one metric of a study, with figures of its own or without.

    Raises:
        UserError: the rows were measured by different protocols.
    """
    rows, all_published, found = table(record, runs, measure), _published(record, measure), []
    scores = counted.scores(runs, measure)
    published, further = next(iter(all_published), None), all_published[1:]
    suffix = "" if measure == record["measure"] else "-" + slug(measure)
    if is_drawn and (rows["n"] > 0).any():
        name, drawn, caption = _by_shape(record, runs, rows, measure)
        found.append((f"{name}{suffix}", drawn, caption))
    numbers = rows[rows["published_number"].notna() & (rows["n"] > 0)]
    if published and len(numbers) >= 3:
        caption = f"Measured against published, with 95 % intervals of the measured means. {_order(numbers)}"
        drawn = figures.published_figure(
            rows, measure, published["quantity"], strokes_of(record, runs, list(rows.index))[0]
        )
        found.append((f"published{suffix}", drawn, caption))
    return Measured(
        measure,
        unit_of(measure),
        counted.protocol_of(runs, measure),
        rows,
        published,
        further,
        found,
        _apart(scores, measure),
    )


def _apart(scores: pd.DataFrame, measure: str) -> list[str]:
    """Say which seeds of a row lie apart: a mean of two groups is neither's."""
    found = []
    for row in scores.columns:
        if len(few := seeds_apart(scores[row])):
            values = ", ".join(f"seed {seed} at {unit_of(measure).value(value)}" for seed, value in few.items())
            others = unit_of(measure).value(float(scores[row].dropna().drop(few.index).mean()))
            found.append(
                f"{wording.quoted(row)}: {values}, apart from the others at {others}. Its mean is of two kinds of runs."
            )
    return found


def _by_shape(record: Mapping[str, Any], runs: pd.DataFrame, rows: pd.DataFrame, measure: str) -> Drawn:
    """Draw a line over a number, a grid of two fields, or a list of rows, as the study has it."""
    shape, scores = shape_of(record["rows"], runs), counted.scores(runs, measure)
    if isinstance(shape, Line) and (rows["n"] > 0).sum() > 1:
        return "line", varied.line_figure(shape, rows, scores, measure), varied.caption(shape, rows, measure)
    if isinstance(shape, Grid):
        return "grid", varied.heat_figure(shape, rows, measure), varied.caption(shape, rows, measure)
    interval = "with its 95 % interval (Student's t)" if rows["low"].notna().any() else "(too few seeds for intervals)"
    caption = (
        f"{title_of(measure)} ({measure}): the mean of each row over seeds {interval} and every seed as an open "
        "circle below it. The axis does not start at zero."
    )
    if rows["untrained"].notna().any():
        caption += " An upright line is the same encoder untrained."
    return "rows", figures.rows_figure(rows, scores, measure), caption


def _order(numbers: pd.DataFrame) -> str:
    """Say how far the means stand in the published order: Kendall's tau-b, which knows ties."""
    published, mean = numbers["published_number"], numbers["mean"]
    if published.nunique() < 2 or mean.nunique() < 2:
        return "Equal values have no order to compare."
    found = stats.kendalltau(published, mean)
    return (
        f"Kendall's tau of the two orders is {found.statistic:.2f} over {wording.count(len(numbers), 'row')} "
        f"({wording.probability(found.pvalue)}): 1 is the same order, 0 is none, −1 the reverse."
    ).replace("is -", "is −")


def _as_number(text: str) -> float:
    """Read a number as tables print it ("66.6", "66.6 %", "66.6 ± 0.2"); NaN for other words."""
    match = re.fullmatch(r"\s*([-−]?\d+(?:\.\d+)?)\s*%?\s*((±|\+-|\+/-)\s*\d+(\.\d+)?\s*%?)?\s*", text)
    return float(match[1].replace("−", "-")) if match else math.nan


def slug(metric: str) -> str:
    """Return a metric's name as a file's.

    >>> slug("test/linear/top1")
    'test-linear-top1'
    """
    return re.sub(r"[^a-z0-9]+", "-", metric.lower()).strip("-")
