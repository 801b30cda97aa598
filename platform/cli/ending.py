"""What a command says last: where the page is, the best row, each claim's verdict, what to do next."""

import csv
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from unlabeled.platform.cli.declared import say_beside
from unlabeled.platform.metrics import metric_of, unit_of

_COLORS = {"held": "green", "contradicted": "red"}
_NUMBERS = ("n", "mean", "low", "high", "untrained", "difference", "seeds_to_decide")
_INDENT = 10


def answered(page: Path) -> dict[str, Any]:
    """Read what a study's page says off the tables beside it: the best row, and each claim with its verdict."""
    rows = [row for row in _table(page.parent / "table.csv") if row.get("n")]
    measure = rows[0]["measure"] if rows else ""
    of_measure = [row for row in rows if row["measure"] == measure and row["mean"] is not None]
    sign = -1.0 if metric_of(measure).direction == "lower" else 1.0
    best = max(of_measure, key=lambda row: sign * row["mean"], default=None)
    kept = ("statement", "decision", "label", "measure", "difference", "low", "high", "n", "seeds_to_decide")
    return {
        "report": page.absolute().as_uri(),
        "best": best and {name: best[name] for name in ("row", "measure", "n", "mean", "low", "high", "untrained")},
        "claims": [{name: one.get(name) for name in kept} for one in _table(page.parent / "verdicts.csv")],
    }


def say_answer(found: Mapping[str, Any], then: Sequence[str] = ()) -> None:
    """Print it, the verdicts last, and what to do next."""
    say_beside("report", found["report"], _INDENT)
    if best := found["best"]:
        of = f" of {len_in_words(best['n'], 'seed')}" if best["n"] else ""
        value = unit_of(best["measure"]).value
        whence = f", {value(best['low'])} to {value(best['high'])}" if best["low"] is not None else ""
        before = f"; untrained {value(best['untrained'])}" if best["untrained"] is not None else ""
        words = f"{best['row']}, {best['measure']} {value(best['mean'])}{of}{whence}{before}"
        say_beside("best", words, _INDENT)
    labels = [one["label"] or one["decision"] for one in found["claims"]]
    width = max(map(len, labels), default=0)
    for label, one in zip(labels, found["claims"], strict=True):
        color = _COLORS.get(one["decision"]) if sys.stdout.isatty() else None
        head = f"{label:{width}}"
        said = f"{one['statement']}{_difference(one)}"
        say_beside(head, said, width + 2, color)
    for words in then:
        say_beside("next", words, _INDENT)


def next_steps(found: Mapping[str, Any], again: str, some_rows: bool = False) -> Iterator[str]:
    """Give what to do next, after the study that ``again`` names was run, or some rows of it only."""
    if some_rows:
        yield f"the claims are of other rows, too; `unlabeled study run {again}` runs them"
        return
    open_ = [one for one in found["claims"] if one["decision"] == "not decided"]
    if open_:
        which = f"{len_in_words(len(open_), 'claim')} {'is' if len(open_) == 1 else 'are'} open"
        yield f"{which}; `unlabeled study run {again} --until-decided` adds seeds to their rows"


def len_in_words(count: float, what: str) -> str:
    """Write a number of things."""
    return f"{count:g} {what}{'' if count == 1 else 's'}"


def _difference(one: Mapping[str, Any]) -> str:
    if one["difference"] is None:
        return ""
    unit = unit_of(one["measure"])
    mean = unit.difference(one["difference"])
    if one["low"] is None or one["high"] is None:
        return f" {mean}"
    return f" {mean}, {unit.signed(one['low'])} to {unit.signed(one['high'])}"


def _table(path: Path) -> list[dict[str, Any]]:
    """Read a table of a report; nothing where there is none."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [
            {name: _number(text) if name in _NUMBERS else text for name, text in row.items()}
            for row in csv.DictReader(file)
        ]


def _number(text: str) -> float | None:
    return float(text) if text else None
