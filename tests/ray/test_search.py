"""Searches on a real Ray cluster, by the command line, and killed as machines do."""

import json
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import forked
from patience import wait_until

from unlabeled.dashboards import frames
from unlabeled.platform.config import RunConfig

SEARCH = "augmentation"
COMMAND = ("search", "run", SEARCH, "--best", "1", "--further-seeds", "1")

MakeDriver = Callable[..., Any]


def epochs_of(home: Path) -> dict[str, list[int]]:
    """Return each run's logged epochs."""
    losses = frames.epochs(SEARCH, home).query("metric == 'train/loss'")
    return {str(run): found["epoch"].tolist() for run, found in losses.groupby("run_id")}


def test_a_search_prunes_names_a_winner_and_the_winner_runs(
    home: Path, driver: MakeDriver, joined: tuple[str, str]
) -> None:
    search = driver(home, *COMMAND, epochs="8")
    done = search.run("--trials", "8", *joined)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    runs = frames.runs(SEARCH, home).set_index("run_id")
    trials = runs[runs["search.stage"] == "trial"]
    assert len(trials) == 8
    pruned = trials[trials["status"] == "KILLED"]
    assert 0 < len(pruned) < 8
    epochs = epochs_of(home)
    for run_id, run in trials.iterrows():
        stopped = run["search/pruned_epoch"] if run["status"] == "KILLED" else 8
        assert epochs[str(run_id)] == list(range(1, int(stopped) + 1)), "training ends where the trial is pruned"
        assert run["reason"] == (f"pruned after epoch {stopped:.0f}" if run["status"] == "KILLED" else "")
    assert set(runs["status"]) == {"FINISHED", "KILLED"}
    assert runs.loc[runs["search.stage"] != "test", "test/linear/top1"].isna().all()
    assert runs.loc[runs["search.stage"] == "test", "test/linear/top1"].notna().all()
    for run_id, run in trials.iterrows():
        for word, kind in (("crop", "Crop"), ("color_jitter", "ColorJitter"), ("gaussian_blur", "GaussianBlur")):
            assert run[f"sampled.views.{word}"] == (f"{kind}(" in run["method.views"]), run_id
    assert "winner    trial " in done.stdout
    assert re.search(r"the (winner|default) did better, by .*: test/linear/top1 over seeds 2: winner ", done.stdout)
    assert f"report    {(home / 'reports' / SEARCH / 'index.html').as_uri()}" in done.stdout
    winner = home / "searches" / SEARCH / "winner.json"
    assert RunConfig.model_validate_json(winner.read_bytes()).epochs == 8
    found = json.loads((winner.parent / "search.json").read_text())
    assert {trial["state"] for trial in found["trials"]} == {"finished", "pruned"}
    again = forked.run(["run", "--config", str(winner), "--home", str(home), "--set", "epochs=1"])
    assert again.returncode == 0, again.stderr
    assert frames.runs("runs", home)["method.views"].tolist() == [
        runs.loc[runs["row"] == "winner", "method.views"].iloc[0]
    ]


def test_a_stopped_search_goes_on_and_no_trial_runs_twice(
    home: Path, driver: MakeDriver, joined: tuple[str, str]
) -> None:
    search = driver(home, *COMMAND, epochs="16", evaluation__every_epochs="16")
    options = ("--trials", "4", "--pruner", "none", *joined)
    process = search.start(*options)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    before = frames.runs(SEARCH, home)
    assert len(before) > 0
    process = search.start(*options, "--max-concurrent", "1")
    wait_until(lambda: "goes on after step" in search.said(), search.said)  # the driver says so a moment after it is so
    os.kill(process.pid, signal.SIGINT)
    assert process.wait() == 130
    after = search.run(*options, "--max-concurrent", "1")
    assert after.returncode == 0, after.stderr
    assert "goes on after step" in after.stderr
    runs = frames.runs(SEARCH, home)
    assert set(before["run_id"]) <= set(runs["run_id"])
    assert runs["status"].tolist() == ["FINISHED"] * len(runs)
    trials = runs[runs["search.stage"] == "trial"]
    assert sorted(trials["search.trial"]) == sorted(set(trials["search.trial"]))
    assert len(trials) == 4
    assert runs["fingerprint"].is_unique
    assert set(map(tuple, epochs_of(home).values())) == {tuple(range(1, 17))}, "every epoch once"
