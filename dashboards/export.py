r"""A study's table as papers print it, in Markdown and LaTeX: mean ± half-width of the interval, the best one bold.

LaTeX wants the booktabs package: ``\usepackage{booktabs}``.
"""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from unlabeled.dashboards.wording import count
from unlabeled.platform.metrics import ABSENT, Unit, metric_of, unit_of

_MAX_DECIMALS = 4


def readable(
    table: pd.DataFrame,
    measure: str,
    record: Mapping[str, Any] | None = None,
    bold: Callable[[str], str] = lambda text: text,
) -> pd.DataFrame:
    """Return the table as a reader sees it: words instead of numbers, columns only where there is anything in them.

    The unit stands in the head. All values of a column have as many decimals: one of a percentage, of other numbers as
    many as the widest interval needs for two digits.

    Args:
        table: from :func:`unlabeled.dashboards.measured.table`.
        measure: its metric, which tells the unit, and which way is better.
        record: the study's, which tells what was published.
        bold: marks the best mean, and each that is printed as the same number.
    """
    unit = unit_of(measure)
    decimals = _decimals(table, unit)
    means = {row: _fixed(value, unit, decimals) for row, value in table["mean"].items()}
    best = _best(table, measure, means)
    head = _head(measure, unit)
    lines = []
    for row, values in table.to_dict("index").items():
        half = _fixed((values["high"] - values["low"]) / 2, unit, decimals)
        mean = bold(means[row]) if means[row] == best else means[row]
        lines.append(
            {
                "Row": str(row),
                head: "not measured" if not values["n"] else mean if half == ABSENT else f"{mean} ± {half}",
                "Seeds": str(int(values["n"])),
                _head("Untrained", unit): _fixed(values["untrained"], unit, decimals),
                _published_head(measure, record): values["published"] or ABSENT,
            }
        )
    words = pd.DataFrame(lines)
    empty = [name for name in words.columns if (words[name] == ABSENT).all()]
    return words.drop(columns=empty)


def caption_of(table: pd.DataFrame, measure: str, record: Mapping[str, Any]) -> str:
    """Return what stands beside the table: the question, what the numbers are, and where the published ones are from.

    Arguments as in :func:`readable`.
    """
    seeds = sorted({int(n) for n in table["n"] if n})
    over = f" over {count(seeds[0], 'seed')}" if len(seeds) == 1 else " over seeds"
    how = f"Mean{over}" + (" ± half the width of its 95 % interval (Student's t)" if table["low"].notna().any() else "")
    sentences = [str(record.get("question", "")), f"{how} of {measure}."]
    published = _published(measure, record)
    if published and table["published"].astype(bool).any():
        sentences.append(f"Published: {published['quantity']}; {published['source']}, {published['setting']}.")
    return " ".join(filter(None, sentences))


def markdown(table: pd.DataFrame, measure: str, record: Mapping[str, Any] | None = None, caption: str = "") -> str:
    """Return the table in Markdown, its caption above it: by default :func:`caption_of`, where the record is given.

    Arguments as in :func:`readable`.
    """
    words = readable(table, measure, record, lambda text: f"**{text}**")
    lines = [list(words.columns), [":--" if name == "Row" else "--:" for name in words.columns], *words.values.tolist()]
    rows = ["| " + " | ".join(text.replace("|", "\\|") for text in line) + " |" for line in lines]
    caption = caption or (caption_of(table, measure, record) if record else "")
    return "\n".join([*([caption, ""] if caption else []), *rows])


def latex(
    table: pd.DataFrame, measure: str, record: Mapping[str, Any] | None = None, caption: str = "", label: str = ""
) -> str:
    r"""Return the table in LaTeX, with a caption a whole ``table`` with its ``\label``: by default ``tab:STUDY``.

    Arguments as in :func:`markdown`.
    """
    words = readable(table, measure, record, lambda text: f"\0{text}\1")
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
    caption = caption or (caption_of(table, measure, record) if record else "")
    if caption:
        name = label or f"tab:{(record or {}).get('name') or 'results'}"
        rules = [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_escaped(caption)}}}",
            rf"\label{{{name}}}",
            *rules,
            r"\end{table}",
        ]
    return "\n".join(rules)


def _decimals(table: pd.DataFrame, unit: Unit) -> int:
    """Return how many decimals a column has."""
    if unit.is_fraction:
        return 1
    halves = (table["high"] - table["low"]) / 2
    size = float(halves.max()) if halves.notna().any() else float(table["mean"].abs().max()) / 10
    if not math.isfinite(size) or size <= 0:
        return 1
    return min(max(1 - math.floor(math.log10(size)), 0), _MAX_DECIMALS)


def _fixed(value: float, unit: Unit, decimals: int) -> str:
    if not math.isfinite(value):
        return ABSENT
    return f"{100 * value if unit.is_fraction else value:.{decimals}f}".replace("-", "−")


def _best(table: pd.DataFrame, measure: str, means: Mapping[Any, str]) -> str | None:
    """Return the best mean as it is printed; None where no way is better, or there is nothing to choose from."""
    direction, known = metric_of(measure).direction, table["mean"].dropna()
    if direction is None or len(known) < 2:
        return None
    return means[known.idxmax() if direction == "higher" else known.idxmin()]


def _head(name: str, unit: Unit) -> str:
    return f"{name} ({unit.word})" if unit.word else name


def _published(measure: str, record: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    return next((each for each in (record or {}).get("published", ()) if each["measure"] == measure), None)


def _published_head(measure: str, record: Mapping[str, Any] | None) -> str:
    """Name the column; what its numbers are stands in the caption, as it may take a line."""
    published = _published(measure, record)
    return "Published (%)" if published and str(published["quantity"]).endswith("%") else "Published"


def _escaped(text: str) -> str:
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", ABSENT: "---"}
    special |= {character: "\\" + character for character in "&%$#_{}"} | {"−": "$-$", "±": r"$\pm$", "×": r"$\times$"}
    special |= {"\0": r"\textbf{", "\1": "}"}
    return re.sub("|".join(map(re.escape, special)), lambda found: special[found[0]], text)
