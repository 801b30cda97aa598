"""How small one test's error rate must be, so that a study's stays what it is: of several claims, at several looks.

Claims that share rows err together, so their rates may be larger than Bonferroni's: the level is read off the normal
distribution that the contrasts have together, as in Dunnett's (1955) comparisons with a control. A claim whose null
hypothesis has fallen makes room for the others (Holm 1979).

A claim is judged anew whenever there are more seeds. If each look decided at 5 %, chance alone would decide more than
one true null in four by 40 seeds. So a claim's rate is spent over the numbers of seeds that it may be looked at with
(Lan and DeMets 1983): ``FIRST_SHARE`` of it at the declared seeds, so that a study that ends there keeps most of its
power, and ``LATER_SHARE`` evenly in the logarithm of the number of seeds, up to ``MOST_SEEDS``. What one look may
decide at follows from the joint distribution of all of them (Armitage, McPherson, Rowe 1969). The rate holds for
looks at all these numbers, so it holds for any choice among them, and the choice may depend on what earlier looks
showed. With each number a claim is tested once: more runs of other rows change its error, so that another test would be
another chance to err (looks after every single run decided falsely in 5.9 % of studies). The first test waits until all
rows have their declared seeds. Below these nothing is decided, and above ``MOST_SEEDS`` nothing new.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any, Self

import numpy as np
from scipy import optimize, special

MOST_SEEDS = 40
FIRST_SHARE = 0.6
PATIENT_SHARE = 0.1  # at the first look, of what may find no difference
LATER_SHARE = 0.25  # the rest is kept: at few degrees of freedom, looks spend more than normal theory says (simulated)
_DRAWS = 100_000  # fixed: equal runs give equal pages
_CELL = 0.08  # of the grid that the sums of normal steps are followed on, in standard deviations of a step

Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Design:
    """When a study's claims are looked at.

    Attributes:
        first: seeds of the first look: those declared.
        most: the last number of seeds that may decide.
        fixed: the first look is the only one, and has the whole rate.
    """

    first: int
    most: int = MOST_SEEDS
    fixed: bool = False

    def level(self, rate: float, num: int, patient: bool = False) -> float:
        """Return the two-sided level of a claim's test with a number of seeds; 0 where that number decides nothing.

        Args:
            rate: of the claim, over all looks.
            num: seeds that all rows of the claim have.
            patient: whether little is spent at the first look, as few seeds can't show a difference to be none.
        """
        if num < self.first or rate <= 0:
            return 0.0
        if self.fixed or self.first >= self.most:
            return rate if num == self.first else 0.0
        if num > self.most:
            return 0.0
        return _levels(self.first, self.most, float(f"{min(rate, 0.999):.6g}"), patient)[num - self.first]


@dataclass(frozen=True)
class Look:
    """What was looked at, once: enough to go on from.

    Attributes:
        when: in UTC, as ISO 8601; empty where nobody said.
        first: the declared seeds of the design at the first look of all; later looks keep it.
        seeds: the seeds that had finished runs.
        claims: the claim's identity -> seeds that its rows had, the level that it was tested at, and its decision.
        fixed: whether the design has one look; as it was at the first.
        runs: how many finished runs there were, of all rows.
    """

    when: str
    first: int
    seeds: tuple[int, ...]
    claims: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    fixed: bool = False
    runs: int = 0

    @property
    def counts(self) -> dict[str, int]:
        """The claim's identity -> seeds that its rows had."""
        return {identity: int(said["n"]) for identity, said in self.claims.items()}

    def as_record(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {**asdict(self), "seeds": list(self.seeds), "claims": {k: dict(v) for k, v in self.claims.items()}}

    @classmethod
    def of_record(cls, record: Mapping[str, Any]) -> Self:
        """Read it back.

        Raises:
            KeyError: the record lacks a part.
        """
        seeds = tuple(int(seed) for seed in record["seeds"])
        fixed = bool(record.get("fixed"))
        runs = int(record.get("runs", 0))
        return cls(str(record["when"]), int(record["first"]), seeds, dict(record["claims"]), fixed, runs)


def is_new(look: Look, looks: Sequence[Look]) -> bool:
    """Tell whether a look says more than those before: to look at the same runs again is none.

    The first is one as soon as any claim has an interval, decided or not: whoever has seen it may declare the seeds
    anew, and must not choose when to have looked first. Later ones are where a claim has other seeds, or is decided.
    """
    if look.first < 1 or max(look.counts.values(), default=0) < 2:
        return False
    if all(look.counts != other.counts for other in looks):
        return True
    before = decided_before(looks)
    return any(name not in before for name in decided_before([look]))


def decided_before(looks: Sequence[Look]) -> dict[str, Mapping[str, Any]]:
    """Return the identity of each claim that a look has decided -> what the first such look said of it."""
    found: dict[str, Mapping[str, Any]] = {}
    for look in looks:
        for identity, said in look.claims.items():
            if said["decision"] != "not decided":
                found.setdefault(identity, said)
    return found


def tested_before(looks: Sequence[Look]) -> set[tuple[str, int]]:
    """Return the identity of each claim that was tested, with each number of seeds that it was tested with."""
    return {(name, int(said["n"])) for look in looks for name, said in look.claims.items() if said["level"] > 0}


def spent(first: int, most: int, num: int, patient: bool = False) -> float:
    """Return the share of a claim's rate that looks up to a number of seeds spend."""
    if num < first:
        return 0.0
    if first >= most:
        return 1.0
    num = min(num, most)
    at_first = PATIENT_SHARE if patient else FIRST_SHARE
    return at_first + (FIRST_SHARE + LATER_SHARE - at_first) * math.log(num / first) / math.log(most / first)


@lru_cache(maxsize=256)
def _levels(first: int, most: int, rate: float, patient: bool) -> tuple[float, ...]:
    """Return the level of each number of seeds from first to most.

    The sum of ``num`` standard normal steps is followed on a grid, among the ways that no look has decided: at each
    number, the bound is set where the ways that cross it there are what may be spent there.
    """
    edge = 6.5 * math.sqrt(most)
    grid = np.arange(-edge, edge + _CELL, _CELL)
    step = np.exp(-0.5 * (grid[:, None] - grid[None, :]) ** 2) / math.sqrt(2 * math.pi)
    density = np.exp(-0.5 * grid**2 / first) / math.sqrt(2 * math.pi * first)
    found, before = [], 0.0
    for num in range(first, most + 1):
        share = spent(first, most, num, patient) * rate
        budget, before = share - before, share
        if num == first:
            bound = math.sqrt(num) * float(special.ndtri(1 - budget / 2))
        else:
            weight = density * _CELL

            def crosses(bound: float, weight: Any = weight, budget: float = budget) -> float:
                return float(weight @ (special.ndtr(grid - bound) + special.ndtr(-grid - bound))) - budget

            bound = float(optimize.brentq(crosses, 0.0, edge, xtol=1e-6))
            density = step @ weight
        found.append(2 * float(special.ndtr(-bound / math.sqrt(num))))
        density = density * np.clip(0.5 + (bound - np.abs(grid)) / _CELL, 0.0, 1.0)  # a cell at the bound is cut
    return tuple(found)


@lru_cache(maxsize=8)
def _normal(num: int) -> Array:
    return np.random.default_rng(20).standard_normal((_DRAWS, num))


def rate_of_each(correlation: Array, rate: float) -> float:
    """Return the two-sided rate of each of several tests, of which any errs at ``rate``; Bonferroni's or more.

    Args:
        correlation: of the tests, [tests, tests].
        rate: of the study.
    """
    num = len(correlation)
    if num <= 1:
        return rate
    values, vectors = np.linalg.eigh(correlation)
    root = vectors * np.sqrt(np.clip(values, 0.0, None)) @ vectors.T  # whichever eigenvectors a processor finds
    largest = np.abs(_normal(num) @ root).max(1)
    found = 2 * float(special.ndtr(-np.quantile(largest, 1 - rate)))
    return max(found, rate / num)


def step_down(
    falls: Sequence[Callable[[float], bool]], correlation: Array, rate: float, fallen: Sequence[int] = ()
) -> list[float]:
    """Return the rate that each test has in the end: the one it fell at, or what the tests that stand have.

    Args:
        falls: whether a test's null hypothesis falls at a rate; one that falls at some rate falls at every larger one.
        correlation: of the tests.
        rate: of all of them.
        fallen: places of tests that have fallen already, and take no part.
    """
    standing = [place for place in range(len(falls)) if place not in set(fallen)]
    rates = [rate_of_each(correlation, rate)] * len(falls)
    while standing:
        each = rate_of_each(correlation[np.ix_(standing, standing)], rate)
        now = [place for place in standing if falls[place](each)]
        for place in standing:
            rates[place] = each
        if not now:
            break
        standing = [place for place in standing if place not in now]
    return rates
