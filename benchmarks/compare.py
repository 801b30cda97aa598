"""Compare two pieces of work by taking turns, and say how it went in one row of a table.

CPU time is the measure for what one thread computes: other work on the machine then counts little. Wall time is the
measure for whole commands. Taking turns, and the median of the turns' ratios, keep out what passes: a busy minute, a
faster clock.
"""

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        what: what was done.
        ours: how fast the platform did it.
        reference: how fast the thing beside it was, and what that is.
        ratio: ours over the reference, in the units shown; None where there is nothing to divide.
        target: what is asked, in words; empty where the row is there to explain another.
        met: whether it is so; None without a target.
    """

    what: str
    ours: str
    reference: str
    ratio: float | None = None
    target: str = ""
    met: bool | None = None

    @classmethod
    def of_ratio(
        cls,
        what: str,
        ours: str,
        reference: str,
        ratio: float,
        *,
        least: float | None = None,
        most: float | None = None,
    ) -> "Row":
        """Say how a ratio stands to the least, or the most, that is asked of it; neither asks nothing."""
        if least is not None:
            return cls(what, ours, reference, ratio, f"at least {least:g}", ratio >= least)
        if most is not None:
            return cls(what, ours, reference, ratio, f"at most {most:g}", ratio <= most)
        return cls(what, ours, reference, ratio)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on one thread meanwhile."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def in_turns(works: Sequence[Callable[[], object]], rounds: int, clock: Callable[[], float]) -> list[list[float]]:
    """Do every piece of work once unmeasured, then ``rounds`` times in turns; return the seconds of each, by round."""
    seconds: list[list[float]] = [[] for _ in works]
    for turn in range(rounds + 1):
        for work, measured in zip(works, seconds, strict=True):
            started = clock()
            work()
            if turn:
                measured.append(clock() - started)
    return seconds


def cpu_in_turns(*works: Callable[[], object], rounds: int) -> list[list[float]]:
    """Measure this process's CPU seconds."""
    return in_turns(works, rounds, time.process_time)


def wall_in_turns(*works: Callable[[], object], rounds: int) -> list[list[float]]:
    """Measure seconds on the wall clock."""
    return in_turns(works, rounds, time.perf_counter)


def paired_ratio(above: Sequence[float], below: Sequence[float]) -> float:
    """Return the median, over rounds, of one side's seconds over the other's.

    >>> paired_ratio([2.0, 4.0, 90.0], [1.0, 2.0, 3.0])
    2.0
    """
    return statistics.median(a / b for a, b in zip(above, below, strict=True))
