"""What a run says while it goes on; it is all that the driver learns of it."""

import contextlib
import logging
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
    """Some steps on; said about every second."""

    step: int
    total_steps: int
    images_per_second: float


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
def forwarding_warnings(report: Report) -> Iterator[None]:
    """Say the engine's warnings as events, too."""
    handler = _Notes(report)
    logging.getLogger("unlabeled").addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger("unlabeled").removeHandler(handler)


class _Notes(logging.Handler):
    def __init__(self, report: Report) -> None:
        super().__init__(logging.WARNING)
        self._report = report

    def emit(self, record: logging.LogRecord) -> None:
        self._report(Noted(record.getMessage()))
