"""Small tensors between workers on one machine, through memory that they share.

gloo wakes three threads of each worker for every message: half a millisecond of both cores for a few hundred numbers, a
dozen times a step. Here each worker writes its numbers where the others can see them, counts, and looks until the
others have counted too: a twentieth of that.

Exact: what arrives is what was sent. A worker that dies is noticed. Only for processors that let others see writes in
the order in which they were made, which is x86; and only for memory that all workers of a group can open, which is one
machine. :meth:`Exchange.open` finds out.
"""

import contextlib
import fcntl
import mmap
import os
import platform
import tempfile
import time
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

_SHARED = Path("/dev/shm")
_BYTES = 2**24  # of memory for one group; containers often have no more than 64 MB of it
_LINE = 8  # integers of a cache line: one worker's count isn't in another's way
_LOOKS = 1000  # before it sleeps between two of them; about a millisecond
_SLEEP_SECONDS = 1e-4
_CHECK_SECONDS = 1.0


class Exchange:
    """One worker's end of the shared memory.

    Attributes:
        max_bytes: of the largest tensor that fits.
    """

    def __init__(self, path: str, rank: int, workers: int) -> None:
        """Open the file at ``path``; OSError where it isn't, which is on another machine."""
        self._rank, self._turn = rank, 0
        self._file = os.open(path, os.O_RDWR)
        fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, rank)  # held for life: how the others see it
        memory = mmap.mmap(self._file, 0)
        head = mmap.PAGESIZE * -(-8 * _LINE * workers // mmap.PAGESIZE)
        self._counts = memoryview(memory)[:head].cast("q")
        self._others = [other for other in range(workers) if other != rank]
        self.max_bytes = (_BYTES - head) // (2 * workers) // mmap.PAGESIZE * mmap.PAGESIZE
        slots = torch.frombuffer(memory, dtype=torch.uint8, offset=head)
        self._slots = slots[: 2 * workers * self.max_bytes].view(2, workers, self.max_bytes)

    @classmethod
    def open(cls) -> "Exchange | None":
        """Open one for all workers of torch.distributed's group; None, for all, where one of them can't.

        All have to call it together.
        """
        rank, workers = dist.get_rank(), dist.get_world_size()
        made = _make() if rank == 0 else None
        offered: list[str | None] = [made]
        dist.broadcast_object_list(offered)
        exchange = None
        if offered[0] is not None and platform.machine() in ("x86_64", "AMD64"):
            with contextlib.suppress(OSError):
                exchange = cls(offered[0], rank, workers)
        agreed = torch.tensor(int(exchange is not None))
        dist.all_reduce(agreed, dist.ReduceOp.MIN)
        if made is not None:
            os.unlink(made)  # it lives as long as somebody has it open, and leaves nothing behind
        return exchange if agreed else None

    def gather(self, x: Tensor) -> Tensor:
        """Return every worker's ``x``, [W, *x.shape], in the order of their ranks: a view, until the next call.

        ``x`` is on the CPU, of one shape and type on all workers, and of at most ``max_bytes``.
        """
        mine = x.detach().contiguous().view(-1).view(torch.uint8)
        self._turn += 1
        # Two sets of slots: who is a turn ahead writes where nobody reads any more.
        slots = self._slots[self._turn % 2, :, : len(mine)]
        slots[self._rank].copy_(mine)
        self._counts[self._rank * _LINE] = self._turn
        for other in self._others:
            self._wait(other)
        return slots.view(x.dtype).view(-1, *x.shape)

    def _wait(self, other: int) -> None:
        place = other * _LINE
        for _ in range(_LOOKS):
            if self._counts[place] >= self._turn:
                return
            os.sched_yield()
        checked = time.monotonic()
        while self._counts[place] < self._turn:
            time.sleep(_SLEEP_SECONDS)
            if time.monotonic() - checked > _CHECK_SECONDS:
                self._check_alive(other)
                checked = time.monotonic()

    def _check_alive(self, other: int) -> None:
        """Raise RuntimeError if a worker's lock is free: it died, or ended without a word."""
        with contextlib.suppress(OSError):
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, other)
            raise RuntimeError(f"worker {other} is gone")


def _make() -> str | None:
    """Make the file, its memory taken: a write to memory that there isn't would kill the process."""
    try:
        file, path = tempfile.mkstemp(prefix="unlabeled-", dir=_SHARED)
    except OSError:
        return None
    try:
        os.posix_fallocate(file, 0, _BYTES)
    except OSError:
        os.unlink(path)
        return None
    finally:
        os.close(file)
    return path
