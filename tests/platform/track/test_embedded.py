"""The embedded store: what a home without permission says, and that two commands may make it at the same moment."""

import re
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from fake_driver import FakeDriver, make_study
from without_privileges import without_privileges

from unlabeled.dashboards import frames
from unlabeled.platform import cli
from unlabeled.platform.errors import UserError
from unlabeled.platform.track import Store, frame
from unlabeled.platform.track.sender import Sender


@pytest.fixture
def logged(empty_store: Path) -> Iterator[Path]:
    """A home with a finished run that others may read; pytest's own folders are closed to them."""
    home = Path(tempfile.mkdtemp())
    shutil.copy(empty_store, home)
    FakeDriver(home, 1).go()
    home.chmod(0o755)
    (home / "mlflow.db").chmod(0o644)
    yield home
    home.chmod(0o755)
    shutil.rmtree(home)


@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_store_without_write_permission_is_one_clear_line_and_can_be_read(logged: Path, what: str) -> None:
    logged.chmod(0o777 if what == "file" else 0o555)
    (logged / "mlflow.db").chmod(0o444 if what == "file" else 0o666)
    place = logged / "mlflow.db" if what == "file" else logged
    with without_privileges():
        with pytest.raises(
            UserError, match=rf"sqlite\S+ can't be written: no permission for {place}; .*--home"
        ) as caught:
            Store(logged).open_study(make_study(1).record("laptop"))
        assert "\n" not in str(caught.value)
        assert frames.runs("heads", logged)["status"].tolist() == ["FINISHED"]


def test_a_database_that_is_locked_is_waited_for(home: Path, capfd: pytest.CaptureFixture[str]) -> None:

    driver = FakeDriver(home, 2)
    with sqlite3.connect(home / "mlflow.db", isolation_level=None) as other:

        def after(number: int, epoch: int) -> None:
            if (number, epoch) == (0, 2):
                other.execute("BEGIN EXCLUSIVE")
            if (number, epoch) == (0, 3):
                other.execute("COMMIT")

        assert driver.go(after).finished == 2
    assert frames.runs("heads", home)["status"].tolist() == ["FINISHED"] * 2
    assert "locked" not in driver.said + "".join(capfd.readouterr())


def test_runs_are_read_as_mlflow_itself_reads_them(home: Path) -> None:
    FakeDriver(home, 5).go(fails=(1,))
    store = Store(home)
    experiment = store.experiment("heads").experiment_id
    quick, own = list(store.runs_of(experiment)), store.client.search_runs([experiment])
    assert [run.info.status for run in quick].count("FAILED") == 1
    pd.testing.assert_frame_equal(frame(quick), frame(reversed(own)), check_like=True)


def test_what_a_dead_driver_left_is_sent_by_one_command(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    driver = FakeDriver(home, 1)
    with monkeypatch.context() as patched:
        patched.setattr(Sender, "start", lambda self: None)
        driver.recorder.unfinished()
        driver.recorder.log.open(lambda line: None)
        assert driver.recorder.next(driver.display) == 0
        driver.run(0, lambda number, epoch: None, fails=False)
    assert driver.recorder.log._sender is not None
    journal = driver.recorder.log._sender.journal
    with journal.path.open("ab") as file:
        file.write(b'{"run": "torn')  # it died in the middle of a line
    assert send(home, monkeypatch, capsys).startswith("sent the results of 0 runs"), "its driver lives"
    journal.close()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{home / 'other.db'}")
    shutil.copy(home / "mlflow.db", home / "other.db")
    said = send(home, monkeypatch, capsys)
    assert re.search(r"1 more wait for the store of this home; send them with `unlabeled send without MLFLOW_", said)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert send(home, monkeypatch, capsys) == f"sent the results of 1 runs to sqlite:///{home / 'mlflow.db'}\n"
    assert frames.runs("heads", home)["status"].tolist() == ["FINISHED"]
    assert send(home, monkeypatch, capsys) == f"nothing waits in {home}\n"


def send(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """Run the command, and return what it printed."""
    monkeypatch.setattr(sys, "argv", ["unlabeled", "send", "--home", str(home)])
    capsys.readouterr()
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert not left.value.code
    return capsys.readouterr().out
