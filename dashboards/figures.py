"""Figures of rows: bars, curves over epochs, measured against published. Every figure says in words what it shows."""

import textwrap
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from unlabeled.dashboards.drawing import (
    DASHES,
    GRID,
    INK,
    MUTED,
    PAPER,
    SERIES,
    STYLE,
    TIGHT,
    Svg,
    as_svg,
    short,
    with_unit,
    wrapped,
)
from unlabeled.platform.metrics import number, unit_of

MAX_NAMED = 12  # rows whose curves and points carry their names


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
            axes.plot(values["mean"], place, "o", markersize=7, mfc=colour, mec=PAPER, mew=1, zorder=5)
            axes.plot([values["untrained"]] * 2, [place - 0.36, place + 0.36], color=MUTED, linewidth=1.6, zorder=2)
            axes.text(1.02, place, unit.value(values["mean"]), transform=axes.get_yaxis_transform(), va="center")
            drawn += [*seeds, values["untrained"]]
        _finish_rows(axes, [str(row) for row in table.index], np.array(drawn, dtype=float), measure)
        handles = _rows_legend(table)
        figure.legend(handles=handles, loc="outside lower left", ncols=4, fontsize=8.5, labelcolor=MUTED, **TIGHT)
        sentences = [
            f"{row} {unit.value(values['mean'])}"
            + (f", interval {unit.value(values['low'])} to {unit.value(values['high'])}" if values["n"] > 1 else "")
            + (f", untrained {unit.value(values['untrained'])}" if np.isfinite(values["untrained"]) else "")
            for row, values in table.iterrows()
        ]
        return as_svg(figure, f"{measure} by row", "; ".join(sentences))


def epochs_figure(curve: pd.DataFrame, metric: str, rows: Sequence[str]) -> Svg:
    """Draw one metric over epochs: each row's mean, and the range of its seeds as a band.

    Of more rows than a reader tells apart, the highest, the middle and the lowest are named, the others grey.

    Args:
        curve: long frame of that metric: ``row``, ``seed``, ``epoch``, ``value``.
        metric: its name.
        rows: every row of the study in reading order, so that a row has one colour in all figures.
    """
    unit = unit_of(metric)
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
            by_epoch, colour = by_row[row], SERIES[place % len(SERIES)]
            if row not in named:
                axes.plot(by_epoch.index, by_epoch["mean"], color=MUTED, linewidth=0.8, alpha=0.45, zorder=1)
                continue
            axes.fill_between(
                by_epoch.index, by_epoch["min"], by_epoch["max"], color=colour, alpha=0.16, linewidth=0, zorder=2
            )
            dashes = DASHES[(place + place // len(SERIES)) % len(DASHES)]  # 32 rows differ before colours come back
            axes.plot(by_epoch.index, by_epoch["mean"], color=colour, linestyle=dashes, label=short(row), linewidth=1.8)
        axes.set_title(metric, loc="left", fontsize=10, color=INK)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
        axes.tick_params(axis="y", labelcolor=MUTED)
        axes.grid(axis="y", color=GRID, linewidth=0.8)
        axes.yaxis.set_major_formatter(FuncFormatter(unit.axis))
        figure.legend(loc="outside lower left", ncols=columns, fontsize=8.5, labelcolor=INK, handlelength=2.6)
        sentences = [f"{row} ends at {unit.value(ends[row])}" for row in named]
        if len(named) < len(ends):
            sentences.append(f"{len(ends) - len(named)} other rows end between")
        return as_svg(figure, f"{metric} over epochs", "; ".join(sentences))


def published_figure(table: pd.DataFrame, measure: str, quantity: str) -> Svg:
    """Draw the measured rows against their published numbers, each on its own axis.

    Args:
        table: from ``report.table``; rows without a mean or without a ``published_number`` are left out.
        measure: what was measured here.
        quantity: what was published.
    """
    both, unit = table[table["published_number"].notna() & (table["n"] > 0)], unit_of(measure)
    with rc_context(STYLE):
        figure = Figure(figsize=(4.6, 3.6), layout="constrained")
        axes = figure.add_subplot()
        for row, values in both.iterrows():
            colour = SERIES[list(table.index).index(row) % len(SERIES)]
            across = values["published_number"]
            if np.isfinite(values["low"]):
                axes.plot([across] * 2, [values["low"], values["high"]], color=colour, linewidth=2, zorder=3)
            axes.plot(across, values["mean"], "o", markersize=8, mfc=colour, mec=PAPER, mew=1.2, zorder=4)
            if len(both) <= MAX_NAMED:
                name, at = short(str(row)), (across, values["mean"])
                axes.annotate(name, at, xytext=(7, 5), textcoords="offset points", fontsize=9)
        axes.set_xlabel(f"published: {textwrap.shorten(quantity, 48, placeholder='…')}")
        axes.set_ylabel(f"measured: {with_unit(measure)}")
        axes.tick_params(labelcolor=MUTED)
        axes.margins(0.22)
        axes.grid(color=GRID, linewidth=0.8)
        axes.yaxis.set_major_formatter(FuncFormatter(unit.axis))
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
        sentences = [
            f"{row} published {number(values['published_number'])}, measured {unit.value(values['mean'])}"
            for row, values in both.iterrows()
        ]
        return as_svg(figure, f"{measure} against the published numbers", "; ".join(sentences))


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
    axes.set_xlabel(with_unit(measure))


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
