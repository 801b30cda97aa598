"""How long the rest of a command's runs takes: from the runs' own seconds, and how many go at once."""

import heapq
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import fmean, median

from unlabeled.platform.config import RunConfig


def work_of(run: RunConfig) -> float:
    """Guess how much work a run is, in no unit: its epochs, which take longer by a method whose steps cost more.

    What a step does beside its passes, such as views, takes some as long as two passes of a small encoder over a batch.
    """
    return run.epochs * (2.0 + (run.method.cost or 2.0))


@dataclass
class _Way:
    """A run under way: when it began, the share of it that is done, and its row and work."""

    begun: float
    row: str
    work: float
    share: float = 0.0


@dataclass
class Pace:
    """Learns from each run that ends, and says how long those take that are left.

    A run takes as long as others of its row did; before there are any, as others did for the same work. Start-up is in
    nobody's seconds: it is over by then. Runs go on as many lanes as were seen at the same time.

    Args:
        waiting: name -> row and work of each run that will be begun; work is in any unit, such as :func:`work_of`'s.
        clock: seconds.
    """

    waiting: dict[str, tuple[str, float]]
    clock: Callable[[], float] = time.monotonic
    _active: dict[str, _Way] = field(default_factory=dict)
    _took: list[tuple[str, float, float]] = field(default_factory=list)  # row, work, seconds
    _gaps: list[float] = field(default_factory=list)
    _freed: list[float] = field(default_factory=list)  # when lanes got free
    _lanes: int = 0

    def began(self, name: str, row: str = "", work: float = 1.0) -> None:
        """Take in that a run goes on now; what is not among ``waiting`` says its row and work."""
        if name in self._active:
            return
        row, work = self.waiting.pop(name, (row, work))
        if self._freed:
            self._gaps.append(self.clock() - self._freed.pop(0))
        self._active[name] = _Way(self.clock(), row, work)
        self._lanes = max(self._lanes, len(self._active))

    def moved(self, name: str, share: float) -> None:
        """Take in which share of a run's steps is done."""
        if name in self._active:
            self._active[name].share = share

    def gone(self, name: str) -> None:
        """Take in that a run will not be begun."""
        self.waiting.pop(name, None)

    def ended(self, name: str, seconds: float | None = None) -> None:
        """Take in that a run ended, begun or not; ``seconds`` are its own, and None of one that was cut short."""
        self.gone(name)
        way = self._active.pop(name, None)
        if way is None:
            return
        self._freed.append(self.clock())
        if seconds is not None:
            self._took.append((way.row, way.work, max(seconds, self.clock() - way.begun)))

    def expected(self, row: str, work: float) -> float | None:
        """Return how long a run of a row takes; None before any run has ended."""
        of_row = [seconds for of, _, seconds in self._took if of == row]
        if of_row:
            return fmean(of_row)
        per_work = [seconds / work for _, work, seconds in self._took]
        return fmean(per_work) * work if per_work else None

    def left(self, more: int = 0) -> float | None:
        """Return the seconds until the last run ends, of those that are waiting and ``more`` of which nothing is known.

        None before any run has ended, where nothing can be known.
        """
        if not self._took:
            return None
        gap = median(self._gaps) if self._gaps else 0.0
        lanes = [self._rest(way) for way in self._active.values()]
        lanes += [0.0] * (max(1, self._lanes) - len(lanes))
        heapq.heapify(lanes)
        typical = fmean(work for _, work, _ in self._took)
        for row, work in [*self.waiting.values(), *[("", typical)] * more]:
            heapq.heapreplace(lanes, lanes[0] + gap + (self.expected(row, work) or 0.0))
        return max(lanes)

    def _rest(self, way: _Way) -> float:
        elapsed = self.clock() - way.begun
        whole = self.expected(way.row, way.work) or 0.0
        if elapsed > whole and 0 < way.share < 1:  # slower than the others were
            return elapsed / way.share - elapsed
        return max(0.0, whole - elapsed)
