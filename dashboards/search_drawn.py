"""Which figures a search's page has, in what words, and why some are left out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import optuna
import pandas as pd

from unlabeled.dashboards import search_figures, search_findings, search_planes
from unlabeled.dashboards.drawing import Drawn, Svg
from unlabeled.dashboards.search_canvas import words_of
from unlabeled.dashboards.search_importance import Importance
from unlabeled.dashboards.search_study import is_number, rebuilt
from unlabeled.dashboards.search_trials import Parameter, objectives
from unlabeled.dashboards.wording import count

MAX_SLICES = 12
MAX_AXES = 10
MIN_TO_INTERPOLATE = 10


@dataclass
class Drawing:
    """What is drawn of a search, and why the rest is not."""

    figures: list[Drawn] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def add(self, name: str, svg: Svg, caption: str) -> None:
        """Take in a figure."""
        self.figures.append((name, svg, caption))


def drawn_of(
    record: Mapping[str, Any],
    table: pd.DataFrame,
    points: pd.DataFrame,
    space: list[Parameter],
    chosen: int | None,
    judged: Importance,
    epochs: pd.DataFrame,
    search: Mapping[str, Any],
) -> Drawing:
    """Draw what the trials allow."""
    drawing, aims = Drawing(), objectives(record)
    if table.empty:
        drawing.left_out.append("Nothing is drawn: no trial is logged.")
        return drawing
    metric, directions = aims[0]["metric"], [aim["direction"] for aim in aims]
    followed = str(record["prune_on"] or "knn/top1")
    curves = search_findings.followed(epochs, table, followed, search)
    study = rebuilt(table, points, _sampled(space, points), directions[:1], curves)
    words = words_of(table, points, _sampled(space, points), [aim["metric"] for aim in aims])
    num_finished = int(((table["state"] == "finished") & table["value"].notna()).sum())
    if num_finished:
        caption = (
            "In the order in which they were asked for. Crosses below were pruned, triangles failed: they have no "
            "objective."
        )
        drawing.add("history", search_figures.history_figure(study, table, metric, chosen, words), caption)
        _landscape(drawing, study, table, points, space, metric, chosen, judged, words)
    else:
        drawing.left_out.append("History, importance, parallel coordinates, slices and map: no trial finished.")
    if len(aims) > 1 and num_finished:
        both = rebuilt(table, points, [], directions)
        ahead = sorted(int(table.index[trial.number]) for trial in both.best_trials)
        better = " and ".join(f"{'more' if a['direction'] == 'maximize' else 'less'} {a['metric']}" for a in aims)
        caption = f"{count(len(ahead), 'trial')} of {num_finished} on the front: no other has {better}."
        caption += f" Trials {', '.join(map(str, ahead))}."
        svg = search_planes.front_figure(both, table, [aim["metric"] for aim in aims], chosen, words)
        drawing.add("front", svg, caption)
    if len(curves):
        caption = "By this metric trials are pruned while they train; pruned ones end in a cross."
        drawing.add("curves", search_figures.curves_figure(study, table, followed, chosen), caption)
    else:
        drawing.left_out.append(f"Learning curves: no trial has logged {followed}.")
    return drawing


def _sampled(space: list[Parameter], points: pd.DataFrame) -> list[Parameter]:
    """Return the parameters that any trial has a value of."""
    return [one for one in space if points[one.name].notna().any() and (one.choices or one.low <= one.high)]


def _landscape(
    drawing: Drawing,
    study: optuna.Study,
    table: pd.DataFrame,
    points: pd.DataFrame,
    space: list[Parameter],
    metric: str,
    chosen: int | None,
    judged: Importance,
    words: Mapping[int, str],
) -> None:
    """Draw where the good points lie."""
    if judged.shares:
        drawing.add("importance", search_figures.importance_figure(study, judged.shares), judged.how)
    else:
        drawing.left_out.append(f"Importance. {judged.how}")
    done = points.loc[table.index[(table["state"] == "finished") & table["value"].notna()]]
    varied = [one for one in _sampled(space, points) if done[one.name].nunique() > 1]
    by_rank = sorted(varied, key=lambda one: -judged.shares.get(one.name, 0.0))
    if not by_rank:
        drawing.left_out.append("Parallel coordinates, slices and map: no parameter has two values in finished trials.")
        return
    if len(by_rank) > 1:
        axes = by_rank[:MAX_AXES]
        caption = "A line is a finished trial; it crosses each axis at its value, logarithmic where the space is."
        if done[[one.name for one in axes]].isna().any(axis=None):
            caption += " Out: the parameter was not asked for, for its operation is out."
        svg = search_figures.parallel_figure(study, table, axes, metric, chosen, words)
        drawing.add("grid-parallel", svg, caption + _not_drawn(by_rank[MAX_AXES:]))
    order = ", the most important first" if judged.shares else ""
    caption = f"One parameter each{order}; the others vary too."
    svg = search_figures.slices_figure(study, table, by_rank[:MAX_SLICES], metric, chosen, words)
    drawing.add("grid-slices", svg, caption + _not_drawn(by_rank[MAX_SLICES:]))
    _map(drawing, study, table, done, by_rank, metric, chosen, words)


def _map(
    drawing: Drawing,
    study: optuna.Study,
    table: pd.DataFrame,
    done: pd.DataFrame,
    by_rank: list[Parameter],
    metric: str,
    chosen: int | None,
    words: Mapping[int, str],
) -> None:
    """Draw the objective over the first two numbers that enough finished trials have both of."""
    numbers = [one for one in by_rank if is_number(one)]
    for up in numbers[1:4]:
        across = numbers[0]
        both = done[[across.name, up.name]].dropna()
        if len(both) < MIN_TO_INTERPOLATE or both.nunique().min() < 2 or table.loc[both.index, "value"].nunique() < 2:
            continue
        svg = search_planes.contour_figure(study, table, across, up, metric, chosen, words)
        drawing.add("map", svg, "Interpolated between the dots, which are finished trials. Brighter is higher.")
        return
    need = f"no two numbers vary in {MIN_TO_INTERPOLATE} finished trials that differ"
    drawing.left_out.append(f"Map of two parameters: {need}.")


def _not_drawn(rest: list[Parameter]) -> str:
    return f" Not drawn: {', '.join(one.name for one in rest)}." if rest else ""
