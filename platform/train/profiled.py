"""Where a step's time goes: by part, and by operation; and a trace for those who want to see all of it.

The engine names the parts of its steps by :func:`part`, which costs next to nothing unless steps are profiled. A run
gives the same numbers with it. On a GPU a profiled step waits at the end of each part for what the part asked for, so
that the time is that of the part.
"""

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import torch

from unlabeled.platform.data.threads import on_this_thread

WARM_UP = 5  # steps before, in which memory is taken and kernels are chosen
PARTS = ("reading", "views", "forward", "backward", "optimiser", "after_step")
COSTLIEST = 10  # operations that are listed
TRACE, TABLE = "trace.json.gz", "profile.txt"

_OFF = contextlib.nullcontext()
_asked: ContextVar[int | None] = ContextVar("asked", default=None)
_now: "_Clock | None" = None


def profiling(count: int | None) -> AbstractContextManager[None]:
    """Let runs on this thread profile so many steps, or none."""
    return on_this_thread(_asked, count)


def as_asked(steps: Iterator[int], device: torch.device, folder: Path, say: Callable[[str], None]) -> Iterator[int]:
    """Yield what ``steps`` yields, :func:`profiled` where that was asked for."""
    asked = _asked.get()
    return steps if asked is None else profiled(steps, asked, device, folder, say)


def part(name: str) -> AbstractContextManager[object]:
    """Name what is done inside, one of ``PARTS``."""
    return _OFF if _now is None or _now.thread != threading.get_ident() else _now.part(name)


def profiled(
    steps: Iterator[int], count: int, device: torch.device, folder: Path, say: Callable[[str], None]
) -> Iterator[int]:
    """Yield what ``steps`` yields, profile ``count`` of them after a warm-up, and say then where their time went.

    Args:
        steps: does a step for each that it yields.
        count: how many to profile, at least 1; less are, where there are no more.
        device: that they compute on.
        folder: gets the trace (for chrome://tracing or ui.perfetto.dev) and what was said.
        say: takes a table.
    """
    for done, step in enumerate(steps, start=1):
        yield step
        if done == WARM_UP:
            break
    clock = _Clock(device)
    with contextlib.closing(_measured(steps, clock, count)) as measured:
        yield from measured
    if not clock.steps:
        say(f"nothing was profiled: a run's first {WARM_UP} steps warm up, and there were no more")
        return
    folder.mkdir(parents=True, exist_ok=True)
    clock.profile.export_chrome_trace(str(folder / TRACE))
    table = clock.table()
    (folder / TABLE).write_text(table + "\n")
    say(f"{table}\n\nthe trace is {folder.name}/{TRACE} among the run's files; ui.perfetto.dev opens it")
    yield from steps


def _measured(steps: Iterator[int], clock: "_Clock", count: int) -> Generator[int, None, None]:
    """Take steps with the clock on; what is done between them is not of them."""
    global _now
    with clock.profile:
        for _ in range(count):
            _now = clock
            try:
                with clock.step():
                    step = next(steps, None)
            finally:
                _now = None
            if step is None:
                clock.steps.pop()
                return
            yield step


class _Clock:
    """Seconds of steps and of their parts, and torch's profile of them.

    Attributes:
        thread: whose parts count: batches may be read ahead by others.
        steps: seconds of each.
    """

    def __init__(self, device: torch.device) -> None:
        from torch.profiler import ProfilerActivity, profile

        self.device, self.thread = device, threading.get_ident()
        self.steps: list[float] = []
        self.parts: dict[str, float] = {}
        gpu = [ProfilerActivity.CUDA] if device.type == "cuda" else []
        self.profile = profile(activities=[ProfilerActivity.CPU, *gpu])

    @contextlib.contextmanager
    def step(self) -> Iterator[None]:
        started = time.perf_counter()
        with torch.profiler.record_function("step"):
            yield
            self._wait()
        self.steps.append(time.perf_counter() - started)

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        with torch.profiler.record_function(name):
            yield
            self._wait()
        self.parts[name] = self.parts.get(name, 0.0) + time.perf_counter() - started

    def table(self) -> str:
        """Return the parts, and the operations that took most, in milliseconds of a step and percent of it."""
        total, count = sum(self.steps), len(self.steps)
        rows = [(name, self.parts[name]) for name in PARTS if name in self.parts]
        rows += [("rest", total - sum(seconds for _, seconds in rows)), ("step", total)]
        lines = [f"where the time of {count} steps went:", f"{'':<12}{'ms':>10}{'%':>7}"]
        lines += [f"{name:<12}{1e3 * each / count:>10.3f}{100 * each / total:>7.1f}" for name, each in rows]
        seconds, calls = self._operations()
        kind = "kernels" if self.device.type == "cuda" else "operations"
        lines += ["", f"{f'the {COSTLIEST} costliest {kind}:':<52}{'ms':>10}{'%':>7}{'calls':>8}"]
        costliest = sorted(seconds.items(), key=lambda each: -each[1])[:COSTLIEST]
        for name, each in costliest:
            shown = name if len(name) <= 50 else f"{name[:47]}..."
            lines.append(f"{shown:<52}{1e3 * each / count:>10.3f}{100 * each / total:>7.1f}{calls[name] / count:>8.0f}")
        return "\n".join(lines)

    def _operations(self) -> tuple[dict[str, float], Counter[str]]:
        """Return each operation's own seconds, and how often it was done: of a GPU its kernels', within steps alone."""
        events: list[Any] = list(self.profile.events() or ())  # type: ignore[no-untyped-call]
        spans = [event.time_range for event in events if event.name == "step" and _on_cpu(event)]
        seconds: dict[str, float] = {}
        calls: Counter[str] = Counter()
        for event in events:
            wanted = _on_cpu(event) == (self.device.type == "cpu") and event.name not in ("step", *PARTS)
            if wanted and any(span.start <= event.time_range.start <= span.end for span in spans):
                own = event.self_cpu_time_total if _on_cpu(event) else event.time_range.elapsed_us()
                seconds[event.name] = seconds.get(event.name, 0.0) + own / 1e6
                calls[event.name] += 1
        return seconds, calls

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def _on_cpu(event: Any) -> bool:
    return str(event.device_type) == "DeviceType.CPU"
