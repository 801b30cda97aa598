"""Logged runs as tidy pandas, for reports, notebooks and scripts.

```python
from unlabeled.dashboards import frames
runs = frames.runs("projection-head")
runs.groupby("row")["test/linear/top1"].describe()
```
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from unlabeled.platform.drive.home import find_home
from unlabeled.platform.metrics import ONCE
from unlabeled.platform.track import Store, frame

_ONCE = tuple(f"{area}/" for area in ONCE)


def runs(study: str, home: str | Path | None = None, *, every: bool = False) -> pd.DataFrame:
    """Return the runs of a study, one row each.

    Args:
        study: the study's name.
        home: where its store is, whatever the environment says; by default the server that ``MLFLOW_TRACKING_URI``
            names, else ``UNLABELED_HOME``, or ``runs/`` in the current folder.
        every: all runs that were ever logged. By default only those of the newest base, and of each row those that are
            as its newest run is: runs that differ by row and seed, and in nothing else, so that their means may be
            compared.

    Returns:
        Columns as in :func:`unlabeled.platform.track.frame`, and ``link``, the run's page in the MLflow UI.

    Raises:
        UserError: the study has no runs there.
    """
    return _runs(_store(home), study, every)


def epochs(study: str, home: str | Path | None = None, *, every: bool = False) -> pd.DataFrame:
    """Return every metric of every epoch of a study's runs, long: ``run_id, row, seed, epoch, metric, value``."""
    store = _store(home)
    return _epochs(store, _runs(store, study, every))


def record(study: str, home: str | Path | None = None) -> dict[str, Any]:
    """Return the study as it was declared when its newest run was logged; nothing where that is not logged."""
    store = _store(home)
    return _record(store, _runs(store, study))


@dataclass(frozen=True)
class Logged:
    """All that is logged of a study's newest base, read at once: what a report is made from.

    Attributes:
        record: the study as it was declared.
        runs: as :func:`runs` gives them.
        epochs: as :func:`epochs` gives them.
        pictures: row -> the PNGs of its first finished seed by name: ``views``, ``tsne``, and those of its method.
    """

    record: dict[str, Any]
    runs: pd.DataFrame
    epochs: pd.DataFrame
    pictures: dict[str, dict[str, Path]]


def read(study: str, home: str | Path | None = None) -> Logged | None:
    """Read a study's newest base, from ``MLFLOW_TRACKING_URI`` where that is set; None where no run has begun."""
    store = Store(find_home(home))
    table = _runs(store, study)
    if table.empty:
        return None
    return Logged(_record(store, table), table, _epochs(store, table), _pictures(store, table))


def _store(home: str | Path | None) -> Store:
    return Store(find_home(home), own=home is not None)


def of_base(store: Store, study: str, base: str) -> pd.DataFrame:
    """Return a study's runs as :func:`runs` does, of the base that is named instead of the newest."""
    return _runs(store, study, base=base)


def _runs(store: Store, study: str, every: bool = False, base: str = "") -> pd.DataFrame:
    table = frame(store.runs(study))
    if table.empty:
        return table
    if not every:
        table = table[table["base"] == (base or table["base"].iloc[-1])]
        newest = table.groupby("row", sort=False)["row_digest"].transform("last")
        table = table[table["row_digest"] == newest].reset_index(drop=True).dropna(axis="columns", how="all")
    table["link"] = [store.link(*ids) for ids in table[["experiment_id", "run_id"]].itertuples(index=False)]
    return table


def _epochs(store: Store, table: pd.DataFrame) -> pd.DataFrame:
    metrics = [name for name in table.columns if "/" in name and ":" not in name and not name.startswith(_ONCE)]
    points = pd.DataFrame(
        [(p.run_id, p.step, p.metric, p.value) for p in store.histories(table["run_id"].tolist(), metrics)],
        columns=["run_id", "epoch", "metric", "value"],
    ).drop_duplicates(["run_id", "metric", "epoch"], keep="last")  # a paused driver may have logged one beside another
    whose = table[["run_id", "row", "seed"]].assign(place=range(len(table)))
    long = points.merge(whose, on="run_id").sort_values(["place", "metric", "epoch"], kind="stable")
    return long[["run_id", "row", "seed", "epoch", "metric", "value"]].reset_index(drop=True)


def _record(store: Store, table: pd.DataFrame) -> dict[str, Any]:
    path = store.artifact(table["run_id"].iloc[-1], "study.json")
    found: dict[str, Any] = json.loads(path.read_text()) if path is not None else {}
    return found


def _pictures(store: Store, table: pd.DataFrame) -> dict[str, dict[str, Path]]:
    first = table[table["status"] == "FINISHED"].sort_values("seed").groupby("row", sort=False)["run_id"].first()
    return {str(row): store.pictures(run_id) for row, run_id in first.items()}
