"""What the first worker does alone, such as measuring, takes as long as it takes; the others wait as long as it lives.

A collective has a timeout, half an hour or less, that ends all workers when one comes later. So they don't wait in one,
but look at the group's store, which the first worker tells every few seconds that it lives, and at last that it is
through, or why it is not.
"""

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch.distributed as dist
from torch.distributed.distributed_c10d import Store

from unlabeled.platform import collective
from unlabeled.platform.errors import UserError

BEAT_SECONDS = 5.0
PATIENCE_SECONDS = 900.0  # without a sign of life; a library that computes may hold Python's lock for some minutes
_LOOK_SECONDS = 0.5  # between two looks, at most

Value = TypeVar("Value")
_turns = itertools.count()  # the same on all workers, which all come to each turn


class FirstWorkerError(RuntimeError):
    """The first worker is gone, or failed at what the others waited for."""


def by_first(work: Callable[[], Value]) -> Value | None:
    """Let the first worker do something, which calls no collective, while the others wait; all have to call it.

    Returns:
        What it returned, to the first worker; None to the others.

    Raises:
        UserError: the first worker raised it; so do the others.
        FirstWorkerError: to the others: it raised something else, or it died.
    """
    if collective.world_size() == 1:
        return work()
    store = dist.distributed_c10d.PrefixStore(
        f"by the first {next(_turns)}", dist.distributed_c10d._get_default_store()
    )
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


def _wait(store: Store) -> None:
    began = seen = time.monotonic()
    last = b""
    try:
        while not store.check(["done"]):
            beat = store.get("beat") if store.check(["beat"]) else b""
            now = time.monotonic()
            if beat != last:
                last, seen = beat, now
            elif now - seen > PATIENCE_SECONDS:
                raise FirstWorkerError(f"worker 0 gave no sign of life for {PATIENCE_SECONDS:g} s")
            time.sleep(min(_LOOK_SECONDS, 0.001 + (now - began) / 10))
        said = store.get("done").decode()
    except (dist.DistError, OSError) as error:
        raise FirstWorkerError(f"worker 0 is gone: {error}") from None
    kind, _, reason = said.partition(": ")
    if kind == "user":
        raise UserError(reason)
    if said:
        raise FirstWorkerError(f"worker 0 failed: {said}")


@contextlib.contextmanager
def _beating(store: Store) -> Iterator[None]:
    over = threading.Event()

    def beat() -> None:
        with contextlib.suppress(dist.DistError, OSError):  # the store is this worker's own, or it is about to end
            for number in itertools.count():
                store.set("beat", str(number))
                if over.wait(BEAT_SECONDS):
                    return

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
