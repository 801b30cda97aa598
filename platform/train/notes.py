"""What could not be drawn or measured of a run that goes on: a note on it, never its end."""

import contextlib
import errno
import math
from collections.abc import Iterable, Iterator, Mapping

import torch

from unlabeled.platform.collective.waiting import WorkerError
from unlabeled.platform.errors import UserError
from unlabeled.platform.processor import breaks_process

_MAX_REASON = 300  # characters of a reason; a library's message may go on for pages
_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)


class Notes:
    """The notes on one run, in order; the first reason for each drawing or measurement, however often it fails.

    >>> notes = Notes()
    >>> with notes.guard("t-SNE was not drawn"):
    ...     raise ValueError("one picture has no neighbours")
    >>> print(*notes)
    t-SNE was not drawn: one picture has no neighbours
    """

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts.values())

    def __len__(self) -> int:
        return len(self._texts)

    def extend(self, texts: Iterable[str]) -> None:
        """Take notes from before an interruption."""
        self._texts |= {text.partition(": ")[0]: text for text in texts}

    def add(self, what: str, reason: str) -> None:
        """Note that something is missing, and why."""
        words = " ".join(reason.split()) or "no reason given"
        text = f"{what}: {words if len(words) <= _MAX_REASON else words[:_MAX_REASON] + ' ...'}"
        self._texts.setdefault(what, text.encode(errors="replace").decode())

    @contextlib.contextmanager
    def guard(self, what: str, *, refuses: bool = False) -> Iterator[None]:
        """Turn an error into a note that starts with ``what`` ("t-SNE was not drawn").

        What is the machine's fault passes through (no memory, no room on disk, a GPU or another worker that failed):
        the next try may end otherwise. So does a user's mistake where the guard ``refuses`` it, that is, before
        anything is trained.
        """
        try:
            yield
        except Exception as error:
            if of_the_machine(error) or (refuses and isinstance(error, UserError)):
                raise
            kind = "" if isinstance(error, UserError | ValueError | ArithmeticError) else f"{type(error).__name__}: "
            self.add(what, f"{kind}{error}" if str(error) else type(error).__name__)

    def measured(self, found: Mapping[str, float], when: str = "") -> dict[str, float]:
        """Return the metrics that have a value; one that is NaN or infinite is noted instead, for it measures nothing.

        Args:
            found: metric -> value.
            when: put behind the metric's name in a note: " in epoch 3".
        """
        for name, value in found.items():
            if not math.isfinite(value):
                self.add(f"{name} was not measured{when}", f"its value is {value}")
        return {name: value for name, value in found.items() if math.isfinite(value)}


def of_the_machine(error: Exception) -> bool:
    """Tell whether an error says something of the machine rather than of the run: the same run may do well elsewhere.

    >>> of_the_machine(MemoryError()), of_the_machine(ValueError("NaN"))
    (True, False)
    """
    if isinstance(error, OSError):
        return error.errno in _OF_THE_DISK
    if isinstance(error, MemoryError | torch.OutOfMemoryError | WorkerError) or breaks_process(error):
        return True
    return isinstance(error, RuntimeError) and "allocate memory" in str(error)  # torch's on a CPU
