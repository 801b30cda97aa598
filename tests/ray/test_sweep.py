"""Studies on a real Ray cluster of their own, driven by the command line as users do, and killed as machines do."""

import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
from patience import HANG_SECONDS, wait_until

from unlabeled.dashboards import frames

STUDY = "projection-head"
COMMAND = ("study", "run", STUDY)
EPOCHS = 20
LONG = {"epochs": str(EPOCHS), "evaluation__every_epochs": str(EPOCHS)}

MakeDriver = Callable[..., Any]


def trial_processes(pid: int) -> list[psutil.Process]:
    """Return the processes in which a driver's cluster executes trials."""
    found = []
    for process in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "ImplicitFunc" in " ".join(process.cmdline()):  # what Ray calls a function trainable's actor
                found.append(process)
    return found


def assert_all_finished_with_every_epoch_once(home: Path) -> None:
    assert frames.runs(STUDY, home)["status"].tolist() == ["FINISHED"] * 3
    losses = frames.epochs(STUDY, home).query("metric == 'train/loss'")
    per_run = losses.groupby("run_id")["epoch"].apply(tuple)
    assert (per_run == tuple(range(1, EPOCHS + 1))).all(), per_run.to_dict()


def test_a_study_runs_is_reported_is_not_run_again_and_gives_the_numbers_of_runs_in_turn(
    home: Path, driver: MakeDriver, joined: tuple[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    study = driver(home, *COMMAND, *joined)
    first = study.run("--seeds", "0,1")
    assert first.returncode == 0, first.stderr
    assert "6 finished, 0 failed, 0 were done before" in first.stdout
    page = home / "reports" / STUDY / "index.html"
    assert f"report    {page.as_uri()}" in first.stdout
    assert "Does a projection head help" in page.read_text()
    assert "Traceback" not in first.stderr
    runs = frames.runs(STUDY, home)
    assert runs.groupby("row")["seed"].apply(sorted).to_dict() == {
        "none": [0, 1],
        "linear": [0, 1],
        "non-linear": [0, 1],
    }
    assert (runs["status"] == "FINISHED").all()
    again = study.run("--seeds", "0,1")
    assert again.returncode == 0, again.stderr
    assert "6 of 6 runs are done, 0 to do" in again.stdout
    pd.testing.assert_frame_equal(runs, frames.runs(STUDY, home))

    other = tmp_path_factory.mktemp("other")
    some = ("--row", "non-linear", "--row", "none")
    assert driver(other, *COMMAND).run("--seeds", "0", "--max-concurrent", "1", *some).returncode == 0
    metrics = ["test/linear/top1", "test/knn/top1", "train/loss", "health/rankme"]
    in_turn = frames.runs(STUDY, other).set_index("row").sort_index()[metrics]
    side_by_side = runs[runs["seed"] == 0].set_index("row").loc[["non-linear", "none"], metrics]
    assert len(in_turn) == 2
    pd.testing.assert_frame_equal(side_by_side, in_turn, check_exact=True)


def test_whatever_ends_it_the_same_command_finishes_the_rest(home: Path, driver: MakeDriver) -> None:
    """The driver is killed, then interrupted, and at last a run's process is lost: no epoch is lost or done twice."""
    study = driver(home, *COMMAND, **LONG)
    process = study.start("--seeds", "0")
    trials = trial_processes(process.pid)
    assert trials
    process.kill()
    assert process.wait() == -signal.SIGKILL
    before = frames.runs(STUDY, home)
    assert len(before) > 0
    _, alive = psutil.wait_procs(trials, timeout=HANG_SECONDS)
    assert not alive, "trials must not outlive their driver"

    process = study.start("--seeds", "0", "--max-concurrent", "1")
    wait_until(lambda: "goes on after step" in study.said(), study.said)  # the driver says so a moment after it is so
    os.kill(process.pid, signal.SIGINT)
    assert process.wait() == 130
    assert "stopped; the same command goes on from the checkpoints" in study.said()
    assert "Traceback" not in study.said()
    statuses = set(frames.runs(STUDY, home)["status"])
    assert "KILLED" in statuses
    assert "RUNNING" not in statuses

    process = study.start("--seeds", "0", "--max-concurrent", "1")
    wait_until(lambda: "goes on after step" in study.said(), study.said)
    already = study.said().count("goes on after step")
    for trial in trial_processes(process.pid):
        trial.kill()
    assert process.wait() == 0, study.said()
    assert study.said().count("goes on after step") > already, "by itself"
    assert set(before["run_id"]) <= set(frames.runs(STUDY, home)["run_id"])
    assert_all_finished_with_every_epoch_once(home)


def test_failed_runs_are_rows_with_a_reason_and_the_exit_code_tells(
    home: Path, driver: MakeDriver, joined: tuple[str, str]
) -> None:
    study = driver(home, *COMMAND, *joined, optimizer__learning_rate="1e30")
    failed = study.run("--seeds", "0", "--max-concurrent", "1")
    assert failed.returncode == 1
    assert "failed runs: 3; the report gives the reasons" in failed.stderr
    runs = frames.runs(STUDY, home)
    assert runs["status"].tolist() == ["FAILED"] * 3
    assert runs["reason"].str.contains("NonFiniteLossError: the loss became").all()
    assert "the loss became" in (home / "reports" / STUDY / "index.html").read_text()


def test_more_gpus_than_there_are_fail_at_once(home: Path, driver: MakeDriver, joined: tuple[str, str]) -> None:
    refused = driver(home, *COMMAND, *joined).run("--gpus-per-run", "1", "--seeds", "0")
    assert refused.returncode == 2
    assert "a run needs 1 GPUs, and the cluster has 0; ask for fewer" in refused.stderr
    assert "Traceback" not in refused.stderr
