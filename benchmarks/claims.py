"""How often claims are decided, rightly and falsely: simulated studies, judged as reports judge them.

A study has six rows, five of them claimed to beat the first. Values are in standard deviations of a row's errors; a
seed moves all rows alike by two thirds of one.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.compare import Row
from unlabeled.dashboards.rates import MOST_SEEDS, Design, rate_of_each
from unlabeled.dashboards.spread import contrast_error, spreads
from unlabeled.dashboards.verdicts import SIDE_SHARE

ROWS, RATE = 6, 0.05
Array = np.ndarray[Any, np.dtype[np.float64]]
KINDS = ("normal", "skewed", "heteroscedastic", "one row twice as wide", "bimodal", "2,000 test pictures")
HARD = ("base row twice as wide", "base row three times as wide", "one row bimodal")
"""Kinds in which one row is not like those that lend it their spread: how often they err is told, and no target."""


def drawn(kind: str, studies: int, seeds: int, seed: int = 0, rows: int = ROWS) -> Array:
    """Draw studies whose rows all have the same true mean, [studies, rows, seeds]."""
    random = np.random.default_rng(seed)
    shape, block = (studies, rows, seeds), random.normal(size=(studies, 1, seeds)) * 0.65
    errors = random.normal(size=shape)
    if kind == "skewed":
        errors = 1 - random.exponential(size=shape)
    elif kind == "heteroscedastic":  # each study's rows have variances of their own, half of them within a factor 2.5
        errors = errors * np.exp(random.normal(size=(studies, rows, 1)) * 0.35)
    elif kind == "one row twice as wide":
        errors[:, 1] *= 2
    elif kind.startswith("base row"):
        errors[:, 0] *= 2 if "twice" in kind else 3
    elif kind == "bimodal":  # one seed in five collapses
        errors -= 4 * ((random.random(shape) < 0.2) - 0.2)
    elif kind == "one row bimodal":
        errors[:, 1] -= 4 * ((random.random((studies, seeds)) < 0.2) - 0.2)
    elif kind == "2,000 test pictures":  # at 80 %, with two thirds of a point of spread beside
        share = 0.8 + 0.0065 * errors
        return (random.binomial(2000, share) / 2000 - 0.8) / 0.0065 + block
    return errors + block


@dataclass(frozen=True)
class Tested:
    """The p values of five rows against the first, with the seeds that each pair has.

    Attributes:
        p: [studies, 5].
        num: [5].
        low: of 95 % intervals, [studies, 5].
        high: the same.
        estimate: differences, [studies, 5].
        error: standard errors, [studies, 5].
        freedom: their degrees of freedom.
    """

    p: Array
    num: list[int]
    low: Array
    high: Array
    estimate: Array
    error: Array
    freedom: Array


def tested(values: Array, present: np.ndarray[Any, np.dtype[np.bool_]]) -> Tested:
    """Test the runs that are present, [rows, seeds], by the model of reports."""
    spread, found, nums = spreads(values, present), [], []
    for row in range(1, len(present)):
        both = present[0] & present[row]
        weights = np.zeros(len(present))
        weights[[0, row]] = -1.0, 1.0
        error, freedom = contrast_error(spread, weights, int(both.sum()))
        found.append(((values[:, row] - values[:, 0])[:, both].mean(1), error, freedom))
        nums.append(int(both.sum()))
    estimate, error, freedom = (np.stack(part, axis=1) for part in zip(*found, strict=True))
    half = error * stats.t.isf(0.025, freedom)
    p = np.asarray(2 * stats.t.sf(np.abs(estimate) / error, freedom))
    return Tested(p, nums, estimate - half, estimate + half, estimate, error, freedom)


def levels(claims: int = ROWS - 1, rate: float = RATE * (1 - SIDE_SHARE)) -> list[float]:
    """Return the rate of each claim while so many are open: place 0 of one claim."""
    return [rate_of_each(0.5 + 0.5 * np.eye(open_), rate) for open_ in range(1, claims + 1)]


def fall(
    test: Tested,
    design: Design,
    rates: list[float],
    standing: np.ndarray[Any, np.dtype[np.bool_]],
    looked: Collection[tuple[int, int]] = (),
) -> None:
    """Take from the claims that stand, [studies, claims], those that are decided at this look.

    Claims that have been ``looked`` at with as many seeds, each a place and a number, are not tested again.
    """
    levels = [
        [0.0 if (place, num) in looked else design.level(rate, num) for place, num in enumerate(test.num)]
        for rate in [0.0, *rates]
    ]
    by_open = np.array(levels)
    while True:
        now = standing & (test.p < by_open[standing.sum(1)])
        if not now.any():
            return
        standing &= ~now


def masks(first: int, most: int, every_run: bool, rows: int = ROWS) -> Iterator[np.ndarray[Any, np.dtype[np.bool_]]]:
    """List what runs there are at each look."""
    for num in range(first, most + 1):
        whole = np.broadcast_to(np.arange(most) < num, (rows, most)).copy()
        if every_run and num > first:
            for row in range(rows - 1):
                part = whole.copy()
                part[row + 1 :, num - 1] = False
                yield part
        yield whole


def ever(values: Array, design: Design, most: int, every_run: bool = False) -> Array:
    """Return which claims are decided at any look, [studies, claims]."""
    standing, rates = np.ones((len(values), values.shape[1] - 1), dtype=bool), levels(values.shape[1] - 1)
    looked: set[tuple[int, int]] = set()
    for mask in masks(design.first, most, every_run, values.shape[1]):
        seeds = mask.any(0)
        test = tested(values[..., seeds], np.ascontiguousarray(mask[:, seeds]))
        fall(test, design, rates, standing, looked)
        looked |= set(enumerate(test.num))
    return np.asarray(~standing, dtype=np.float64)


def holm_of_pairs(values: Array) -> Array:
    """Return which claims Holm's correction of paired t tests decides, [studies, claims]: each pair by its own."""
    differences = values[:, 1:] - values[:, :1]
    p = np.asarray(stats.ttest_1samp(differences, 0.0, axis=2).pvalue)
    ordered = np.sort(p, axis=1)
    passes = np.cumprod(ordered < RATE / np.arange(p.shape[1], 0, -1), axis=1).sum(1)
    return np.asarray(p.argsort(1).argsort(1) < passes[:, None], dtype=np.float64)


def bound(falsely: Any) -> float:
    """Return the lower end of a share's 95 % interval: what is above 5 % there is too much."""
    return float(stats.binomtest(int(falsely.sum()), len(falsely)).proportion_ci(0.95).low)


def rows() -> Iterator[Row]:
    """Measure how often claims are decided falsely, how often rightly, and what intervals cover."""
    for kind in (*KINDS, *HARD):
        asked = kind in KINDS
        shares = []
        for first, most, every, studies in (
            (3, 3, False, 20_000),
            (5, 5, False, 20_000),
            (3, MOST_SEEDS, False, 3_000),
        ):
            falsely = ever(drawn(kind, studies, most, seed=first), Design(first, fixed=first == most), most, every).any(
                1
            )
            shares.append((falsely.mean(), bound(falsely)))
        told = ", ".join(f"{100 * share:.1f}" for share, _ in shares)
        yield Row(
            f"five true nulls, {kind}",
            f"{told} % decided falsely",
            "at 3 seeds, at 5, at every number of seeds from 3 to 40",
            target="5 %, within the simulation's error" if asked else "",
            met=max(low for _, low in shares) <= RATE if asked else None,
        )
    parts = [ever(drawn("normal", 2000, 40, seed=9 + part), Design(3), 40, every_run=True).any(1) for part in range(3)]
    falsely = np.concatenate(parts)
    yield Row(
        "five true nulls, a look after every run",
        f"{100 * falsely.mean():.1f} % decided falsely",
        "from 3 seeds to 40, normal",
        target="5 %, within the simulation's error",
        met=bound(falsely) <= RATE,
    )
    for effect in (1.0, 2.0):
        yield _power(effect)
    yield from _zeros()
    yield from _coverage()


def _power(effect: float) -> Row:
    values = drawn("normal", 20_000, 5, seed=4)
    values[:, 1:] += effect
    ours = ever(values, Design(5, fixed=True), 5).mean()
    kept, pairs = ever(values, Design(5), 5).mean(), holm_of_pairs(values).mean()
    return Row(
        f"five true effects of {effect:g} deviations, 5 seeds",
        f"{100 * ours:.0f} % decided, {100 * kept:.0f} % where later looks are kept open",
        f"{100 * pairs:.0f} % by pairs with Holm's correction",
        ratio=ours / pairs,
        target="at least twice as many" if effect == 1 else "",
        met=bool(ours >= 2 * pairs) if effect == 1 else None,
    )


def _zeros() -> Iterator[Row]:
    """Find true zeros within 20 seeds, in looks at every number of seeds, where one point is negligible."""
    for spread, asked in ((0.5, True), (0.65, True), (0.8, False), (1.0, False)):
        for claims, side in ((1, RATE), (5, RATE * SIDE_SHARE)):
            values, design = drawn("normal", 2_000, 20, seed=7), Design(3)
            standing, each = np.ones((len(values), claims), dtype=bool), levels(claims, side)
            for num in range(3, 21):
                test = tested(values[..., :num], np.ones((ROWS, num), dtype=bool))
                by_open = np.array([2 * rate for rate in [0.0, *each]])
                cut = np.array([design.level(min(1.0, rate), num, patient=True) for rate in by_open])[standing.sum(1)]
                half = (
                    test.error[:, :claims]
                    * np.asarray(stats.t.isf(np.maximum(cut, 1e-12) / 2, test.freedom[:, :claims].T)).T
                )
                standing &= ~(np.abs(test.estimate[:, :claims]) + half < 1 / spread)
            found = 1 - standing.mean()
            yield Row(
                f"true zeros, spread of {spread:g} points, {claims} claim{'s' if claims > 1 else ''}",
                f"{100 * found:.0f} % found within 20 seeds",
                "looks at every number of seeds from 3",
                target="80 %" if asked else "",
                met=bool(found >= 0.8) if asked else None,
            )


def _coverage() -> Iterator[Row]:
    for kind in KINDS:
        covered = []
        for num in (3, 5, 10):
            test = tested(drawn(kind, 20_000, num, seed=num), np.ones((ROWS, num), dtype=bool))
            covered.append(float(((test.low < 0) & (test.high > 0)).mean()))
        yield Row(
            f"95 % intervals, {kind}",
            ", ".join(f"{100 * share:.1f}" for share in covered) + " % cover",
            "with 3, 5 and 10 seeds",
            target="94 to 96 %" if kind == "normal" else "",
            met=all(abs(share - 0.95) <= 0.01 for share in covered) if kind == "normal" else None,
        )
