"""A study logged on an MLflow server: drivers that share no disk, a server that goes away, one that keeps us out."""

import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from databases import FORCED
from fake_driver import EPOCHS, FINAL, FakeDriver
from patience import HANG_SECONDS, wait_until

from unlabeled.dashboards import frames
from unlabeled.dashboards.publish import publish
from unlabeled.platform.errors import UserError
from unlabeled.platform.track import Store, send_waiting, sender
from unlabeled.platform.track.writer import Writer

Server = Any
A_REQUEST_SECONDS = 100.0  # less than MLflow itself takes to give a request up, and far more than anything here takes


@pytest.fixture
def study(request: pytest.FixtureRequest) -> str:
    """A study's name that no other test uses, for they share the server."""
    return str(request.node.name).removeprefix("test_").replace("_", "-")[:60].rstrip("-")


def assert_logged_once(study: str, home: Path, runs: int) -> None:
    found = frames.runs(study)
    assert sorted(found["seed"]) == list(range(runs)), "a run was done twice, or never"
    assert set(found["status"]) == {"FINISHED"}
    assert (found["test/linear/top1"] == FINAL["test/linear/top1"]).all()
    store = Store(home)
    points = list(store.histories(found["run_id"].tolist(), ["train/loss"]))
    assert [p.step for p in points] == list(range(1, EPOCHS + 1)) * runs
    for run_id in found["run_id"]:
        files = {item.path for item in store.client.list_artifacts(run_id)}
        assert files == {"config.json", "study.json", "encoder.txt"}
    assert not list(home.glob("outbox/*")), "something waits to be sent"


@pytest.mark.needs("postgresql")
def test_the_server_keeps_what_it_has_in_postgresql(running: Server) -> None:
    """Without it the tests here run on SQLite, which forgives more."""
    assert running.backend.startswith(FORCED or "postgresql")


def test_a_study_on_a_server_reads_back_from_any_machine(server: Server, study: str, tmp_path: Path) -> None:
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    here.mkdir()
    elsewhere.mkdir()
    assert FakeDriver(here, 3, study).go().finished == 3
    assert_logged_once(study, elsewhere, 3)
    page = publish(study, elsewhere)
    assert "Which head?" in page.read_text()
    runs = frames.runs(study)
    assert runs["link"].str.startswith(server.uri).all()
    assert FakeDriver(elsewhere, 3, study).go().skipped == 3


def test_a_store_that_is_named_wins_over_the_environment(
    server: Server, study: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    FakeDriver(home, 1, study).go()
    with pytest.raises(UserError, match=f"no runs of '{study}' in {server.uri}"):
        frames.runs(study, server.uri)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    assert len(frames.runs(study, home)) == 1
    assert study not in set(frames.studies()["study"])
    assert set(frames.studies(home)["study"]) == {study}
    FakeDriver(home, 2, study).go()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert [len(frames.runs(study, place)) for place in (home, server.uri)] == [1, 2]
    assert set(frames.studies(server.uri).query("study == @study")["link"].str.startswith(server.uri)) == {True}


def test_two_drivers_without_a_shared_disk_share_the_runs(server: Server, study: str, tmp_path: Path) -> None:
    homes = [tmp_path / "one", tmp_path / "other"]
    for home in homes:
        home.mkdir()
    drivers = [FakeDriver(home, 10, study, seconds=0.1) for home in homes]
    threads = [threading.Thread(target=driver.go) for driver in drivers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=HANG_SECONDS)
    assert sorted(drivers[0].did + drivers[1].did) == list(range(10))
    assert drivers[0].did
    assert drivers[1].did
    for home in homes:
        assert_logged_once(study, home, 10)


@pytest.mark.parametrize("how", ["hangs", "dies"])
def test_an_outage_loses_nothing_and_training_does_not_wait(
    server: Server, study: str, tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = study.replace("[", "-").replace("]", "")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    monkeypatch.setattr(sender, "RETRY_SECONDS", 0.2)
    slowest = [0.0]
    before = [time.monotonic()]

    def after(number: int, epoch: int) -> None:
        slowest[0] = max(slowest[0], time.monotonic() - before[0])
        before[0] = time.monotonic()
        if (number, epoch) == (1, 2):
            server.signal(signal.SIGSTOP) if how == "hangs" else server.stop()
        if (number, epoch) == (5, 1):
            wait_until(lambda: "MLflow does not answer" in driver.said)
            server.signal(signal.SIGCONT) if how == "hangs" else server.start()
            before[0] = time.monotonic()

    driver = FakeDriver(tmp_path, 6, study, seconds=0.6)
    outcome = driver.go(after)
    assert outcome.finished == 6
    assert slowest[0] < A_REQUEST_SECONDS
    assert "MLflow does not answer" in driver.said
    assert "MLflow answers again" in driver.said
    assert_logged_once(study, tmp_path, 6)


def test_a_server_that_never_comes_back_leaves_the_results_to_be_sent(
    server: Server, study: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "RETRY_SECONDS", 0.2)
    monkeypatch.setattr(sender, "PATIENCE_SECONDS", 1.0)

    def after(number: int, epoch: int) -> None:
        if (number, epoch) == (1, 1):
            driver.recorder.log.flush()
            server.stop()

    driver = FakeDriver(tmp_path, 4, study, seconds=0.1)
    started = time.monotonic()
    pattern = r"results of 3 runs wait in .*/outbox/.*: MLflow at http.* takes nothing \(.*\); send .* `unlabeled send"
    with pytest.raises(UserError, match=pattern) as caught:
        driver.go(after)
    assert "\n" not in str(caught.value)
    assert time.monotonic() - started < A_REQUEST_SECONDS
    assert driver.recorder.outcome.finished == 4
    server.start()
    assert set(frames.runs(study)["status"]) == {"FINISHED", "RUNNING"}
    assert send_waiting(Store(tmp_path)) == (3, {})
    assert_logged_once(study, tmp_path, 4)
    assert FakeDriver(tmp_path, 4, study).go().skipped == 4


def test_crashes_between_sending_and_noting_it_log_nothing_twice(
    server: Server, study: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender.Sender, "start", lambda self: None)
    driver = FakeDriver(tmp_path, 1, study)
    log = driver.recorder.log
    driver.recorder.unfinished()
    log.open(lambda line: None)
    assert driver.recorder.next(driver.display) == 0
    driver.run(0, lambda number, epoch: None, fails=False)
    assert log._sender is not None
    entries, _ = log._sender.journal.waiting()
    assert [entry["do"] for entry in entries] == ["open", *["log"] * (EPOCHS + 2), "end"]
    for sent in range(1, len(entries) + 1):  # each sender dies after one entry more, and the next begins from the start
        Writer(log.store, log.id, log.record, finds=True).write(entries[0]["run"], entries[:sent])
    log._sender.journal.remove()
    assert_logged_once(study, tmp_path, 1)


@pytest.mark.parametrize("status", [401, 403])
def test_a_server_that_keeps_us_out_is_one_clear_line(
    refusing: Callable[[int], str], status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", refusing(status))
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "wrong")
    with pytest.raises(UserError, match=r"the MLflow server http\S+ keeps us out: .*MLFLOW_TRACKING_TOKEN") as caught:
        Store(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_server_of_another_kind_is_one_clear_line(
    refusing: Callable[[int], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", refusing(404))
    with pytest.raises(UserError, match=r"the MLflow store http\S+ can't be opened: .*404.*; check") as caught:
        Store(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("how", ["nobody listens", "nobody answers"])
def test_an_address_without_a_server_is_one_clear_line_within_seconds(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        if how == "nobody listens":
            silent.close()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
        started = time.monotonic()
        with pytest.raises(UserError, match=r"server http\S+ does not answer: .*; check MLFLOW_TRACKING_URI") as caught:
            Store(tmp_path)
    assert time.monotonic() - started < A_REQUEST_SECONDS
    assert "\n" not in str(caught.value)


def test_permission_lost_in_the_middle_is_said_and_loses_nothing(
    server: Server, study: str, tmp_path: Path, refusing: Callable[[int], str]
) -> None:
    driver = FakeDriver(tmp_path, 2, study, seconds=0.3)
    store = driver.recorder.log.store.client._tracking_client.store
    creds = store.get_host_creds

    def after(number: int, epoch: int) -> None:
        if (number, epoch) == (0, 1):
            address = refusing(403)
            store.get_host_creds = lambda: type(creds())(host=address)

    with pytest.raises(UserError, match=r"the results of 2 runs wait in .*403.*unlabeled send"):
        driver.go(after)
    assert "MLflow keeps us out" in driver.said
    store.get_host_creds = creds
    assert send_waiting(Store(tmp_path)) == (2, {})
    assert_logged_once(study, tmp_path, 2)
