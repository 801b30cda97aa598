"""Runs on several workers by Ray Train: the numbers of one, and what happens when workers or nodes die."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from patience import wait_until
from ray.cluster_utils import Cluster

from unlabeled.dashboards import frames
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data
from unlabeled.platform.drive.workers import workers_that_fit
from unlabeled.platform.errors import UserError
from unlabeled.platform.train.built import check_fits

COMMAND = ("run", "simclr")
EPOCHS = 10
# Adam divides by the gradient's size, and so turns its rounding into steps; small steps of SGD amplify it least.
EXACT = {"precision": "fp32", "optimizer__name": "sgd", "optimizer__learning_rate": "0.003"}
LONG = {**EXACT, "epochs": str(EPOCHS), "evaluation__every_epochs": str(EPOCHS)}

MakeDriver = Callable[..., Any]


def assert_one_finished_run_with_every_epoch_once(home: Path) -> None:
    assert frames.runs("runs", home)["status"].tolist() == ["FINISHED"]
    losses = frames.epochs("runs", home).query("metric == 'train/loss'")
    assert losses["epoch"].tolist() == list(range(1, EPOCHS + 1))


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Two nodes of one core each, on ports of their own."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    yield cluster
    cluster.shutdown()


def test_two_workers_give_the_numbers_of_one(
    home: Path, driver: MakeDriver, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other")
    for place, workers in ((home, "1"), (other, "2")):
        done = driver(place, *COMMAND, **EXACT).run("--workers", workers)
        assert done.returncode == 0, done.stderr
    one, two = frames.epochs("runs", home), frames.epochs("runs", other)
    compared = one.merge(two, on=["epoch", "metric"], suffixes=("_one", "_two"))
    for metric, tolerance in {"train/loss": 1e-3, "health/alignment": 1e-2, "train/learning_rate": 0.0}.items():
        rows = compared[compared["metric"] == metric]
        assert len(rows) == 2
        assert rows["value_two"].tolist() == pytest.approx(rows["value_one"].tolist(), rel=tolerance)
    runs = [frames.runs("runs", place).iloc[0] for place in (home, other)]
    assert runs[0]["fingerprint"] == runs[1]["fingerprint"], "how many workers is not part of a run's identity"
    assert [run["environment:workers"] for run in runs] == ["1", "2"]
    assert runs[1]["test/linear/top1"] == pytest.approx(runs[0]["test/linear/top1"], abs=0.01)


def test_a_worker_that_is_killed_is_replaced_and_the_run_goes_on_with_another_number(
    home: Path, driver: MakeDriver
) -> None:
    run = driver(home, *COMMAND, **LONG)
    process = run.start("--workers", "2")
    workers = [
        child
        for child in psutil.Process(process.pid).children(recursive=True)
        if "RayTrainWorker" in " ".join(child.cmdline())
    ]
    assert len(workers) == 2
    before = run.checkpoints()
    workers[1].kill()
    wait_until(lambda: bool(run.checkpoints() - before) and "goes on after step" in run.said(), run.said)
    process.kill()
    process.wait()
    after = run.run("--workers", "1")
    assert after.returncode == 0, after.stderr
    assert "goes on after step" in after.stderr
    assert_one_finished_run_with_every_epoch_once(home)


def test_a_node_that_is_lost_costs_a_restart(home: Path, driver: MakeDriver, cluster: Cluster) -> None:
    run = driver(home, *COMMAND, **LONG)
    process = run.start("--workers", "2", "--address", cluster.address)
    lost = next(iter(cluster.worker_nodes))
    cluster.remove_node(lost, allow_graceful=False)
    cluster.add_node(num_cpus=1)  # the node returns
    assert process.wait() == 0, run.said()
    assert "goes on after step" in run.said()
    assert_one_finished_run_with_every_epoch_once(home)


def test_a_run_goes_on_with_fewer_workers_when_a_node_stays_away(
    home: Path, driver: MakeDriver, cluster: Cluster
) -> None:
    run = driver(home, *COMMAND, **LONG)
    process = run.start("--workers", "2", "--min-workers", "1", "--address", cluster.address)
    cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
    assert process.wait() == 0, run.said()
    assert "goes on after step" in run.said()
    assert_one_finished_run_with_every_epoch_once(home)
    done = frames.runs("runs", home).iloc[0]
    assert done["environment:workers"] == "1"
    assert done["batch_size"] == 64, "the global batch stays"


@pytest.mark.parametrize(("batch", "offered", "training"), [(64, 2, 2), (64, 3, 2), (60, 7, 6), (7, 5, 1), (4, 9, 4)])
def test_as_many_workers_train_as_can_share_the_batch(
    batch: int, offered: int, training: int, small_run: RunConfig, small_data: Data
) -> None:
    assert workers_that_fit(small_run.with_field("batch_size", batch), small_data, offered) == training


@pytest.mark.parametrize(
    ("batch", "workers", "wanted"),
    [
        (64, 65, "batch_size 64 does not divide by 65 workers; use 65"),
        (65, 2, "batch_size 65 does not divide by 2 workers; use 64 or 66"),
        (100, 3, "batch_size 100 does not divide by 3 workers; use 99 or 102"),
    ],
)
def test_a_batch_that_the_workers_cannot_share_is_refused(
    batch: int, workers: int, wanted: str, small_run: RunConfig, small_data: Data
) -> None:
    with pytest.raises(UserError, match=f"^{wanted}$"):
        check_fits(small_run.with_field("batch_size", batch), small_data, workers)


def test_workers_that_cannot_share_the_batch_are_refused_at_once(home: Path, driver: MakeDriver) -> None:
    refused = driver(home, *COMMAND, batch_size="65").run("--workers", "2")
    assert refused.returncode == 2
    assert "batch_size 65 does not divide by 2 workers; use 64 or 66" in refused.stderr
    refused = driver(home, *COMMAND).run("--workers", str(2 * (os.cpu_count() or 1)))
    assert refused.returncode == 2
    assert "CPUs, and the cluster has" in refused.stderr
