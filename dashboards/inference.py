"""What a few seeds can say by themselves: intervals, and differences paired by seed.

A study has two to five seeds, so everything here is exact for small samples: Student's t throughout (Student 1908),
differences paired by seed because two rows with one seed share their data order and whatever else the seed decides, and
the effect size with Hedges' correction (Hedges 1981). Student's t takes the differences to be roughly normal, which so
few of them can't check. An interval speaks of other seeds, not of other data or encoders. Claims are judged with more:
all rows of a study together, see :mod:`unlabeled.dashboards.spread`.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special, stats

LEVEL = 0.95
APART = 10.0  # fewer than one row in forty of five normal values is in two groups then, of ten one in ten thousand
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


def seeds_apart(values: "pd.Series[float]") -> "pd.Series[float]":
    """Return the fewer values of a row that falls into two groups of seeds, or an outlier; nothing where it doesn't.

    The values are cut at their largest gap. They count as two groups where that gap is ``APART`` times the deviation
    within the groups, which normal values hardly ever show.

    Args:
        values: of one row, by seed; five or more, else nothing can be said.
    """
    ordered = values.dropna().sort_values()
    if len(ordered) < 5:
        return ordered.iloc[:0]
    gaps = np.diff(ordered.to_numpy())
    cut = int(gaps.argmax()) + 1
    groups = ordered.iloc[:cut], ordered.iloc[cut:]
    within = math.sqrt(sum(float(((group - group.mean()) ** 2).sum()) for group in groups) / (len(ordered) - 2))
    if gaps.max() <= max(APART * within, EQUAL_WITHIN * float(np.abs(ordered).max())):
        return ordered.iloc[:0]
    return min(groups, key=len)
