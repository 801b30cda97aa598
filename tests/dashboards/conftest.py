"""A study as its runs would be logged: rows with a mean and a spread, seeds that shift all rows alike."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow.entities import Metric, Param, RunTag

from unlabeled.platform.track import Store
from unlabeled.platform.track.leases import new_ledger

MEASURE = "test/linear/top1"
PROTOCOL = "linear@1 (epochs 100) on test, encoder features, last epoch"
MEANS = {"none": 0.796, "linear": 0.821, "mlp": 0.824}


def make_claim(higher: str, lower: str, at_least: float = 0.0, **fields: Any) -> dict[str, Any]:
    claim = {
        "statement": f"{higher} is better than {lower}.",
        "source": "Chen et al. (2020), sec. 4.2, fig. 8",
        "higher": higher,
        "lower": lower,
        "measure": MEASURE,
        "lower_measure": fields.get("measure", MEASURE),
        "at_least": at_least,
        "published": "more than 10 points on ImageNet",
    }
    return claim | {"kind": "difference", "negligible": 0.01} | fields


def make_record(**fields: Any) -> dict[str, Any]:
    record = {
        "name": "projection-head",
        "question": "Does a projection head make the representation before it better?",
        "source": "Chen, Kornblith, Norouzi, Hinton (2020), arXiv:2002.05709, sec. 4.2",
        "expected": "no head < linear head < MLP head, measured on the representation before the head.",
        "cost": "9 runs of 40 s each on two CPU cores",
        "profile": "laptop",
        "seeds": [0, 1, 2],
        "measure": MEASURE,
        "rows": {"none": {"method.head": "none"}, "linear": {"method.head": "linear"}, "mlp": {"method.head": "mlp"}},
        "also": [],
        "published": [
            {
                "source": "Chen et al. (2020), fig. 8",
                "setting": "ImageNet, ResNet-50, 100 epochs, batch 4096",
                "quantity": "ImageNet linear top-1, %",
                "rows": {"none": "51.0", "linear": "61.5", "mlp": "64.6"},
                "measure": MEASURE,
            }
        ],
        "claims": [
            make_claim(
                "mlp",
                "none",
                statement="A nonlinear projection head is better than none.",
            ),
            make_claim(
                "mlp",
                "linear",
                statement="A nonlinear projection head is better than a linear one by 3 points.",
                at_least=0.03,
                negligible=0.001,
                published="+3 %",
            ),
        ],
    }
    return record | fields


def make_runs(
    means: Mapping[str, float] | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    spread: float = 0.003,
    **columns: Any,
) -> pd.DataFrame:
    """One finished run per row and seed; ``columns`` override or add."""
    random = np.random.default_rng(7)
    shared = {seed: random.normal(0, spread) for seed in seeds}
    lines = []
    for seed in seeds:
        for place, (row, mean) in enumerate((means or MEANS).items()):
            top1 = mean + shared[seed] + random.normal(0, spread / 2)
            lines.append(
                {
                    "run_id": f"{place}{seed:031x}",
                    "name": f"{row} seed {seed}",
                    "study": "projection-head",
                    "row": row,
                    "seed": seed,
                    "profile": "laptop",
                    "status": "FINISHED",
                    "reason": "",
                    "fingerprint": f"{place}{seed}3f09c2d1e4b7a8",
                    "started": pd.Timestamp("2026-03-02 09:00", tz="UTC") + pd.Timedelta(minutes=3 * seed + place),
                    "seconds": 41.0 + place,
                    "link": f"http://127.0.0.1:5000/#/experiments/1/runs/{place}{seed}",
                    "data.name": "fashion-mnist",
                    "encoder.name": "convnet",
                    "method.name": "simclr",
                    "method.temperature": 0.2,
                    "method.head": row,
                    "optimizer.name": "adamw",
                    "optimizer.learning_rate": 0.002,
                    "epochs": 8,
                    "batch_size": 256,
                    MEASURE: top1,
                    "test/knn/top1": top1 - 0.015,
                    "untrained/linear/top1": 0.762 + shared[seed],
                    "train/loss": 2.3 - 0.2 * place,
                    "train/images_per_second": 1000.0 + 10 * seed,
                    "system/peak_memory_mb": 812.0,
                    f"protocol:{MEASURE}": PROTOCOL,
                    "protocol:test/knn/top1": "knn@1 (neighbors 20, temperature 0.07) on test, encoder features",
                    "environment:python": "3.11.9",
                    "environment:torch": "2.14.0",
                    "environment:git_commit": "0f3c2a9",
                    "environment:processor": "2 CPU cores",
                }
            )
    runs = pd.DataFrame(lines)
    return runs.assign(**columns)


def make_epochs(runs: pd.DataFrame, num_epochs: int = 8) -> pd.DataFrame:
    random = np.random.default_rng(3)
    lines = []
    for run in runs.to_dict("records"):
        for epoch in range(1, num_epochs + 1):
            rise = 1 - np.exp(-epoch / 2.5)
            curves = {
                "train/loss": 5.2 - 2.6 * rise - 4 * (run[MEASURE] - 0.8),
                "contrast/top1": 0.2 + 0.6 * rise,
                "validation/knn/top1": 0.70 + (run[MEASURE] - 0.715) * rise,
                "health/rankme": 12 + 500 * (run[MEASURE] - 0.77) * rise,
                "train/images_per_second": 1000.0,
            }
            lines += [
                {
                    **{name: run[name] for name in ("run_id", "row", "seed")},
                    "epoch": epoch,
                    "metric": metric,
                    "value": value * (1 + random.normal(0, 0.004)),
                }
                for metric, value in curves.items()
            ]
    return pd.DataFrame(lines)


def log(home: Path, record: Any, runs: pd.DataFrame, epochs: pd.DataFrame | None = None, name: str = "") -> None:
    """Write runs into the MLflow store of a home in the form that the reader knows, without training anything.

    A record that is no mapping is logged as the text that it is, None not at all.
    """
    store = Store(home)
    name = name or record["name"]
    place = (home / "artifacts" / name).as_uri()
    there = store.client.get_experiment_by_name(name)
    if there:
        experiment = there.experiment_id
    else:
        ledger = {"unlabeled.ledger": new_ledger(store.client, name, place)}
        experiment = store.client.create_experiment(name, artifact_location=place, tags=ledger)
    epochs = pd.DataFrame(columns=["run_id", "epoch", "metric", "value"]) if epochs is None else epochs
    for run in runs.to_dict("records"):
        begun = int(run["started"].timestamp() * 1000)
        tags = {f"unlabeled.{key}": str(run[key]) for key in ("row", "seed", "profile", "fingerprint")}
        tags |= {"unlabeled.study": name, "unlabeled.base": str(run.get("base", "one"))}
        tags |= {"unlabeled.row_digest": str(run["row_digest"])} if "row_digest" in run else {}
        tags |= {"unlabeled.reason": run["reason"]} if run["reason"] else {}
        tags |= {key: str(value) for key, value in run.items() if ":" in key and isinstance(value, str)}
        made = store.client.create_run(experiment, start_time=begun, tags=tags, run_name=run["name"])
        run_id = made.info.run_id
        params = [
            Param(key, str(value))
            for key, value in run.items()
            if ("." in key or (key in ("epochs", "batch_size") and "/" not in key)) and not pd.isna(value)
        ]
        last = [
            Metric(key, float(value), begun, 8)
            for key, value in run.items()
            if "/" in key and ":" not in key and math.isfinite(value)
        ]
        history = [
            Metric(point["metric"], point["value"], begun, point["epoch"])
            for point in epochs[epochs["run_id"] == run["run_id"]].to_dict("records")
        ]
        store.client.log_batch(run_id, params=params, metrics=[*history, *last], tags=[RunTag("mlflow.user", "t")])
        if record is not None:
            store.client.log_text(run_id, record if isinstance(record, str) else json.dumps(record), "study.json")
        store.client.set_terminated(run_id, run["status"], end_time=begun + int(1000 * run["seconds"]))


@pytest.fixture(scope="session")
def log_runs() -> Callable[..., None]:
    return log


@pytest.fixture
def logged(home: Path) -> Callable[..., Path]:
    """Return a function that logs a study into the test's home, and gives the home."""

    def write(record: Any, runs: pd.DataFrame, epochs: pd.DataFrame | None = None, name: str = "") -> Path:
        log(home, record, runs, epochs, name)
        return home

    return write


@pytest.fixture(scope="session")
def record() -> Callable[..., dict[str, Any]]:
    return make_record


@pytest.fixture(scope="session")
def runs() -> Callable[..., pd.DataFrame]:
    return make_runs


@pytest.fixture(scope="session")
def epochs() -> Callable[..., pd.DataFrame]:
    return make_epochs


@pytest.fixture(scope="session")
def claim() -> Callable[..., dict[str, Any]]:
    return make_claim
