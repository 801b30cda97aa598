"""How long the rest takes: told by the runs' own seconds, held against what then happened in simulated sweeps."""

import heapq
import io
import random
import sys

import pytest

from unlabeled.methods import METHODS
from unlabeled.platform.config import RunConfig
from unlabeled.platform.drive import awaited
from unlabeled.platform.drive.pace import Pace, work_of


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def sweep(
    works: list[tuple[str, float]], lanes: int, seconds: float, start_up: float, gap: float, noise: float
) -> list[tuple[float, float]]:
    """Let runs go on some lanes; return at each run's end what was estimated to be left, and what was."""
    clock, chance = Clock(), random.Random(0)
    pace = Pace({f"{n} {row}": (row, work) for n, (row, work) in enumerate(works)}, clock)
    waiting = [f"{n} {row}" for n, (row, _) in enumerate(works)]
    took = {
        n: seconds * work * chance.uniform(1 - noise, 1 + noise) for n, (_, work) in zip(waiting, works, strict=True)
    }
    going: list[tuple[float, str]] = []
    clock.now = start_up
    said: list[tuple[float, float]] = []
    for _ in range(min(lanes, len(waiting))):
        name = waiting.pop(0)
        pace.began(name)
        heapq.heappush(going, (clock.now + took[name], name))
    while going:
        clock.now, name = heapq.heappop(going)
        pace.ended(name, took[name])
        left = pace.left()
        assert left is not None
        said.append((clock.now, left))
        if waiting:
            name = waiting.pop(0)
            clock.now += gap
            pace.began(name)
            heapq.heappush(going, (clock.now + took[name], name))
    return [(left, clock.now - at) for at, left in said]


@pytest.mark.parametrize("lanes", [1, 2, 4])
@pytest.mark.parametrize("rows", [(1.0, 1.0, 1.0), (1.0, 4.0), (2.0, 1.0, 1.0, 8.0)])
@pytest.mark.parametrize("start_up", [0.0, 25.0])
def test_from_the_first_run_on_the_estimate_is_within_a_half(
    lanes: int, rows: tuple[float, ...], start_up: float
) -> None:
    works = [(f"row {n}", work) for _ in range(4) for n, work in enumerate(rows)]
    said = sweep(works, lanes, seconds=20.0, start_up=start_up, gap=1.0, noise=0.1)
    assert said[-1] == (0.0, 0.0)
    for left, was in said[:-1]:
        assert was / 1.5 <= left <= was * 1.5 or abs(left - was) < 5.0, "of the last runs a second or two are much"


def test_more_epochs_and_dearer_methods_are_more_work(small_run: RunConfig) -> None:
    """Seconds of CPU time that an epoch of some examples took, on one thread: the guess is nearer than epochs alone."""
    took = {"simclr": 1.08, "rotnet": 1.64, "jigsaw": 1.02, "byol": 1.04, "ddpm": 1.94}
    works = {name: work_of(RunConfig(method=METHODS[name].example().method, epochs=1)) for name in took}
    assert work_of(small_run.with_field("epochs", 6)) == 3 * work_of(small_run.with_field("epochs", 2))
    first = "simclr"
    by_work = [took[first] * works[name] / works[first] / took[name] for name in took]
    by_epochs = [took[first] / seconds for seconds in took.values()]
    assert max(max(off, 1 / off) for off in by_work) < max(max(off, 1 / off) for off in by_epochs)


def test_before_a_run_has_ended_nothing_is_known() -> None:
    pace = Pace({"a": ("a", 1.0)})
    assert pace.left() is None
    pace.began("a")
    pace.moved("a", 0.5)
    assert pace.left() is None


def test_a_run_that_is_slower_than_the_others_is_told_by_its_steps() -> None:
    clock = Clock()
    pace = Pace({"a": ("a", 1.0), "b": ("b", 1.0)}, clock)
    pace.began("a")
    pace.began("b")
    clock.now = 10.0
    pace.ended("a", 10.0)
    clock.now = 20.0
    pace.moved("b", 0.25)
    assert pace.left() == 60.0


def test_trials_of_which_nothing_is_known_take_as_long_as_others_did() -> None:
    clock = Clock()
    pace = Pace({}, clock)
    for number in range(3):
        pace.began(f"trial {number}", work=8.0)
        clock.now += (40.0, 10.0, 10.0)[number]
        pace.ended(f"trial {number}", 0.0)
    assert pace.left(more=5) == pytest.approx(100.0)


class Terminal(io.StringIO):
    """Takes what a person sees."""

    def isatty(self) -> bool:
        return True


def test_a_line_that_lives_takes_no_answer_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    answers, screen = io.StringIO(), Terminal()
    monkeypatch.setattr(sys, "stdout", answers)
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(awaited, "_is_quiet", False)
    try:
        awaited.awaits("opening the store")
        print("3 of 9 runs are done")
    finally:
        awaited.end()
    assert answers.getvalue() == "3 of 9 runs are done\n", "it goes to a file or a program"
    assert "opening the store, " in screen.getvalue()
    assert "3 of 9" not in screen.getvalue()


def test_runs_that_are_not_done_here_are_not_waited_for() -> None:
    """Another driver's, and one that fails before it begins."""
    clock = Clock()
    pace = Pace({name: ("row", 1.0) for name in "abcd"}, clock)
    pace.began("a")
    clock.now = 10.0
    pace.ended("a", 10.0)
    assert pace.left() == 30.0
    pace.gone("b")
    assert pace.left() == 20.0
    pace.ended("c")
    assert pace.left() == 10.0
