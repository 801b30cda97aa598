"""Leases: which driver does which run, so that two drivers on one store never do a run twice.

MLflow has no locks. But its database decides two kinds of writes once and for all, on SQLite as behind a server: a
parameter of a run is written once, and another value is refused; and an experiment's name is taken once. From these:

* Each study has a **ledger**, a run in the experiment ``unlabeled-ledgers``. The study's experiment is created with the
  ledger's id as a tag, so whichever driver wins the experiment's name has decided the ledger for all.
* To **take** run F for the n-th time is to write the ledger's parameter ``F.n``, with the driver's name as its value.
  One driver succeeds. ``F.n.end`` says how it ended. MLflow's run of F is made only under the lease, so there is one.
* A driver **lives** while its tag on the ledger changes: it writes a counter there every ``BEAT_SECONDS`` and removes
  the tag when it leaves. Others call it dead when the tag is gone, when its process is gone (seen on the same machine
  only), or when they have watched the counter stand still for ``SILENT_SECONDS``. A dead driver's runs may be taken.
* A driver that did not get to write its counter for half of that time (it was paused, or cut off) looks into the ledger
  before it writes anything more, and drops what it has of runs that others took meanwhile.

Assumptions: clocks of machines are never compared, only an observer's own seconds are counted, so clocks may differ by
any amount, and run at rates within a factor of two. A single write reaches the store within ``SILENT_SECONDS`` / 2 of
being sent, which MLflow's request timeout sees to. A store's reads show what was written before (no stale replica).
"""

import contextlib
import json
import threading
import time
from dataclasses import dataclass

from mlflow import MlflowClient

from unlabeled.platform.track.described import HIDDEN, NOTE
from unlabeled.platform.track.driver import SOMEBODY, Driver
from unlabeled.platform.track.faults import AwayError, RefusedError, translated_errors

LEDGERS = "unlabeled-ledgers"  # the experiment that ledgers are in
LOOK = "look"  # the first word of parameters that are looks at claims, see :mod:`.looks`
BEAT_SECONDS = 10.0
SILENT_SECONDS = 60.0
_NOTE = "Which driver does which run of which study. Unlabeled keeps it; please leave it."


class Leases:
    """The leases of one study, as one driver sees and takes them. Safe to use from several threads.

    Attributes:
        driver: who takes.
    """

    def __init__(self, client: MlflowClient, ledger: str) -> None:
        self.driver = Driver.here()
        self._client, self._ledger = client, ledger
        self._holders: dict[str, list[str]] = {}  # fingerprint -> drivers that took it, the newest last
        self._ends: dict[str, str] = {}  # "F.n" -> how it ended
        self._ended_before: frozenset[str] | None = None
        self._others: dict[str, _Watched] = {}
        self._held: set[str] = set()
        self._claimed: set[str] = set()  # taken here while the store was away, and not yet in the ledger
        self._beats, self._beat_at = 0, -float("inf")
        self._lock = threading.RLock()

    def beat(self) -> None:
        """Say that this driver lives; after a silence, look what others took meanwhile."""
        was_silent = _now() - self._beat_at > SILENT_SECONDS / 2
        at = _now()
        words = {"machine": self.driver.machine, "process": self.driver.process, "beat": self._beats}
        with translated_errors():
            self._client.set_tag(self._ledger, f"driver.{self.driver.name}", json.dumps(words))
        self._beats += 1
        if was_silent:
            self.refresh()
        self._beat_at = at

    def leave(self) -> None:
        """Give back all that is held."""
        with translated_errors():
            self._client.delete_tag(self._ledger, f"driver.{self.driver.name}")

    def refresh(self) -> None:
        """Read the ledger."""
        with self._lock:  # throughout: a lease taken between reading and noting would be forgotten
            self._refresh()

    def _refresh(self) -> None:
        with translated_errors():
            ledger = self._client.get_run(self._ledger).data
        holders: dict[str, dict[int, str]] = {}
        ends = {}
        for key, value in ledger.params.items():
            if key.startswith(f"{LOOK}."):
                continue
            if key.endswith(".end"):
                ends[key.removesuffix(".end")] = value
            else:
                fingerprint, _, place = key.partition(".")
                holders.setdefault(fingerprint, {})[int(place)] = value
        tags = {key.removeprefix("driver."): tag for key, tag in ledger.tags.items() if key.startswith("driver.")}
        self._holders = {f: [drivers[n] for n in sorted(drivers)] for f, drivers in holders.items()}
        self._ends = ends
        if self._ended_before is None:
            self._ended_before = frozenset(ends)
        before = self._others
        self._others = {
            name: _Watched.of(name, json.loads(tag), before.get(name))
            for name, tag in tags.items()
            if name != self.driver.name
        }
        self._held = {f for f in self._held if self.holder(f) == self.driver.name}

    def times(self, fingerprint: str) -> int:
        """Return how often the run was taken, as far as is known here."""
        with self._lock:
            return len(self._holders.get(fingerprint, ()))

    def holder(self, fingerprint: str) -> str | None:
        """Return who took the run last."""
        with self._lock:
            holders = self._holders.get(fingerprint)
            return holders[-1] if holders else None

    def end_of(self, fingerprint: str) -> str | None:
        """Return how the run ended when it was taken last: FINISHED, FAILED or KILLED; None where it did not."""
        with self._lock:
            return self._ends.get(f"{fingerprint}.{self.times(fingerprint) - 1}")

    def end_since_joined(self, fingerprint: str) -> str | None:
        """Return how another driver's run ended since this one joined: FINISHED or FAILED; None where none did."""
        with self._lock:
            end = self.end_of(fingerprint)
            is_new = f"{fingerprint}.{self.times(fingerprint) - 1}" not in (self._ended_before or ())
            return end if is_new and end != "KILLED" and self.holder(fingerprint) != self.driver.name else None

    def is_held_by_another(self, fingerprint: str) -> bool:
        """Tell whether another driver that lives has the run in hand."""
        with self._lock:
            holder = self.holder(fingerprint)
            if holder is None or holder == self.driver.name or self.end_of(fingerprint) is not None:
                return False
            return self.lives(holder)

    def lives(self, driver: str) -> bool:
        """Tell whether a driver is alive, as far as is seen from here."""
        with self._lock:
            watched = self._others.get(driver)
            return driver == self.driver.name or (watched is not None and watched.lives)

    def is_alone(self) -> bool:
        """Tell whether no other driver was at work on the study when the ledger was last read."""
        with self._lock:
            return not any(watched.lives for watched in self._others.values())

    def take(self, fingerprint: str) -> bool:
        """Take a run, unless another driver has it; False is also the answer where another was quicker.

        Raises:
            AwayError: the store does not answer, so nobody can tell. A driver that was alone may :meth:`claim` it.
        """
        with self._lock:
            if fingerprint in self._held:
                return True
            if self.is_held_by_another(fingerprint):
                return False
            taken = self._write(f"{fingerprint}.{self.times(fingerprint)}", self.driver.name)
            self._holders.setdefault(fingerprint, []).append(self.driver.name if taken else SOMEBODY)
            if taken:
                self._held.add(fingerprint)
                self._claimed.discard(fingerprint)
            else:
                self._others[SOMEBODY] = _Watched(None, -1, _now())
            return taken

    def forget(self, driver: str) -> None:
        """Count a driver as dead that is known to be, and take its tag away."""
        with self._lock:
            was_there = self._others.pop(driver, None)
        if was_there is not None:
            with contextlib.suppress(RefusedError), translated_errors():
                self._client.delete_tag(self._ledger, f"driver.{driver}")

    def claim(self, fingerprint: str) -> None:
        """Take a run while the store is away; :meth:`is_sure` will ask the store."""
        with self._lock:
            self._claimed.add(fingerprint)

    def is_sure(self, fingerprint: str) -> bool:
        """Make sure that the run is this driver's before something of it is written; False where another took it.

        Raises:
            AwayError: the store does not answer.
        """
        if _now() - self._beat_at > SILENT_SECONDS / 2:
            self.beat()
        if fingerprint in self._claimed:
            self.refresh()
            taken = self.end_of(fingerprint) != "FINISHED" and self.take(fingerprint)
            self._claimed.discard(fingerprint)
            return taken
        with self._lock:
            return fingerprint in self._held

    def end(self, fingerprint: str, status: str) -> None:
        """Give a run back, and say how it ended."""
        with self._lock:
            place = self.times(fingerprint) - 1
            key = f"{fingerprint}.{place}"
        self._write(f"{key}.end", status)
        with self._lock:
            self._ends[key] = status
            self._held.discard(fingerprint)

    def _write(self, key: str, value: str) -> bool:
        return write_once(self._client, self._ledger, key, value)


def write_once(client: MlflowClient, ledger: str, key: str, value: str) -> bool:
    """Write a parameter of a ledger; False where it has another value. Writing it again changes nothing."""
    try:
        with translated_errors():
            client.log_param(ledger, key, value, synchronous=True)
    except RefusedError as error:
        if "Changing param" in str(error.__cause__) or "already" in str(error.__cause__):
            return False
        raise
    return True


@dataclass(frozen=True)
class _Watched:
    """Another driver: its counter, and since when it stands still."""

    driver: Driver | None
    beat: int
    since: float

    @classmethod
    def of(cls, name: str, words: dict[str, str | int], before: "_Watched | None") -> "_Watched":
        driver = Driver(name, str(words["machine"]), int(words["process"]))
        beat = int(words["beat"])
        return cls(driver, beat, before.since if before is not None and before.beat == beat else _now())

    @property
    def lives(self) -> bool:
        if self.driver is not None and self.driver.is_gone:
            return False
        return _now() - self.since < SILENT_SECONDS


def new_ledger(client: MlflowClient, study: str, place: str | None) -> str:
    """Make a ledger, and return its id; it is the study's once the study's experiment names it.

    ``place`` is the address of the ledgers' artifacts, of which there are none; None where a server decides.
    """
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(LEDGERS)
    if found is None:
        with contextlib.suppress(MlflowException):  # another driver was quicker
            client.create_experiment(LEDGERS, artifact_location=place, tags={NOTE: _NOTE, **HIDDEN})
        found = client.get_experiment_by_name(LEDGERS)
        if found is None:
            raise AwayError("the experiment of ledgers can't be made")
    elif not HIDDEN.items() <= found.tags.items():  # it was made by an earlier version
        for key, value in HIDDEN.items():
            client.set_experiment_tag(found.experiment_id, key, value)
    tags = {"unlabeled.ledger": study, "mlflow.source.name": "unlabeled"}
    identity: str = client.create_run(found.experiment_id, tags=tags, run_name=study).info.run_id
    return identity


def _now() -> float:
    """Return seconds that go on while the machine sleeps, where it can count them."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)
