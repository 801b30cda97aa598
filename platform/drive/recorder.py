"""From the events of runs to the store and to a person's eyes: the driver's side of a study."""

import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data, DataConfig
from unlabeled.platform.drive.budget import Budget
from unlabeled.platform.drive.display import Display
from unlabeled.platform.errors import UserError
from unlabeled.platform.study import PlannedRun
from unlabeled.platform.track import StudyLog
from unlabeled.platform.train.events import EpochDone, Event, Failed, Finished, Metrics, Progress, Started
from unlabeled.platform.train.loaded import Identity, identify, load_cached
from unlabeled.platform.train.protocols import protocols

_NAMED = 3  # runs that are named of those that others have


@dataclass
class Outcome:
    """How a sweep ended: how many runs were there before, how many ended how, and how many others did meanwhile.

    ``left_out`` are those for which there was no time; ``base`` is what its runs are tagged with; ``notes`` say what is
    missing of finished runs, each with its run's name.
    """

    skipped: int = 0
    finished: int = 0
    failed: int = 0
    elsewhere: int = 0
    left_out: int = 0
    interrupted: bool = False
    base: str = ""
    notes: list[str] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """Whether every run of the study is finished."""
        return not self.failed and not self.interrupted


class Recorder:
    """Takes each event of each run to the MLflow store and to the display.

    As a context it holds leases, so that other drivers on the same store leave its runs alone; leaving it waits until
    the store has everything. Runs that can't be expected to end within ``budget`` are not begun. ``base_identity`` is
    given where these are only some of the runs that are made from the base.
    """

    def __init__(
        self,
        planned: Sequence[PlannedRun],
        base: RunConfig,
        home: Path,
        log: StudyLog,
        budget: Budget | None = None,
        base_identity: str = "",
    ) -> None:
        self.budget, self._base_identity = budget or Budget(), base_identity
        self.base, self.home, self.log = base, home, log
        self.planned = [_seen_by_all(run, home) for run in planned]
        self.data = {run.config.data: load_cached(run.config.data) for run in planned}
        self._names: dict[int, Identity] = {}
        self.outcome = Outcome()
        self._display: Display | None = None
        self._waiting: dict[int, None] = {}  # numbers of runs that nobody here has begun, in order
        self._run_ids: dict[int, str] = {}  # of runs under way, what the log knows them by
        self._ours: set[int] = set()  # runs that are leased here and not ended
        self._dropped: set[int] = set()
        self._given_up = 0
        self._said = ""

    def __enter__(self) -> Self:
        self.log.open(self._say)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.log.close()
            if self._given_up:
                raise UserError(
                    f"{self._given_up} runs were not begun: MLflow at {self.log.store.address} does not answer, and "
                    "other drivers may have them in hand; the same command goes on when it does"
                )
        except UserError:
            if error is None:
                raise

    def add(self, run: PlannedRun) -> int:
        """Take in one more run, of a search that plans as it goes, and return its number."""
        self.planned.append(_seen_by_all(run, self.home))
        self.data.setdefault(run.config.data, load_cached(run.config.data))
        return len(self.planned) - 1

    def fingerprint(self, number: int) -> str:
        """Return the identity of a run."""
        return self._identity(number).fingerprint

    def trained(self, number: int) -> Path | None:
        """Return where the weights lie of a finished run with the same training, or None: then this one is trained."""
        return self.log.trained(self._identity(number).training)

    def unfinished(self) -> list[int]:
        """Return the numbers of the runs that are yet to be done, and count the others."""
        todo = [n for n in range(len(self.planned)) if not self.log.is_finished(self.fingerprint(n))]
        self.outcome.skipped = len(self.planned) - len(todo)
        self._waiting = dict.fromkeys(todo)
        return todo

    def next(self, display: Display) -> int | None:
        """Return the number of the next run to do, leased to this driver; None where others have all that is left.

        Ask again some seconds later, until :attr:`is_over`: runs that others finish are counted, and those whose driver
        died come here. To be asked after :meth:`unfinished`.
        """
        self._display = display
        others: list[int] = []
        away: list[int] = []
        for number in list(self._waiting):
            if not self.budget.allows(self.planned[number].row):
                del self._waiting[number]
                self.outcome.left_out += 1
                display.gone(self.planned[number].name)
                continue
            claim = self.log.claim(self.fingerprint(number))
            if claim == "ours":
                del self._waiting[number]
                self._ours.add(number)
                return number
            if claim in ("done", "failed"):
                del self._waiting[number]
                self.outcome.elsewhere += claim == "done"
                self.outcome.failed += claim == "failed"
                display.gone(self.planned[number].name)
            else:
                (others if claim == "others" else away).append(number)
        if others and self.log.look():
            self._say_who(others)
        if away and not self._ours and self.log.is_out_of_patience:
            self._given_up = len(self._waiting)
            self._waiting.clear()
        return None

    @property
    def is_waiting(self) -> bool:
        """Whether runs are left that nobody here has begun."""
        return bool(self._waiting)

    @property
    def is_over(self) -> bool:
        """Whether no run is left to begin or to wait for, and none is under way here."""
        return not self._waiting and not self._ours

    def take(self, display: Display, number: int, event: Event) -> None:
        """Record one event of a run; Ctrl-C waits until that is done."""
        with _uninterrupted():
            self._display = display
            planned = self.planned[number]
            if number in self._dropped or (number not in self._run_ids and not self._begin(number)):
                return
            run_id = self._run_ids[number]
            if isinstance(event, Started):
                self.log.started(run_id, event)
            elif isinstance(event, EpochDone):
                self.log.epoch(run_id, event)
            elif isinstance(event, Progress) and event.losses:
                self.log.progress(run_id, event)
            elif isinstance(event, Finished):
                self.log.finished(run_id, event)
                self.outcome.finished += 1
                self.budget.note(planned.row, event.metrics["system/wall_seconds"])
                self.outcome.notes += [f"{planned.name}: {note}" for note in event.notes]
                self._let_go(number)
            elif isinstance(event, Failed):
                self.log.failed(run_id, event)
                self.outcome.failed += 1
                self._let_go(number)
            display.show(planned.name, planned.config, event)

    def stop(self, number: int, reason: str, metrics: Metrics | None = None) -> None:
        """End a run under way that is not wanted any more: killed, with the reason and some last metrics."""
        with _uninterrupted():
            run_id = self._let_go(number)
            self.log.add(run_id, metrics=metrics, tags={"unlabeled.reason": reason})
            self.log.killed(run_id)

    def interrupt(self) -> None:
        """Mark the runs under way as killed; their checkpoints are kept."""
        with _uninterrupted():
            for run_id in self._run_ids.values():
                self.log.killed(run_id)
            self._run_ids.clear()
            self._ours.clear()
            self.outcome.interrupted = True

    def give_up(self, why: str) -> None:
        """Begin no more runs, and note how many that leaves."""
        if left := len(self._waiting):
            self.outcome.notes.append(f"{left} {'run was' if left == 1 else 'runs were'} not begun: {why}")
        self._waiting.clear()

    def parameters(self, number: int) -> Mapping[str, str]:
        """Return what is logged of a run as parameters beside its configuration."""
        return {}

    def _begin(self, number: int) -> bool:
        """Open a run in the log; False where another driver has it."""
        planned, fingerprint = self.planned[number], self.fingerprint(number)
        if self.log.claim(fingerprint) not in ("ours", "away"):
            self._dropped.add(number)
            self._ours.discard(number)  # it was, until another driver took it before its first word
            self.outcome.elsewhere += 1
            if self._display is not None:
                self._display.gone(planned.name)
            self._say(f"{planned.name}: {self.log.holder(fingerprint)} does it too; what it gives here is not logged")
            return False
        data = self.data[planned.config.data]
        how = protocols(planned.config.evaluation, data)
        self.log.begin(planned, self._identity(number), self.base_identity, data, how)
        if more := self.parameters(number):
            self.log.add(fingerprint, params=more)
        self._run_ids[number] = fingerprint
        self._ours.add(number)
        return True

    def _identity(self, number: int) -> Identity:
        if number not in self._names:
            self._names[number] = identify(self.planned[number].config)
        return self._names[number]

    @property
    def base_identity(self) -> str:
        """The identity of what the rows are made from."""
        return self._base_identity or base_identity(self.base, self.data)

    def _let_go(self, number: int) -> str:
        self._ours.discard(number)
        return self._run_ids.pop(number)

    def _say_who(self, numbers: Sequence[int]) -> None:
        named = [f"{self.planned[n].name} ({self.log.holder(self.fingerprint(n))})" for n in numbers[:_NAMED]]
        more = f" and {len(numbers) - _NAMED} more" if len(numbers) > _NAMED else ""
        said = f"waiting for runs that others have in hand: {', '.join(named)}{more}"
        if said != self._said:
            self._say(said)
        self._said = said

    def _say(self, line: str) -> None:
        if self._display is not None:
            self._display.console.print(line, style="yellow", markup=False, highlight=False, soft_wrap=True)


def base_identity(base: RunConfig, data: Mapping[DataConfig, Data]) -> str:
    """Return the identity of what rows are made from, given their data: its own is not loaded where no row takes it."""
    return base.row(data[base.data].checksum if base.data in data else "")


def _seen_by_all(run: PlannedRun, home: Path) -> PlannedRun:
    """Return a run that finds the weights that it starts from in the home, which all nodes see."""
    encoder = run.config.encoder.kept_in(home / "weights")
    return run.model_copy(update={"config": run.config.model_copy(update={"encoder": encoder})})


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C back: a record that it cuts off would leave the run half logged."""
    if threading.current_thread() is not threading.main_thread():  # Ctrl-C is the main thread's
        yield
        return
    held: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: held.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if held:
        signal.raise_signal(signal.SIGINT)
