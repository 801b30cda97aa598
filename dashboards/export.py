"""A study's table for a paper: Markdown and LaTeX, with the report's own rounding."""

import math
import re
from collections.abc import Mapping
from typing import Any

import pandas as pd

from unlabeled.platform.metrics import ABSENT, Unit, unit_of


def readable(table: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Return the table as a reader sees it: words instead of numbers, columns only where there is anything in them.

    Args:
        table: from :func:`unlabeled.dashboards.measured.table`.
        measure: its metric, which tells the unit.
    """
    unit = unit_of(measure)
    lines = [
        {
            "Row": str(row),
            measure: unit.value(values["mean"]) if values["n"] else "not measured",
            "95 % interval": _interval(values, unit),
            "Seeds": str(int(values["n"])),
            "Untrained": unit.value(values["untrained"]),
            "Published": values["published"] or ABSENT,
        }
        for row, values in table.to_dict("index").items()
    ]
    words = pd.DataFrame(lines)
    empty = [name for name in words.columns if (words[name] == ABSENT).all()]
    return words.drop(columns=empty)


def markdown(table: pd.DataFrame, measure: str) -> str:
    """Return the table in Markdown; arguments as in :func:`readable`."""
    words = readable(table, measure)
    lines = [list(words.columns), [":--" if name == "Row" else "--:" for name in words.columns], *words.values.tolist()]
    return "\n".join("| " + " | ".join(text.replace("|", "\\|") for text in line) + " |" for line in lines)


def latex(table: pd.DataFrame, measure: str) -> str:
    """Return the table in LaTeX, for the booktabs package; arguments as in :func:`readable`."""
    words = readable(table, measure)
    head, *body = (
        " & ".join(_escaped(text) for text in line) + r" \\" for line in [list(words.columns), *words.values.tolist()]
    )
    columns = "l" + "r" * (len(words.columns) - 1)
    rules = [
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        head,
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(rules)


def _interval(values: Mapping[Any, Any], unit: Unit) -> str:
    if not math.isfinite(values["low"]):
        return ABSENT
    return f"{unit.value(values['low'])} to {unit.value(values['high'])}"


def _escaped(text: str) -> str:
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", ABSENT: "---"}
    special |= {character: "\\" + character for character in "&%$#_{}"} | {"−": "$-$", "±": r"$\pm$", "×": r"$\times$"}
    return re.sub("|".join(map(re.escape, special)), lambda found: special[found[0]], text)
