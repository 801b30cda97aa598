"""What a study's rows vary, told by their settings or, failing that, by their names: so a figure can fit them.

A study that varies one number is a line over it, one that crosses two fields is a grid; anything else is a list of
rows. Nothing here knows a study by name.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from typing import Any

import pandas as pd

from unlabeled.dashboards.wording import plain

SEPARATORS = (" then ", " + ", " × ", " x ", " / ", ", ")
MAX_LINES = 6  # more would not be told apart
MIN_POINTS = 3  # that make a line
MIN_CELLS = 6  # that make a grid worth drawing


@dataclass(frozen=True)
class Field:
    """One thing that rows vary.

    Attributes:
        name: its dotted path, or nothing where only the rows' names tell it.
        values: the different values in reading order; numbers ascending.
        of: row -> the place of its value among ``values``.
    """

    name: str
    values: tuple[Any, ...]
    of: Mapping[str, int]

    @property
    def is_number(self) -> bool:
        """Whether every value is a number."""
        return all(_is_number(value) for value in self.values)

    @property
    def labels(self) -> list[str]:
        """The values in words."""
        return [_words(value) for value in self.values]

    @property
    def short_name(self) -> str:
        """The path's last part, in words; of a name, what it names."""
        return self.name.removesuffix(".name").rpartition(".")[2].replace("_", " ")


@dataclass(frozen=True)
class Line:
    """Rows that vary a number, and at most one thing besides.

    Attributes:
        along: the number.
        across: what tells the lines apart; None where there is one line.
    """

    along: Field
    across: Field | None


@dataclass(frozen=True)
class Grid:
    """Rows that are every pair of two fields' values.

    Attributes:
        down: the field of the grid's rows.
        right: the field of its columns.
    """

    down: Field
    right: Field

    def row(self, down: int, right: int) -> str:
        """Return the study's row in a cell."""
        return next(row for row, place in self.down.of.items() if place == down and self.right.of[row] == right)


def shape_of(rows: Mapping[str, Mapping[str, Any]], runs: pd.DataFrame) -> Line | Grid | None:
    """Tell what shape a study's rows have; None is a plain list of rows.

    Args:
        rows: row -> the fields that it sets, as in the study's record.
        runs: its runs, whose parameters tell what a row has that doesn't set a field which others set.
    """
    if len(rows) < MIN_POINTS:
        return None
    fields = _fields(rows, runs)
    along = next((field for field in fields if field.is_number and len(field.values) == len(rows)), None)
    if along:
        kinds = (field for field in fields if len(field.values) < len(rows) and not field.is_number)
        return Line(along, next((kind for kind in kinds if len(kind.values) <= MAX_LINES), None))
    pair = next((pair for pair in combinations(fields, 2) if _crosses(*pair, rows)), None) or _by_name(list(rows))
    if not pair:
        return None
    first, second = pair
    for along, across in sorted((pair, pair[::-1]), key=lambda both: -len(both[0].values)):
        if along.is_number and len(along.values) >= MIN_POINTS and len(across.values) <= MAX_LINES:
            return Line(along, across)
    return Grid(first, second) if len(rows) >= MIN_CELLS else None


def _fields(rows: Mapping[str, Mapping[str, Any]], runs: pd.DataFrame) -> list[Field]:
    """List what tells rows apart; of fields that change together, a number first, then the one named first."""
    found: dict[tuple[int, ...], Field] = {}
    for path in dict.fromkeys(path for fields in rows.values() for path in fields):
        values = [fields[path] if path in fields else _logged(runs, row, path) for row, fields in rows.items()]
        field = _field(path, list(rows), values)
        known = found.get(pattern := _pattern(field.of.values()))
        if len(field.values) > 1 and (known is None or (field.is_number and not known.is_number)):
            found[pattern] = field
    return list(found.values())


def _field(name: str, rows: Sequence[str], values: Sequence[Any]) -> Field:
    keys = [json.dumps(value, sort_keys=True, default=str) for value in values]
    distinct = dict(zip(keys, values, strict=True))
    if all(_is_number(value) for value in values):
        distinct = dict(sorted(distinct.items(), key=lambda item: item[1]))
    order = list(distinct)
    return Field(name, tuple(distinct.values()), {row: order.index(key) for row, key in zip(rows, keys, strict=True)})


def _crosses(down: Field, right: Field, rows: Mapping[str, Any]) -> bool:
    cells = {(down.of[row], right.of[row]) for row in rows}
    return len(cells) == len(rows) == len(down.values) * len(right.values)


def _by_name(rows: Sequence[str]) -> tuple[Field, Field] | None:
    """Split names such as "crop then blur" in two; a name of one part stands on the diagonal, if it is a part."""
    for separator in SEPARATORS:
        halves = [row.split(separator) for row in rows]
        if any(len(parts) > 2 for parts in halves) or not any(len(parts) == 2 for parts in halves):
            continue
        fields = (
            _field("", rows, _numbers([parts[0] for parts in halves])),
            _field("", rows, _numbers([parts[-1] for parts in halves])),
        )
        down, right = fields
        if _crosses(down, right, dict.fromkeys(rows)):
            if set(down.values) == set(right.values):  # one order for both, so that the diagonal is one
                order = {value: place for place, value in enumerate(down.values)}
                right = Field("", down.values, {row: order[right.values[at]] for row, at in right.of.items()})
            return down, right
    return None


def _numbers(texts: Sequence[str]) -> list[Any]:
    """Return texts such as "32" and "1/8" as numbers, if all of them are."""
    try:
        return [float(Fraction(text)) for text in texts]
    except (ValueError, ZeroDivisionError):
        return list(texts)


def _logged(runs: pd.DataFrame, row: str, path: str) -> Any:
    values = runs.loc[runs["row"] == row, path].dropna() if path in runs and "row" in runs else pd.Series(dtype=object)
    return values.iloc[0] if len(values) else None


def _pattern(places: Any) -> tuple[int, ...]:
    """Return numbers by first appearance: fields that change together have one pattern."""
    order: dict[int, int] = {}
    return tuple(order.setdefault(place, len(order)) for place in places)


def _is_number(value: Any) -> bool:
    return hasattr(value, "__float__") and not isinstance(value, bool) and math.isfinite(float(value))


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return str(value.get("name", json.dumps(value, default=str)))
    if isinstance(value, list | tuple):
        return ", ".join(_words(part) for part in value) or "none"
    return plain(value) if value is not None else "none"
