"""Logged runs as one tidy frame."""

import functools
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
from mlflow.entities import Run, RunStatus

LISTS = "unlabeled.lists"  # the tag of a run that has its parameters which are lists, as JSON
_KEPT_TAGS = ("protocol:", "environment:", "probed:")


def frame(runs: Iterable[Run], *, lists: bool = False) -> pd.DataFrame:
    """Lay runs out as one tidy frame, a row each, in the order given; one pass, so that pages need not be kept.

    Columns: ``run_id, name, study, row, row_digest, seed, profile, base, status, reason, notes, fingerprint, started,
    seconds, experiment_id``, parameters by their dotted path with their types restored, last metric values by their
    slash name, and the tags ``protocol:...``, ``environment:...`` and ``probed:...``, when a metric was
    measured that came after the run's end. With ``lists`` a parameter that is a list is a
    tuple, which can be compared and grouped by, instead of text; of runs that were logged without it it stays text.
    """
    columns: dict[str, list[Any]] = {}
    paths: set[str] = set()
    one: dict[str, str] = {}  # equal texts once: most runs of a study share most of theirs
    count = 0
    for run in runs:
        of_lists = _lists(run.data.tags.get(LISTS, "")) if lists else {}
        for name, value in {**_row(run), **of_lists}.items():
            column = columns.setdefault(name, [])
            column.extend([None] * (count - len(column)))
            column.append(one.setdefault(value, value) if isinstance(value, str) else value)
        paths |= run.data.params.keys()
        count += 1
    for column in columns.values():
        column.extend([None] * (count - len(column)))
    table = pd.DataFrame({name: pd.Series(column) for name, column in columns.items()})
    for name in paths:
        table[name] = _typed(table[name])
    return table


def _row(run: Run) -> dict[str, Any]:
    tags = run.data.tags
    ended = run.info.end_time or run.info.start_time
    return {
        "run_id": run.info.run_id,
        "name": run.info.run_name,
        "study": tags.get("unlabeled.study", ""),
        "row": tags.get("unlabeled.row", ""),
        "row_digest": tags.get("unlabeled.row_digest", ""),
        "seed": int(tags.get("unlabeled.seed", 0)),
        "profile": tags.get("unlabeled.profile", ""),
        "base": tags.get("unlabeled.base", ""),
        "status": RunStatus.to_string(RunStatus.from_string(run.info.status)),
        "reason": tags.get("unlabeled.reason", ""),
        "notes": tags.get("unlabeled.notes", ""),
        "fingerprint": tags.get("unlabeled.fingerprint", ""),
        "started": pd.Timestamp(run.info.start_time, unit="ms", tz="UTC"),
        "seconds": run.data.metrics.get("system/wall_seconds", (ended - run.info.start_time) / 1000 or math.nan),
        "experiment_id": run.info.experiment_id,
        **run.data.params,
        **run.data.metrics,
        **{name: value for name, value in tags.items() if name.startswith(_KEPT_TAGS)},
    }


@functools.lru_cache(maxsize=1000)
def _lists(text: str) -> Mapping[str, tuple[Any, ...]]:
    """Read the tag of lists; nothing where there is none, or one that was cut."""
    try:
        return {path: tuple(parts) for path, parts in json.loads(text).items()}
    except ValueError:
        return {}


def _typed(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """Restore numbers and truth values that MLflow keeps as text; a column that holds anything else stays text."""
    if column.dropna().isin(["True", "False"]).all():
        return column.map({"True": True, "False": False})
    try:
        return pd.to_numeric(column)
    except (ValueError, TypeError):
        return column
