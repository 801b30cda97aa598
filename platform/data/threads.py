"""Reading on threads: several items at once, and what is needed next while what was read is worked on.

What is read does not depend on when, or on which thread: so nobody can tell from the numbers whether there are any.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import TypeVar

import torch

AHEAD = 2  # read early: one lies ready while the next is read, however many threads share the work on each

Given = TypeVar("Given")
Made = TypeVar("Made")

_threads: ContextVar[int | None] = ContextVar("threads", default=None)
_asked: ContextVar[int | None] = ContextVar("asked", default=None)


@contextmanager
def on_this_thread(variable: ContextVar[Given], value: Given) -> Iterator[None]:
    """Let a variable have a value meanwhile, on this thread and no other."""
    before = variable.set(value)
    try:
        yield
    finally:
        variable.reset(before)


def reading_with(threads: int) -> AbstractContextManager[None]:
    """Let what is read on this thread be read with so many threads: with 1 where several batches are read at once."""
    return on_this_thread(_threads, threads)


def compute_alone() -> None:
    """Let what this thread, one of several that read, asks of torch be done by itself alone.

    Else each would have as many helpers as torch has threads, all on the same cores, and wait for them: reading then
    takes twice the processor's time. Threads that ask torch for the first time later start with one, too.
    """
    torch.set_num_threads(1)


def in_threads(work: Callable[[Given], Made], given: Sequence[Given]) -> Iterator[Made]:
    """Yield what is made of each, in order, on as many threads as torch may use, or as :func:`reading_with` says.

    Threads are made for each batch: a pool that is kept can't be pickled and dies silently in a forked process.
    """
    threads = min(len(given), _threads.get() or torch.get_num_threads())
    if threads <= 1:
        yield from map(work, given)
        return
    with ThreadPoolExecutor(threads, initializer=compute_alone) as pool:
        yield from pool.map(work, given)


def loader_threads(count: int | None) -> AbstractContextManager[None]:
    """Let so many threads read ahead what a run on this thread needs; None leaves it to :func:`threads_for`."""
    return on_this_thread(_asked, count)


def threads_for(device: torch.device, *, in_memory: bool) -> int:
    """Return how many threads read ahead: what is asked for, or as many as do good. 0 is none.

    Beside a GPU those are as many as torch has but one, which feeds it. On a CPU it is one where torch has one. Where
    torch has several, they would wait for the one whose core a reader took: reading in between, on all of them, is as
    fast or faster. Nor does it pay where what is read lies ``in_memory`` and costs only a copy.
    """
    asked = _asked.get()
    if asked is not None:
        return asked
    if device.type == "cuda":
        return max(1, torch.get_num_threads() - 1)
    return 1 if torch.get_num_threads() == 1 and not in_memory else 0


def read_ahead(
    read: Callable[[Given], Made], given: Iterable[Given], threads: int, *, elsewhere: int = 0
) -> Generator[Made]:
    """Yield what is read of each, in order, while up to two more are being read or lie ready.

    So it holds three times what one read gives, the one that is worked on included, and one more for each read
    elsewhere. Its threads end with it: when all is read, or it is closed, which :func:`contextlib.closing` sees to.

    Args:
        read: called on several threads at the same time, each time with as many threads of its own as
            :func:`reading_with` leaves it.
        given: what to read, in the order of need; it is taken from as far as is read ahead.
        threads: how many work on it altogether; with 0 each is read when it is asked for, by who asks.
        elsewhere: how many more calls of ``read`` may go at the same time, because they wait for other machines.

    Raises:
        Exception: what ``read`` raised, where it would have been if nothing were read ahead.
    """
    if threads + elsewhere == 0:
        yield from map(read, given)
        return
    at_once = min(threads, AHEAD)
    each = -(-threads // max(1, at_once))

    def read_one(one: Given) -> Made:
        with reading_with(each):
            return read(one)

    pool = ThreadPoolExecutor(at_once + elsewhere, "reader", initializer=compute_alone)
    waiting: deque[Future[Made]] = deque()
    try:
        for one in given:
            waiting.append(pool.submit(read_one, one))
            if len(waiting) > AHEAD + elsewhere:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
