"""Journals are begun, found and locked by processes that know nothing of each other."""

import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from unlabeled.platform.track.journal import Journal
from unlabeled.platform.track.sender import forget_work

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


def test_what_a_full_disk_cuts_off_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal.start(tmp_path, "one", HEADER)
    journal.append({"run": "a"})
    write = os.write

    def full(file: int, content: bytes) -> int:
        if len(content) < 20:
            raise OSError(errno.ENOSPC, "no space left")
        return write(file, content[:-15])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="no space"):
        journal.append({"run": "b", "tags": {"a long one": "that is cut"}})
    monkeypatch.undo()
    entries, place = journal.waiting()
    assert entries == [{"run": "a"}]
    journal.acknowledge(place)
    assert not journal.has_more
    journal.append({"run": "c"})
    assert journal.waiting()[0] == [{"run": "c"}]
    journal.close()


def test_another_journal_wants_a_run_until_its_end_is_sent(tmp_path: Path) -> None:
    """For another store or another study: what lies in the run's folder is theirs, too."""
    one, other = (Journal.start(tmp_path, name, HEADER) for name in ("one", "other"))
    one.append({"run": "a", "do": "open"})
    assert not one.is_wanted_by_others("a"), "it is its own"
    for do, is_sent, is_wanted in [
        ("open", False, True),
        ("log", True, True),
        ("end", False, True),
        ("end", True, False),
    ]:
        other.append({"run": "a", "do": do})
        other.append({"run": "b", "do": "open"})
        if is_sent:
            other.acknowledge(other.waiting()[1])
        assert one.is_wanted_by_others("a") == is_wanted, (do, is_sent)
    assert one.is_wanted_by_others("b")
    assert not one.is_wanted_by_others("c")
    assert other.is_wanted_by_others("a")
    one.remove()
    assert not other.is_wanted_by_others("a")
    other.close()


def test_work_stays_while_another_store_has_yet_to_get_it(tmp_path: Path) -> None:
    one, other = (Journal.start(tmp_path, name, HEADER) for name in ("one", "other"))
    (tmp_path / "work" / "a").mkdir(parents=True)
    other.append({"run": "a", "do": "end", "files": "work/a/files"})
    forget_work(one, "a")
    assert (tmp_path / "work" / "a").is_dir()
    other.acknowledge(other.waiting()[1])
    forget_work(one, "a")
    assert not (tmp_path / "work" / "a").exists()
    one.close()
    other.close()
