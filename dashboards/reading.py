"""From a study's runs to its report: what there is to say is read off them here, and written elsewhere."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from unlabeled.dashboards import counted, figures, sections
from unlabeled.dashboards.declared import declared
from unlabeled.dashboards.detectable import detectable
from unlabeled.dashboards.drawing import Drawn
from unlabeled.dashboards.measured import measured, slug
from unlabeled.dashboards.rates import Look
from unlabeled.dashboards.report import Report
from unlabeled.dashboards.shown import Artifacts
from unlabeled.dashboards.side_by_side import side_by_side, together
from unlabeled.dashboards.strokes import Stroke, strokes_of
from unlabeled.dashboards.titles import title_of
from unlabeled.dashboards.verdicts import judge

EPOCH_COLUMNS = ("run_id", "row", "seed", "epoch", "metric", "value")


def read_report(
    record: Mapping[str, Any] | None,
    runs: pd.DataFrame,
    epochs: pd.DataFrame,
    artifacts: Artifacts | None = None,
    name: str = "",
    looks: Sequence[Look] = (),
) -> Report:
    """Read off a study's runs what there is to say.

    Args:
        record: from ``Study.record``, by whatever version; None where none was logged.
        runs: one row per run, finished or not.
        epochs: long frame of metrics over epochs.
        artifacts: row -> its pictures (PNG) by name, as far as there are any.
        name: the study's, where the record has none.
        looks: those that are recorded, this one among them, the oldest first.

    Raises:
        UserError: the rows were measured by different protocols.
    """
    read, gaps = declared(record, name)
    runs = sections.scrubbed(counted.with_core(runs))
    epochs = epochs.reindex(columns=list(EPOCH_COLUMNS)) if epochs.empty else epochs
    others = [str(row) for row in dict.fromkeys(runs["row"].dropna()) if row not in read["rows"]]
    if read["rows"] and others:
        gaps.append(f"Its record does not name these rows, which have runs: {', '.join(others)}.")
    later = [str(name).removeprefix("probed:") for name in runs.columns if str(name).startswith("probed:")]
    asked = dict.fromkeys(filter(None, [read["measure"], *read["also"], *later]))
    published = {each["measure"] for each in read["published"]}
    measures = [each for each in asked if each in published or _of_trained(each) not in asked]
    groups = together(read, runs, measures)
    grouped = {measure for group in groups for measure in group}
    by_metric = {measure: measured(read, runs, measure, is_drawn=measure not in grouped) for measure in measures}
    strokes, says = strokes_of(read, runs, list(dict.fromkeys([*read["rows"], *others])))
    judged, _ = judge(read, runs, looks)
    return Report(
        record=read,
        gaps=gaps,
        runs=runs,
        parts=list(by_metric.values()),
        groups=[side_by_side([by_metric[measure] for measure in group], strokes) for group in groups],
        judged=judged,
        looks=list(looks),
        shows=detectable(read, runs),
        curves=_curves(runs, epochs, strokes),
        strokes=strokes,
        strokes_say=says,
        curves_left_out=sections.curves(epochs, counted.counted(runs))[1],
        artifacts=artifacts or {},
        has_record=bool(record),
    )


def _of_trained(metric: str) -> str:
    """Return in whose table a metric of untrained encoders stands; of another metric nothing."""
    return f"test/{metric.removeprefix('untrained/')}" if metric.startswith("untrained/") else ""


def _curves(runs: pd.DataFrame, epochs: pd.DataFrame, strokes: Mapping[str, Stroke]) -> list[Drawn]:
    """Return name, SVG and caption of a figure of each metric worth following over epochs."""
    found, done = [], counted.counted(runs)
    for metric, about in sections.curves(epochs, done)[0].items():
        curve = epochs[(epochs["metric"] == metric) & epochs["run_id"].isin(done["run_id"])]
        drawn = figures.epochs_figure(curve, metric, strokes)
        found.append((f"curve-{slug(metric)}", drawn, f"{title_of(metric)} over epochs. {about}".strip()))
    return found
