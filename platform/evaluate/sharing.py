"""Chunks of items that workers share: each makes every so-many-th, and the first gets what all made, in order.

Chunks are cut without regard to the workers, so what is made of each is what one worker alone makes of it: on a CPU
bitwise.
"""

import contextlib
import pickle
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from unlabeled.platform import collective
from unlabeled.platform.collective.waiting import Meeting, WorkerError, together

BYTES = 2**26  # of what all workers made that is sent at a time

Made = TypeVar("Made")


class Shares:
    """Who makes what, turn by turn.

    Attributes:
        is_first: whether what is made comes here.
        own: int64 [b], the items of each chunk that this worker makes, one a turn. It makes the last one again where
            there are not enough: all have as many turns.
    """

    def __init__(self, parts: Sequence[Tensor], meeting: Meeting) -> None:
        self._parts, self._meeting, self._workers = parts, meeting, meeting.workers
        self.is_first = meeting.rank == 0
        turns = -(-len(parts) // self._workers)
        places = range(meeting.rank, turns * self._workers, self._workers)
        self.own = [parts[min(place, len(parts) - 1)] for place in places]

    def agreed(self, work: Callable[..., Made], *args: Any) -> Made:
        """Do something that all workers do, and return what came of it if none of them failed.

        Raises:
            Exception: what the first that failed met with, to all of them.
        """
        if self._workers == 1:
            return work(*args)
        made: list[Made] = []
        own: Exception | None = None
        try:
            made.append(work(*args))
        except Exception as error:  # it is raised below, where all raise the same
            own = error
        said = self._meeting(None if own is None else _portable(own))
        for rank, theirs in enumerate(said):
            if theirs is not None:
                raise own if own is not None and rank == self._meeting.rank else theirs
        return made[0]

    def every(self, turn: int, made: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Yield to the first worker what all made in a turn: where it begins among all items, and some of it.

        To the others it yields nothing, but all have to go through it.

        Args:
            turn: 0 is the first.
            made: what this worker made of its chunk, [b, ...].

        Raises:
            WorkerError: another worker died meanwhile.
        """
        first = turn * self._workers
        begin, parts = first * len(self._parts[0]), self._parts[first : first + self._workers]
        if self._workers == 1:
            yield begin, made
            return
        room = len(parts[0])  # only the last chunk of all is smaller, and all have to send as much
        padded = torch.cat([made, made.new_zeros(room - len(made), *made.shape[1:])])
        rows = max(1, BYTES // max(1, self._workers * made[:1].nbytes))
        for start in range(0, room, rows):
            try:
                sent = collective.gather(padded[start : start + rows]).chunk(self._workers)
            except RuntimeError as error:  # it is no fault of what is measured
                raise WorkerError(f"what another worker made did not come: {error}") from error
            if self.is_first:
                for place, (part, some) in enumerate(zip(parts, sent, strict=False)):
                    yield begin + place * room + start, some[: max(0, len(part) - start)]


@contextlib.contextmanager
def sharing(parts: Sequence[Tensor], *, alone: bool = False) -> Iterator[Shares]:
    """Share chunks over the workers, all of which have to call it; or make them ``alone``.

    Args:
        parts: int64 [b], the items of each chunk; all but the last are equally many.
        alone: whether this worker makes all.
    """
    with contextlib.nullcontext(Meeting()) if alone else together() as meeting:
        yield Shares(parts, meeting)


def _portable(error: Exception) -> Exception:
    """Return an error that can be told to other workers: itself, or what it says."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
