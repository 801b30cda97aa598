"""Which figures a search's page has, in what words, and why some are left out."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from unlabeled.dashboards import search_figures, search_findings
from unlabeled.dashboards.measured import Drawn
from unlabeled.dashboards.search_importance import Importance
from unlabeled.dashboards.search_trials import Parameter, front, objectives
from unlabeled.dashboards.wording import count

MOST_SLICES = 12
MOST_AXES = 10


def drawn_of(
    record: Mapping[str, Any],
    table: pd.DataFrame,
    points: pd.DataFrame,
    space: list[Parameter],
    chosen: int | None,
    judged: Importance,
    epochs: pd.DataFrame,
    search: Mapping[str, Any],
) -> tuple[list[Drawn], list[str]]:
    """Draw what the trials allow; return figures, and why others are left out."""
    aims = objectives(record)
    metric, direction = aims[0]["metric"], aims[0]["direction"]
    finished = table[(table["state"] == "finished") & table["value"].notna()]
    seen = [one for one in space if points[one.name].notna().any() and (one.choices or one.low <= one.high)]
    drawn: list[Drawn] = []
    left_out: list[str] = []
    if table.empty:
        return [], ["Nothing is drawn: no trial is logged."]
    if finished.empty:
        left_out.append("History, importance, parallel coordinates, slices and map: no trial finished.")
    else:
        caption = (
            f"{metric} of each trial in the order they were asked for, and the best so far. Crosses below were pruned, "
            "triangles failed: they have no objective."
        )
        drawn.append(("history", search_figures.history_figure(table, metric, direction, chosen), caption))
        drawn += _landscape(table, points, seen, aims, chosen, judged, left_out)
    if len(aims) > 1 and not finished.empty:
        ahead = front(table, [aim["direction"] for aim in aims])
        better = " and ".join(f"{'more' if a['direction'] == 'maximize' else 'less'} {a['metric']}" for a in aims)
        caption = (
            f"{count(len(ahead), 'trial')} of {len(finished)} on the front: no other has {better}. {_numbered(ahead)}"
        )
        drawn.append(("front", search_figures.front_figure(table, [a["metric"] for a in aims], ahead, chosen), caption))
    followed = str(record["prune_on"] or "knn/top1")
    curves = search_findings.followed(epochs, table, followed, search)
    if len(curves):
        caption = (
            f"{followed} of every trial while it trained: the metric that trials are pruned by. Pruned trials end in a "
            "cross."
        )
        drawn.append(("curves", search_figures.curves_figure(curves, table, followed, chosen), caption))
    else:
        left_out.append(f"Learning curves: no trial has logged {followed}.")
    return drawn, left_out


def _landscape(
    table: pd.DataFrame,
    points: pd.DataFrame,
    seen: list[Parameter],
    aims: list[dict[str, str]],
    chosen: int | None,
    judged: Importance,
    left_out: list[str],
) -> list[Drawn]:
    """Draw where the good points lie; what can't be is added to ``left_out``."""
    metric, direction = aims[0]["metric"], aims[0]["direction"]
    if not seen:
        left_out.append("Parallel coordinates, slices and map: no sampled value is logged.")
        return []
    drawn: list[Drawn] = []
    by_rank = sorted(seen, key=lambda one: -judged.shares.get(one.name, 0.0))
    if judged.shares:
        drawn.append(("importance", search_figures.importance_figure(judged), judged.how))
    else:
        left_out.append(f"Importance. {judged.how}")
    if len(seen) > 1:
        axes = [one for one in seen if one in by_rank[:MOST_AXES]]
        caption = "A line is a trial; it crosses each axis at its value, logarithmic where the space is."
        if points[[one.name for one in axes]].isna().any(axis=None):
            caption += " Where it passes below, the parameter was not asked for: its operation is out."
        svg = search_figures.parallel_figure(table, points, axes, direction, chosen)
        drawn.append(("grid-parallel", svg, caption + _not_drawn(by_rank[MOST_AXES:])))
    shown = by_rank[:MOST_SLICES]
    order = ", the most important first" if judged.shares else ""
    caption = f"{metric} over each parameter by itself{order}; the others vary too."
    caption += _not_drawn(by_rank[MOST_SLICES:])
    drawn.append(("grid-slices", search_figures.slices_figure(table, points, shown, metric, chosen), caption))
    finished = table.index[table["state"] == "finished"]
    pair = [one for one in by_rank if points.loc[finished, one.name].nunique() > 1]
    for place, up in enumerate(pair[1:4], start=1):
        together = points.loc[finished, [pair[0].name, up.name]].notna().all(axis="columns").sum()
        if together < 3:
            continue
        first = pair[0]
        svg, is_filled = search_figures.pair_figure(table, points, first, up, metric, chosen)
        which = "the two most important parameters" if judged.shares and place == 1 else "two parameters"
        how = "Colours between trials are interpolated over triangles of trials." if is_filled else "Dots are trials."
        drawn.append(("map", svg, f"{metric} over {which}, {first.name} and {up.name}. {how} Brighter is higher."))
        return drawn
    left_out.append("Map of two parameters: no two of them vary in three finished trials.")
    return drawn


def _not_drawn(rest: list[Parameter]) -> str:
    return f" Not drawn: {', '.join(one.name for one in rest)}." if rest else ""


def _numbered(numbers: list[int]) -> str:
    return f"Trials {', '.join(map(str, sorted(numbers)))}." if numbers else ""
