"""What the papers print, as it lies in ``published/``: every published number in a study is read from there.

``index.csv`` names each table's columns: source, quantity, setting and unit. ``findings.csv`` holds what a paper says
in words, with the number in it. No study types a published number.
"""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self

from unlabeled.platform.study import Claim, Published

FOLDER = Path(__file__).parent / "published"
SCALE = {"%": 0.01, "points": 0.01, "nats": 1.0}  # of the units that measures have too


@cache
def lines(name: str) -> tuple[Mapping[str, str], ...]:
    """Read a file of ``published/``, a mapping of column -> cell for each line."""
    with (FOLDER / f"{name}.csv").open(newline="") as file:
        return tuple(csv.DictReader(file))


def one(name: str, cells: Mapping[str, str]) -> Mapping[str, str]:
    """Return the one line of a file that has these cells.

    Raises:
        LookupError: not exactly one line has them.
    """
    fitting = [line for line in lines(name) if all(line[column] == value for column, value in cells.items())]
    if len(fitting) != 1:
        raise LookupError(f"{len(fitting)} lines of {name}.csv have {dict(cells)}; name one by its cells")
    return fitting[0]


@dataclass(frozen=True)
class Cell:
    """A number as printed, with its source and unit.

    Attributes:
        text: as printed.
        unit: of the number: "%", "GB".
        source: paper and table.
    """

    text: str
    unit: str
    source: str

    @classmethod
    def of(cls, table: str, column: str, **cells: str) -> Self:
        """Read a cell: the column of the one line that has the other cells."""
        about = one("index", {"file": table, "column": column})
        text = one(table, cells)[column].replace("NA", "not available")
        return cls(text, about["unit"], about["source"])

    @property
    def number(self) -> float | None:
        """The number, None where something else is printed."""
        try:
            return float(self.text)
        except ValueError:
            return None

    @property
    def measured(self) -> str:
        """The text, with the unit of a number."""
        return self.text if self.number is None else f"{self.text} {self.unit}".strip()

    def __str__(self) -> str:
        return self.text


def against(higher: Cell, lower: Cell) -> dict[str, Any]:
    """Return a claim's published side: two numbers as printed, and their difference where measures have its unit.

    >>> against(Cell("66.2", "%", "a paper"), Cell("60.6", "%", "a paper"))
    {'source': 'a paper', 'published': '66.2 against 60.6 %', 'published_difference': 0.056}
    >>> against(Cell("55.2", "%", "a paper"), Cell("fail", "%", "a paper"))["published"]
    '55.2 % against fail'
    """
    alike = higher.unit == lower.unit and higher.number is not None and lower.number is not None
    words = f"{higher} against {lower.measured}" if alike else f"{higher.measured} against {lower.measured}"
    return {
        "source": _once((higher.source, lower.source)),
        "published": words,
        "published_difference": _difference(higher, lower),
    }


def gap_against(higher: Cell, lower: Cell, than_higher: Cell, than_lower: Cell) -> dict[str, Any]:
    """Return the published side of a claim that one difference is larger than another, all four of one table."""
    first, second = _difference(higher, lower), _difference(than_higher, than_lower)
    if first is None or second is None:
        raise LookupError(f"no difference of differences between {higher}, {lower}, {than_higher} and {than_lower}")
    words = f"{higher} against {lower}, and {than_higher} against {than_lower} {higher.unit}"
    return {"source": higher.source, "published": words, "published_difference": round(first - second, 9)}


def spread(table: str, column: str, **cells: str) -> str:
    """Say the range of a column over the lines that have these cells.

    >>> spread("moco_v2_trials", "imagenet_acc", version="v1")
    '60.6 to 61.1 %'
    """
    about = one("index", {"file": table, "column": column})
    fitting = [line for line in lines(table) if all(line[name] == value for name, value in cells.items())]
    texts = sorted((line[column] for line in fitting), key=float)
    return f"{texts[0]} to {texts[-1]} {about['unit']}"


def said(finding: str, **fields: str) -> dict[str, Any]:
    """Return the published side of a claim that a paper makes in words: ``findings.csv``, by the finding's name.

    Raises:
        LookupError: there is no such finding.
    """
    line = one("findings", {"finding": finding})
    number = float(line["difference"]) * SCALE[line["unit"]] if line["difference"] else None
    return {
        "source": line["source"],
        "published": line["words"],
        "published_difference": None if number is None else round(number, 9),
    } | fields


class Column:
    """A column of a published table, its lines named by a study's rows."""

    def __init__(
        self, table: str, column: str, rows: Mapping[str, Mapping[str, str]], others: tuple[str, ...] = ()
    ) -> None:
        """Read the cells of the rows, each named by other cells of its line.

        Args:
            table: the file in ``published/``.
            column: which of its columns.
            rows: the study's row -> cells that only its line has.
            others: columns that name the lines that no row stands for, to be listed too.

        Raises:
            LookupError: not exactly one line has a row's cells.
        """
        self.about = one("index", {"file": table, "column": column})
        self.cells = {row: Cell.of(table, column, **cells) for row, cells in rows.items()}
        taken = [one(table, cells) for cells in rows.values()]
        self.others = {
            ", ".join(line[name] for name in others): line[column]
            for line in lines(table)
            if others and line not in taken and line[column] != "NA"
        }

    def __getitem__(self, row: str) -> Cell:
        return self.cells[row]

    @property
    def source(self) -> str:
        """Paper and table."""
        return self.about["source"]

    def beside(self, measure: str = "", note: str = "") -> Published:
        """Put the column beside a measure, with a note on what is otherwise here."""
        return beside(self, measure=measure, note=note)

    def claim(self, statement: str, higher: str, lower: str, **fields: Any) -> Claim:
        """Claim what two of its cells say: that one row beats another."""
        return Claim(
            statement=statement, higher=higher, lower=lower, **{**against(self[higher], self[lower]), **fields}
        )

    def rising(self, statement: str, *rows: str, **fields: Any) -> Claim:
        """Claim what its cells say of an order of rows, from the least to the most.

        The published size is, like the measured one, the rise from the first to the last along the straight line
        through all of them.
        """
        numbers = [self[row].number for row in rows]
        middle = (len(rows) - 1) / 2
        slope = sum((at - middle) * (number or 0.0) for at, number in enumerate(numbers))
        rise = slope / sum((at - middle) ** 2 for at in range(len(rows))) * (len(rows) - 1)
        known = self[rows[0]].unit in SCALE and None not in numbers
        return Claim(
            statement=statement,
            order=rows,
            source=self.source,
            published=f"{', '.join(str(self[row]) for row in rows)} {self[rows[0]].unit}".strip(),
            published_difference=round(rise * SCALE[self[rows[0]].unit], 9) if known else None,
            **fields,
        )

    def best(self, statement: str, *rows: str, **fields: Any) -> Claim:
        """Claim that the best of its rows is one of these; how far ahead of the others it is, its cells say."""
        others = [row for row in fields.get("among", self.cells) if row not in rows]
        leader, rival = (max(those, key=lambda row: self[row].number or 0.0) for those in (rows, others))
        return Claim(statement=statement, best=rows, **{**against(self[leader], self[rival]), **fields})

    def collapse(self, statement: str, row: str, **fields: Any) -> Claim:
        """Claim that a row learns nothing."""
        given = {"source": self.source, "published": self[row].measured}
        return Claim(statement=statement, collapsed=row, **{**given, **fields})


def beside(*columns: Column, measure: str = "", note: str = "") -> Published:
    """Put columns that have different rows beside one measure, with a note on what is otherwise here.

    Raises:
        ValueError: two columns have a name in common.
    """
    names = [name for column in columns for name in (*column.cells, *column.others)]
    if len(set(names)) < len(names):
        raise ValueError(f"two columns have a name in common: {', '.join(names)}; put them there one by one")
    abouts = [column.about for column in columns]
    quantities = [", ".join(filter(None, (about["quantity"], about["unit"]))) for about in abouts]
    return Published(
        source=_once(about["source"] for about in abouts),
        setting="; ".join(filter(None, (_once(about["setting"] for about in abouts), note))),
        quantity=_once(quantities),
        rows={row: cell.text for column in columns for row, cell in column.cells.items()},
        others={name: text for column in columns for name, text in column.others.items()},
        measure=measure,
    )


def _once(texts: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(texts))


def _difference(higher: Cell, lower: Cell) -> float | None:
    if higher.number is None or lower.number is None or higher.unit != lower.unit or higher.unit not in SCALE:
        return None
    return round((higher.number - lower.number) * SCALE[higher.unit], 9)
