"""Workers that wait for each other as long as the others live: for what the first does alone, and for parts of a work.

A collective has a timeout, half an hour or less, that ends all workers when one comes later. So they don't wait in one,
but look at the group's store, where each tells every few seconds that it lives, and at last that it is through, or why
it is not.
"""

import contextlib
import itertools
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch.distributed as dist
from torch.distributed.distributed_c10d import Store

from unlabeled.platform import collective
from unlabeled.platform.errors import UserError

BEAT_SECONDS = 5.0
PATIENCE_SECONDS = 900.0  # without a sign of life; a library that computes may hold Python's lock for some minutes
_LOOK_SECONDS = 0.5  # between two looks, at most

Value = TypeVar("Value")
_turns = itertools.count()  # the same on all workers, which all come to each turn


class WorkerError(RuntimeError):
    """Another worker is gone, or failed at what this one waited for."""


class Meeting:
    """Where all workers hear what each says; alone, one hears itself.

    Attributes:
        workers: how many come.
        rank: which one this is.
    """

    def __init__(self, store: Store | None = None) -> None:
        """Meet at a store; without one there is nobody else."""
        self._store, self._times = store, 0
        self.workers = 1 if store is None else collective.world_size()
        self.rank = 0 if store is None else collective.rank()

    def __call__(self, said: Value) -> list[Value]:
        """Say something, and return what every worker said, in the order of their ranks; all have to call it.

        The first hears the others and tells them, so each waits for one that it hears from.

        Raises:
            WorkerError: a worker left, failed, or died.
        """
        if self._store is None:
            return [said]
        self._times += 1
        every: list[Value]
        if self.rank == 0:
            every = [said, *(self._hear(other) for other in range(1, self.workers))]
            self._say(every)
        else:
            self._say(said)
            every = self._hear(0)
        return every

    def leave(self, reason: str) -> None:
        """Tell those who wait for this worker that it won't come."""
        assert self._store is not None
        with contextlib.suppress(Exception):  # the others find out by themselves
            self._store.set(f"left by {self.rank}", reason)

    def _say(self, value: object) -> None:
        assert self._store is not None
        words = pickle.dumps((self._times, value))
        self._store.set(f"said by {self.rank}", words)  # type: ignore[arg-type]  # bytes do, too

    def _hear(self, other: int) -> Any:
        store, key, left = self._store, f"said by {other}", f"left by {other}"
        assert store is not None

        def said() -> tuple[Any] | None:
            has_left = store.check([left])  # first: what it said before it left is there then
            times, value = pickle.loads(store.get(key)) if store.check([key]) else (0, None)
            if times < self._times and has_left:
                raise WorkerError(f"worker {other} failed: {store.get(left).decode()}")
            return (value,) if times == self._times else None

        return _awaited(store, other, said)[0]


@contextlib.contextmanager
def together() -> Iterator[Meeting]:
    """Let all workers do parts of something, and meet as often as they want; all have to call it.

    Raises:
        WorkerError: to the others, at their next meeting: one left by an error, or it died.
    """
    if collective.world_size() == 1:
        yield Meeting()
        return
    store = _place()
    meeting = Meeting(store)
    with _beating(store):
        try:
            yield meeting
        except BaseException as error:
            meeting.leave(f"{type(error).__name__}: {error}")
            raise


def by_first(work: Callable[[], Value]) -> Value | None:
    """Let the first worker do something, which calls no collective, while the others wait; all have to call it.

    Returns:
        What it returned, to the first worker; None to the others.

    Raises:
        UserError: the first worker raised it; so do the others.
        WorkerError: to the others: it raised something else, or it died.
    """
    if collective.world_size() == 1:
        return work()
    store = _place()
    if collective.rank() != 0:
        _wait(store)
        return None
    with _beating(store):
        try:
            found = work()
        except BaseException as error:
            kind = "user" if isinstance(error, UserError) else type(error).__name__
            with contextlib.suppress(Exception):  # the others find out by themselves
                store.set("done", f"{kind}: {error}")
            raise
    store.set("done", "")
    return found


def _place() -> Store:
    """Return a part of the group's store that nobody has used."""
    return dist.distributed_c10d.PrefixStore(f"waiting {next(_turns)}", dist.distributed_c10d._get_default_store())


def _wait(store: Store) -> None:
    said = _awaited(store, 0, lambda: store.get("done").decode() if store.check(["done"]) else None)
    kind, _, reason = said.partition(": ")
    if kind == "user":
        raise UserError(reason)
    if said:
        raise WorkerError(f"worker 0 failed: {said}")


def _awaited(store: Store, other: int, heard: Callable[[], Value | None]) -> Value:
    """Return what is heard of a worker as soon as it is, for as long as the worker lives."""
    began = seen = time.monotonic()
    last, key = b"", f"beat of {other}"
    try:
        while (found := heard()) is None:
            beat = store.get(key) if store.check([key]) else b""
            now = time.monotonic()
            if beat != last:
                last, seen = beat, now
            elif now - seen > PATIENCE_SECONDS:
                raise WorkerError(f"worker {other} gave no sign of life for {PATIENCE_SECONDS:g} s")
            time.sleep(min(_LOOK_SECONDS, 0.001 + (now - began) / 10))
    except (dist.DistError, OSError) as error:
        raise WorkerError(f"worker {other} is gone: {error}") from None
    return found


@contextlib.contextmanager
def _beating(store: Store) -> Iterator[None]:
    over, key = threading.Event(), f"beat of {collective.rank()}"

    def beat() -> None:
        with contextlib.suppress(dist.DistError, OSError):  # the store's worker is about to end
            for number in itertools.count():
                store.set(key, str(number))
                if over.wait(BEAT_SECONDS):
                    return

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
