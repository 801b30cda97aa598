"""Figures of a search as Optuna draws them, and as its users know them, in the house's colours.

Optuna draws finished trials only, so the others are added: the chosen one is orange, pruned ones are crosses and failed
ones triangles, in every figure that has a place for them. ``study`` is from :func:`unlabeled.dashboards.search_study.
rebuilt`, and ``table`` what it was made from.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator
from optuna.importance import BaseImportanceEvaluator
from optuna.visualization import matplotlib as theirs

from unlabeled.dashboards.drawing import GRID, INK, MUTED, PAPER, Svg, short
from unlabeled.dashboards.search_canvas import (
    BLUE,
    GREEN,
    MARKERS,
    ORANGE,
    UNSCORED,
    bare,
    canvas,
    choose,
    dot,
    finish,
    finished,
    mark,
    plain_ticks,
    stroke,
    unscored,
    value_axis,
)
from unlabeled.dashboards.search_trials import Parameter
from unlabeled.dashboards.titles import axis_title
from unlabeled.dashboards.wording import count
from unlabeled.platform.metrics import unit_of

BACKED = {"facecolor": PAPER, "edgecolor": "none", "alpha": 0.75, "pad": 0.6}  # words that lines cross
COLUMNS = 3  # of slices
MAX_NUMBERED = 12  # trials on the front


def history_figure(study: optuna.Study, table: pd.DataFrame, metric: str, chosen: int | None) -> Svg:
    """Draw each trial's objective in the order of the trials, and the best so far; those without one stand below."""
    unit, places, done = unit_of(metric), dict(enumerate(table.index)), finished(table)
    with canvas():
        axes = theirs.plot_optimization_history(study)
        bare(axes)
        for dots in axes.collections:
            dots.set(facecolor=BLUE, edgecolor=PAPER)
        for line in axes.lines:
            line.set(color=GREEN, alpha=1, drawstyle="steps-post", linewidth=1.6, zorder=0)
        mark(axes, table, {number: place for place, number in places.items()}, chosen)
        axes.set_xlim(-0.8, max(len(table) - 1, 1) + 0.8)
        axes.set_xlabel("trial")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda at, _: str(places.get(at, ""))))
        value_axis(axes, metric)
        handles = [dot(BLUE, "finished"), stroke(GREEN, "best so far"), *_chosen(done, chosen), *unscored(table)]
        said = [f"{count(len(done), 'trial')} finished of {len(table)}"]
        said.append(f"the first scored {unit.value(float(done['value'].iloc[0]))}")
        best = unit.value(float(study.best_value))
        said.append(f"the best {best} came with trial {places[study.best_trial.number]}")
        said += [f"{count(int((table['state'] == state).sum()), 'trial')} {state}" for state in MARKERS]
        return finish(axes, (5.4, 3.5), handles, f"{metric} by trial", said)


def importance_figure(study: optuna.Study, shares: dict[str, float]) -> Svg:
    """Draw each parameter's share of all parameters' importance, the largest first."""
    with canvas():
        axes = theirs.plot_param_importances(study, _Known(shares), list(shares))
        bare(axes)
        for bar, text in zip(axes.patches, list(axes.texts), strict=True):
            bar.set_facecolor(BLUE)
            text.remove()  # which begins at the bar's very end, for a page passes over a space before it
        bars: Any = axes.containers[0]
        axes.bar_label(bars, [f"{100 * share:.0f} %" for share in reversed(shares.values())], padding=4)
        axes.set_yticks(axes.get_yticks(), [short(name, 34) for name in reversed(shares)], fontsize=9)
        axes.set(xlim=(0, 1.15 * max(shares.values())), xlabel="share of importance (fANOVA)", ylabel="")
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.xaxis.set(major_locator=MaxNLocator(nbins=5), major_formatter=FuncFormatter(unit_of("accuracy").axis))
        said = [f"{name} {100 * share:.0f} %" for name, share in shares.items()]
        return finish(axes, (5.2, 0.8 + 0.32 * len(shares)), [], "Importance of each parameter", said)


def parallel_figure(
    study: optuna.Study,
    table: pd.DataFrame,
    space: Sequence[Parameter],
    metric: str,
    chosen: int | None,
) -> Svg:
    """Draw every finished trial as a line over its objective and all parameters: the best quarter stands out."""
    values, by_name = finished(table)["value"], sorted(space, key=lambda one: one.name)  # Optuna's order
    is_most = study.direction == optuna.study.StudyDirection.MAXIMIZE
    own = list(table.index).index(chosen) if chosen in values.index else -1
    # The chosen line is told by its value, which others may have, too; so for as long it is a trifle off.
    trifle = 1e-9 * max(float(np.ptp(values)), abs(float(values.max())), 1e-9)
    best = values.quantile(0.75 if is_most else 0.25, interpolation="nearest")

    def look(value: float) -> tuple[str, float, float]:
        if chosen is not None and own >= 0 and value == values[chosen] + trifle:
            return ORANGE, 2.6, 1.0
        return (BLUE, 1.4, 0.85) if (value >= best if is_most else value <= best) else (MUTED, 0.9, 0.5)

    with canvas():
        axes = theirs.plot_parallel_coordinate(
            study,
            [one.name for one in by_name],
            target=lambda trial: trial.values[0] + trifle * (trial.number == own),
            target_name=metric,
        )
        bare(axes)
        for lines in [one for one in axes.collections if isinstance(one, LineCollection)]:
            colours, widths, alphas = zip(*map(look, np.asarray(lines.get_array())), strict=True)
            lines.set(array=None, color=colours, linewidth=widths, alpha=alphas)
        names = [short(name, 26) for name in (metric, *(one.short_name for one in by_name))]
        axes.set_xticks(range(len(names)), names, rotation=30, ha="right", rotation_mode="anchor", fontsize=8.5)
        axes.tick_params(axis="x", length=0, labelcolor=INK)
        for each in axes.figure.axes:
            each.spines[["top", "bottom"]].set_visible(False)
            each.spines[["left", "right"]].set_color(MUTED)
            each.tick_params(axis="y", length=3, color=MUTED, labelsize=8, labelcolor=MUTED)
            plain_ticks(each.yaxis)
            for label in each.get_yticklabels():
                label.set_bbox(BACKED)
        axes.yaxis.set_major_formatter(FuncFormatter(unit_of(metric).axis))
        said = [f"{count(len(values), 'trial')} over {', '.join(one.name for one in by_name)}"]
        if own >= 0:
            point = study.trials[own].params
            told = ", ".join(f"{one.name} {one.shown(point.get(one.name))}" for one in by_name)
            said.append(f"the chosen trial {chosen} has {told}")
        handles = [stroke(BLUE, "best quarter"), stroke(MUTED, "other finished", 0.9)]
        handles = [stroke(ORANGE, "chosen", 2.6), *handles] if own >= 0 else handles
        return finish(axes, (max(7.4, 1.6 + 1.1 * len(names)), 4.2), handles, "Every trial over all parameters", said)


def slices_figure(
    study: optuna.Study, table: pd.DataFrame, space: Sequence[Parameter], metric: str, chosen: int | None
) -> Svg:
    """Draw the objective over each parameter by itself; axes are logarithmic where the space is."""
    done, numbered = finished(table), dict(zip(table.index, study.trials, strict=True))
    columns, lines = min(COLUMNS, len(space)), -(-len(space) // COLUMNS)
    with canvas():
        drawn = theirs.plot_slice(study, [one.name for one in space])
        every = {axes.get_xlabel(): axes for axes in ([drawn] if isinstance(drawn, Axes) else drawn)}
        figure = every[space[0].name].figure
        assert isinstance(figure, Figure)
        bare(every[space[0].name])
        grid = figure.add_gridspec(lines, columns)
        for place, one in enumerate(space):
            axes = every[one.name]
            axes.set_subplotspec(grid[place // columns, place % columns])
            for dots in axes.collections:
                dots.set(array=None, facecolor=BLUE, edgecolor=PAPER, linewidth=0.6, sizes=[24])
            at = {number: trial.params[one.name] for number, trial in numbered.items() if one.name in trial.params}
            if one.choices:  # which Optuna places as words, numbers among them
                at = {number: repr(value) for number, value in at.items()}
            mark(axes, table, at, chosen)
            value_axis(axes, metric)
            axes.set(xlabel="", ylabel="")
            axes.margins(x=0.06, y=0.14)
            axes.autoscale()  # Optuna's limits are those of finished trials
            axes.tick_params(axis="y", labelleft=place % columns == 0)
            plain_ticks(axes.xaxis)
        figure.supylabel(axis_title(metric), fontsize=9, color=MUTED)
        handles = [dot(BLUE, "finished"), *_chosen(done, chosen), *unscored(table)]
        title, said = f"{metric} over each parameter", [f"{one.name}: {one.summary}" for one in space]
        for one in space:
            every[one.name].set_title(short(one.short_name, 30), loc="left", fontsize=9, color=INK)
        return finish(every[space[0].name], (2.75 * columns + 0.6, 2.25 * lines + 0.5), handles, title, said)


def contour_figure(
    study: optuna.Study, table: pd.DataFrame, across: Parameter, up: Parameter, metric: str, chosen: int | None
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
            if not isinstance(one, ContourSet):
                one.set(facecolor=PAPER, edgecolor=INK, linewidth=0.8)
            elif one.filled:
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


def front_figure(study: optuna.Study, table: pd.DataFrame, metrics: Sequence[str], chosen: int | None) -> Svg:
    """Draw both objectives against each other, and the trials than which no other is better in both."""
    done, units = finished(table), [unit_of(metric) for metric in metrics]
    ahead = done.loc[[table.index[trial.number] for trial in study.best_trials]].sort_values(["value", "second"])
    with canvas():
        axes = theirs.plot_pareto_front(study, target_names=[axis_title(metric) for metric in metrics])
        bare(axes)
        for dots in axes.collections:
            is_ahead = dots.get_label() == "Best Trial"
            dots.set(facecolor=BLUE if is_ahead else MUTED, edgecolor=PAPER, alpha=1 if is_ahead else 0.7)
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
        handles = [dot(BLUE, "on the front", 7), dot(MUTED, "behind it"), *_chosen(done, chosen)]
        return finish(axes, (5.4, 3.8), handles, f"The front of {metrics[0]} and {metrics[1]}", said)


def curves_figure(study: optuna.Study, table: pd.DataFrame, metric: str, chosen: int | None) -> Svg:
    """Draw the followed metric of every trial over its epochs; the pruned ones end early, in a cross."""
    unit = unit_of(metric)
    ends: dict[str, list[tuple[float, float]]] = {"finished": [], "pruned": []}
    with canvas():
        axes = theirs.plot_intermediate_values(study)
        bare(axes)
        for line in list(axes.lines):
            number = table.index[int(str(line.get_label()).removeprefix("Trial"))]
            state, points = str(table["state"][number]), np.asarray(line.get_xydata())
            line.set(marker="." if len(points) == 1 else "", color=MUTED, linewidth=0.9, alpha=0.6, zorder=1)
            if state == "finished":
                line.set(color=BLUE, linewidth=1.2, alpha=0.8, zorder=2)
            if number == chosen:
                line.set(color=ORANGE, linewidth=2.4, alpha=1, zorder=4)
            if state in MARKERS:
                axes.plot(*points[-1], MARKERS[state], **UNSCORED)
            if state in ends:
                ends[state].append((float(points[-1, 0]), float(points[-1, 1])))
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True))
        value_axis(axes, metric)
        said = []
        for state, of_state in ends.items():
            if of_state:
                epochs, values = zip(*of_state, strict=True)
                between = f"{unit.value(min(values))} to {unit.value(max(values))}"
                when = f"after epoch {min(epochs):.0f} to {max(epochs):.0f}"
                said.append(f"{count(len(of_state), 'trial')} {state} end {when} at {between}")
        handles = [stroke(BLUE, "finished", 1.2), *unscored(table)]
        handles = [stroke(ORANGE, "chosen", 2.4), *handles] if chosen in table.index else handles
        return finish(axes, (5.4, 3.5), handles, f"{metric} over epochs, by trial", said)


class _Known(BaseImportanceEvaluator):
    """An importance that was evaluated before, for Optuna to draw."""

    def __init__(self, shares: Mapping[str, float]) -> None:
        self._shares = shares

    def evaluate(self, study: optuna.Study, params: Any = None, *, target: Any = None) -> dict[str, float]:
        return dict(self._shares)


def _chosen(done: pd.DataFrame, chosen: int | None) -> list[Line2D]:
    return [dot(ORANGE, "chosen", 8)] if chosen in done.index else []
