"""Journals are begun, found and locked by processes that know nothing of each other."""

import fcntl
from collections.abc import Callable
from pathlib import Path

import pytest

from unlabeled.platform.track.journal import Journal

HEADER = {"store": "here"}


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], object]]:
    """Return a list of what happens, each once, between the opening of a file and its lock."""
    due: list[Callable[[], object]] = []
    lock = fcntl.flock

    def late(file: object, how: int) -> None:
        if due:
            due.pop()()
        lock(file, how)  # type: ignore[arg-type]

    monkeypatch.setattr(fcntl, "flock", late)
    return due


def left(home: Path) -> list[str]:
    return [journal.header["driver"] for journal in Journal.left(home)]


def test_a_journal_is_of_its_driver_while_that_lives(tmp_path: Path) -> None:
    one = Journal.start(tmp_path, "one", HEADER)
    assert left(tmp_path) == []
    one.append({"run": "a"})
    one.close()
    assert left(tmp_path) == ["one"]
    (found,) = Journal.left(tmp_path)
    assert found.waiting()[0] == [{"run": "a"}]


def test_a_driver_that_begins_is_not_taken_for_dead(tmp_path: Path, meanwhile: list[Callable[[], object]]) -> None:
    seen: list[str] = []
    meanwhile.append(lambda: seen.extend(left(tmp_path)))
    one = Journal.start(tmp_path, "one", HEADER)
    assert (seen, meanwhile) == ([], [])
    assert one.path.is_file(), "nobody took it away"
    one.append({"run": "a"})
    one.close()
    assert left(tmp_path) == ["one"]


def test_a_journal_that_another_command_sends_first_is_passed_over(
    tmp_path: Path, meanwhile: list[Callable[[], object]]
) -> None:
    Journal.start(tmp_path, "one", HEADER).close()
    (place,) = (tmp_path / "outbox").iterdir()
    meanwhile.append(place.unlink)
    assert left(tmp_path) == []
    assert not place.exists(), "and is not made anew"
    Journal.start(tmp_path, "two", HEADER).close()
    (other,) = (tmp_path / "outbox").iterdir()
    meanwhile.append(lambda: (other.unlink(), Journal.start(tmp_path, "two", HEADER).close()))
    assert left(tmp_path) == []
