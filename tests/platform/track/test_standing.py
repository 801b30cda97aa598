"""How the studies of a store stand, as its runs and leases tell."""

import json
import os
import socket
import sys
from pathlib import Path

import pytest

from unlabeled.platform import cli
from unlabeled.platform.track import Store
from unlabeled.platform.track.driver import Driver
from unlabeled.platform.track.journal import Journal
from unlabeled.platform.track.standing import standings

RECORD = {"name": "heads", "question": "?", "source": "", "expected": "", "measure": "test/linear/top1", "claims": []}


def test_runs_are_done_running_failed_or_left(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(home)
    experiment, ledger = store.open_experiment(RECORD)
    alive, gone = Driver.here(), "elsewhere:1:abc"
    words = {"machine": alive.machine, "process": os.getpid(), "beat": 1}
    store.client.set_tag(ledger, f"driver.{alive.name}", json.dumps(words))
    for name, status, driver in (
        ("done", "FINISHED", gone),
        ("failed", "FAILED", gone),
        ("stopped", "KILLED", gone),
        ("running", None, alive.name),
        ("lost", None, gone),
    ):
        tags = {"unlabeled.study": "heads", "unlabeled.fingerprint": name}
        run = store.client.create_run(experiment.experiment_id, tags=tags, run_name=f"{name} seed 0").info.run_id
        store.client.log_param(ledger, f"{name}.0", driver)
        if status is not None:
            store.client.set_terminated(run, status)
    store.client.create_run(store.client.create_experiment("somebody-elses"))
    (found,) = standings(store)
    assert (found.name, found.done, found.failed, found.left) == ("heads", 1, 1, 2)
    assert found.running == {"running seed 0": alive.name}
    monkeypatch.setattr(sys, "argv", ["unlabeled", "status", "--home", str(home), "--json"])
    with pytest.raises(SystemExit):
        cli.main()
    (one,) = json.loads(capsys.readouterr().out)["studies"]
    assert one["running"] == {"running seed 0": alive.name}
    assert socket.gethostname() in alive.name


def test_a_home_without_a_store_stays_without(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["unlabeled", "status", "--home", str(tmp_path / "none")])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert not left.value.code
    assert capsys.readouterr().out.startswith(f"no runs in {tmp_path / 'none'}; `unlabeled study run NAME` makes some")
    assert not (tmp_path / "none").exists()


def test_what_a_living_driver_is_about_to_send_does_not_wait(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def waiting() -> int:
        monkeypatch.setattr(sys, "argv", ["unlabeled", "status", "--home", str(tmp_path), "--json"])
        with pytest.raises(SystemExit):
            cli.main()
        return int(json.loads(capsys.readouterr().out)["waiting"])

    journal = Journal.start(tmp_path, "here:1:a", {"store": ""})
    for do in ("open", "end"):
        journal.append({"run": "f", "do": do})
    assert waiting() == 0
    journal.close()
    assert waiting() == 1
