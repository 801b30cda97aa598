"""The papers' tables as they lie in ``published/``: the numbers beside a study's rows are read from there."""

import csv
from collections.abc import Mapping
from pathlib import Path

FOLDER = Path(__file__).parent / "published"


def numbers(table: str, column: str, rows: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Return study row -> the number as printed, for rows that are named by other cells of the table's line.

    Raises:
        LookupError: not exactly one line has these cells.
    """
    with (FOLDER / f"{table}.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    found = {}
    for row, cells in rows.items():
        fitting = [line for line in lines if all(line[name] == value for name, value in cells.items())]
        if len(fitting) != 1:
            raise LookupError(f"{len(fitting)} lines of {table}.csv have {dict(cells)}; name one by its cells")
        found[row] = fitting[0][column].replace("NA", "not available")
    return found
