"""Reading the batches of a run ahead: on threads, on other machines' cores, into memory that a GPU takes from."""

import contextlib
import threading
from collections.abc import Callable, Generator
from contextvars import ContextVar
from typing import Protocol

from torch import Tensor

from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data
from unlabeled.platform.data.threads import AHEAD, on_this_thread, read_ahead, threads_for
from unlabeled.platform.processor import Processor
from unlabeled.platform.train.batches import Batches
from unlabeled.platform.train.stored import Stored


class Elsewhere(Protocol):
    """Other machines that read a run's batches. They are handed in: a training loop knows none.

    Attributes:
        places: how many batches they may read at the same time.
    """

    places: int

    def __call__(self, step: int) -> Stored | None:
        """Return what :meth:`Batches.read` gives of a step, to the last bit; None where it has to be read here.

        It is called on several threads at the same time.
        """

    def close(self) -> None:
        """Let them go: this was all."""


Loaders = Callable[[RunConfig, Data, Tensor], Elsewhere]
"""Gives who else reads these rows, int64 [B], of a run's global batches."""

_loaders: ContextVar[Loaders | None] = ContextVar("loaders", default=None)


def reading_elsewhere(loaders: Loaders | None) -> contextlib.AbstractContextManager[None]:
    """Let runs on this thread be read for by others, too."""
    return on_this_thread(_loaders, loaders)


def others_for(run: RunConfig, data: Data, rows: Tensor) -> Elsewhere | None:
    """Return who else reads these rows of a run's global batches, as :func:`reading_elsewhere` says."""
    loaders = _loaders.get()
    return loaders and loaders(run, data, rows)


def read_steps(
    batches: Batches, steps: range, processor: Processor, elsewhere: Elsewhere | None = None
) -> Generator[Stored]:
    """Yield what is read for each step, in order, ahead where that is worth it.

    Args:
        batches: what reads them here.
        steps: which.
        processor: what they are computed on.
        elsewhere: who else reads.
    """
    threads = threads_for(processor.device, in_memory=batches.is_in_memory)
    here = threading.BoundedSemaphore(max(1, min(threads, AHEAD)))

    def read(step: int) -> Stored:
        found = elsewhere(step) if elsewhere else None
        if found is None:
            with here:
                found = batches.read(step)
        return found.each(processor.pinned)

    places = elsewhere.places if elsewhere else 0
    try:
        with contextlib.closing(read_ahead(read, steps, threads, elsewhere=places)) as found:
            yield from found
    finally:
        if elsewhere:
            elsewhere.close()
