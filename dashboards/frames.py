"""Logged runs as tidy pandas, for reports, notebooks and scripts.

```python
from unlabeled.dashboards import frames
runs = frames.runs("projection-head")
runs.groupby("row")["test/linear/top1"].describe()
```
"""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from unlabeled.platform.home import find_home
from unlabeled.platform.track import Store, frame


def runs(study: str, home: str | Path | None = None, *, every: bool = False) -> pd.DataFrame:
    """Return the runs of a study, one row each.

    Args:
        study: the study's name.
        home: where its store is; by default ``UNLABELED_HOME``, or ``runs/`` in the current folder.
        every: all runs that were ever logged. By default only those of the newest base: runs that differ by row and
            seed, and in nothing else, so that their means may be compared.

    Returns:
        Columns as in :func:`unlabeled.platform.track.frame`, and ``link``, the run's page in the MLflow UI.

    Raises:
        UserError: the study has no runs there.
    """
    store = Store(find_home(home))
    table = frame(store.runs(study))
    if table.empty:
        return table
    if not every:
        table = table[table["base"] == table["base"].iloc[-1]].reset_index(drop=True).dropna(axis="columns", how="all")
    server = store.uri if store.uri.startswith("http") else ""
    table["link"] = [
        f"{server}/#/experiments/{run.experiment_id}/runs/{run.run_id}" if server else "" for run in table.itertuples()
    ]
    return table


def epochs(study: str, home: str | Path | None = None, *, every: bool = False) -> pd.DataFrame:
    """Return every metric of every epoch of a study's runs, long: ``run_id, row, seed, epoch, metric, value``."""
    store = Store(find_home(home))
    table = runs(study, home, every=every)
    final = ("test/", "validation/", "untrained/", "system/")
    metrics = [name for name in table.columns if "/" in name and ":" not in name and not name.startswith(final)]
    long = [
        {"run_id": run.run_id, "row": run.row, "seed": run.seed, "epoch": epoch, "metric": metric, "value": value}
        for run in table.itertuples()
        for metric in metrics
        for epoch, value in store.history(str(run.run_id), metric)
    ]
    return pd.DataFrame(long, columns=["run_id", "row", "seed", "epoch", "metric", "value"])


def record(study: str, home: str | Path | None = None) -> dict[str, Any]:
    """Return the study as it was declared when its newest run was logged."""
    store = Store(find_home(home))
    newest = runs(study, home).iloc[-1]
    path = store.artifact(newest["run_id"], "study.json")
    assert path is not None, "every run is logged with its study"
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def pictures(study: str, home: str | Path | None = None) -> dict[str, dict[str, Path | None]]:
    """Return each row's pictures (``views``, ``tsne``), those of its first finished seed."""
    store = Store(find_home(home))
    table = runs(study, home)
    first = table[table["status"] == "FINISHED"].sort_values("seed").groupby("row", sort=False)["run_id"].first()
    names = ("views", "tsne")
    return {str(row): {name: store.artifact(run_id, f"{name}.png") for name in names} for row, run_id in first.items()}
