"""What a run says while it goes on; it is all that the driver learns of it."""

import contextlib
import logging
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

Metrics = dict[str, float]


@dataclass(frozen=True)
class Started:
    """The run begins, or goes on after ``step`` steps, with the epochs that it already has."""

    environment: dict[str, str]
    step: int
    epochs: list[Metrics]


@dataclass(frozen=True)
class Progress:
    """Some steps on; said about every second.

    ``losses`` are those since the last one: step -> the mean loss of the steps up to it. A run that is killed may say
    them again.
    """

    step: int
    total_steps: int
    images_per_second: float
    losses: dict[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Noted:
    """Something that a person should know of; the run goes on."""

    text: str


@dataclass(frozen=True)
class EpochDone:
    """Epoch number ``epoch`` (1 is the first) is done. A run that is killed may say it again."""

    epoch: int
    metrics: Metrics


@dataclass(frozen=True)
class Finished:
    """The run is complete; its files lie under ``files``, and ``notes`` say what is missing of it, and why."""

    metrics: Metrics
    files: Path = field(default=Path())
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Failed:
    """The run ended with an error of its own; where it ``breaks_process``, no other run can be done in its process."""

    reason: str
    breaks_process: bool = False


Event = Started | Progress | Noted | EpochDone | Finished | Failed
Report = Callable[[Event], None]


@contextlib.contextmanager
def forwarding_warnings(report: Report) -> Iterator[Report]:
    """Say the engine's warnings as events, too; yield what the run says its own by.

    All is said on the thread that entered: of what others warn, such as those that read ahead, before its next event.
    After a ``SystemExit`` in ``report``, by which Tune ends a run that it prunes, nothing is said any more: nobody
    would listen, and whoever reports waits for a listener.
    """
    notes = _Notes(report)
    logging.getLogger("unlabeled").addHandler(notes)
    try:
        yield notes.say
    finally:
        logging.getLogger("unlabeled").removeHandler(notes)


class _Notes(logging.Handler):
    def __init__(self, report: Report) -> None:
        super().__init__(logging.WARNING)
        self._report, self._thread = report, threading.get_ident()
        self._of_others: queue.SimpleQueue[Noted] = queue.SimpleQueue()
        self._is_heard = True

    def say(self, event: Event) -> None:
        try:
            while self._is_heard and not self._of_others.empty():
                self._report(self._of_others.get())
            if self._is_heard:
                self._report(event)
        except SystemExit:
            self._is_heard = False
            raise

    def emit(self, record: logging.LogRecord) -> None:
        note = Noted(record.getMessage())
        if threading.get_ident() == self._thread:
            self.say(note)
        else:
            self._of_others.put(note)
