"""What MLflow would refuse is made such that it takes it; what it refuses all the same is set aside."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from conftest import Server
from fake_driver import FINAL, FakeDriver
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
from mlflow.utils.validation import _validate_batch_log_data, _validate_batch_log_limits

from unlabeled.dashboards import frames
from unlabeled.platform.drive.home import find_home
from unlabeled.platform.errors import UserError
from unlabeled.platform.track import Store
from unlabeled.platform.track.journal import Journal
from unlabeled.platform.track.writer import batches
from unlabeled.platform.train.events import EpochDone, Finished, Started

STRANGE = "a@b/../\udce9\0\n" + "x" * 300


def log_strange_things(driver: FakeDriver) -> None:
    """Do one run that logs what MLflow, or a database behind it, refuses as it is."""
    recorder = driver.recorder
    with recorder:
        recorder.unfinished()
        assert recorder.next(driver.display) == 0
        recorder.take(driver.display, 0, Started({STRANGE: "\udce9\0" * 9000, "host": ""}, 0, []))
        recorder.log.add(
            recorder.fingerprint(0), params={STRANGE: "ü" * 9000, "p": "\udce9\0"}, tags={STRANGE: "🦊" * 9000}
        )
        for epoch in (1, 2, 3):
            values = {"train/loss": 1.0, STRANGE: 2.0, "nan": float("nan"), "inf": float("inf"), "-inf": -float("inf")}
            many = {f"layer/{number}": float(number) for number in range(1200)}
            recorder.take(driver.display, 0, EpochDone(epoch, values | many))
        recorder.take(driver.display, 0, Finished(FINAL, driver.files, ("\udce9\0" * 9000,)))


def assert_logged_whole(study: str, said: str) -> None:
    (row,) = frames.runs(study).to_dict("records")
    assert row["status"] == "FINISHED"
    assert row["test/linear/top1"] == FINAL["test/linear/top1"]
    assert row["layer/1199"] == 1199.0
    (first, *_) = Store(find_home()).histories([row["run_id"]], ["nan"])
    assert first.value != first.value
    assert row["inf"] == -row["-inf"] > 1e308
    assert {row[name] for name in row if name.startswith("a_b/__/___x")} == {2.0}
    assert "refused" not in said


def test_strange_names_texts_and_numbers_are_logged(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = FakeDriver(home, 1)
    log_strange_things(driver)
    monkeypatch.setenv("UNLABELED_HOME", str(home))
    assert_logged_whole("heads", driver.said)


def test_strange_names_texts_and_numbers_are_logged_on_a_server(server: Server, tmp_path: Path) -> None:
    driver = FakeDriver(tmp_path, 1, "strange")
    log_strange_things(driver)
    assert_logged_whole("strange", driver.said)


def test_no_call_is_larger_than_mlflow_takes() -> None:
    records = [Metric(f"m{n}", 0.0, 0, 0) for n in range(2500)]
    records += [Param(f"p{n}", "\udce9" * 6000) for n in range(330)] + [RunTag(f"t{n}", "x") for n in range(220)]
    given = list(batches(records))
    for batch in given:
        kinds = [[record for record in batch if isinstance(record, kind)] for kind in (Metric, Param, RunTag)]
        _validate_batch_log_limits(*kinds)
        _validate_batch_log_data(*kinds)
        sent = json.dumps([{"key": r.key, "value": r.value, "timestamp": 1 << 50, "step": 1 << 50} for r in batch])
        assert len(sent) < 1_000_000
    assert [record for batch in given for record in batch] == records


class Refusing:
    """A client that refuses records by their names, as a server with rules of its own does."""

    def __init__(self, client: MlflowClient, *names: str) -> None:
        self._whole, self._names, self.calls = client.log_batch, names, 0

    def log_batch(self, run_id: str, metrics: Any = (), params: Any = (), tags: Any = (), **more: Any) -> None:
        self.calls += 1
        if any(record.key in self._names or "*" in self._names for record in [*metrics, *params, *tags]):
            raise MlflowException("not in this house", INVALID_PARAMETER_VALUE)
        self._whole(run_id, metrics, params, tags, **more)


def test_what_the_store_refuses_is_set_aside_and_the_rest_is_logged(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = FakeDriver(home, 3)
    client = driver.recorder.log.store.client
    refusing = Refusing(client, "health/rankme", "epochs", "environment:host")
    monkeypatch.setattr(client, "log_batch", refusing.log_batch)
    whole = LocalArtifactRepository.log_artifact

    def refuses(self: Any, local: str, place: str | None = None) -> None:
        if local.endswith("encoder.txt"):
            raise MlflowException("too large", INVALID_PARAMETER_VALUE)
        whole(self, local, place)

    def refuses_all(self: Any, folder: str, place: str | None = None) -> None:
        raise MlflowException("too large", INVALID_PARAMETER_VALUE)

    monkeypatch.setattr(LocalArtifactRepository, "log_artifact", refuses)
    monkeypatch.setattr(LocalArtifactRepository, "log_artifacts", refuses_all)
    (driver.files / "deep").mkdir()
    (driver.files / "deep" / "card.txt").write_text("card")
    assert driver.go().finished == 3
    runs = frames.runs("heads", home)
    assert runs["status"].tolist() == ["FINISHED"] * 3
    assert (runs["test/linear/top1"] == FINAL["test/linear/top1"]).all()
    assert not {"health/rankme", "epochs", "environment:host"} & set(runs.columns)
    assert {"method.temperature", "environment:torch"} <= set(runs.columns)
    store = Store(home)
    assert store.artifact(runs["run_id"].iloc[0], "deep/card.txt") is not None
    assert store.artifact(runs["run_id"].iloc[0], "study.json") is not None
    assert store.artifact(runs["run_id"].iloc[0], "encoder.txt") is None
    (kept,) = (home / "outbox").iterdir()
    lines = [json.loads(line) for line in kept.read_text().splitlines()]
    assert {line["run"] for line in lines} == set(runs["fingerprint"])
    names = {line["refused"].split(" = ")[0] for line in lines}
    assert names == {"metric health/rankme", "param epochs", "runtag environment:host", "file encoder.txt"}
    assert driver.said.count("MLflow refused") == 1
    assert f"all others are logged, and these are kept in {kept}" in driver.said
    assert refusing.calls < 3 * 60, "halving finds them; one call a record would be more"
    again = FakeDriver(home, 3)
    assert again.go().skipped == 3, "they are finished"


def test_a_run_of_which_nothing_is_taken_is_a_failure(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = FakeDriver(home, 2)
    client = driver.recorder.log.store.client
    monkeypatch.setattr(client, "log_batch", Refusing(client, "*").log_batch)
    with pytest.raises(UserError, match=r"refused what 2 runs logged, such as run .*: not in this house"):
        driver.go()


def test_a_name_too_long_for_a_folder_is_refused_before_training(home: Path) -> None:
    with pytest.raises(UserError, match=r"has 260 characters; choose one of at most 200"):
        FakeDriver(home, 1, "x" * 260)


def test_the_end_of_a_run_is_on_the_disk_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal.start(tmp_path, "here:1:a", {})
    sizes = []

    def fsync(file: int, whole: Any = os.fsync) -> None:
        whole(file)
        sizes.append(os.fstat(file).st_size)

    monkeypatch.setattr(os, "fsync", fsync)
    journal.append({"run": "f", "do": "log"})
    assert not sizes
    journal.append({"run": "f", "do": "end"})
    assert sizes == [journal.path.stat().st_size]
    journal.close()
