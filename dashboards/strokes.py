"""How each row is drawn, the same in all of a report's figures: a hue and a dash, each with one meaning.

Where rows cross two fields, the hue is one of them and the dash the other. Elsewhere each row has a hue of its own, and
dashes go with the hues, for those who don't see them apart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from unlabeled.dashboards.drawing import DASHES, SERIES
from unlabeled.dashboards.shape import Field, Grid, Line, shape_of


@dataclass(frozen=True)
class Stroke:
    """How a row is drawn.

    Attributes:
        row: its name.
        hue: its place in ``SERIES``.
        dash: its place in ``DASHES``.
    """

    row: str
    hue: int
    dash: int

    @property
    def colour(self) -> str:
        """The hue as matplotlib has it."""
        return SERIES[self.hue]

    @property
    def line(self) -> Any:
        """The dash as matplotlib has it."""
        return DASHES[self.dash]

    @property
    def dashes(self) -> str:
        """The dash as SVG has it; empty for none."""
        return "" if isinstance(self.line, str) else " ".join(f"{2 * part:g}" for part in self.line[1])


def strokes_of(record: Mapping[str, Any], runs: pd.DataFrame, rows: Sequence[str]) -> tuple[dict[str, Stroke], str]:
    """Return row -> how it is drawn, and what hue and dash mean, in words; nothing where they mean rows.

    Args:
        record: from ``Study.record``.
        runs: one row per run.
        rows: all rows, those that only the runs know among them.
    """
    crossed = _crossed(shape_of(record["rows"], runs)) if set(rows) <= set(record["rows"]) else None
    if crossed is None:
        plain = (Stroke(row, at % len(SERIES), (at + at // len(SERIES)) % len(DASHES)) for at, row in enumerate(rows))
        return {one.row: one for one in plain}, ""
    hue, dash = crossed
    names = [field.short_name for field in crossed]
    says = f"the colour is the {names[0]}, the dashes are the {names[1]}" if all(names) else ""
    return {row: Stroke(row, hue.of[row], dash.of[row]) for row in rows}, says


def _crossed(shape: Line | Grid | None) -> tuple[Field, Field] | None:
    """Return the field for hues and the field for dashes, if there are two that fit."""
    if isinstance(shape, Grid):
        pairs = [(shape.down, shape.right), (shape.right, shape.down)]
    elif isinstance(shape, Line) and shape.across:
        pairs = [(shape.across, shape.along)]
    else:
        return None
    return next(
        (pair for pair in pairs if len(pair[0].values) <= len(SERIES) and len(pair[1].values) <= len(DASHES)), None
    )
