"""Studies on a real Ray cluster of their own, driven by the command line as users do, and killed as machines do."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import psutil
import pytest

from unlabeled.dashboards import frames

ROOT = Path(__file__).resolve().parent.parent.parent
SMALL = {
    "data.train_images": "256",
    "batch_size": "64",
    "epochs": "2",
    "encoder.width": "8",
    "evaluation.tsne_images": "0",
    "evaluation.follow_images": "100",
}
LONG = {**SMALL, "epochs": "40", "evaluation.every_epochs": "40"}
STUDY = "projection-head"


def command(home: Path, settings: dict[str, str], *more: str) -> list[str]:
    sets = [part for path, value in settings.items() for part in ("--set", f"{path}={value}")]
    return [sys.executable, "-m", "unlabeled", "study", "run", STUDY, "--home", str(home), *sets, *more]


def run(home: Path, settings: dict[str, str], *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(home, settings, *more), cwd=ROOT, capture_output=True, text=True, check=False, timeout=240
    )


def start(home: Path, settings: dict[str, str], *more: str) -> subprocess.Popen[bytes]:
    """Start a driver in a process group of its own, so that a signal to it reaches only it and what it started."""
    with (home / "driver.log").open("ab") as log:
        return subprocess.Popen(
            command(home, settings, *more), cwd=ROOT, stdout=log, stderr=log, start_new_session=True
        )


def wait_for(what: Callable[[], bool], driver: subprocess.Popen[bytes], home: Path, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert driver.poll() is None, f"the driver ended too early: {(home / 'driver.log').read_text()}"
        assert time.monotonic() < deadline, f"waited too long: {(home / 'driver.log').read_text()}"
        time.sleep(0.1)


def has_checkpoint(home: Path) -> bool:
    return any(home.glob("work/*/step-*.pt"))


def trial_processes(driver: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Return the processes in which the driver's cluster executes trials."""
    found = []
    for process in psutil.Process(driver.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "ImplicitFunc" in " ".join(process.cmdline()):  # what Ray calls a function trainable's actor
                found.append(process)
    return found


def assert_every_epoch_once(home: Path, epochs: int) -> None:
    losses = frames.epochs(STUDY, home).query("metric == 'train/loss'")
    per_run = losses.groupby("run_id")["epoch"].apply(list)
    assert (per_run.map(tuple) == tuple(range(1, epochs + 1))).all(), per_run.to_dict()


def test_a_study_runs_is_reported_and_is_not_run_again(home: Path) -> None:
    first = run(home, SMALL, "--seeds", "0,1")
    assert first.returncode == 0, first.stderr
    assert "6 finished, 0 failed, 0 were done before" in first.stdout
    page = home / "reports" / STUDY / "index.html"
    assert f"report: {page}" in first.stdout
    assert "Does a projection head help" in page.read_text()
    assert "Traceback" not in first.stderr
    runs = frames.runs(STUDY, home)
    assert runs.groupby("row")["seed"].apply(list).to_dict() == {"none": [0, 1], "linear": [0, 1], "non-linear": [0, 1]}
    assert (runs["status"] == "FINISHED").all()
    assert_every_epoch_once(home, 2)
    again = run(home, SMALL, "--seeds", "0,1")
    assert again.returncode == 0, again.stderr
    assert "6 of 6 runs are done, 0 to do" in again.stdout
    pd.testing.assert_frame_equal(runs, frames.runs(STUDY, home))


def test_one_worker_process_and_many_give_equal_numbers(home: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    assert run(home, SMALL, "--seeds", "0").returncode == 0
    assert run(other, SMALL, "--seeds", "0", "--at-once", "1").returncode == 0
    metrics = ["test/linear/top1", "test/knn/top1", "train/loss", "health/rankme"]
    one, many = (frames.runs(STUDY, place).set_index("row").sort_index()[metrics] for place in (home, other))
    pd.testing.assert_frame_equal(one, many, check_exact=True)


def test_after_kill_9_of_the_driver_the_same_command_finishes_the_rest(home: Path) -> None:
    driver = start(home, LONG, "--seeds", "0")
    wait_for(lambda: has_checkpoint(home), driver, home)
    trials = trial_processes(driver)
    assert trials
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    before = frames.runs(STUDY, home)
    assert len(before) > 0
    _, alive = psutil.wait_procs(trials, timeout=60)
    assert not alive, "trials must not outlive their driver"
    after = run(home, LONG, "--seeds", "0")
    assert after.returncode == 0, after.stderr
    assert "goes on after step" in after.stderr
    runs = frames.runs(STUDY, home)
    assert runs["status"].tolist() == ["FINISHED"] * 3
    assert set(before["run_id"]) <= set(runs["run_id"])
    assert_every_epoch_once(home, 40)


def test_after_ctrl_c_finished_work_is_kept_and_the_rest_goes_on(home: Path) -> None:
    driver = start(home, LONG, "--seeds", "0")
    wait_for(lambda: has_checkpoint(home), driver, home)
    os.kill(driver.pid, signal.SIGINT)
    assert driver.wait(timeout=60) == 130
    log = (home / "driver.log").read_text()
    assert "stopped; the same command goes on from the checkpoints" in log
    assert "Traceback" not in log
    assert "KILLED" in set(frames.runs(STUDY, home)["status"])
    assert "RUNNING" not in set(frames.runs(STUDY, home)["status"])
    after = run(home, LONG, "--seeds", "0")
    assert after.returncode == 0, after.stderr
    assert frames.runs(STUDY, home)["status"].tolist() == ["FINISHED"] * 3
    assert_every_epoch_once(home, 40)


def test_a_run_whose_process_is_lost_is_started_again_by_itself(home: Path) -> None:
    driver = start(home, LONG, "--seeds", "0", "--at-once", "1")
    wait_for(lambda: has_checkpoint(home), driver, home)
    for process in trial_processes(driver):
        process.kill()
    assert driver.wait(timeout=240) == 0, (home / "driver.log").read_text()
    assert "goes on after step" in (home / "driver.log").read_text()
    assert frames.runs(STUDY, home)["status"].tolist() == ["FINISHED"] * 3
    assert_every_epoch_once(home, 40)


def test_failed_runs_are_rows_with_a_reason_and_the_exit_code_tells(home: Path) -> None:
    failed = run(home, {**SMALL, "optimizer.learning_rate": "1e30"}, "--seeds", "0")
    assert failed.returncode == 1
    assert "failed runs: 3; the report gives the reasons" in failed.stderr
    runs = frames.runs(STUDY, home)
    assert runs["status"].tolist() == ["FAILED"] * 3
    assert runs["reason"].str.contains("NonFiniteLossError: the loss became").all()
    assert "the loss became" in (home / "reports" / STUDY / "index.html").read_text()


def test_more_gpus_than_there_are_fail_at_once(home: Path) -> None:
    refused = run(home, SMALL, "--gpus-per-run", "4", "--seeds", "0")
    assert refused.returncode == 2
    assert "a run needs 4 GPUs, and the cluster has 0; ask for fewer" in refused.stderr
    assert "Traceback" not in refused.stderr
