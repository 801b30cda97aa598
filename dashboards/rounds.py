"""What to run next so that a study's open claims are decided: which rows get which seeds.

Looks are free (:mod:`unlabeled.dashboards.looking`), so a round goes half of the way to the number of seeds that the
runs there are let expect: few seeds know that number by its order of magnitude only, and every round knows it better.
Claims that can be expected to be decided come first; the others get what time is left.
"""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import pandas as pd

from unlabeled.dashboards import counted
from unlabeled.dashboards.comparisons import rows_of
from unlabeled.dashboards.detectable import Need, needs, seconds_of
from unlabeled.dashboards.verdicts import Verdict


@dataclass(frozen=True)
class Round:
    """Runs to do before the claims are looked at again.

    Attributes:
        needs: of the claims that they are for.
        runs: row and seed of each, seed by seed.
        seconds: how long they take.
        too_long: seconds of the shortest round that there could be, where it has more than there is time for; then no
            runs are in this one.
    """

    needs: list[Need] = field(default_factory=list)
    runs: list[tuple[str, int]] = field(default_factory=list)
    seconds: float = 0.0
    too_long: float | None = None

    @property
    def by_seeds(self) -> dict[tuple[int, ...], list[str]]:
        """Seeds -> the rows that get them."""
        of_row: dict[str, list[int]] = {}
        for row, seed in self.runs:
            of_row.setdefault(row, []).append(seed)
        found: dict[tuple[int, ...], list[str]] = {}
        for row, seeds in of_row.items():
            found.setdefault(tuple(seeds), []).append(row)
        return found


def next_round(
    judged: Sequence[Verdict],
    runs: pd.DataFrame,
    seeds: Sequence[int],
    most: int,
    *,
    without: Collection[str] = (),
    time: float = math.inf,
    at_once: int = 1,
) -> Round:
    """Choose the runs of the next round; none where no claim is open that could have more seeds, or there is no time.

    Args:
        judged: the verdicts there are.
        runs: one row per run.
        seeds: those declared; further ones are those that some row has, then the smallest whole numbers.
        most: seeds that a row may have.
        without: rows whose runs fail; their claims get nothing more.
        time: seconds that are left.
        at_once: runs that go at the same time.
    """
    open_ = [
        need
        for need in needs(judged, runs, most)
        if need.verdict.n < most and not set(without) & set(rows_of(need.verdict.claim))
    ]
    hopeful = [need for need in open_ if need.seeds is not None]
    served = sorted(hopeful or open_, key=lambda need: need.seconds if need.seeds else math.inf)
    if not served:
        return Round()
    order = _order(runs, seeds, most)

    def of(chosen: Sequence[Need], ahead: Callable[[Need], int]) -> Round:
        found = _runs(chosen, ahead, runs, order)
        return Round(list(chosen), found, _seconds(found, runs, at_once))

    rounds = [of(served, _ahead), *(of(served[:number], lambda _: 1) for number in range(len(served), 0, -1))]
    rounds = [each for each in rounds if each.runs]
    fits = next((each for each in rounds if each.seconds <= time), None)
    if fits is not None:
        return fits
    return Round(too_long=min((each.seconds for each in rounds), default=None))


def _ahead(need: Need) -> int:
    """Return how many more seeds a claim gets: half of those that it needs, or a third of what it has."""
    n = need.verdict.n
    return max(1, math.ceil((need.seeds - n) / 2) if need.seeds else n // 3)


def _order(runs: pd.DataFrame, seeds: Sequence[int], most: int) -> list[int]:
    there = sorted({int(seed) for seed in counted.counted(runs)["seed"]})
    further = range(most + len(there) + len(seeds))
    return list(dict.fromkeys([*seeds, *there, *further]))[: max(most, len(seeds))]


def _runs(
    chosen: Sequence[Need], ahead: Callable[[Need], int], runs: pd.DataFrame, order: Sequence[int]
) -> list[tuple[str, int]]:
    done = counted.counted(runs)
    have = {(str(row), int(seed)) for row, seed in zip(done["row"], done["seed"], strict=True)}
    wanted: dict[tuple[str, int], None] = {}
    for need in chosen:
        rows = rows_of(need.verdict.claim)
        lacking = [seed for seed in order if any((row, seed) not in have for row in rows)]
        for seed in lacking[: ahead(need)]:
            wanted |= dict.fromkeys((row, seed) for row in rows if (row, seed) not in have)
    rows_in_order = list(dict.fromkeys(row for row, _ in wanted))
    return sorted(wanted, key=lambda run: (order.index(run[1]), rows_in_order.index(run[0])))


def _seconds(found: Sequence[tuple[str, int]], runs: pd.DataFrame, at_once: int) -> float:
    """Estimate how long runs take, so many at once; a row without a finished run takes what the others do."""
    of_row = seconds_of(runs)
    typical = sum(of_row.values()) / len(of_row) if of_row else 0.0
    each = [of_row.get(row, typical) for row, _ in found]
    return max(sum(each) / max(1, min(at_once, len(each) or 1)), max(each, default=0.0))
