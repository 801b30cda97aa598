"""Windows in time by brute force: all that fit are found, all are equally likely, and each lies where it says."""

import itertools
import re

import pytest
import scipy.stats
import torch
from pydantic import ValidationError

from unlabeled.platform.augment import Moment, View, ViewPlan
from unlabeled.platform.augment.moments import Timetable, Track
from unlabeled.platform.draws import Draws
from unlabeled.platform.settings import explain

MANY = 6000


def draws(count: int = MANY) -> Draws:
    return Draws(torch.arange(count), 5, "moments")


PLANS = {
    "one": ([Moment(length=3, stride=2)], [Track(12, 4.0)]),
    "the same moment": ([Moment(length=3), Moment(length=3, like=0)], [Track(12, 4.0)] * 2),
    "more of the same moment": ([Moment(length=1), Moment(length=5, like=0)], [Track(12, 4.0)] * 2),
    "sound": ([Moment(length=2, stride=2), Moment(length=40, like=0)], [Track(12, 4.0), Track(120, 40.0)]),
    "odd rates": ([Moment(length=3), Moment(length=29, like=0)], [Track(9, 3.0), Track(111, 37.0)]),
    "apart": ([Moment(length=2), Moment(length=2, like=0, apart=1.0)], [Track(12, 4.0)] * 2),
    "apart, hardly room": ([Moment(length=4), Moment(length=4, like=0, apart=0.5)], [Track(12, 4.0)] * 2),
    "sound apart": ([Moment(length=2), Moment(length=30, like=0, apart=0.3)], [Track(12, 4.0), Track(120, 40.0)]),
    "a chain": (
        [Moment(length=2), Moment(length=10, like=0), Moment(length=2, like=1, apart=0.5), Moment(length=3, like=2)],
        [Track(12, 4.0), Track(120, 40.0), Track(12, 4.0), Track(12, 4.0)],
    ),
    "a chain, hardly room": (
        [Moment(length=4), Moment(length=4, like=0), Moment(length=4, like=1, apart=0.5)],
        [Track(12, 4.0)] * 3,
    ),
    "two beside one": (
        [Moment(length=2), Moment(length=2, like=0, apart=0.25), Moment(length=6, like=0)],
        [Track(10, 4.0)] * 3,
    ),
    "whole beside part": ([None, Moment(length=3)], [Track(1, 1.0), Track(12, 4.0)]),
}


def fits(moments: list[Moment | None], tracks: list[Track], starts: tuple[int, ...]) -> bool:
    """Tell whether windows lie as the plan wants them, in the plain words of its documentation."""
    for moment, track, start in zip(moments, tracks, starts, strict=True):
        if moment is None or moment.like is None:
            continue
        other, others, begin = moments[moment.like], tracks[moment.like], starts[moment.like]
        assert other is not None
        ours = (start / track.rate, (start + moment.length * moment.stride) / track.rate)
        theirs = (begin / others.rate, (begin + other.length * other.stride) / others.rate)
        if moment.apart:
            if max(ours[0] - theirs[1], theirs[0] - ours[1]) < moment.apart - 1e-9:
                return False
        else:
            off = (sum(theirs) - sum(ours)) / 2 * track.rate  # of the middles, in frames or samples of this view
            if not -0.5 - 1e-4 <= off < 0.5 - 1e-4:  # of two equally near the later
                return False
    return True


def every(moments: list[Moment | None], tracks: list[Track]) -> set[tuple[int, ...]]:
    rooms = [
        range(1 if moment is None else track.length - (moment.length - 1) * moment.stride)
        for moment, track in zip(moments, tracks, strict=True)
    ]
    return {starts for starts in itertools.product(*rooms) if fits(moments, tracks, starts)}


@pytest.mark.parametrize("name", PLANS)
def test_all_windows_that_fit_are_drawn_and_no_others(name: str) -> None:
    moments, tracks = PLANS[name]
    expected = every(moments, tracks)
    table = Timetable(moments, tracks)
    drawn = torch.stack(table.draw(draws()), dim=1)
    found = set(map(tuple, drawn.tolist()))
    assert found == expected
    for place, starts in enumerate(table.starts):
        if moments[place] is not None and moments[place].like is None:
            assert set(starts.tolist()) == {each[place] for each in expected}
            counts = torch.stack([(drawn[:, place] == start).sum() for start in starts])
            assert len(starts) == 1 or scipy.stats.chisquare(counts.numpy()).pvalue > 1e-3
    for place, moment in enumerate(moments):  # a follower at a distance is uniform, given whom it follows
        if moment is not None and moment.apart and place == len(moments) - 1:
            leader = drawn[:, moment.like]
            chosen = drawn[leader == leader.mode().values, place]
            counts = torch.stack([(chosen == start).sum() for start in chosen.unique()])
            assert len(counts) == 1 or scipy.stats.chisquare(counts.numpy()).pvalue > 1e-3


@pytest.mark.parametrize(
    ("moments", "tracks"),
    [
        ([Moment(length=5), Moment(length=5, like=0, apart=1.0)], [Track(12, 4.0)] * 2),
        ([Moment(length=4), Moment(length=50, like=0)], [Track(12, 4.0), Track(20, 10.0)]),
        ([Moment(length=13)], [Track(12, 4.0)]),
    ],
)
def test_what_fits_nowhere_has_no_starts(moments: list[Moment], tracks: list[Track]) -> None:
    assert not every(moments, tracks)
    assert min(len(starts) for starts in Timetable(moments, tracks).starts) == 0


def test_a_row_draws_the_same_whatever_stands_beside_it() -> None:
    table = Timetable(*PLANS["a chain"])
    whole = table.draw(draws(50))
    for part in (torch.arange(7), torch.tensor([3, 40])):
        for each, alone in zip(whole, table.draw(Draws(part, 5, "moments")), strict=True):
            assert torch.equal(each[part], alone)


def test_views_draw_their_moments_apart() -> None:
    first, second = Timetable([Moment(length=2)] * 2, [Track(30, 1.0)] * 2).draw(draws())
    assert 0.01 < float((first == second).float().mean()) < 0.08


@pytest.mark.parametrize("stride", [1, 3])
def test_a_window_is_cut_out_of_each_row(stride: int) -> None:
    moment, start = Moment(length=3, stride=stride), torch.tensor([0, 4, 2])
    clips = torch.arange(3 * 12 * 4).view(3, 12, 1, 2, 2)
    waves = torch.arange(3 * 2 * 12).view(3, 2, 12)
    for row, begin in enumerate(start.tolist()):
        frames = [begin + number * stride for number in range(3)]
        assert torch.equal(moment.cut(clips, start)[row], clips[row, frames])
        assert torch.equal(moment.cut(waves, start, dim=2)[row], waves[row][:, frames])


def test_a_view_of_a_part_is_the_view_of_what_was_cut() -> None:
    clips = torch.randint(0, 256, (5, 12, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    waves = torch.rand(5, 1, 120, generator=torch.Generator().manual_seed(1)) * 2 - 1
    plan = ViewPlan(
        views=(
            View(field="clip", time=Moment(length=4, stride=2)),
            View(field="sound", time=Moment(length=40, like=0)),
            View(field="clip"),
        )
    )
    rates = {"clip": 4.0, "sound": 40.0}
    film, sound, whole = plan({"clip": clips, "sound": waves}, draws(5), rates)
    starts = plan.starts({"clip": (12, 3, 8, 8), "sound": (1, 120)}, rates, draws(5))
    assert len(set(starts[0].tolist())) > 1
    for row in range(5):
        first = int(starts[0][row])
        assert torch.equal(film[row], clips[row, first : first + 7 : 2] / 255)
        begin = int(starts[1][row])
        assert begin / 40 == pytest.approx((first + 4) / 4 - 0.5), "one second about the middle of two"
        assert torch.equal(sound[row], waves[row, :, begin : begin + 40])
    assert torch.equal(whole, clips / 255)


@pytest.mark.parametrize(
    ("views", "message"),
    [
        (
            (View(time=Moment(length=2)), View(time=Moment(length=2, like=1))),
            r"views.1.time.like: it names an earlier view that has a time, counted from 0; take 0, got 1",
        ),
        ((View(), View(time=Moment(length=2, like=0))), r"no view before it has one, got 0"),
        (({"time": {"length": 0}},), r"views.0.time.length: .* greater than or equal to 1, got 0"),
        (
            ({"time": {"length": 2, "apart": 1.0}},),
            r"views.0.time: apart=1 is a distance to another view; say to which",
        ),
        (({"of": -1},), r"views.0.of: .* greater than or equal to 0, got -1"),
    ],
)
def test_a_time_without_meaning_is_one_clear_line(views: tuple[View, ...], message: str) -> None:
    with pytest.raises(ValidationError, match=r"time|of") as caught:
        ViewPlan(views=views)
    line = explain(caught.value)
    assert "\n" not in line
    assert re.search(message, line), line
