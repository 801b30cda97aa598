"""What a few seeds can say: intervals, and differences paired by seed.

A study has two to five seeds, so everything here is exact for small samples: Student's t throughout (Student 1908),
differences paired by seed because two rows with one seed share their data order and whatever else the seed decides,
the effect size with Hedges' correction (Hedges 1981), and Holm's correction over several tests (Holm 1979). A test that
has no p value yet counts in that correction like one of p = 1: else a decision made while runs are still out could be
undone by the mere end of another row's, and looks at every arrival would decide falsely too often. Student's t takes
the differences to be roughly normal, which so few of them can't check. An interval speaks of other seeds, not of other
data or encoders.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special, stats

LEVEL = 0.95
EQUAL_WITHIN = 1e-6  # relative: fractions are often means taken in float32, which are equal up to 6e-8


@dataclass(frozen=True)
class Interval:
    """A mean with its confidence interval; the bounds are NaN where the values can't give one.

    Attributes:
        mean: NaN where there are no values.
        low: the interval's lower bound.
        high: its upper bound.
        n: how many values it comes from.
    """

    mean: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class PairedDifference:
    """The difference of two rows over the seeds that both have.

    Attributes:
        interval: of the mean difference.
        spread: standard deviation of the differences over seeds; NaN for one seed, 0 where they are equal.
        p: two-sided, of a mean difference equal to the bound it was tested against.
        effect_size: Hedges' g of the paired differences: their mean over their spread, corrected for few seeds. NaN
            below three seeds, for which the correction leaves nothing.
    """

    interval: Interval
    spread: float
    p: float
    effect_size: float

    @property
    def n(self) -> int:
        """How many seeds both rows have."""
        return self.interval.n


def mean_interval(values: Iterable[float], level: float = LEVEL) -> Interval:
    """Return the mean with Student's interval at a level; NaN among the values are left out.

    One value has no interval, and neither have equal values: no spread was seen, which is not the same as certainty.
    """
    return _interval(_present(values), level)[0]


def paired_difference(
    higher: "pd.Series[float]", lower: "pd.Series[float]", bound: float = 0.0, level: float = LEVEL
) -> PairedDifference:
    """Compare two rows, each a series by seed, on the seeds that both have.

    The test is two-sided, because a claim can be contradicted as well as hold: p is below ``1 - level`` exactly where
    the interval leaves ``bound`` out. With one seed, or with equal differences, there is no interval and no p value.
    """
    both = pd.concat([higher, lower], axis="columns", keys=["higher", "lower"], join="inner").dropna()
    differences = (both["higher"] - both["lower"]).to_numpy(dtype=float)
    scale = float(np.abs(both.to_numpy(dtype=float)).max(initial=0.0))
    interval, spread = _interval(differences, level, scale)
    if not spread > 0:
        return PairedDifference(interval, spread, math.nan, math.nan)
    n = interval.n
    t = (interval.mean - bound) / (spread / math.sqrt(n))
    effect_size = interval.mean / spread * few_seeds_correction(n - 1)
    return PairedDifference(interval, spread, float(2 * stats.t.sf(abs(t), n - 1)), effect_size)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p values corrected for being several, by Holm's step-down method; NaN stay NaN, and count as 1.

    So a corrected value never grows when another test gets its p value, or a smaller one.

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    >>> holm([0.01, float("nan"), float("nan")])
    [0.03, nan, nan]
    """
    adjusted = [math.nan] * len(p_values)
    largest = 0.0
    for index, factor in holm_factors(p_values).items():  # from the smallest p value to the largest
        largest = max(largest, min(1.0, factor * p_values[index]))
        adjusted[index] = largest
    return adjusted


def _present(values: Iterable[float]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    array = np.fromiter((float(value) for value in values), dtype=np.float64)
    return array[~np.isnan(array)]


def _interval(
    values: np.ndarray[tuple[int], np.dtype[np.float64]], level: float, scale: float = 0.0
) -> tuple[Interval, float]:
    """Return the interval and the standard deviation; ``scale`` is the size of what the values were computed from."""
    n = len(values)
    if n == 0:
        return Interval(math.nan, math.nan, math.nan, 0), math.nan
    mean = float(values.mean())
    if n == 1:
        return Interval(mean, math.nan, math.nan, 1), math.nan
    if np.ptp(values) <= EQUAL_WITHIN * max(scale, float(np.abs(values).max())):
        return Interval(mean, math.nan, math.nan, n), 0.0
    spread = float(values.std(ddof=1))
    half = float(stats.t.ppf((1 + level) / 2, n - 1)) * spread / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, n), spread


def few_seeds_correction(freedom: float) -> float:
    """Return Hedges' exact J, about 1 - 3 / (4 m - 1); NaN for one degree of freedom, where it is 0."""
    if freedom < 2:
        return math.nan
    log_ratio = special.gammaln(freedom / 2) - special.gammaln((freedom - 1) / 2)
    return float(np.exp(log_ratio) / math.sqrt(freedom / 2))


def holm_factors(p_values: Sequence[float]) -> dict[int, int]:
    """Return index -> by how much Holm's method multiplies that p value, smallest first; NaN count but are left out."""
    order = sorted((index for index, p in enumerate(p_values) if not math.isnan(p)), key=lambda index: p_values[index])
    return {index: len(p_values) - rank for rank, index in enumerate(order)}
