"""A home that was moved, renamed or copied: all is found in it, and nothing is read or written where it was."""

import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_driver import FakeDriver
from mlflow import MlflowClient
from patience import HANG_SECONDS
from without_privileges import without_privileges

from unlabeled.dashboards import frames
from unlabeled.dashboards.publish import publish
from unlabeled.platform.track import Store, moved, send_waiting
from unlabeled.platform.track.reports import log_report
from unlabeled.platform.track.sender import Sender


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Path:
    """A home with all that a home has: two studies' finished runs, a report among the artifacts, a registered model."""
    home = tmp_path_factory.mktemp("original") / "before"
    home.mkdir()
    shutil.copy(empty_store, home)
    for study in ("heads", "others"):
        FakeDriver(home, 2, study).go()
    publish("heads", home)
    store = Store(home)
    run = next(store.runs("others"))
    store.client.create_registered_model("encoder")
    store.client.create_model_version("encoder", f"{run.info.artifact_uri}/encoder", run.info.run_id)
    store.client.create_experiment("own", artifact_location=(home / "artifacts" / "own").as_uri())
    store.client.create_experiment("elsewhere", artifact_location="file:///elsewhere/artifacts/own")
    return home


@pytest.fixture
def before(original: Path) -> Iterator[Path]:
    """That home, unchanged by the test; :func:`move` is the way to move it."""
    was = contents(original), sorted(texts(original / "mlflow.db"))
    yield original
    if (aside := original.with_name("aside")).exists():
        assert not original.exists(), "the old place is back"
        aside.rename(original)
    assert (contents(original), sorted(texts(original / "mlflow.db"))) == was, "something was written into the original"


def move(before: Path, after: Path) -> Path:
    """Move a home, and keep it for the next test."""
    shutil.copytree(before, after)
    return before.rename(before.with_name("aside")) and after


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return every file's time and bytes; SQLite's and the lock aside, whose times reading changes."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name not in ("mlflow.db", ".opening"))
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


def texts(database: Path) -> Iterator[str]:
    """Give all texts in a database."""
    with sqlite3.connect(database) as store:
        for (table,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for row in store.execute(f'SELECT * FROM "{table}"'):
                yield from (value for value in row if isinstance(value, str))


def assert_all_is_here(home: Path) -> None:
    store = Store(home)
    for study in ("heads", "others"):
        runs = list(store.runs(study))
        assert len(runs) >= 2
        for run in runs:
            for file in ("config.json", "study.json", "encoder.txt"):
                path = store.artifact(run.info.run_id, file)
                assert path is not None
                assert path.is_relative_to(home)
            files = MlflowClient(store.uri).list_artifacts(run.info.run_id)  # as MLflow's UI and others ask
            assert {file.path for file in files} >= {"config.json", "study.json", "encoder.txt"}
    assert frames.record("heads", home)["question"] == "Which head?"


@pytest.mark.parametrize(
    ("how", "name"), [(move, "after"), (shutil.copytree, "after"), (move, "with a space, ü, 100% & #1")]
)
def test_everything_is_found_where_it_is_now(
    before: Path, tmp_path: Path, how: Callable[[Path, Path], Path], name: str
) -> None:
    after = how(before, tmp_path / name)
    assert FakeDriver(after, 3).go().finished == 1
    assert_all_is_here(after)
    publish("heads", after)
    store = Store(after)
    for run in store.runs_of(store.experiment("heads").experiment_id):
        assert store.artifacts(run).list_artifacts(), "a run's or the report's files are not found"
    old = (before.as_uri() + "/", str(before) + "/")
    assert not [text for text in texts(after / "mlflow.db") if any(place in text for place in old)]
    for path, (_, content) in contents(after).items():
        assert not any(place.encode() in content for place in old), f"{path} names the old place"
    assert store.client.get_experiment_by_name("own").artifact_location == (after / "artifacts" / "own").as_uri()
    assert store.client.get_experiment_by_name("elsewhere").artifact_location == "file:///elsewhere/artifacts/own"


@pytest.mark.parametrize("deeper", ["artifacts/heads", "artifacts", "inside"])
def test_a_home_moved_into_or_out_of_itself_is_mended_once(original: Path, tmp_path: Path, deeper: str) -> None:
    before = Path(shutil.copytree(original, tmp_path / "before"))
    assert_all_is_here(before)
    for place in (before / deeper, before):
        aside = before.parent / "aside"
        next(path for path in (before / deeper / "mlflow.db", before / "mlflow.db") if path.is_file()).parent.rename(
            aside
        )
        shutil.rmtree(before, ignore_errors=True)
        place.parent.mkdir(parents=True, exist_ok=True)
        aside.rename(place)
        assert_all_is_here(place)
        addresses = {run.info.artifact_uri for run in Store(place).runs("heads")}
        assert all(address.startswith(f"{place.as_uri()}/artifacts/heads/") for address in addresses)


def test_a_home_that_can_not_be_written_is_read_where_it_is(before: Path, tmp_path: Path) -> None:
    after, out = tmp_path / "after", tmp_path / "report"
    for above in after.parents:  # pytest's own folders are closed to others
        if "pytest" in str(above):
            above.chmod(0o755)
    shutil.copytree(before, after)
    stored = (after / "mlflow.db").read_bytes()
    for path in [after, *after.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    out.mkdir()
    out.chmod(0o777)
    with without_privileges():
        assert frames.record("heads", after)["question"] == "Which head?"
        path = Store(after).artifact(next(Store(after).runs("heads")).info.run_id, "config.json")
        assert path is not None
        assert path.is_relative_to(after)
        assert "Which head?" in publish("heads", after, out / "heads").read_text()
    assert (after / "mlflow.db").read_bytes() == stored
    for path in [after, *after.rglob("*")]:
        path.chmod(0o755)


def test_several_commands_that_open_a_moved_home_at_once_agree(before: Path, tmp_path: Path) -> None:
    after = move(before, tmp_path / "after")
    outcomes: list[int] = []
    threads = [threading.Thread(target=lambda: outcomes.append(FakeDriver(after, 6).go().failed)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=HANG_SECONDS)
    assert outcomes == [0] * 4
    assert_all_is_here(after)


def test_another_name_of_the_same_folder_changes_nothing(before: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(before, target_is_directory=True)
    assert frames.record("heads", link)["question"] == "Which head?"


def test_all_addresses_are_mended_or_none(before: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    after = move(before, tmp_path / "after")
    whole = moved._replace

    def dies(store: sqlite3.Connection, old: str, new: str) -> None:
        whole(store, old, new)
        raise KeyboardInterrupt

    stored = sorted(texts(after / "mlflow.db"))
    monkeypatch.setattr(moved, "_replace", dies)
    with pytest.raises(KeyboardInterrupt):
        moved.mend(after / "mlflow.db", after)
    assert sorted(texts(after / "mlflow.db")) == stored


def test_a_home_without_its_artifacts_is_left_alone(before: Path, tmp_path: Path) -> None:
    """A copy of the store alone, say: there is nothing here to name."""
    after = tmp_path / "after"
    after.mkdir()
    shutil.copy(before / "mlflow.db", after)
    stored = sorted(texts(after / "mlflow.db"))
    assert len(list(Store(after).runs("heads"))) == 2
    assert sorted(texts(after / "mlflow.db")) == stored
    assert FakeDriver(after, 3).go().finished == 1
    log_report(Store(after), "heads", after / "given", "", {})
    assert list(after.glob("artifacts/heads/*/artifacts/config.json"))


def test_what_waits_in_a_moved_home_is_sent_from_where_it_is(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = home / "before"
    home.mkdir()
    shutil.copy(home.parent / "mlflow.db", home)
    driver = FakeDriver(home, 1)
    with monkeypatch.context() as patched:
        patched.setattr(Sender, "start", lambda self: None)
        driver.recorder.unfinished()
        driver.recorder.log.open(lambda line: None)
        assert driver.recorder.next(driver.display) == 0
        driver.run(0, lambda number, epoch: None, fails=False)
    assert driver.recorder.log._sender is not None
    driver.recorder.log._sender.journal.close()
    after = home.rename(home.with_name("after"))
    assert send_waiting(Store(after)) == (1, {})
    (run,) = Store(after).runs("heads")
    assert run.info.status == "FINISHED"
    assert Store(after).artifact(run.info.run_id, "encoder.txt") is not None
    assert not home.exists()
