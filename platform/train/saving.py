"""When a run's state is saved, and how that costs next to nothing: copied between two steps, written beside the next.

What is saved is a copy, in memory of its own, so the steps that follow don't reach it. A thread writes it; one at a
time. The next one is due when a share :data:`MOST_COST` of the time since the last one pays for what that one took: the
seconds that training waited, and those of a core that the thread used. Where others use the cores, too, the time that
training waited for one does not count; that it waits for a GPU, or for what is read, does. So checkpoints take at most
2 % of the time, those of the first epoch and of the end apart, which are always written. On a disk without room a run
goes on, with the checkpoint before.
"""

import contextlib
import functools
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unlabeled.platform.train import checkpoint
from unlabeled.platform.train.checkpoint import State

CHECKPOINT_SECONDS = 60.0  # the most work that a killed run loses, where epochs are longer and checkpoints are cheap
MOST_COST = 0.015  # of the time: what isn't counted, such as a cache that the thread fills, stays below 2 % with it

_Place = tuple[Any, ...]  # the keys that lead to a tensor in a state


class Saver:
    """Saves the states of one run.

    Attributes:
        cost_seconds: what all checkpoints have taken until now.
    """

    def __init__(self, folder: Path, trouble: Callable[[str], None]) -> None:
        """Save in ``folder``; ``trouble`` is told, in the thread that trains, why a checkpoint was not written."""
        self.folder, self.trouble = folder, trouble
        self.cost_seconds = 0.0
        self._copy = Copy()
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None
        self._last_cost = 0.0
        self._saved_at = time.monotonic(), waited_for_core()

    def is_due(self, least_seconds: float | None = None) -> bool:
        """Tell whether it is time to save: the last one is written and paid for, and lies ``least_seconds`` back.

        Args:
            least_seconds: :data:`CHECKPOINT_SECONDS` where it is None; 0 where it would be a good moment.
        """
        if self._thread is not None and self._thread.is_alive():
            return False
        self._end()
        least = CHECKPOINT_SECONDS if least_seconds is None else least_seconds
        saved_at, waited_then = self._saved_at
        passed, needed = time.monotonic() - saved_at, self._last_cost / MOST_COST
        return passed >= max(least, needed) and passed - (waited_for_core() - waited_then) >= needed

    def save(self, step: int, state: State) -> None:
        """Copy a state, and begin to write it; waits for the one before if that is still being written."""
        self._end()
        started = time.perf_counter()
        copied, landed = self._copy(state)
        self._add(time.perf_counter() - started, afresh=True)
        self._saved_at = time.monotonic(), waited_for_core()
        self._thread = threading.Thread(target=self._write, args=(step, copied, landed), name="checkpoint")
        self._thread.start()

    def close(self) -> None:
        """Wait until all that was to be saved is saved."""
        self._end()

    def __enter__(self) -> "Saver":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Close it; no error of its own takes the place of one that is on its way."""
        with contextlib.nullcontext() if kind is None else contextlib.suppress(Exception):
            self.close()

    def _write(self, step: int, state: State, landed: Callable[[], float]) -> None:
        started = time.thread_time()
        try:
            self._add(landed())
            checkpoint.save(self.folder, step, state)
        except Exception as error:
            self._error = error
        self._add(time.thread_time() - started)

    def _add(self, seconds: float, *, afresh: bool = False) -> None:
        self._last_cost = seconds + (0.0 if afresh else self._last_cost)
        self.cost_seconds += seconds

    def _end(self) -> None:
        """Wait for the thread, and say what it met with."""
        if self._thread is None:
            return
        self._thread.join()
        self._thread = None
        error, self._error = self._error, None
        if isinstance(error, OSError | MemoryError):
            self.trouble(str(error) or type(error).__name__)
        elif error is not None:
            raise error


def waited_for_core() -> float:
    """Return for how many seconds this thread could have run and others did; 0 where the system doesn't say."""
    try:
        return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0


class Copy:
    """Copies states to memory that it keeps for the next one: of a GPU's tensors pinned, so that nothing waits.

    The GPU copies in its own order, after the steps that were asked of it before and before those that come: what
    arrives is the state between them.
    """

    def __init__(self) -> None:
        self._kept: dict[_Place, Tensor] = {}
        self._used: dict[_Place, Tensor] = {}
        self._shared: dict[tuple[Any, ...], Tensor] = {}

    def __call__(self, state: State) -> tuple[State, Callable[[], float]]:
        """Return the copy, which the next call overwrites, and what waits for it and says how long a GPU took."""
        self._used, self._shared = {}, {}
        if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
            copied: State = self._of(state, ())
            landed = _at_once
        else:
            begun, done = _event(), _event()
            begun.record()
            copied = self._of(state, ())
            done.record()
            landed = functools.partial(_seconds_until, begun, done)
        self._kept, self._shared = self._used, {}  # what is no part of a state any more goes
        return copied, landed

    def _of(self, value: Any, place: _Place) -> Any:
        if isinstance(value, Tensor):
            return self._of_tensor(value.detach(), place)
        if isinstance(value, dict):
            return {name: self._of(inner, (*place, name)) for name, inner in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(self._of(inner, (*place, number)) for number, inner in enumerate(value))
        return value

    def _of_tensor(self, x: Tensor, place: _Place) -> Tensor:
        same = (x.device, x.data_ptr(), x.dtype, x.shape, x.stride())
        if x.numel() and same in self._shared:
            return self._shared[same]  # a tensor of two names is written once
        copy = self._kept.get(place)
        if copy is None or (copy.dtype, copy.shape, copy.stride()) != (x.dtype, x.shape, x.stride()):
            copy = torch.empty_like(x, device="cpu", pin_memory=x.is_cuda)
        copy.copy_(x, non_blocking=True)
        self._used[place] = self._shared[same] = copy
        return copy


def _at_once() -> float:
    return 0.0


def _event() -> torch.cuda.Event:
    event: torch.cuda.Event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    return event


def _seconds_until(begun: torch.cuda.Event, done: torch.cuda.Event) -> float:
    done.synchronize()
    return float(begun.elapsed_time(done)) / 1e3
