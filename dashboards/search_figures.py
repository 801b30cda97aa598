"""Figures of a search: its history, what mattered, where the good points lie, the front, and the pruned curves.

Finished trials are dots, the chosen one is orange, pruned ones are crosses and failed ones triangles: in every figure.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator
from matplotlib.tri import Triangulation

from unlabeled.dashboards.drawing import GRID, INK, MUTED, PAPER, SERIES, STYLE, TIGHT, as_svg, short, with_unit
from unlabeled.dashboards.search_importance import Importance
from unlabeled.dashboards.search_trials import Parameter
from unlabeled.dashboards.wording import count
from unlabeled.platform.metrics import unit_of

BLUE, ORANGE, GREEN = SERIES[:3]
OUT = -0.16  # where a parameter that was not asked for is drawn, as a share of its axis
FEWEST_TO_INTERPOLATE = 10
NUM_LEVELS = 8
BACKED = {"facecolor": PAPER, "edgecolor": "none", "alpha": 0.75, "pad": 0.6}


def history_figure(table: pd.DataFrame, metric: str, direction: str, chosen: int | None) -> str:
    """Draw each trial's objective in the order of the trials, and the best so far; those without one stand below."""
    finished, unit = _finished(table), unit_of(metric)
    best = finished["value"].cummax() if direction == "maximize" else finished["value"].cummin()
    with rc_context(STYLE):
        figure = Figure(figsize=(7.4, 3.4), layout="constrained")
        axes = figure.add_subplot()
        if len(best):
            axes.step(best.index, best, where="post", color=GREEN, linewidth=1.6, zorder=2)
            axes.plot([best.index[-1], table.index.max()], [best.iloc[-1]] * 2, color=GREEN, linewidth=1.6, zorder=2)
        axes.plot(finished.index, finished["value"], "o", markersize=5.5, mfc=BLUE, mec=PAPER, mew=0.8, zorder=3)
        if chosen is not None and chosen in finished.index:
            axes.plot(chosen, finished["value"][chosen], "o", markersize=9, mfc=ORANGE, mec=PAPER, mew=1, zorder=4)
        _mark_unscored(axes, table, table.index.to_numpy(dtype=float))
        axes.set_xlim(-0.8, max(table.index.max(), 1) + 0.8)
        axes.margins(y=0.12)
        axes.set_xlabel("trial")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True))
        _value_axis(axes, metric)
        handles = [_dot(BLUE, "finished"), Line2D([], [], color=GREEN, linewidth=1.6, label="best so far")]
        _legend(figure, handles + _legend_of(table, chosen))
        said = [f"{count(len(finished), 'trial')} finished of {len(table)}"]
        if len(best):
            said.append(f"the first scored {unit.value(float(finished['value'].iloc[0]))}")
            said.append(f"the best {unit.value(float(best.iloc[-1]))} came with trial {_first_best(best)}")
        said += [f"{count(int((table['state'] == s).sum()), 'trial')} {s}" for s in ("pruned", "failed")]
        return as_svg(figure, f"{metric} by trial", "; ".join(said))


def importance_figure(found: Importance) -> str:
    """Draw each parameter's share of all parameters' importance."""
    names = list(found.shares)
    with rc_context(STYLE):
        figure = Figure(figsize=(5.2, 0.8 + 0.32 * len(names)), layout="constrained")
        axes = figure.add_subplot()
        axes.barh(range(len(names)), [found.shares[name] for name in names], height=0.62, color=BLUE)
        for place, name in enumerate(names):
            axes.text(found.shares[name] + 0.01, place, f"{100 * found.shares[name]:.0f} %", va="center", fontsize=9)
        axes.set_yticks(range(len(names)), [short(name, 34) for name in names], fontsize=9)
        axes.invert_yaxis()
        axes.set_xlim(0, 1.15 * max(found.shares.values()))
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x", color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5))
        axes.xaxis.set_major_formatter(FuncFormatter(unit_of("accuracy").axis))
        axes.set_xlabel("share of importance (fANOVA)")
        said = [f"{name} {100 * share:.0f} %" for name, share in found.shares.items()]
        return as_svg(figure, "Importance of each parameter", "; ".join(said))


def parallel_figure(
    table: pd.DataFrame, points: pd.DataFrame, space: Sequence[Parameter], direction: str, chosen: int | None
) -> str:
    """Draw every trial as a line over all parameters: the best quarter and the chosen one stand out."""
    finished = _finished(table)
    ranked = finished["value"].sort_values(ascending=direction == "minimize", kind="stable").index
    best = set(ranked[: max(1, len(ranked) // 4)])
    with rc_context(STYLE):
        figure = Figure(figsize=(max(7.4, 1.6 + 0.92 * len(space)), 4.2), layout="constrained")
        axes = figure.add_subplot()
        for place, parameter in enumerate(space):
            axes.plot([place, place], [0, 1], color=MUTED, linewidth=0.9, zorder=1)
            for at, words in _ticks(parameter, points[parameter.name]):
                axes.plot([place - 0.03, place + 0.03], [at, at], color=MUTED, linewidth=0.9, zorder=1)
                axes.text(
                    place + 0.06, at, short(words, 16), fontsize=7.5, color=MUTED, va="center", zorder=6, bbox=BACKED
                )
        for trial in table.index:
            heights = [_height(parameter, points.loc[trial, parameter.name]) for parameter in space]
            if trial == chosen:
                look: dict[str, Any] = {"color": ORANGE, "linewidth": 2.6, "zorder": 5}
            elif trial in best:
                look = {"color": BLUE, "linewidth": 1.4, "alpha": 0.85, "zorder": 4}
            elif trial in finished.index:
                look = {"color": MUTED, "linewidth": 0.9, "alpha": 0.5, "zorder": 3}
            else:
                look = {"color": MUTED, "linewidth": 0.7, "alpha": 0.3, "linestyle": (0, (2, 2)), "zorder": 2}
            axes.plot(range(len(space)), heights, **look)
        axes.set_xlim(-0.25, len(space) - 0.45)
        is_out = points.isna().any(axis=None)
        axes.set_ylim(OUT - 0.05 if is_out else -0.05, 1.05)
        if is_out:
            axes.text(-0.06, OUT, "out", fontsize=8, color=MUTED, ha="right", va="center")
        axes.set_yticks([])
        names = [short(one.short_name, 26) for one in space]
        axes.set_xticks(range(len(space)), names, rotation=30, ha="right", rotation_mode="anchor", fontsize=8.5)
        axes.tick_params(axis="x", length=0, labelcolor=INK)
        axes.spines[:].set_visible(False)
        handles = (
            [Line2D([], [], color=ORANGE, linewidth=2.6, label="chosen")]
            if chosen is not None and chosen in table.index
            else []
        )
        handles += [Line2D([], [], color=BLUE, linewidth=1.4, label="best quarter")] if best - {chosen} else []
        handles.append(Line2D([], [], color=MUTED, linewidth=0.9, alpha=0.6, label="other finished"))
        handles.append(Line2D([], [], color=MUTED, linewidth=0.8, linestyle=(0, (2, 2)), label="not finished"))
        _legend(figure, handles)
        said = [f"{count(len(table), 'trial')} over {', '.join(one.name for one in space)}"]
        if chosen is not None and chosen in table.index:
            chosen_point = ", ".join(f"{one.name} {one.shown(points.loc[chosen, one.name])}" for one in space)
            said.append(f"the chosen trial {chosen} has {chosen_point}")
        return as_svg(figure, "Every trial over all parameters", "; ".join(said))


def slices_figure(
    table: pd.DataFrame, points: pd.DataFrame, space: Sequence[Parameter], metric: str, chosen: int | None
) -> str:
    """Draw the objective over each parameter by itself; axes are logarithmic where the space is."""
    columns = min(3, len(space))
    lines = -(-len(space) // columns)
    finished = _finished(table)
    with rc_context(STYLE):
        figure = Figure(figsize=(2.75 * columns + 0.6, 2.25 * lines + 0.5), layout="constrained")
        grid = figure.subplots(lines, columns, squeeze=False, sharey=True)
        for place, axes in enumerate(grid.flat):
            if place >= len(space):
                axes.set_visible(False)
                continue
            parameter = space[place]
            at = pd.Series(
                [_position(parameter, value) for value in points[parameter.name]], index=points.index, dtype=float
            )
            axes.plot(at[finished.index], finished["value"], "o", markersize=4.6, mfc=BLUE, mec=PAPER, mew=0.6)
            if chosen is not None and chosen in finished.index:
                mark: dict[str, Any] = {"markersize": 7.5, "mfc": ORANGE, "mec": PAPER, "mew": 0.9, "zorder": 5}
                axes.plot(at[chosen], finished.loc[chosen, "value"], "o", **mark)
            _mark_unscored(axes, table, at.to_numpy())
            _parameter_axis(axes, parameter)
            axes.set_title(short(parameter.short_name, 30), loc="left", fontsize=9, color=INK)
            axes.margins(y=0.14)
            _value_axis(axes, metric)
            axes.set_ylabel("")
        figure.supylabel(with_unit(metric), fontsize=9, color=MUTED)
        _legend(figure, [_dot(BLUE, "finished"), *_legend_of(table, chosen)])
        words = "; ".join(_trend(parameter, finished["value"], points, metric) for parameter in space)
        return as_svg(figure, f"{metric} over each parameter", words)


def pair_figure(
    table: pd.DataFrame,
    points: pd.DataFrame,
    across: Parameter,
    up: Parameter,
    metric: str,
    chosen: int | None,
) -> tuple[str, bool]:
    """Draw the objective over two parameters; tell too whether colours between trials are interpolated."""
    finished, unit = _finished(table), unit_of(metric)
    place = pd.DataFrame({"x": [_position(across, v) for v in points[across.name]]}, index=points.index, dtype=float)
    place["y"] = np.array([_position(up, v) for v in points[up.name]], dtype=float)
    at = place.loc[finished.index].assign(value=finished["value"]).dropna()
    low, high = float(at["value"].min()), float(at["value"].max())
    levels = np.linspace(low, high if high > low else low + 1e-9, NUM_LEVELS + 1)
    norm, colours = BoundaryNorm(levels, 256), colormaps["cividis"]
    with rc_context(STYLE):
        figure = Figure(figsize=(5.4, 4.2), layout="constrained")
        axes = figure.add_subplot()
        _parameter_axis(axes, across)
        _parameter_axis(axes, up, vertical=True)
        mesh = _mesh(at, across, up) if high > low else None
        if mesh is not None:
            axes.tricontourf(mesh, at["value"], levels=levels, norm=norm, cmap=colours, alpha=0.8, zorder=1)
        dots = axes.scatter(at["x"], at["y"], c=at["value"], norm=norm, cmap=colours, s=42, ec=INK, lw=0.7, zorder=3)
        rest = place.loc[table.index[table["state"] == "pruned"]].dropna()
        axes.plot(rest["x"], rest["y"], "x", markersize=4.5, color=MUTED, mew=1.1, zorder=2)
        if chosen is not None and chosen in at.index:
            ring: dict[str, Any] = {"markersize": 13, "mfc": "none", "mec": ORANGE, "mew": 2.2, "zorder": 4}
            axes.plot(at["x"][chosen], at["y"][chosen], "o", **ring)
        axes.set_xlabel(short(across.short_name))
        axes.set_ylabel(short(up.short_name))
        axes.tick_params(labelcolor=MUTED)
        bar = figure.colorbar(dots, ax=axes, format=FuncFormatter(unit.axis), drawedges=False, pad=0.02)
        bar.set_ticks([levels[0], levels[NUM_LEVELS // 2], levels[-1]])
        bar.outline.set_visible(False)
        bar.ax.tick_params(length=0, labelcolor=MUTED)
        bar.set_label(metric, color=MUTED, fontsize=9)
        handles = [Line2D([], [], mfc="none", mec=ORANGE, marker="o", mew=2.2, markersize=9, lw=0, label="chosen")]
        _legend(
            figure,
            (handles if chosen is not None and chosen in at.index else []) + _legend_of(table, None, ("pruned",)),
        )
        said = f"{count(len(at), 'finished trial')} with {across.name} and {up.name}; {metric} from {unit.value(low)}"
        return as_svg(figure, f"{metric} over {across.name} and {up.name}", f"{said} to {unit.value(high)}"), bool(mesh)


def front_figure(table: pd.DataFrame, metrics: Sequence[str], front: Sequence[int], chosen: int | None) -> str:
    """Draw both objectives against each other, and the trials than which no other is better in both."""
    finished = _finished(table)
    ahead = finished.loc[list(front)].sort_values(["value", "second"])
    units = [unit_of(metric) for metric in metrics]
    with rc_context(STYLE):
        figure = Figure(figsize=(5.4, 3.8), layout="constrained")
        axes = figure.add_subplot()
        axes.plot(finished["second"], finished["value"], "o", markersize=5, mfc=MUTED, mec=PAPER, mew=0.7, alpha=0.7)
        axes.plot(ahead["second"], ahead["value"], color=BLUE, linewidth=1.2, linestyle=(0, (3, 2)), zorder=2)
        axes.plot(ahead["second"], ahead["value"], "o", markersize=7, mfc=BLUE, mec=PAPER, mew=1, zorder=3)
        if chosen is not None and chosen in finished.index:
            at = finished.loc[chosen]
            axes.plot(at["second"], at["value"], "o", markersize=9, mfc=ORANGE, mec=PAPER, mew=1, zorder=4)
        for trial, values in ahead.iterrows() if len(ahead) <= 12 else ():
            near: dict[str, Any] = {"xytext": (6, 5), "textcoords": "offset points", "fontsize": 8.5}
            axes.annotate(str(trial), (values["second"], values["value"]), **near)
        axes.margins(0.12)
        _value_axis(axes, metrics[0])
        axes.grid(axis="x", color=GRID, linewidth=0.8)
        axes.set_xlabel(with_unit(metrics[1]))
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(FuncFormatter(units[1].axis))
        chosen_one = [_dot(ORANGE, "chosen", 8)] if chosen is not None and chosen in finished.index else []
        _legend(figure, [_dot(BLUE, "on the front", 7), _dot(MUTED, "behind it"), *chosen_one])
        said = [
            f"trial {trial}: {units[0].value(values['value'])} at {units[1].value(values['second'])}"
            for trial, values in ahead.iterrows()
        ]
        return as_svg(figure, f"The front of {metrics[0]} and {metrics[1]}", "; ".join(said))


def curves_figure(curves: pd.DataFrame, table: pd.DataFrame, metric: str, chosen: int | None) -> str:
    """Draw the followed metric of every trial over its epochs; the pruned ones end early, in a cross.

    Args:
        curves: long: ``trial``, ``epoch``, ``value``.
        table: the trials.
        metric: what is followed.
        chosen: the trial that stands out.
    """
    unit = unit_of(metric)
    with rc_context(STYLE):
        figure = Figure(figsize=(7.4, 3.6), layout="constrained")
        axes = figure.add_subplot()
        for trial, curve in curves.groupby("trial"):
            curve, state = curve.sort_values("epoch"), table["state"].get(trial)
            look: dict[str, Any] = {"color": MUTED, "linewidth": 0.9, "alpha": 0.6, "zorder": 1}
            if state == "finished":
                look = {"color": BLUE, "linewidth": 1.2, "alpha": 0.8, "zorder": 2}
            if trial == chosen:
                look = {"color": ORANGE, "linewidth": 2.4, "zorder": 4}
            axes.plot(curve["epoch"], curve["value"], **look, marker="o" if len(curve) == 1 else None, markersize=3)
            marker = {"pruned": "x", "failed": "^"}.get(str(state))
            if marker:
                end: dict[str, Any] = {"markersize": 5, "color": MUTED, "mew": 1.2, "zorder": 3}
                axes.plot(curve["epoch"].iloc[-1], curve["value"].iloc[-1], marker, **end)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True))
        _value_axis(axes, metric)
        handles = (
            [Line2D([], [], color=ORANGE, linewidth=2.4, label="chosen")]
            if chosen is not None and chosen in table.index
            else []
        )
        handles += [Line2D([], [], color=BLUE, linewidth=1.2, label="finished")]
        _legend(figure, handles + _legend_of(table, None, ("pruned", "failed")))
        said = []
        for state in ("finished", "pruned"):
            ends = curves[curves["trial"].isin(table.index[table["state"] == state])].sort_values("epoch")
            last = ends.groupby("trial").last()
            if len(last):
                epochs = f"{int(last['epoch'].min())} to {int(last['epoch'].max())}"
                values = f"{unit.value(float(last['value'].min()))} to {unit.value(float(last['value'].max()))}"
                said.append(f"{count(len(last), 'trial')} {state} end after epoch {epochs} at {values}")
        return as_svg(figure, f"{metric} over epochs, by trial", "; ".join(said))


def _finished(table: pd.DataFrame) -> pd.DataFrame:
    return table[(table["state"] == "finished") & table["value"].notna()]


def _first_best(best: "pd.Series[float]") -> int:
    return int(best.index[(best == best.iloc[-1]).to_numpy()][0])


def _mark_unscored(axes: Axes, table: pd.DataFrame, at: Any) -> None:
    """Mark the trials without an objective along the foot of the axes."""
    for state, marker in (("pruned", "x"), ("failed", "^")):
        where = at[(table["state"] == state).to_numpy()]
        foot = axes.get_xaxis_transform()
        axes.plot(where, [0.035] * len(where), marker, markersize=4.5, color=MUTED, mew=1.2, transform=foot, zorder=2)


def _legend_of(table: pd.DataFrame, chosen: int | None, states: Sequence[str] = ("pruned", "failed")) -> list[Line2D]:
    handles = [_dot(ORANGE, "chosen", 8)] if chosen is not None and chosen in _finished(table).index else []
    for state, marker in (("pruned", "x"), ("failed", "^")):
        if state in states and (table["state"] == state).any():
            handles.append(Line2D([], [], color=MUTED, marker=marker, markersize=5, mew=1.2, linewidth=0, label=state))
    return handles


def _dot(colour: str, label: str, size: float = 5.5) -> Line2D:
    return Line2D([], [], color=colour, marker="o", markersize=size, linewidth=0, label=label)


def _legend(figure: Figure, handles: list[Line2D]) -> None:
    if handles:
        figure.legend(handles=handles, loc="outside lower left", ncols=5, fontsize=8.5, labelcolor=MUTED, **TIGHT)


def _value_axis(axes: Axes, metric: str) -> None:
    axes.set_ylabel(with_unit(metric))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(unit_of(metric).axis))
    axes.tick_params(axis="both", labelcolor=MUTED)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)


def _position(parameter: Parameter, value: Any) -> float:
    """Return where a value lies on its axis; NaN where it was not asked for."""
    if value is None or value != value:
        return math.nan
    return float(parameter.choices.index(value)) if parameter.choices else float(value)


def _height(parameter: Parameter, value: Any) -> float:
    """Return where a value lies between its parameter's ends, 0 to 1; ``OUT`` where it was not asked for."""
    at = _position(parameter, value)
    if math.isnan(at):
        return OUT
    if parameter.choices:
        return at / max(1, len(parameter.choices) - 1)
    low, high = parameter.low, parameter.high
    if parameter.is_log and at > 0:
        at, low, high = math.log(at), math.log(low), math.log(high)
    return (at - low) / (high - low) if high > low else 0.5


def _ticks(parameter: Parameter, values: "pd.Series[Any]") -> list[tuple[float, str]]:
    if parameter.choices:
        return [(_height(parameter, choice), choice) for choice in parameter.choices]
    middle = (parameter.low + parameter.high) / 2
    if parameter.is_log:
        middle = math.sqrt(parameter.low * parameter.high)
    ends = [parameter.low, parameter.high] if parameter.high > parameter.low else [parameter.low]
    shown = [ends[0], round(middle) if parameter.is_whole else middle, *ends[1:]] if len(ends) > 1 else ends
    return [(_height(parameter, value), f"{value:.3g}") for value in shown if values.notna().any()]


def _parameter_axis(axes: Axes, parameter: Parameter, *, vertical: bool = False) -> None:
    axis, limit = (axes.yaxis, axes.set_ylim) if vertical else (axes.xaxis, axes.set_xlim)
    if parameter.choices:
        axis.set_ticks(range(len(parameter.choices)), [short(choice, 14) for choice in parameter.choices])
        limit(-0.5, len(parameter.choices) - 0.5)
        if not vertical and max(map(len, parameter.choices)) * len(parameter.choices) > 24:
            axes.tick_params(axis="x", labelrotation=25)
        return
    if parameter.is_log:
        (axes.set_yscale if vertical else axes.set_xscale)("log")
        decades = math.log10(parameter.high / parameter.low) if parameter.high > parameter.low else 0.0
        axis.set_major_locator(LogLocator(subs=(1.0,) if decades > 1.5 else (1.0, 2.0, 5.0)))
        axis.set_minor_locator(NullLocator())
        axis.set_minor_formatter(NullFormatter())
    else:
        axis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 2.5, 5, 10], integer=parameter.is_whole))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.6g}".replace("-", "−")))
    if parameter.high > parameter.low:
        ends = [_along(parameter, share) for share in (-0.06, 1.06)]
        limit(*ends)


def _along(parameter: Parameter, share: float) -> float:
    if parameter.is_log:
        return float(parameter.low * (parameter.high / parameter.low) ** share)
    return float(parameter.low + (parameter.high - parameter.low) * share)


def _mesh(at: pd.DataFrame, across: Parameter, up: Parameter) -> Triangulation | None:
    """Return triangles between the trials, even as they are drawn; None for too few, for choices, and for lines."""
    if len(at) < FEWEST_TO_INTERPOLATE or across.choices or up.choices:
        return None
    flat = np.array([[_height(across, x), _height(up, y)] for x, y in at[["x", "y"]].to_numpy()])
    if len(np.unique(flat.round(9), axis=0)) < len(flat) or np.linalg.matrix_rank(flat - flat[0], tol=1e-6) < 2:
        return None
    try:
        triangles = Triangulation(flat[:, 0], flat[:, 1]).triangles
    except (RuntimeError, ValueError):
        return None
    return Triangulation(at["x"].to_numpy(), at["y"].to_numpy(), triangles)


def _trend(parameter: Parameter, values: "pd.Series[float]", points: pd.DataFrame, metric: str) -> str:
    """Say of one parameter where the best trial lies."""
    unit, known = unit_of(metric), points.loc[values.index, parameter.name].dropna()
    if not len(known):
        return f"{parameter.name}: no finished trial has it"
    if parameter.choices:
        means = values[known.index].groupby(known.astype(str)).mean()
        return f"{parameter.name}: " + ", ".join(
            f"{name} {unit.value(float(v))} on average" for name, v in means.items()
        )
    return f"{parameter.name}: {parameter.shown(known.min())} to {parameter.shown(known.max())} in {len(known)} trials"
