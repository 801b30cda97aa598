"""Figures of what a study varies: a line over a number, a heat map over two fields."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

from unlabeled.dashboards.drawing import GRID, INK, MUTED, PAPER, SERIES, STYLE, TIGHT, Svg, as_svg, mark, short
from unlabeled.dashboards.shape import Grid, Line
from unlabeled.dashboards.titles import axis_title, title_of
from unlabeled.dashboards.wording import plain, quoted
from unlabeled.platform.metrics import Unit, unit_of

DARK, LIGHT = "#010101", "#fffffe"
"""Text on a cell: of neither scheme, because a cell has one colour in both."""

Scale = tuple[str, Callable[[np.ndarray], np.ndarray]]
SCALES: tuple[Scale, ...] = (
    ("", lambda x: x),
    ("logarithmic axis", np.log10),
    ("axis logarithmic in the distance from 1", lambda x: -np.log10(1 - x)),
)
"""How values are placed: momenta such as 0.9, 0.99, 0.999 crowd before 1 as others do before 0."""
MAX_TICKS = 10
MARKERS = ("o", "s", "^", "D", "v", "P")
"""Of lines: dashes are the curves', where they mean another field than the hue does."""


def line_figure(line: Line, table: pd.DataFrame, scores: pd.DataFrame, measure: str) -> Svg:
    """Draw the means over the number that the rows vary, with intervals, seeds, and the untrained encoder.

    Args:
        line: what the rows vary.
        table: from ``measured.table``.
        scores: the measure by seed (index) and row (columns).
        measure: what the upright axis shows.
    """
    unit, across = unit_of(measure), line.across
    if unit.is_fraction:
        table = table.assign(low=table["low"].clip(lower=0.0), high=table["high"].clip(upper=1.0))
    found = _measured(table)
    about_axis, placed_by = axis_scale([float(value) for value in line.along.values])
    places = placed_by(np.array(line.along.values, dtype=float))
    sentences = []
    with rc_context(STYLE):
        figure = Figure(figsize=(5.2, 3.7 if across else 3.4), layout="constrained")
        axes = figure.add_subplot()
        _ticks(axes, places, line.along.labels)
        num_lines = len(across.values) if across else 1
        for one in range(num_lines):
            name = f"{across.short_name} {across.labels[one]}".strip() if across else ""
            rows = [row for row in line.along.of if row in found and (across is None or across.of[row] == one)]
            rows.sort(key=lambda row: line.along.of[row])
            apart = 0.012 * float(np.ptp(places)) * (one - (num_lines - 1) / 2)  # so that intervals hide none
            _draw_line(axes, places[[line.along.of[row] for row in rows]] + apart, found, rows, scores, one, name, unit)
            labels = (line.along.labels[line.along.of[row]] for row in rows)
            points = [f"{label}: {unit.value(found[row]['mean'])}" for label, row in zip(labels, rows, strict=True)]
            sentences.append(f"{name}: {', '.join(points)}" if name else ", ".join(points))
        untrained = float(table["untrained"].mean())
        if math.isfinite(untrained):
            axes.axhline(untrained, color=MUTED, linewidth=1.4, linestyle=(0, (2, 2)), label="untrained encoder")
            sentences.append(f"untrained encoder {unit.value(untrained)}")
        axes.set_xlabel(f"{_number(line)} ({about_axis})" if about_axis else _number(line))
        axes.set_ylabel(axis_title(measure))
        axes.tick_params(axis="y", labelcolor=MUTED)
        axes.grid(axis="y", color=GRID, linewidth=0.8)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_formatter(FuncFormatter(unit.axis))
        if axes.get_legend_handles_labels()[1]:
            style = {**TIGHT, "handlelength": 2.6}
            figure.legend(loc="outside lower left", ncols=3, fontsize=8.5, labelcolor=INK, **style)
        return as_svg(figure, f"{title_of(measure)} over {_number(line)}", "; ".join(sentences))


def heat_figure(grid: Grid, table: pd.DataFrame, measure: str) -> Svg:
    """Draw the means as a grid of cells with their numbers; the palest is the highest (cividis, Nuñez et al. 2018).

    That map rises evenly in lightness, so it reads alike in any colour vision and in print. Cells that nothing was
    measured for are empty.

    Args:
        grid: what the rows vary.
        table: from ``measured.table``.
        measure: what the colour shows.
    """
    unit, down, right, found = unit_of(measure), grid.down, grid.right, _measured(table)
    means = np.full((len(down.values), len(right.values)), np.nan)
    halves = means.copy()
    for row in (row for row in down.of if row in found):
        at = down.of[row], right.of[row]
        means[at] = found[row]["mean"]
        halves[at] = (found[row]["high"] - found[row]["low"]) / 2
    low, high = float(np.nanmin(means)), float(np.nanmax(means))
    sentences = []
    with rc_context(STYLE):
        size = (max(4.6, 1.7 + 0.66 * len(right.values)), 1.3 + 0.5 * len(down.values))
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.add_subplot()
        for (y, x), mean in np.ndenumerate(means):
            if np.isnan(mean):
                axes.add_patch(_cell(x, y, PAPER, GRID))
                axes.text(x, y, "—", ha="center", va="center", color=MUTED)
                continue
            colour = to_hex(colormaps["cividis"]((mean - low) / (high - low) if high > low else 0.5))
            axes.add_patch(_cell(x, y, colour, PAPER))
            ink = text_on(colour)
            number, half = plain(float(mean)), f"±{halves[y, x]:.2g}"
            if unit.is_fraction:
                number, half = f"{100 * mean:.1f}", f"±{100 * halves[y, x]:.1f}"
            if np.isfinite(halves[y, x]):
                axes.text(x, y - 0.12, number, ha="center", va="center", color=ink, fontsize=9.5)
                axes.text(x, y + 0.25, half, ha="center", va="center", color=ink, fontsize=7)
            else:
                axes.text(x, y, number, ha="center", va="center", color=ink, fontsize=9.5)
            sentences.append(f"{down.labels[y]} and {right.labels[x]} {unit.value(float(mean))}")
        _name_cells(axes, grid)
        shown = "%" if unit.is_fraction else unit.word
        figure.supxlabel(
            f"{title_of(measure)}{f' ({shown})' if shown else ''}", fontsize=9, color=MUTED, x=0.01, ha="left"
        )
        return as_svg(figure, f"{title_of(measure)} by {_both(grid)}", "; ".join(sentences))


def text_on(colour: str) -> str:
    """Return the text colour, dark or light, that is read better on a cell."""
    return max((DARK, LIGHT), key=lambda text: contrast(text, colour))


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours as WCAG 2.2 defines it, 1 to 21.

    >>> round(contrast("#000000", "#ffffff"))
    21
    """
    bright, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def axis_scale(values: list[float]) -> Scale:
    """Return the scale on which the values stand most evenly apart; another than linear must gain clearly."""
    linear, *others = SCALES
    allowed = [linear]
    if min(values) > 0:
        allowed.append(others[0])
    if min(values) >= 0 and max(values) < 1:
        allowed.append(others[1])

    def evenness(scale: Scale) -> float:
        placed = np.sort(scale[1](np.array(values)))
        return float(np.diff(placed).min() / (placed[-1] - placed[0])) if len(placed) > 1 else 0.0

    best = max(allowed, key=evenness)
    return best if evenness(best) > 1.5 * evenness(linear) else linear


def caption(shape: Line | Grid, table: pd.DataFrame, measure: str) -> str:
    """Say in a sentence or two how to read the figure."""
    intervals = bool(table["low"].notna().any())
    if isinstance(shape, Line):
        lines = f", one line per value of {shape.across.short_name or 'the other name'}" if shape.across else ""
        means = "means with their 95 % intervals (Student's t)" if intervals else "means, without intervals"
        return (
            f"{title_of(measure)} over {_number(shape)}{lines}: {means} and every seed as an open circle. "
            "The upright axis does not start at zero."
        )
    means = "means, and half their 95 % intervals (Student's t) below" if intervals else "means, without intervals"
    return f"{title_of(measure)} by {_both(shape)}: {means}; paler is higher."


def _measured(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Return row -> its values, of rows that have any."""
    return {str(row): values for row, values in table[table["n"] > 0].to_dict("index").items()}  # type: ignore[misc]


def _draw_line(
    axes: Axes,
    x: np.ndarray,
    found: Mapping[str, Mapping[str, Any]],
    rows: Sequence[str],
    scores: pd.DataFrame,
    one: int,
    name: str,
    unit: Unit,
) -> None:
    colour = SERIES[one % len(SERIES)] if name else INK  # one line is no row's: it has no row's colour
    shape = MARKERS[one % len(MARKERS)]
    means = [found[row]["mean"] for row in rows]
    axes.plot(x, means, color=colour, linewidth=1.8)
    for at, row in zip(x, rows, strict=True):
        bounds = [found[row]["low"], found[row]["high"]]
        if math.isfinite(bounds[0]):
            axes.plot([at, at], bounds, color=colour, linewidth=2.2, alpha=0.45, solid_capstyle="round")
        seeds = scores[row].dropna()
        axes.plot([at] * len(seeds), seeds, "o", markersize=3.4, mfc=PAPER, mec=colour, zorder=4)
    for at, row in zip(x, rows, strict=True):
        says = mark(list(found).index(row), f"{quoted(row)}: {unit.value(found[row]['mean'])}")
        axes.plot([at], [found[row]["mean"]], shape, markersize=6.5, mfc=colour, mec=PAPER, zorder=5, gid=says)
    if name:
        axes.plot([], [], shape, linestyle="-", color=colour, markersize=5, label=short(name))


def _number(line: Line) -> str:
    return line.along.short_name or "the number in the rows' names"


def _both(grid: Grid) -> str:
    names = [field.short_name for field in (grid.down, grid.right)]
    return " and ".join(names) if all(names) else "what the rows combine"


def _ticks(axes: Axes, places: np.ndarray, labels: list[str]) -> None:
    """Name the values themselves on the axis, not round numbers between them."""
    margin = 0.06 * float(np.ptp(places))
    axes.set_xlim(places.min() - margin, places.max() + margin)
    every = -(-len(places) // MAX_TICKS)
    axes.set_xticks(places[::every], labels[::every])
    axes.tick_params(axis="x", length=4, color=GRID)


def _name_cells(axes: Axes, grid: Grid) -> None:
    """Write the values above and beside the cells, turned where they are long."""
    down, right = grid.down, grid.right
    axes.set_xlim(-0.5, len(right.values) - 0.5)
    axes.set_ylim(len(down.values) - 0.5, -0.5)
    turned = max(map(len, right.labels)) > 9
    axes.set_xticks(
        range(len(right.values)), [short(label, 20) for label in right.labels],
        rotation=35 if turned else 0, ha="left" if turned else "center", rotation_mode="anchor",
    )  # fmt: skip
    axes.set_yticks(range(len(down.values)), [short(label, 20) for label in down.labels])
    axes.tick_params(length=0, labelcolor=INK, labelsize=9, top=True, labeltop=True, bottom=False, labelbottom=False)
    axes.spines[:].set_visible(False)
    axes.xaxis.set_label_position("top")
    axes.set_xlabel(right.short_name, labelpad=7)
    axes.set_ylabel(down.short_name)


def _cell(x: int, y: int, colour: str, edge: str) -> Rectangle:
    return Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=colour, edgecolor=edge, linewidth=1.5)


def _luminance(colour: str) -> float:
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
