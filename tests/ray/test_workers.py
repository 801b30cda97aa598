"""Runs on several workers by Ray Train: the numbers of one, and what happens when workers or nodes die."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from ray.cluster_utils import Cluster

from unlabeled.dashboards import frames

ROOT = Path(__file__).resolve().parent.parent.parent
SMALL = {
    "data.train_images": "256",
    "batch_size": "64",
    "epochs": "2",
    "encoder.width": "8",
    "evaluation.tsne_images": "0",
    "evaluation.follow_images": "100",
    "precision": "fp32",
    "optimizer.name": "sgd",  # Adam divides by the gradient's size, and so turns its rounding into steps
}
LONG = {**SMALL, "epochs": "10", "evaluation.every_epochs": "10"}


def command(home: Path, settings: dict[str, str], *more: str) -> list[str]:
    sets = [part for path, value in settings.items() for part in ("--set", f"{path}={value}")]
    return [sys.executable, "-m", "unlabeled", "run", "simclr", "--home", str(home), *sets, *more]


def run(home: Path, settings: dict[str, str], *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(home, settings, *more), cwd=ROOT, capture_output=True, text=True, check=False, timeout=280
    )


def start(home: Path, settings: dict[str, str], *more: str) -> subprocess.Popen[bytes]:
    with (home / "driver.log").open("ab") as log:
        return subprocess.Popen(
            command(home, settings, *more), cwd=ROOT, stdout=log, stderr=log, start_new_session=True
        )


def wait_for(what: Callable[[], bool], driver: subprocess.Popen[bytes], home: Path, seconds: float = 150.0) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert driver.poll() is None, f"the driver ended too early: {(home / 'driver.log').read_text()}"
        assert time.monotonic() < deadline, f"waited too long: {(home / 'driver.log').read_text()}"
        time.sleep(0.1)


def checkpoints(home: Path) -> list[Path]:
    return list(home.glob("work/*/step-*.pt"))


def assert_one_finished_run_with_every_epoch_once(home: Path, epochs: int) -> None:
    assert frames.runs("runs", home)["status"].tolist() == ["FINISHED"]
    losses = frames.epochs("runs", home).query("metric == 'train/loss'")
    assert losses["epoch"].tolist() == list(range(1, epochs + 1))


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Two nodes of one core each, on ports of their own."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    yield cluster
    cluster.shutdown()


def test_two_workers_give_the_numbers_of_one(home: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    for place, workers in ((home, "1"), (other, "2")):
        done = run(place, SMALL, "--workers", workers)
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


def test_a_run_goes_on_with_another_number_of_workers(home: Path) -> None:
    driver = start(home, LONG, "--workers", "2")
    wait_for(lambda: bool(checkpoints(home)), driver, home)
    driver.kill()
    driver.wait()
    after = run(home, LONG, "--workers", "1")
    assert after.returncode == 0, after.stderr
    assert "goes on after step" in after.stderr
    assert_one_finished_run_with_every_epoch_once(home, 10)


def test_a_worker_that_is_killed_is_replaced(home: Path) -> None:
    driver = start(home, LONG, "--workers", "2")
    wait_for(lambda: bool(checkpoints(home)), driver, home)
    workers = [
        process
        for process in psutil.Process(driver.pid).children(recursive=True)
        if "RayTrainWorker" in " ".join(process.cmdline())
    ]
    assert len(workers) == 2
    workers[1].kill()
    assert driver.wait(timeout=240) == 0, (home / "driver.log").read_text()
    assert "goes on after step" in (home / "driver.log").read_text()
    assert_one_finished_run_with_every_epoch_once(home, 10)


def test_a_node_that_is_lost_costs_a_restart(home: Path, cluster: Cluster) -> None:
    driver = start(home, LONG, "--workers", "2", "--address", cluster.address)
    wait_for(lambda: bool(checkpoints(home)), driver, home)
    lost = next(iter(cluster.worker_nodes))
    cluster.remove_node(lost, allow_graceful=False)
    cluster.add_node(num_cpus=1)  # the node returns
    assert driver.wait(timeout=280) == 0, (home / "driver.log").read_text()
    assert "goes on after step" in (home / "driver.log").read_text()
    assert_one_finished_run_with_every_epoch_once(home, 10)


def test_workers_that_cannot_share_the_batch_are_refused_at_once(home: Path) -> None:
    refused = run(home, {**SMALL, "batch_size": "65"}, "--workers", "2")
    assert refused.returncode == 2
    assert "batch_size 65 does not divide by 2 workers; use 64 or 66" in refused.stderr
    refused = run(home, SMALL, "--workers", str(2 * (os.cpu_count() or 1)))
    assert refused.returncode == 2
    assert "CPUs, and the cluster has" in refused.stderr
