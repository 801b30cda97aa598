"""Figures of a search over two axes: the objective over two parameters, and one objective against another."""

from collections.abc import Mapping, Sequence
from typing import Any

import optuna
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.contour import ContourSet
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator
from optuna.visualization import matplotlib as theirs

from unlabeled.dashboards.drawing import GRID, INK, MUTED, PAPER, Svg, short
from unlabeled.dashboards.search_canvas import (
    BLUE,
    ORANGE,
    bare,
    canvas,
    choose,
    chosen_dot,
    dot,
    finish,
    finished,
    plain_ticks,
    tell,
    value_axis,
)
from unlabeled.dashboards.search_figures import NOTHING
from unlabeled.dashboards.search_trials import Parameter
from unlabeled.dashboards.titles import axis_title
from unlabeled.dashboards.wording import count
from unlabeled.platform.metrics import unit_of

MAX_NUMBERED = 12  # trials on the front


def contour_figure(
    study: optuna.Study,
    table: pd.DataFrame,
    across: Parameter,
    up: Parameter,
    metric: str,
    chosen: int | None,
    words: Mapping[int, str] = NOTHING,
) -> Svg:
    """Draw the objective over two parameters that are numbers, interpolated between the trials that have both."""
    across, up = sorted((across, up), key=lambda one: one.name)  # Optuna's order
    unit, names = unit_of(metric), [across.name, up.name]
    at = pd.DataFrame([trial.params for trial in study.trials], index=table.index)[names].dropna()
    values = finished(table)["value"].reindex(at.index).dropna()
    with canvas():
        axes = theirs.plot_contour(study, names, target_name=metric)
        assert isinstance(axes, Axes), "of two parameters"
        bare(axes)
        for one in list(axes.collections):
            if isinstance(one, PathCollection):
                one.set(facecolor=PAPER, edgecolor=INK, linewidth=0.8)
                tell(one, at.loc[values.index], words)
            elif isinstance(one, ContourSet) and one.filled:
                one.set_cmap("cividis")
                bar = axes.figure.colorbar(one, ax=axes, format=FuncFormatter(unit.axis), pad=0.02)
                bar.locator = MaxNLocator(nbins=4)
                bar.outline.set_visible(False)
                bar.ax.tick_params(length=0, labelcolor=MUTED)
                bar.set_label(metric, color=MUTED, fontsize=9)
            else:
                one.remove()
        pruned = at.loc[table.index[table["state"] == "pruned"].intersection(at.index)]
        cross: dict[str, Any] = {"marker": "X", "mfc": INK, "mec": PAPER, "mew": 0.7, "lw": 0, "label": "pruned"}
        axes.plot(pruned[across.name], pruned[up.name], markersize=6.5, **cross)  # seen on any colour
        handles = [Line2D([], [], markersize=6.5, **cross)] if len(pruned) else []
        if chosen is not None and chosen in values.index:
            ring: dict[str, Any] = {"marker": "o", "mfc": "none", "mec": ORANGE, "mew": 2.2, "lw": 0, "label": "chosen"}
            axes.plot(at.loc[[chosen], across.name], at.loc[[chosen], up.name], markersize=11, **ring)
            handles = [Line2D([], [], markersize=9, **ring), *handles]
        axes.set(xlabel=short(across.short_name), ylabel=short(up.short_name))
        axes.tick_params(labelcolor=MUTED)
        for axis in (axes.xaxis, axes.yaxis):
            plain_ticks(axis)
        said = f"{count(len(values), 'finished trial')} with {across.name} and {up.name}; {metric} from "
        said += f"{unit.value(float(values.min()))} to {unit.value(float(values.max()))}"
        return finish(axes, (5.4, 4.2), handles, f"{metric} over {across.name} and {up.name}", [said])


def front_figure(
    study: optuna.Study,
    table: pd.DataFrame,
    metrics: Sequence[str],
    chosen: int | None,
    words: Mapping[int, str] = NOTHING,
) -> Svg:
    """Draw both objectives against each other, and the trials than which no other is better in both."""
    done, units = finished(table), [unit_of(metric) for metric in metrics]
    ahead = done.loc[[table.index[trial.number] for trial in study.best_trials]].sort_values(["value", "second"])
    with canvas():
        axes = theirs.plot_pareto_front(study, target_names=[axis_title(metric) for metric in metrics])
        bare(axes)
        for dots in axes.collections:
            is_ahead = dots.get_label() == "Best Trial"
            dots.set(facecolor=BLUE if is_ahead else MUTED, edgecolor=PAPER, alpha=1 if is_ahead else 0.7)
            tell(dots, done[["value", "second"]], words)
        axes.plot(ahead["value"], ahead["second"], color=BLUE, linewidth=1.2, linestyle=(0, (3, 2)), zorder=0)
        if chosen is not None and chosen in done.index:
            choose(axes, done["value"][chosen], done["second"][chosen])
        for trial, values in ahead.iterrows() if len(ahead) <= MAX_NUMBERED else ():
            near: dict[str, Any] = {"xytext": (6, 5), "textcoords": "offset points", "fontsize": 8.5}
            axes.annotate(str(trial), (values["value"], values["second"]), **near)
        axes.margins(0.12)
        value_axis(axes, metrics[1])
        axes.grid(axis="x", color=GRID, linewidth=0.8)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(FuncFormatter(units[0].axis))
        said = [
            f"trial {trial}: {units[0].value(values['value'])} at {units[1].value(values['second'])}"
            for trial, values in ahead.iterrows()
        ]
        handles = [dot(BLUE, "on the front", 7), dot(MUTED, "behind it"), *chosen_dot(done, chosen)]
        return finish(axes, (5.4, 3.8), handles, f"The front of {metrics[0]} and {metrics[1]}", said)
