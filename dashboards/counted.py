"""Which runs of a study speak for it: one finished run per row and seed, measured by one protocol."""

import pandas as pd

from unlabeled.platform.errors import UserError

CORE = (
    *("run_id", "name", "study", "row", "row_digest", "seed", "profile", "base"),
    *("status", "reason", "notes", "fingerprint", "started", "seconds", "link"),
)
"""The columns of every run; the others are parameters, metrics, protocols and the environment."""


def with_core(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the runs with every column of ``CORE``, the absent ones empty: a study without runs has no columns."""
    return runs.reindex(columns=[*runs.columns, *(name for name in CORE if name not in runs.columns)])


def counted(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the finished runs, one per row and seed: of several, the one that was started last."""
    runs = with_core(runs)
    finished = runs[runs["status"] == "FINISHED"].sort_values("started", kind="stable", na_position="first")
    return finished.drop_duplicates(["row", "seed"], keep="last").sort_index()


def parameters(runs: pd.DataFrame) -> list[str]:
    """List the columns that are parameters: those of ``CORE`` aside, no slash (a metric) and no colon (a tag)."""
    others = {*CORE, "experiment_id"}
    return [name for name in runs.columns if name not in others and "/" not in name and ":" not in name]


def protocol_of(runs: pd.DataFrame, measure: str) -> str:
    """Return how a metric was measured, or nothing where no counted run says so.

    Raises:
        UserError: the counted runs that have the metric were measured by different protocols.
    """
    column = f"protocol:{measure}"
    runs = counted(runs)
    if measure not in runs or column not in runs:
        return ""
    measured = runs[runs[measure].notna()]
    stated = measured[column].fillna("an unstated protocol").astype(str)
    protocols = list(dict.fromkeys(stated))
    if len(protocols) > 1:
        parts = [f"{name!r} in {', '.join(sorted(set(measured['row'][stated == name])))}" for name in protocols]
        raise UserError(
            f"{measure} was measured by different protocols, which can't be compared: {'; '.join(parts)}; "
            "run the rows of all but one of them again"
        )
    return protocols[0] if protocols and measured[column].notna().any() else ""


def scores(runs: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Return a metric of the counted runs by seed (index) and row (columns); NaN where a row has no value for a seed.

    A value that is not finite counts as not measured.

    Raises:
        UserError: the values were measured by different protocols.
    """
    protocol_of(runs, measure)
    runs = counted(runs)
    if measure not in runs or runs.empty:
        return pd.DataFrame(index=pd.Index([], name="seed", dtype="int64"), dtype="float64")
    values = runs.assign(value=pd.to_numeric(runs[measure]).replace([float("inf"), float("-inf")], float("nan")))
    table = values.pivot(index="seed", columns="row", values="value").dropna(axis="columns", how="all")
    return table.dropna(how="all").astype("float64")
