"""Which part of a clip or a sound a view shows, and how the views of a plan lie to each other in time.

Time is counted in seconds, so that a sound can go with a film: frame or sample n begins at n / rate. A window of some
frames lasts until the next that would be taken: length * stride / rate.

Windows that go by each other are drawn so that all of them fit: a view's first frame is drawn from those that leave
room for whatever goes by it, and each of these is equally likely.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from unlabeled.platform.draws import Draws
from unlabeled.platform.settings import Settings

_ROUNDING = 1e-6  # of a frame or a sample: 0.1 s at 10 a second is one, not a bit more than one


class Moment(Settings):
    """Which part of a clip or a sound a view shows.

    Attributes:
        length: frames or samples that are shown.
        stride: take each so many; 1 takes all.
        like: number of an earlier view of the plan, counted from 0, whose time this view goes by; None draws a time of
            its own, each equally likely.
        apart: seconds that lie at least between this view's window and that one's, before or after it. 0 is the same
            moment: the middles of both windows are the same second, as nearly as frames and samples allow.
    """

    length: int = Field(ge=1)
    stride: int = Field(default=1, ge=1)
    like: int | None = Field(default=None, ge=0)
    apart: float = Field(default=0.0, ge=0.0)

    @model_validator(mode="after")
    def _apart_from_something(self) -> Self:
        if self.apart and self.like is None:
            raise ValueError(f"apart={self.apart:g} is a distance to another view; say to which by like")
        return self

    @property
    def extent(self) -> int:
        """From its first frame to its last, both counted."""
        return (self.length - 1) * self.stride + 1

    def frames(self, start_B: Tensor) -> Tensor:
        """Return the numbers of the frames or samples of windows that begin at ``start_B``: int64 [B, length]."""
        return start_B[:, None] + torch.arange(self.length, device=start_B.device) * self.stride

    def cut(self, values: Tensor, start_B: Tensor, *, dim: int = 1) -> Tensor:
        """Take the window out of each row of ``values``, along the dimension of time."""
        frames = self.frames(start_B.to(values.device))
        frames = frames.view(len(frames), *[1] * (dim - 1), self.length, *[1] * (values.ndim - dim - 1))
        return values.gather(dim, frames.expand(*values.shape[:dim], self.length, *values.shape[dim + 1 :]))

    @property
    def summary(self) -> str:
        """In words.

        >>> Moment(length=8, stride=2, like=0).summary
        '8, each 2., by view 1'
        """
        words = f"{self.length}" if self.stride == 1 else f"{self.length}, each {self.stride}."
        if self.like is None:
            return words
        apart = f", {self.apart:g} s apart or more" if self.apart else ""
        return f"{words}, by view {self.like + 1}{apart}"


class Track(NamedTuple):
    """What a view is cut from: ``length`` frames or samples, ``rate`` a second."""

    length: int
    rate: float


class Timetable:
    """Where the windows of a plan's views may begin, and how they are drawn.

    Attributes:
        starts: for each view the frames or samples that its window may begin at, int64 [n], rising; none where the
            views do not fit into these tracks together. Of a view without a moment [0].
    """

    def __init__(self, moments: Sequence[Moment | None], tracks: Sequence[Track]) -> None:
        """Lay the views' windows out; ``like`` has to name an earlier view that has a moment."""
        self._moments, self._tracks = moments, tracks
        allowed = [
            torch.ones(1 if moment is None else max(0, track.length - moment.extent + 1), dtype=torch.bool)
            for moment, track in zip(moments, tracks, strict=True)
        ]
        for place in reversed(range(len(moments))):  # who goes by a view comes after it, and is settled before it
            moment = moments[place]
            if moment is not None and moment.like is not None:
                leader = torch.arange(len(allowed[moment.like]))
                if moment.apart:
                    choices = _counts(allowed[place].nonzero()[:, 0], *self._apart(place, leader))
                    allowed[moment.like] &= torch.stack(choices).sum(dim=0) > 0
                else:
                    allowed[moment.like] &= _there(allowed[place], self._same(place, leader))
        self.starts = tuple(each.nonzero()[:, 0] for each in allowed)

    def draw(self, draws: Draws) -> tuple[Tensor, ...]:
        """Draw where each view's window begins: int64 [B] for each, in frames or samples, on the draws' device."""
        found: list[Tensor] = []
        for place, moment in enumerate(self._moments):
            own, starts = draws.fold_in("view", place), self.starts[place].to(draws.rows.device, non_blocking=True)
            if moment is None:
                found.append(torch.zeros_like(draws.rows))
            elif moment.like is None:
                found.append(starts[own.below("moment", len(starts))])
            elif moment.apart:
                before, after = _counts(starts, *self._apart(place, found[moment.like]))
                number = own.below("moment", before + after)
                found.append(starts[torch.where(number < before, number, number + len(starts) - before - after)])
            else:
                found.append(self._same(place, found[moment.like]))
        return tuple(found)

    def _same(self, place: int, leader: Tensor) -> Tensor:
        """Return where the window of the same moment begins, for each start of the view that it goes by."""
        moment, other, track, others = self._pair(place)
        middle = (leader.double() + other.length * other.stride / 2) * (track.rate / others.rate)
        return (middle - moment.length * moment.stride / 2 + 0.5 + _ROUNDING).floor().long()

    def _apart(self, place: int, leader: Tensor) -> tuple[Tensor, Tensor]:
        """Return the last start of a window that is over in time, and the first of one that begins late enough."""
        moment, other, track, others = self._pair(place)
        begins = leader.double() / others.rate
        ends = (leader + other.length * other.stride).double() / others.rate
        last = (begins - moment.apart) * track.rate - moment.length * moment.stride
        first = (ends + moment.apart) * track.rate
        return (last + _ROUNDING).floor().long(), (first - _ROUNDING).ceil().long()

    def _pair(self, place: int) -> tuple[Moment, Moment, Track, Track]:
        moment = self._moments[place]
        assert moment is not None
        assert moment.like is not None
        other = self._moments[moment.like]
        assert other is not None, "ViewPlan checks that it has a moment"
        return moment, other, self._tracks[place], self._tracks[moment.like]


@lru_cache(maxsize=64)
def timetable(moments: tuple[Moment | None, ...], tracks: tuple[Track, ...]) -> Timetable:
    """Return the timetable of a plan's views, made once."""
    return Timetable(moments, tracks)


def _counts(starts: Tensor, last: Tensor, first: Tensor) -> tuple[Tensor, Tensor]:
    """Count, for each row, the starts up to ``last`` and those from ``first`` on."""
    return torch.searchsorted(starts, last, right=True), len(starts) - torch.searchsorted(starts, first)


def _there(allowed: Tensor, place: Tensor) -> Tensor:
    """Tell which places are in range and allowed."""
    if not len(allowed):
        return torch.zeros_like(place, dtype=torch.bool)
    return (place >= 0) & (place < len(allowed)) & allowed[place.clamp(0, len(allowed) - 1)]
