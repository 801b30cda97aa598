"""Rows' measures as dots on a line in a page: of a whole study, or of one row at a time on an axis that all share.

They are made by hand, some hundred bytes a row, in the page's colours: a dot is the mean over seeds, a line its 95 %
interval, an upright line the same encoder untrained.
"""

import html
import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from unlabeled.dashboards.drawing import SERIES, short
from unlabeled.dashboards.figures import MAX_NAMED
from unlabeled.dashboards.measured import Measured
from unlabeled.dashboards.titles import title_of
from unlabeled.dashboards.wording import count
from unlabeled.platform.metrics import Unit

LEFT, LONGEST, WIDTH = 112, 18, 224.0  # the room for rows' names, and their characters; of the axis
HEIGHT = 26.0  # of one row drawn alone


def strip(one: Measured) -> Markup:
    """Draw a measure's rows below one another, small enough for a list."""
    table = _drawn(one)
    if table.empty:
        return Markup("")
    axis, pitch = _Axis(table, LEFT + 8), min(18.0, 180.0 / len(table))
    marks = []
    for place, (row, values) in enumerate(table.to_dict("index").items()):
        colour = f"var(--series-{place % len(SERIES)})" if len(table) <= MAX_NAMED else "var(--ink)"
        y = 8 + pitch * (place + 0.5)
        if len(table) <= MAX_NAMED:
            name = html.escape(short(str(row), LONGEST))
            marks.append(f'<text x="0" y="{y + 4:.1f}" font-size="10" fill="var(--ink)">{name}</text>')
        marks += axis.marks(values, y, 0.4 * pitch, max(2.0, min(4.0, 0.45 * pitch)), colour)
    words = f"{title_of(one.metric)} of {count(len(table), 'row')}: "
    words += "; ".join(f"{row} {one.unit.value(mean)}" for row, mean in table["mean"].items())
    return _drawing(words, marks, LEFT + 240, 16 + pitch * len(table))


def levels(one: Measured) -> dict[Hashable, Markup]:
    """Draw each row of a measure by itself, all on one axis: row -> drawing."""
    table = _drawn(one)
    axis = _Axis(table, 8) if len(table) else None
    return {
        row: _drawing(f"{title_of(one.metric)}: {_said(values, one.unit)}", axis.marks(values, HEIGHT / 2, 10, 4.5))
        for row, values in table.to_dict("index").items()
        if axis
    }


def extremes(one: Measured) -> list[tuple[str, str, str]]:
    """Return the rows that measure most and least with their values, and the untrained encoder's mean."""
    table = one.table[one.table["n"] > 0]
    if table.empty:
        return []
    found = [("Highest", str(table["mean"].idxmax()), one.unit.value(float(table["mean"].max())))]
    if len(table) > 1:
        found.append(("Lowest", str(table["mean"].idxmin()), one.unit.value(float(table["mean"].min()))))
    if one.has_untrained:
        found.append(("Untrained", "mean of rows", one.unit.value(float(table["untrained"].mean()))))
    return found


class _Axis:
    """An axis that holds all of a table's numbers."""

    def __init__(self, table: pd.DataFrame, left: float) -> None:
        drawn = table[["mean", "untrained", "low", "high"]].to_numpy(dtype=float)
        self.low, self.high = float(np.nanmin(drawn)), float(np.nanmax(drawn))
        self.left = left

    def at(self, value: float) -> str:
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return f"{self.left + WIDTH * share:.1f}"

    def marks(
        self, values: Mapping[Any, Any], y: float, tall: float, radius: float, colour: str = "var(--link)"
    ) -> Sequence[str]:
        """Draw a row's numbers at a height, the untrained encoder's as an upright line, twice as ``tall``."""
        marks = []
        if math.isfinite(values["untrained"]):
            x, top, bottom = self.at(values["untrained"]), y - tall, y + tall
            line = f'x1="{x}" x2="{x}" y1="{top:.1f}" y2="{bottom:.1f}"'
            marks.append(f'<line {line} stroke="var(--muted)" stroke-width="1.5"/>')
        if math.isfinite(values["low"]):
            line = f'x1="{self.at(values["low"])}" x2="{self.at(values["high"])}" y1="{y:.1f}" y2="{y:.1f}"'
            marks.append(f'<line {line} stroke="{colour}" stroke-width="2"/>')
        marks.append(f'<circle cx="{self.at(values["mean"])}" cy="{y:.1f}" r="{radius:.1f}" fill="{colour}"/>')
        return marks


def _drawn(one: Measured) -> pd.DataFrame:
    """Return the rows that were measured; a share's interval ends where shares do."""
    table = one.table[one.table["n"] > 0]
    if one.unit.is_fraction:
        table = table.assign(low=table["low"].clip(0.0, 1.0), high=table["high"].clip(0.0, 1.0))
    return table


def _said(values: Mapping[Any, Any], unit: Unit) -> str:
    words = unit.value(values["mean"])
    if math.isfinite(values["low"]):
        words += f", 95 % interval {unit.value(values['low'])} to {unit.value(values['high'])}"
    if math.isfinite(values["untrained"]):
        words += f"; untrained {unit.value(values['untrained'])}"
    return words


def _drawing(words: str, marks: Sequence[str], width: float = WIDTH + 16, height: float = HEIGHT) -> Markup:
    words = html.escape(words)
    head = f'<svg role="img" aria-label="{words}" viewBox="0 0 {width:g} {height:.0f}"><title>{words}</title>'
    return Markup(f"{head}{''.join(marks)}</svg>")
