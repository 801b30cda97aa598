"""Several claims on the same runs: how small each one's error rate must be, so that the study's stays what it is.

Claims that share rows err together, so their rates may be larger than Bonferroni's: the level is read off the normal
distribution that the contrasts have together, as in Dunnett's (1955) comparisons with a control. A claim whose null
hypothesis has fallen makes room for the others (Holm 1979).
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from scipy import special

Array = np.ndarray[Any, np.dtype[np.float64]]
_DRAWS = 100_000  # fixed: equal runs give equal pages


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
    root = vectors * np.sqrt(np.clip(values, 0.0, None))
    largest = np.abs(_normal(num) @ root.T).max(1)
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
