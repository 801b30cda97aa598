"""A search as its runs logged it: the space's parameters, and every trial with its point, state and score.

The runs in MLflow are what is believed. ``search.json``, where there is one of the same base, adds what no run can
know: points that were rejected, and trials that ended before they were logged.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from unlabeled.dashboards.wording import plain

IMAGES_SEEN = "search/images_seen"
STATES = ("finished", "pruned", "failed", "running", "stopped")
COLUMNS = ("run_id", "state", "value", "second", "epoch", "epochs", "images", "reason")


@dataclass(frozen=True)
class Parameter:
    """What was sampled under one name.

    Attributes:
        name: as it is logged behind ``sampled.``.
        choices: the values as labels; empty for a number.
        low: the smallest number; NaN where the record doesn't say.
        high: the largest.
        is_log: its logarithm is what was sampled evenly.
        is_whole: it is a whole number.
        step: the distance of a stepped range's values; 0 for none.
        is_optional: it is asked for only where its operation is in.
    """

    name: str
    choices: tuple[str, ...] = ()
    low: float = math.nan
    high: float = math.nan
    is_log: bool = False
    is_whole: bool = False
    step: float = 0.0
    is_optional: bool = False

    @property
    def short_name(self) -> str:
        """Its name without the area: ``temperature`` of ``method.temperature``."""
        return self.name.partition(".")[2] or self.name

    @property
    def summary(self) -> str:
        """What it may be, in a few words."""
        words = ", ".join(self.choices)
        if not self.choices:
            words = f"{plain(self.low)} to {plain(self.high)}" if math.isfinite(self.low) else "not recorded"
            words += ", logarithmic" if self.is_log else f" in steps of {plain(self.step)}" if self.step else ""
        return words + (", where its operation is in" if self.is_optional else "")

    def read(self, value: Any) -> Any:
        """Return a logged value as a label or a number; None where it can't be read, or was not asked for."""
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return None
        if self.choices:
            return _label_among(value, self.choices)
        try:
            number = float(value)
        except (TypeError, ValueError):
            return None
        return number if math.isfinite(number) else None

    def shown(self, value: Any) -> str:
        """Write a value as people read it; ``out`` where it was not asked for."""
        if value is None or value != value:
            return "out"
        return str(value) if self.choices else f"{value:,.0f}" if self.is_whole else plain(float(value))


def parameters(record: Mapping[str, Any], runs: pd.DataFrame) -> list[Parameter]:
    """Return the space's parameters in their order; names that only the runs know come last, read off their values."""
    found: list[Parameter] = []
    space = record.get("space")
    for path, dimension in space.items() if isinstance(space, Mapping) else ():
        found += _of_dimension(str(path), dimension, is_optional=False)
    found = [_within_sight(parameter, runs) for parameter in found]
    names = {parameter.name for parameter in found}
    for column in runs.columns:
        name = column.removeprefix("sampled.")
        if name != column and name not in names and runs[column].notna().any():
            found.append(_of_values(name, runs[column].dropna()))
    return found


def trials(
    record: Mapping[str, Any],
    runs: pd.DataFrame,
    search: Mapping[str, Any],
    space: Sequence[Parameter],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return every trial, and every trial's point, both by number.

    Args:
        record: the search as recorded.
        runs: one row per run, trials and others.
        search: what ``search.json`` holds; empty where there is none.
        space: the parameters.

    Returns:
        A frame with ``COLUMNS``: run, state (of ``STATES``), objective and second objective (NaN where it has none),
        the epoch it was pruned after, how many it was to have, pictures seen, reason. And a frame of labels and
        numbers, None where a parameter was not asked for.
    """
    metrics = [objective["metric"] for objective in objectives(record)]
    lines: dict[int, dict[str, Any]] = {}
    points: dict[int, dict[str, Any]] = {}
    for run in of_stage(runs, "trial").to_dict("records"):
        own = int(run["search.trial"])
        lines[own] = _line(run, metrics)
        points[own] = {one.name: one.read(run.get(f"sampled.{one.name}")) for one in space}
    for trial in listed(search, "trials"):
        number: Any = trial.get("trial")
        if not isinstance(number, int) or not isinstance(trial.get("point"), Mapping):
            continue
        if number not in lines:
            lines[number] = _line_of_file(trial, len(metrics))
            given = {name: label(value) if value is None else value for name, value in trial["point"].items()}
            points[number] = {one.name: one.read(given.get(one.name)) for one in space}
        elif not lines[number]["reason"] and trial.get("reason"):
            lines[number]["reason"] = str(trial["reason"])
    order = sorted(lines)
    table = pd.DataFrame([lines[number] for number in order], index=order, columns=list(COLUMNS)).rename_axis("trial")
    for name in ("value", "second", "epoch", "epochs", "images"):
        table[name] = pd.to_numeric(table[name], errors="coerce").astype("float64")
    point = pd.DataFrame([points[n] for n in order], index=order, columns=[one.name for one in space], dtype=object)
    return table, point.astype(object).where(point.notna(), None).rename_axis("trial")


def of_stage(runs: pd.DataFrame, stage: str) -> pd.DataFrame:
    """Return the runs of a stage, of several with one trial and seed the one started last."""
    if "search.stage" not in runs or "search.trial" not in runs:
        return runs.iloc[:0]
    found = runs[runs["search.stage"] == stage]
    found = found.assign(**{"search.trial": pd.to_numeric(found["search.trial"], errors="coerce")})
    if stage != "test":
        found = found[found["search.trial"].notna()]
    return found.sort_values("started", kind="stable").drop_duplicates(["row", "search.trial", "seed"], keep="last")


def objectives(record: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the objective, and the second where there is one: ``metric`` and ``direction``."""
    found = []
    for name in ("objective", "second"):
        one = record.get(name)
        if isinstance(one, Mapping) and isinstance(one.get("metric"), str):
            direction = "minimize" if one.get("direction") == "minimize" else "maximize"
            found.append({"metric": str(one["metric"]), "direction": direction})
        elif name == "objective":
            found.append({"metric": str(record.get("measure") or "search/objective"), "direction": "maximize"})
    return found


def listed(search: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """Return the entries of a list in ``search.json``; those that are no objects are left out."""
    found = search.get(name)
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []


def _line(run: Mapping[Any, Any], metrics: Sequence[str]) -> dict[str, Any]:
    values = [_number(run.get(metric)) for metric in metrics]
    if math.isnan(values[0]):
        values[0] = _number(run.get("search/objective"))
    epoch, reason = _number(run.get("search/pruned_epoch")), str(run["reason"] or "")
    state = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "stopped"}.get(str(run["status"]), "running")
    if state == "stopped" and (not math.isnan(epoch) or reason.startswith("pruned")):
        state = "pruned"
    if state == "finished" and any(math.isnan(value) for value in values):
        state = "failed"
        reason = reason or f"finished without {' and '.join(m for m, v in zip(metrics, values, strict=True) if v != v)}"
    return {
        "run_id": str(run["run_id"]),
        "state": state,
        "value": values[0] if state == "finished" else math.nan,
        "second": values[1] if state == "finished" and len(values) > 1 else math.nan,
        "epoch": epoch,
        "epochs": _number(run.get("epochs")),
        "images": _number(run.get(IMAGES_SEEN)),
        "reason": reason,
    }


def _line_of_file(trial: Mapping[str, Any], num_metrics: int) -> dict[str, Any]:
    values = trial.get("values") if isinstance(trial.get("values"), list) else []
    numbers = [_number(value) for value in values or []] + [math.nan] * num_metrics
    state = str(trial.get("state"))
    return {
        "run_id": "",
        "state": state if state in STATES else "running",
        "value": numbers[0],
        "second": numbers[1] if num_metrics > 1 else math.nan,
        "reason": str(trial.get("reason") or ""),
    }


def _of_dimension(path: str, dimension: Any, *, is_optional: bool) -> list[Parameter]:
    if not isinstance(dimension, Mapping):
        return []
    kind = dimension.get("name")
    if kind == "composition":
        return _of_composition(path.rpartition(".")[2], dimension)
    if kind == "choice" and isinstance(dimension.get("values"), list):
        return [Parameter(path, tuple(label(value) for value in dimension["values"]), is_optional=is_optional)]
    low, high = _number(dimension.get("low")), _number(dimension.get("high"))
    return [
        Parameter(
            path,
            low=low,
            high=high,
            is_log=(kind == "log-uniform" or bool(dimension.get("log"))) and low > 0,
            is_whole=kind == "integer",
            step=_number(dimension.get("step") or 0.0) if kind != "integer" or dimension.get("step") != 1 else 0.0,
            is_optional=is_optional,
        )
    ]


def _of_composition(prefix: str, dimension: Mapping[str, Any]) -> list[Parameter]:
    found: list[Parameter] = []
    for part in listed(dimension, "parts"):
        op, vary = part.get("op"), part.get("vary")
        name = f"{prefix}.{str(op.get('name') if isinstance(op, Mapping) else op).replace('-', '_')}"
        is_optional = bool(part.get("optional", True))
        found += [Parameter(name, ("False", "True"))] if is_optional else []
        for field, inner in vary.items() if isinstance(vary, Mapping) else ():
            found += _of_dimension(f"{name}.{field}", inner, is_optional=is_optional)
    return found


def _within_sight(parameter: Parameter, runs: pd.DataFrame) -> Parameter:
    """Return a number's range with the logged values in it: a record of another version may lack it."""
    column = runs.get(f"sampled.{parameter.name}")
    if parameter.choices or column is None or not column.notna().any():
        return parameter
    values = pd.to_numeric(column, errors="coerce").dropna().astype(float).tolist()
    bounds = [bound for bound in (parameter.low, parameter.high, *values) if math.isfinite(bound)]
    return replace(parameter, low=min(bounds), high=max(bounds)) if bounds else parameter


def _of_values(name: str, values: "pd.Series[Any]") -> Parameter:
    numbers = pd.to_numeric(values.astype(str), errors="coerce")
    if numbers.isna().any():
        return Parameter(name, tuple(dict.fromkeys(sorted(label(value) for value in values))))
    return Parameter(name, low=float(numbers.min()), high=float(numbers.max()))


def label(value: Any) -> str:
    """Write a choice as a label: its own text, or JSON for what is not plain, as the sampler knows it."""
    return str(value) if value is None or isinstance(value, bool | int | float | str) else json.dumps(value)


def _label_among(value: Any, choices: Sequence[str]) -> str | None:
    """Find a logged value among labels: a store may give 64.0 for 64."""
    text = label(value)
    if text in choices:
        return text
    number = _number(value)
    return next((one for one in choices if not math.isnan(number) and _number(one) == number), None)


def _number(value: Any) -> float:
    if isinstance(value, bool) or value is None:
        return math.nan
    try:
        number = float(value)
    except (TypeError, ValueError):
        return math.nan
    return number if math.isfinite(number) else math.nan
