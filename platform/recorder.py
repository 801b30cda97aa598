"""From the events of runs to the store and to a person's eyes: the driver's side of a study."""

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from unlabeled.platform.config import RunConfig
from unlabeled.platform.display import Display
from unlabeled.platform.evaluate.protocol import Evaluation
from unlabeled.platform.events import EpochDone, Event, Failed, Finished, Started
from unlabeled.platform.processor import Processor
from unlabeled.platform.runtime import load_cached
from unlabeled.platform.study import PlannedRun
from unlabeled.platform.track import StudyLog


@dataclass
class Outcome:
    """How a sweep ended: how many runs were there before, and how many ended how."""

    skipped: int = 0
    finished: int = 0
    failed: int = 0
    interrupted: bool = False

    @property
    def is_complete(self) -> bool:
        """Whether every run of the study is finished."""
        return not self.failed and not self.interrupted


class Recorder:
    """Takes each event of each run to the MLflow store and to the display."""

    def __init__(self, planned: Sequence[PlannedRun], base: RunConfig, home: Path, log: StudyLog) -> None:
        self.planned, self.base, self.home, self.log = list(planned), base, home, log
        self.data = {run.config.data: load_cached(run.config.data) for run in planned}
        self.outcome = Outcome()
        self._run_ids: dict[int, str] = {}

    def add(self, run: PlannedRun) -> int:
        """Take in one more run, of a search that plans as it goes, and return its number."""
        self.planned.append(run)
        self.data.setdefault(run.config.data, load_cached(run.config.data))
        return len(self.planned) - 1

    def fingerprint(self, number: int) -> str:
        """Return the identity of a run."""
        config = self.planned[number].config
        return config.fingerprint(self.data[config.data].checksum)

    def unfinished(self) -> list[int]:
        """Return the numbers of the runs that are yet to be done, and count the others."""
        todo = [n for n in range(len(self.planned)) if not self.log.is_finished(self.fingerprint(n))]
        self.outcome.skipped = len(self.planned) - len(todo)
        return todo

    def take(self, display: Display, number: int, event: Event) -> None:
        """Record one event of a run; Ctrl-C waits until that is done."""
        with _uninterrupted():
            run_id = self._run_ids.get(number) or self._begin(number)
            if isinstance(event, Started):
                self.log.started(run_id, event)
            elif isinstance(event, EpochDone):
                self.log.epoch(run_id, event)
            elif isinstance(event, Finished):
                self.log.finished(run_id, event)
                self.outcome.finished += 1
                del self._run_ids[number]
            elif isinstance(event, Failed):
                self.log.failed(run_id, event)
                self.outcome.failed += 1
                del self._run_ids[number]
            planned = self.planned[number]
            display.show(planned.name, planned.config.epochs, event)

    def interrupt(self) -> None:
        """Mark the runs under way as killed; their checkpoints are kept."""
        for run_id in self._run_ids.values():
            self.log.killed(run_id)
        self.outcome.interrupted = True

    def _begin(self, number: int) -> str:
        planned = self.planned[number]
        data = self.data[planned.config.data]
        protocols = Evaluation(planned.config, data, Processor(torch.device("cpu"), "fp32")).protocols()
        base = self.base.digest(data.checksum)
        self._run_ids[number] = self.log.begin(planned, self.fingerprint(number), base, data, protocols)
        return self._run_ids[number]


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C back: a database write that it cuts off leaves the database locked, to the next write too."""
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
