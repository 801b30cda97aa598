"""Figures of rows: bars, curves over epochs, measured against published. Every figure says in words what it shows."""

import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from unlabeled.dashboards.drawing import (
    GRID,
    INK,
    MUTED,
    PAPER,
    SERIES,
    STYLE,
    TIGHT,
    Svg,
    as_svg,
    mark,
    name_legend,
    short,
    wrapped,
)
from unlabeled.dashboards.placed import label_apart
from unlabeled.dashboards.strokes import Stroke
from unlabeled.dashboards.titles import axis_title, title_of
from unlabeled.dashboards.wording import quoted
from unlabeled.platform.metrics import Unit, number, unit_of

MAX_NAMED = 12  # rows whose curves carry their names
MAX_SAID = 10  # epochs of a curve that are said when it is pointed at


def rows_figure(table: pd.DataFrame, scores: pd.DataFrame, measure: str) -> Svg:
    """Draw each row's mean with its interval, its seeds, and the same encoder untrained.

    Args:
        table: from ``report.table``: by row, with ``mean``, ``low``, ``high``, ``n`` and ``untrained``.
        scores: the measure by seed (index) and row (columns).
        measure: what the axis shows.
    """
    table, unit = table[table["n"] > 0], unit_of(measure)
    with rc_context(STYLE):
        figure = Figure(figsize=(5.2, 1.2 + 0.42 * len(table)), layout="constrained")
        axes = figure.add_subplot()
        drawn: list[float] = []
        for place, (row, values) in enumerate(table.iterrows()):
            colour = SERIES[place % len(SERIES)]
            if np.isfinite(values["low"]):
                low, high = values["low"], values["high"]
                if unit.is_fraction:
                    low, high = max(0.0, low), min(1.0, high)
                axes.plot([low, high], [place, place], color=colour, linewidth=2.2, solid_capstyle="round", zorder=3)
                drawn += [low, high]
            seeds = scores[row].dropna()
            axes.plot(seeds, [place + 0.27] * len(seeds), "o", markersize=3.6, mfc=PAPER, mec=colour, zorder=4)
            says = mark(place, _said(str(row), values, measure))
            axes.plot(values["mean"], place, "o", markersize=7, mfc=colour, mec=PAPER, mew=1, zorder=5, gid=says)
            axes.plot([values["untrained"]] * 2, [place - 0.36, place + 0.36], color=MUTED, linewidth=1.6, zorder=2)
            axes.text(1.02, place, unit.value(values["mean"]), transform=axes.get_yaxis_transform(), va="center")
            drawn += [*seeds, values["untrained"]]
        _finish_rows(axes, [str(row) for row in table.index], np.array(drawn, dtype=float), measure)
        handles = _rows_legend(table)
        figure.legend(handles=handles, loc="outside lower left", ncols=4, fontsize=8.5, labelcolor=MUTED, **TIGHT)
        sentences = [_said(str(row), values, measure) for row, values in table.iterrows()]
        return as_svg(figure, f"{title_of(measure)} by row", "; ".join(sentences))


def epochs_figure(curve: pd.DataFrame, metric: str, strokes: Mapping[str, Stroke]) -> Svg:
    """Draw one metric over epochs: each row's mean, and the range of its seeds as a band.

    Of more rows than a reader tells apart, the highest, the middle and the lowest are named, the others grey.

    Args:
        curve: long frame of that metric: ``row``, ``seed``, ``epoch``, ``value``.
        metric: its name.
        strokes: every row of the study in reading order with how it is drawn, in all figures alike.
    """
    unit, rows = unit_of(metric), list(strokes)
    by_row = {row: curve[curve["row"] == row].groupby("epoch")["value"].agg(["mean", "min", "max"]) for row in rows}
    ends = {row: float(by_epoch["mean"].iloc[-1]) for row, by_epoch in by_row.items() if len(by_epoch)}
    ranked = sorted(ends, key=lambda row: ends[row])
    named = list(ends) if len(ends) <= MAX_NAMED else [ranked[-1], ranked[len(ranked) // 2], ranked[0]]
    with rc_context(STYLE):
        columns = max(1, min(3, 52 // (8 + max((len(short(row)) for row in named), default=0))))
        legend_lines = -(-len(named) // columns)
        figure = Figure(figsize=(4.6, 2.9 + 0.18 * legend_lines), layout="constrained")
        axes = figure.add_subplot()
        for place, row in enumerate(rows):
            if row not in ends:
                continue
            by_epoch, stroke = by_row[row], strokes[row]
            if row not in named:
                axes.plot(by_epoch.index, by_epoch["mean"], color=MUTED, linewidth=0.8, alpha=0.45, zorder=1)
                continue
            low, high = by_epoch["min"], by_epoch["max"]
            band: dict[str, Any] = dict(color=stroke.colour, alpha=0.16, linewidth=0, zorder=2, gid=mark(place, row))
            axes.fill_between(by_epoch.index, low, high, **band)
            line: dict[str, Any] = dict(color=stroke.colour, linestyle=stroke.line, linewidth=1.8, label=short(row))
            says = mark(place, f"{quoted(row)}: {_by_epoch(by_epoch['mean'], unit)}")
            axes.plot(by_epoch.index, by_epoch["mean"], gid=says, **line)
        axes.set_title(axis_title(metric), loc="left", fontsize=10, color=INK)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
        axes.tick_params(axis="y", labelcolor=MUTED)
        axes.grid(axis="y", color=GRID, linewidth=0.8)
        axes.yaxis.set_major_formatter(FuncFormatter(unit.axis))
        figure.legend(loc="outside lower left", ncols=columns, fontsize=8.5, labelcolor=INK, handlelength=2.6)
        name_legend(figure)
        sentences = [f"{quoted(row)} ends at {unit.value(ends[row])}" for row in named]
        if len(named) < len(ends):
            sentences.append(f"{len(ends) - len(named)} other rows end between")
        return as_svg(figure, f"{title_of(metric)} over epochs", "; ".join(sentences))


def published_figure(table: pd.DataFrame, measure: str, quantity: str, strokes: Mapping[str, Stroke]) -> Svg:
    """Draw the measured rows against their published numbers, each on its own axis.

    Points carry their rows' names where those have room, and else numbers, in reading order.

    Args:
        table: from ``report.table``; rows without a mean or without a ``published_number`` are left out.
        measure: what was measured here.
        quantity: what was published.
        strokes: row -> how it is drawn.
    """
    both, unit = table[table["published_number"].notna() & (table["n"] > 0)], unit_of(measure)
    sentences = [
        f"{quoted(str(row))} published {number(values['published_number'])}, measured {unit.value(values['mean'])}"
        for row, values in both.iterrows()
    ]
    with rc_context(STYLE):
        figure = Figure(figsize=(4.6, 3.6), layout="constrained")
        axes = figure.add_subplot()
        for (row, values), says in zip(both.iterrows(), sentences, strict=True):
            colour, across = strokes[str(row)].colour, values["published_number"]
            if np.isfinite(values["low"]):
                axes.plot([across] * 2, [values["low"], values["high"]], color=colour, linewidth=2, zorder=3)
            says = mark(list(strokes).index(str(row)), says)
            axes.plot(across, values["mean"], "o", markersize=8, mfc=colour, mec=PAPER, mew=1.2, zorder=4, gid=says)
        axes.set_xlabel(f"published: {textwrap.shorten(quantity, 48, placeholder='…')}")
        axes.set_ylabel(f"measured: {axis_title(measure)}")
        axes.tick_params(labelcolor=MUTED)
        axes.margins(0.22)
        axes.grid(color=GRID, linewidth=0.8)
        axes.yaxis.set_major_formatter(FuncFormatter(unit.axis))
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
        points = list(zip(both["published_number"], both["mean"], strict=True))
        names = [str(row) for row in both.index]
        label_apart(axes, names, points)
        return as_svg(figure, f"{title_of(measure)} against the published numbers", "; ".join(sentences))


def _said(row: str, values: pd.Series, measure: str) -> str:
    unit = unit_of(measure)
    return (
        f"{quoted(row)} {unit.value(values['mean'])}"
        + (f", interval {unit.value(values['low'])} to {unit.value(values['high'])}" if values["n"] > 1 else "")
        + (f", untrained {unit.value(values['untrained'])}" if np.isfinite(values["untrained"]) else "")
    )


def _by_epoch(means: pd.Series, unit: Unit) -> str:
    """Say a curve in numbers: every epoch of a short one, of a long one some."""
    every = max(1, -(-len(means) // MAX_SAID))
    shown = [*means.index[::-1][::every][::-1]]
    return ", ".join(f"epoch {epoch:g} {unit.value(float(means[epoch]))}" for epoch in shown)


def _finish_rows(axes: Axes, rows: list[str], drawn: np.ndarray, measure: str) -> None:
    low, high = float(np.nanmin(drawn)), float(np.nanmax(drawn))
    margin = max(0.06 * (high - low), 0.0025 * abs(high), 1e-9)
    axes.set_xlim(low - margin, high + margin)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_yticks(range(len(rows)), [wrapped(row) for row in rows], fontsize=9)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=7, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(unit_of(measure).axis))
    axes.set_xlabel(axis_title(measure))


def _rows_legend(table: pd.DataFrame) -> list[Line2D]:
    handles = [
        Line2D([], [], color=MUTED, marker="o", markersize=7, linewidth=0, label="mean"),
        Line2D([], [], mfc=PAPER, mec=MUTED, marker="o", markersize=3.6, linewidth=0, label="one seed"),
    ]
    if table["low"].notna().any():
        handles.append(Line2D([], [], color=MUTED, linewidth=2.2, label="95 % interval"))
    if table["untrained"].notna().any():
        line = Line2D([], [], color=MUTED, marker="|", markersize=11, mew=1.6, linewidth=0, label="untrained encoder")
        handles.append(line)
    return handles
