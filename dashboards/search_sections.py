"""What a search's page says of its trials: the chosen configuration, every trial, what went wrong."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from unlabeled.dashboards.search_trials import Parameter, of_stage
from unlabeled.dashboards.wording import plain
from unlabeled.platform.metrics import ABSENT, unit_of


def as_one_row(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the trials' runs as those of one row: their settings are told together."""
    return of_stage(runs, "trial").assign(row="trial") if len(runs) else runs


def configuration(
    runs: pd.DataFrame, points: pd.DataFrame, space: Sequence[Parameter], chosen: int | None
) -> list[dict[str, str]]:
    """Return each parameter of the chosen trial: what it may be, was sampled, was built, and is in the default."""
    if chosen is None:
        return []
    own = _of_trial(runs, chosen)
    run: Mapping[Any, Any] = own.iloc[-1].to_dict() if len(own) else {}
    base = runs[runs["row"] == "default"] if "row" in runs else runs.iloc[:0]
    default: Mapping[Any, Any] = base.iloc[-1].to_dict() if len(base) else {}
    return [
        {
            "name": one.name,
            "space": one.summary,
            "sampled": one.shown(points.loc[chosen, one.name]),
            "built": plain(run.get(f"built.{one.name}")),
            "default": plain(default.get(one.name)),
        }
        for one in space
    ]


def views(runs: pd.DataFrame, space: Sequence[Parameter], chosen: int | None) -> list[dict[str, str]]:
    """Return what the chosen trial's compositions were built as, and the default's."""
    of_trial, own, found = _of_trial(runs, chosen), {one.name for one in space}, []
    for column in of_trial.columns[of_trial.notna().any()] if len(of_trial) else ():
        path = column.removeprefix("built.")
        if path != column and path not in own:
            base = runs.loc[runs["row"] == "default"].reindex(columns=[path])[path].dropna().tolist()
            default = str(base[-1]) if base else ""
            found.append({"path": path, "built": str(of_trial[column].tolist()[-1]), "default": default})
    return found


def lines(
    table: pd.DataFrame, points: pd.DataFrame, space: Sequence[Parameter], aims: Sequence[Mapping[str, str]]
) -> list[dict[str, Any]]:
    """Return the trials as the page shows them, the best first, those without an objective last."""
    ascending = aims[0]["direction"] == "minimize"
    unit, second = (unit_of(aims[place]["metric"]) if place < len(aims) else unit_of("") for place in (0, 1))
    order = table.sort_values("value", ascending=ascending, kind="stable", na_position="last")
    return [
        {
            "trial": trial,
            "state": line["state"],
            "value": unit.value(line["value"]),
            "second": second.value(line["second"]),
            "epoch": f"after epoch {line['epoch']:.0f}" if line["epoch"] == line["epoch"] else "",
            "images": f"{line['images']:,.0f}" if line["images"] == line["images"] else ABSENT,
            "point": [one.shown(point[one.name]) for one in space],
        }
        for (trial, line), point in zip(order.iterrows(), points.loc[order.index].to_dict("records"), strict=True)
    ]


def troubles(runs: pd.DataFrame, table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the runs that neither finished nor were pruned, with reasons: trials, repetitions and tests."""
    found = [
        {"name": f"trial {trial}", "what": line["state"], "reason": line["reason"]}
        for trial, line in table.iterrows()
        if line["state"] in ("failed", "running", "stopped")
    ]
    for stage in ("repeat", "test"):
        others = of_stage(runs, stage)
        found += [
            {"name": run["name"], "what": str(run["status"]).lower(), "reason": str(run["reason"] or "")}
            for run in others[others["status"] != "FINISHED"].to_dict("records")
        ]
    return found


def sentences(record: Mapping[str, Any]) -> list[str]:
    """Return the constraints in words."""
    found = record.get("constraints")
    given = found if isinstance(found, list) else []
    return [str(one["sentence"]) for one in given if isinstance(one, Mapping) and "sentence" in one]


def _of_trial(runs: pd.DataFrame, chosen: int | None) -> pd.DataFrame:
    found = of_stage(runs, "trial")
    return found[found["search.trial"] == chosen] if len(found) else found
