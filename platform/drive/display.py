"""What a person sees while runs go on: a live table on a terminal; elsewhere lines, when runs start, go on and end."""

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from unlabeled.platform.config import RunConfig
from unlabeled.platform.drive import awaited
from unlabeled.platform.drive.pace import Pace, work_of
from unlabeled.platform.metrics import duration, unit_of
from unlabeled.platform.study import PlannedRun
from unlabeled.platform.train.events import EpochDone, Event, Failed, Finished, Noted, Progress, Started

LINE_SECONDS = 30.0  # at least between two lines of a run on its way, so that a log stays readable


class Display:
    """Follows the runs of one command.

    Args:
        total: runs that will be done.
        measure: the metric to show when a run finishes.
        console: where; by default stderr.
        runs: those that will be done, as far as they are known: how long they take is told by those that are done.
    """

    def __init__(
        self, total: int, measure: str, console: Console | None = None, runs: Sequence[PlannedRun] = ()
    ) -> None:
        self.console = console or Console(stderr=True)
        self.total, self.measure = total, measure
        self.done = self.failed = 0
        self._started = time.monotonic()
        self._active: dict[str, _Active] = {}
        self._pace = Pace({run.name: (run.row, work_of(run.config)) for run in runs})
        self._live = Live(console=self.console, refresh_per_second=2, transient=True, get_renderable=self._render)

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            awaited.take_over()
            if not awaited.is_quiet():
                self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._active.clear()
        self._live.stop()
        awaited.give_back()

    def gone(self, name: str) -> None:
        """Take in that a run will not be done here: another driver did it, or there is no time for it."""
        self.total -= 1
        self._pace.gone(name)

    def show(self, name: str, run: RunConfig, event: Event) -> None:
        """Take in what a run reported."""
        awaited.awaits("")
        active = self._active.setdefault(name, _Active(run.epochs, next(iter(run.evaluation.followed), "")))
        if isinstance(event, Started):
            active.epoch = len(event.epochs)
            self._pace.began(name, work=work_of(run))
            if event.step:
                self._say(f"[dim]{escape(name)}[/]: goes on after step {event.step}")
            elif not self.console.is_terminal:
                self._say(f"{escape(name)}: started")
        elif isinstance(event, Progress):
            active.advance(event)
            self._pace.moved(name, event.step / max(1, event.total_steps))
        elif isinstance(event, EpochDone):
            active.epoch, active.metrics = event.epoch, active.metrics | event.metrics
            if not self.console.is_terminal and active.is_line_due():
                self._say(f"{escape(name)}: {active.line()}")
        elif isinstance(event, Noted):
            self._say(f"[yellow]{escape(name)}: {escape(event.text)}[/]", matters=True)
        else:
            del self._active[name]
            self._pace.ended(name, event.metrics["system/wall_seconds"] if isinstance(event, Finished) else None)
            self._end(name, event)

    def _end(self, name: str, event: Finished | Failed) -> None:
        self.done += 1
        place = f"[dim]{self.done}/{self.total}[/]"
        if isinstance(event, Failed):
            self.failed += 1
            self._say(f"{place} {escape(name)} [red]failed[/]: {escape(event.reason)}", matters=True)
            return
        value = event.metrics.get(self.measure)
        answer = f"{self.measure} [bold]{unit_of(self.measure).value(value)}[/], " if value is not None else ""
        self._say(f"{place} {escape(name)} {answer}{duration(event.metrics['system/wall_seconds'])}{self._left()}")
        for note in event.notes:
            self._say(f"[yellow]{escape(name)}: {escape(note)}[/]", matters=True)

    def _left(self) -> str:
        """Say how long the rest takes, where that is known and there is one."""
        unknown = self.total - self.done - len(self._active) - len(self._pace.waiting)
        left = self._pace.left(max(0, unknown))
        return f", about {duration(left)} left" if left is not None and self.done < self.total else ""

    def _say(self, line: str, *, matters: bool = False) -> None:
        """Print a line above the table; what ``matters`` to someone who asked for quiet, too."""
        if matters or not awaited.is_quiet():
            self.console.print(line, highlight=False, soft_wrap=True)

    def _render(self) -> Group:
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        followed = dict.fromkeys(active.followed.rpartition("/")[0] for active in self._active.values())
        for head in ("running", "epoch", "images/s", "left", "loss", ", ".join(filter(None, followed))):
            table.add_column(head, justify="left" if head == "running" else "right")
        for name, active in list(self._active.items()):
            table.add_row(escape(name), *active.cells())
        passed, word = duration(time.monotonic() - self._started), awaited.word()
        then = f"; {word}" if word else self._left()
        line = Text(f"{self.done} of {self.total} runs done, {passed}{then}", "dim")
        return Group(table, line) if self._active else Group(line)


class _Active:
    """A run under way; ``followed`` is the metric that is shown of it, where one is."""

    def __init__(self, epochs: int, followed: str) -> None:
        self.epochs, self.epoch, self.followed = epochs, 0, followed
        self.images_per_second = self.seconds_left = 0.0
        self.metrics: dict[str, float] = {}
        self._first: tuple[float, int] | None = None
        self._said_at = time.monotonic()

    def advance(self, event: Progress) -> None:
        self.images_per_second = event.images_per_second
        if event.losses:
            self.metrics = {**self.metrics, "train/loss": list(event.losses.values())[-1]}
        now = time.monotonic()
        if self._first is None:
            self._first = (now, event.step)
        elif event.step > self._first[1]:
            per_step = (now - self._first[0]) / (event.step - self._first[1])
            self.seconds_left = per_step * (event.total_steps - event.step)

    def is_line_due(self) -> bool:
        """Tell whether it is time for a line, and not yet for the last one."""
        now = time.monotonic()
        if now - self._said_at < LINE_SECONDS or self.epoch >= self.epochs:
            return False
        self._said_at = now
        return True

    def line(self) -> str:
        """Say what the table's row says."""
        epoch, speed, left, loss, score = self.cells()
        named = {"images/s": speed, "left": left, "loss": loss, self.followed.rpartition("/")[0]: score}
        return ", ".join([f"epoch {epoch}", *(f"{name} {cell}" for name, cell in named.items() if cell)])

    def cells(self) -> tuple[str, str, str, str, str]:
        loss, score = self.metrics.get("train/loss"), self.metrics.get(self.followed)
        left = duration(self.seconds_left) if self.seconds_left else ""
        return (
            f"{self.epoch}/{self.epochs}",
            f"{self.images_per_second:,.0f}" if self.images_per_second else "",
            left if self.epoch < self.epochs else "probing",
            "" if loss is None else f"{loss:.3f}",
            "" if score is None else unit_of(self.followed).value(score),
        )
