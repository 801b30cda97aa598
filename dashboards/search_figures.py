"""Figures of a search as Optuna draws them, and as its users know them, in the house's colours.

Optuna draws finished trials only, so the others are added: the chosen one is orange, pruned ones are crosses and failed
ones triangles, in every figure that has a place for them. ``study`` is from :func:`unlabeled.dashboards.search_study.
rebuilt`, ``table`` what it was made from, and ``words`` what the marks of each trial say, if anything: from
:func:`unlabeled.dashboards.search_canvas.words_of`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from optuna.importance import BaseImportanceEvaluator
from optuna.visualization import matplotlib as theirs

from unlabeled.dashboards.drawing import GRID, INK, MUTED, PAPER, Svg, short, told
from unlabeled.dashboards.search_canvas import (
    BLUE,
    GREEN,
    MARKERS,
    ORANGE,
    UNSCORED,
    bare,
    canvas,
    chosen_dot,
    dot,
    finish,
    finished,
    mark,
    plain_ticks,
    stroke,
    tell,
    unscored,
    value_axis,
)
from unlabeled.dashboards.search_trials import Parameter
from unlabeled.dashboards.titles import axis_title
from unlabeled.dashboards.wording import count
from unlabeled.platform.metrics import unit_of

BACKED = {"facecolor": PAPER, "edgecolor": "none", "alpha": 0.75, "pad": 0.6}  # words that lines cross
COLUMNS = 3  # of slices
NOTHING: Mapping[int, str] = {}


def history_figure(
    study: optuna.Study, table: pd.DataFrame, metric: str, chosen: int | None, words: Mapping[int, str] = NOTHING
) -> Svg:
    """Draw each trial's objective in the order of the trials, and the best so far; those without one stand below."""
    unit, places, done = unit_of(metric), dict(enumerate(table.index)), finished(table)
    with canvas():
        axes = theirs.plot_optimization_history(study)
        bare(axes)
        for dots in axes.collections:
            dots.set(facecolor=BLUE, edgecolor=PAPER)
            at = done.assign(place=[place for place, number in places.items() if number in done.index])
            tell(dots, at[["place", "value"]], words)
        for line in axes.lines:
            line.set(color=GREEN, alpha=1, drawstyle="steps-post", linewidth=1.6, zorder=0)
        mark(axes, table, {number: place for place, number in places.items()}, chosen)
        axes.set_xlim(-0.8, max(len(table) - 1, 1) + 0.8)
        axes.set_xlabel("trial")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda at, _: str(places.get(at, ""))))
        value_axis(axes, metric)
        handles = [dot(BLUE, "finished"), stroke(GREEN, "best so far"), *chosen_dot(done, chosen), *unscored(table)]
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
    words: Mapping[int, str] = NOTHING,
) -> Svg:
    """Draw every finished trial as a line over its objective and all parameters: the best quarter stands out."""
    values, by_name = finished(table)["value"], sorted(space, key=lambda one: one.name)  # Optuna's order
    is_most = study.direction == optuna.study.StudyDirection.MAXIMIZE
    own = list(table.index).index(chosen) if chosen in values.index else -1
    # A line is told by its value, which others may have, too; so for as long they lie a trifle apart.
    trifle = 1e-9 * max(float(np.ptp(values)), abs(float(values.max())), 1e-9)
    apart = values + trifle * values.groupby(values).cumcount()
    trial_at = dict(zip(apart.tolist(), map(int, apart.index), strict=True))
    best = values.quantile(0.75 if is_most else 0.25, interpolation="nearest")

    def look(number: int) -> tuple[str, float, float]:
        if number == chosen:
            return ORANGE, 2.6, 1.0
        is_best = values[number] >= best if is_most else values[number] <= best
        return (BLUE, 1.4, 0.85) if is_best else (MUTED, 0.9, 0.5)

    with canvas():
        axes = theirs.plot_parallel_coordinate(
            study,
            [one.name for one in by_name],
            target=lambda trial: float(apart[table.index[trial.number]]),
            target_name=metric,
        )
        bare(axes)
        for lines in [one for one in axes.collections if isinstance(one, LineCollection)]:
            numbers = [trial_at[value] for value in np.asarray(lines.get_array())]
            colours, widths, alphas = zip(*map(look, numbers), strict=True)
            if words:
                lines.set_gid(told(words[number] for number in numbers))
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
            has = ", ".join(f"{one.name} {one.shown(point.get(one.name))}" for one in by_name)
            said.append(f"the chosen trial {chosen} has {has}")
        handles = [stroke(BLUE, "best quarter"), stroke(MUTED, "other finished", 0.9)]
        handles = [stroke(ORANGE, "chosen", 2.6), *handles] if own >= 0 else handles
        return finish(axes, (max(7.4, 1.6 + 1.1 * len(names)), 4.2), handles, "Every trial over all parameters", said)


def slices_figure(
    study: optuna.Study,
    table: pd.DataFrame,
    space: Sequence[Parameter],
    metric: str,
    chosen: int | None,
    words: Mapping[int, str] = NOTHING,
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
                if words and len(np.asarray(dots.get_offsets())):
                    dots.set_gid(told(words[table.index[int(place)]] for place in np.asarray(dots.get_array())))
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
        handles = [dot(BLUE, "finished"), *chosen_dot(done, chosen), *unscored(table)]
        title, said = f"{metric} over each parameter", [f"{one.name}: {one.summary}" for one in space]
        for one in space:
            every[one.name].set_title(short(one.short_name, 30), loc="left", fontsize=9, color=INK)
        return finish(every[space[0].name], (2.75 * columns + 0.6, 2.25 * lines + 0.5), handles, title, said)


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
            end, last = points[-1]
            line.set_gid(told([f"trial {number}, {state}: {unit.value(last)} after epoch {end:.0f}"]))
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
