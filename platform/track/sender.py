"""The thread that carries a driver's journal to MLflow, waits while MLflow is away, and says so."""

import shutil
import threading
import time
from collections.abc import Callable

from unlabeled.platform.track.faults import AwayError, DeniedError, RefusedError
from unlabeled.platform.track.journal import Entry, Journal
from unlabeled.platform.track.leases import BEAT_SECONDS, Leases
from unlabeled.platform.track.writer import Writer

RETRY_SECONDS = 2.0  # between tries while the store is away
PATIENCE_SECONDS = 60.0  # how long an ended command waits for a store that is away


def forget_work(journal: Journal, fingerprint: str) -> None:
    """Delete the checkpoints and files of a finished run that the store has: its weights are among its artifacts.

    They stay where another journal of this home, for another store or study, has yet to send the run, or its driver has
    it in hand.
    """
    if not journal.is_wanted_by_others(fingerprint):
        shutil.rmtree(journal.home / "work" / fingerprint, ignore_errors=True)


class Sender:
    """Sends a journal, entry by entry in order, under the leases of their runs.

    Attributes:
        refused: fingerprint -> why MLflow did not take what it was sent of that run.
        lost: fingerprints of runs that other drivers took over, of which nothing more was sent.
    """

    def __init__(self, journal: Journal, writer: Writer, leases: Leases, say: Callable[[str], None]) -> None:
        self.journal, self.writer, self.leases, self.say = journal, writer, leases, say
        self.refused: dict[str, str] = {}
        self.lost: set[str] = set()
        self._away_since: float | None = None
        self._reason = ""
        self._denied = self._stops = False
        self._progress: dict[str, int] = {}  # of the entries at hand, how many of each run are sent
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._send_on, self._beat_on)]

    def start(self) -> None:
        """Start sending, and saying that this driver lives."""
        for thread in self._threads:
            thread.start()

    @property
    def is_away(self) -> bool:
        """Whether the store did not answer when it was last asked."""
        return self._away_since is not None or self._denied

    @property
    def seconds_away(self) -> float:
        """How long the store has not answered."""
        return 0.0 if self._away_since is None else time.monotonic() - self._away_since

    def note_away(self, error: Exception) -> None:
        """Take note that a call found the store away."""
        if self._away_since is None:
            self._away_since, self._reason = time.monotonic(), str(error)
            self.say(f"MLflow does not answer ({error}); runs go on, and what they log waits in {self.journal.path}")

    def send_all(self) -> None:
        """Send what is there, in this thread.

        Raises:
            AwayError, DeniedError: nothing more could be sent.
        """
        while self._send_some():
            pass

    def flush(self) -> None:
        """Wait until the journal is sent, or the store is away."""
        while self.journal.has_more and not self.is_away:
            time.sleep(0.02)

    def finish(self, patience: float | None = None) -> str | None:
        """Send what is left and stop; return why that was not possible, where it was not."""
        patience = PATIENCE_SECONDS if patience is None else patience
        since = time.monotonic()
        try:
            while self.journal.has_more and not self._denied:
                away = self._away_since
                if away is not None and time.monotonic() - max(away, since) > patience:
                    break
                time.sleep(0.02)
        except KeyboardInterrupt:
            self._reason = "stopped before all was sent"
        self._stops = True
        with self.journal.changed:
            self.journal.changed.notify_all()
        if not self.journal.has_more:
            for thread in self._threads:
                thread.join()
            return None
        return self._reason

    def _send_on(self) -> None:
        while not self._stops:
            try:
                if self._away_since is not None:
                    self.leases.beat()  # asks, and finds what others took meanwhile
                    self.say(f"MLflow answers again after {time.monotonic() - self._away_since:.0f} s")
                    self._away_since = None
                sent = self._send_some()
            except AwayError as error:
                self.note_away(error)
                self._pause(RETRY_SECONDS)
                continue
            except DeniedError as error:
                self._denied, self._reason = True, str(error)
                self.say(f"MLflow keeps us out ({error}); runs go on, and what they log waits in {self.journal.path}")
                return
            except Exception as error:  # whatever it is, a sender that ended unsaid would be waited for
                self._denied, self._reason = True, f"{type(error).__name__}: {error}"
                return
            if not sent:
                self._pause(1.0)

    def _beat_on(self) -> None:
        beaten = time.monotonic()  # the first beat was the driver's start
        while not self._stops:
            if time.monotonic() - beaten >= BEAT_SECONDS:
                beaten = time.monotonic()
                try:
                    self.leases.beat()
                except (AwayError, RefusedError) as error:
                    self.note_away(error)
                except DeniedError:
                    return  # the sending thread will find and say it
            time.sleep(min(0.2, BEAT_SECONDS / 10))

    def _send_some(self) -> bool:
        entries, place = self.journal.waiting()
        if not entries:
            return False
        by_run: dict[str, list[Entry]] = {}
        for entry in entries:
            by_run.setdefault(entry["run"], []).append(entry)
        for run, of_run in by_run.items():
            self._send_run(run, of_run[self._progress.get(run, 0) :])
            self._progress[run] = len(of_run)
        self.journal.acknowledge(place)
        self._progress.clear()
        for run, of_run in by_run.items():
            if of_run[-1]["do"] in ("end", "add"):
                self.writer.forget(run)
            is_finished = of_run[-1]["do"] == "end" and of_run[-1]["status"] == "FINISHED"
            if is_finished and self._is_whole(run):
                forget_work(self.journal, run)
        return True

    def _send_run(self, run: str, entries: list[Entry]) -> None:
        if not entries or run in self.refused or run in self.lost:
            return
        if not self.leases.is_sure(run):
            self.lost.add(run)
            return
        try:
            self.writer.write(run, entries)
        except RefusedError as error:
            self.refused[run] = str(error)
            self.say(f"MLflow refused what a run logs: {error}")
        if of_this := {what: why for (whose, what), why in self.writer.set_aside.items() if whose == run}:
            self.journal.keep(run, of_this)
        if entries[-1]["do"] == "end":
            self.leases.end(run, "FAILED" if run in self.refused else entries[-1]["status"])
        elif entries[-1]["do"] == "add":
            self.leases.end(run, "FINISHED")  # as it was, whatever became of what is added

    def _is_whole(self, run: str) -> bool:
        """Tell whether the store has everything of a run."""
        set_aside = {whose for whose, _ in self.writer.set_aside}
        return run not in self.refused and run not in self.lost and run not in set_aside

    def _pause(self, seconds: float) -> None:
        with self.journal.changed:
            if not self._stops and (self._away_since is not None or not self.journal.has_more):
                self.journal.changed.wait(seconds)
