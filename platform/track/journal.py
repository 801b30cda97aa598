"""The journal: what a driver has to write to MLflow, on its disk and in order, until MLflow has it.

One file per driver in ``outbox/`` of the home: a line of JSON says which store and study it is for, then an entry a
line. Entries are only ever appended; how far they are sent is a number in a file beside it. A crash between sending and
that number sends some again, so entries are such that sending them twice changes nothing. A file is locked while its
driver lives (on a shared home, as far as its file system carries locks to other machines; those over NFS do).

Entries, each with ``run`` (its fingerprint), ``do`` and ``at`` (milliseconds since 1970):

* ``open``: ``name``, ``tags``, ``params``, ``dataset`` and ``config``, or the same run goes on
* ``log``: ``metrics``, ``params``, ``tags``, ``losses`` by step, and ``epoch`` where the metrics are an epoch's
* ``add``: ``metrics`` and ``tags`` of a run that is over and stays so, all at once
* ``end``: ``status``, ``tags``, and ``files``, a folder to upload, from the home on where it lies there, or none
"""

import fcntl
import json
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

Entry = dict[str, Any]
_MOST = 400  # entries sent at a time


class Journal:
    """One driver's journal, appended to by one thread and read by another. It is locked while its driver lives."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        """Take a file that :func:`_locked` opened, and where it lies."""
        self.path, self._file = path, file
        self.changed = threading.Condition()
        self._sent_path = path.with_suffix(".sent")
        self._sent = _sent_of(path)

    @classmethod
    def start(cls, home: Path, driver: str, header: Mapping[str, Any]) -> "Journal":
        """Begin a journal with what it is for."""
        folder = home / "outbox"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{driver.replace(':', '-')}.jsonl"
        half = path.with_suffix(".new")
        half.touch()
        file = _locked(half)
        half.rename(path)  # not before: whoever finds one that is not locked takes its driver for dead
        journal = cls(path, file)
        journal.append({**header, "driver": driver})
        journal._sent = journal.path.stat().st_size
        return journal

    @classmethod
    def left(cls, home: Path) -> Iterator["Journal"]:
        """Give the journals that drivers left behind which are no more, the oldest first."""
        for path in sorted((home / "outbox").glob("*.jsonl"), key=lambda path: path.stat().st_mtime):
            try:
                journal = cls(path, _locked(path))
            except (BlockingIOError, FileNotFoundError):  # its driver lives, or another command just sent it
                continue
            try:
                if journal.header:
                    yield journal
                else:
                    journal.remove()
            finally:
                journal.close()

    @property
    def home(self) -> Path:
        """The home that it lies in."""
        return self.path.parent.parent

    @property
    def header(self) -> dict[str, Any]:
        """What the journal is for; empty where its driver died writing it."""
        with self.path.open("rb") as file:
            line = file.readline()
            self._sent = max(self._sent, file.tell())
        return json.loads(line) if line.endswith(b"\n") else {}

    def append(self, entry: Mapping[str, Any]) -> None:
        """Write an entry; it outlives this process from then on, and the end of a run the machine's crash too.

        What an earlier entry says is said again when the run goes on from its checkpoint; a run that is over may have
        none.

        Raises:
            OSError: it can't be written; nothing of it is.
        """
        with self.changed:
            line, size = json.dumps(entry).encode() + b"\n", os.fstat(self._file.fileno()).st_size
            while line:
                try:
                    line = line[os.write(self._file.fileno(), line) :]
                except OSError:  # a full disk; half a line would be waited for for ever
                    os.ftruncate(self._file.fileno(), size)
                    raise
            if entry.get("do") == "end":
                os.fsync(self._file.fileno())
            self.changed.notify()

    @property
    def kept(self) -> Path:
        """The file of what the store refused while it took the rest."""
        return self.path.with_suffix(".refused")

    def keep(self, run: str, refused: Mapping[str, str]) -> None:
        """Note what the store refused of a run, record -> why, for a person; it outlives the journal."""
        known = self.kept.read_text().splitlines() if self.kept.is_file() else []
        with self.kept.open("a") as file:
            for what, why in refused.items():
                line = json.dumps({"run": run, "refused": what, "why": why})
                if line not in known:
                    file.write(f"{line}\n")

    def waiting(self) -> tuple[list[Entry], int]:
        """Return the next entries to send, and what to acknowledge when they are sent."""
        entries: list[Entry] = []
        place = self._sent
        with self.path.open("rb") as file:
            file.seek(place)
            while len(entries) < _MOST and (line := file.readline()).endswith(b"\n"):  # a torn line has no end
                entries.append(json.loads(line))
                place += len(line)
        return entries, place

    def acknowledge(self, place: int) -> None:
        """Note that all before ``place`` is sent."""
        half = self._sent_path.with_suffix(".tmp")
        half.write_text(str(place))
        half.replace(self._sent_path)
        self._sent = place

    @property
    def has_more(self) -> bool:
        """Whether entries wait."""
        return self.path.stat().st_size > self._sent

    def runs_waiting(self) -> set[str]:
        """Return the fingerprints of the runs that have unsent entries."""
        with self.path.open("rb") as file:
            file.seek(self._sent)
            return {json.loads(line)["run"] for line in file if line.endswith(b"\n")}

    def is_wanted_by_others(self, run: str) -> bool:
        """Whether another journal of this home has entries of a run that are not sent, or has yet to see its end."""
        for path in self.path.parent.glob("*.jsonl"):
            if path == self.path:
                continue
            try:
                sent, content = _sent_of(path), path.read_bytes()
            except FileNotFoundError:  # all of it was sent just now
                continue
            of_run = content.rfind(json.dumps(run).encode())
            if of_run < 0:
                continue
            start, end = content.rfind(b"\n", 0, of_run) + 1, content.find(b"\n", of_run)
            if start >= sent or end < 0 or json.loads(content[start:end]).get("do") not in ("end", "add"):
                return True
        return False

    def close(self) -> None:
        """Let others have it."""
        self._file.close()

    def remove(self) -> None:
        """Take the file away, all being sent."""
        self.path.unlink(missing_ok=True)
        self._sent_path.unlink(missing_ok=True)
        self.close()


def _sent_of(path: Path) -> int:
    """Return how many bytes of a journal are sent."""
    place = path.with_suffix(".sent")
    return int(place.read_text() or 0) if place.is_file() else 0


def _locked(path: Path) -> IO[bytes]:
    """Open a file that is there, to append to, and lock it.

    Raises:
        FileNotFoundError: it is gone; also where it went while it was opened.
        BlockingIOError: another process has it.
    """
    file = open(path, "a+b", opener=lambda name, flags: os.open(name, flags & ~os.O_CREAT))  # noqa: SIM115
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(file.fileno()), path.stat()):
            raise FileNotFoundError(f"{path} is another file now")
    except FileNotFoundError:
        file.close()
        raise
    except OSError:
        file.close()
        raise BlockingIOError(f"{path} is in use") from None
    return file
