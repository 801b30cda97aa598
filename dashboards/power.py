"""What a number of seeds can show: the power of Student's t test on differences paired by seed.

If the true difference is ``effect`` spreads away from what it is tested against, t follows the noncentral t
distribution with ``n - 1`` degrees of freedom and noncentrality ``effect * sqrt(n)`` (Cohen 1988, ch. 2). An effect is
counted in spreads: standard deviations, over seeds, of the difference.
"""

import math

import numpy as np
from scipy import optimize, stats

POWER = 0.8
CHANCES = "4 chances in 5"  # how a page says it
MAX_SEEDS = 1000  # a study that needs more won't be run
TYPICAL_SPREAD = 0.009  # of differences in top-1: the median over the 18 such claims of five laptop studies (gallery/)


def power(effect: float, n: int, level: float) -> float:
    """Return how often ``n`` seeds decide, in the right direction, when the true difference is ``effect`` spreads.

    Args:
        effect: at least 0.
        n: seeds that both rows have; below two nothing is ever decided.
        level: of the interval that must leave the bound out: 0.95, or more where several claims are corrected for.
    """
    if n < 2:
        return 0.0
    threshold = float(stats.t.ppf((1 + level) / 2, n - 1))
    return float(stats.nct.sf(threshold, n - 1, effect * math.sqrt(n)))


def seeds_for(effect: float, level: float) -> int:
    """Return the smallest number of seeds whose power is ``POWER``; ``MAX_SEEDS`` + 1 if that is not enough."""
    low, high = 1, MAX_SEEDS + 1  # power grows with the seeds, so it is at most POWER at low, and at least at high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(effect, middle, level) >= POWER else (middle, high)
    return high


def smallest_effect(n: int, level: float) -> float:
    """Return the smallest true difference, in spreads, that ``n`` seeds decide with ``POWER``; infinite for one."""
    if n < 2:
        return math.inf
    threshold = float(stats.t.ppf((1 + level) / 2, n - 1))
    most = 4 * (threshold + 2) / math.sqrt(n)  # (effect sqrt(n) + z) / spread > threshold, for nearly all z and spreads
    return float(optimize.brentq(lambda effect: power(effect, n, level) - POWER, 0.0, most, xtol=1e-9))


def corrected(level: float, num_claims: int) -> float:
    """Return the level that Holm's method asks of the first of several claims."""
    return 1 - (1 - level) / max(1, num_claims)


def pooled(spreads: "np.typing.ArrayLike") -> float:
    """Return one spread for several differences: the root of their mean square; NaN where none is known."""
    known = np.asarray(spreads, dtype=float)
    known = known[np.isfinite(known) & (known > 0)]
    return float(np.sqrt(np.mean(known**2))) if len(known) else math.nan


def seeds_in_words(number: int | None) -> str:
    """Say a number of seeds by its order of magnitude, which is all that few seeds can tell of it; None is too many.

    >>> seeds_in_words(8), seeds_in_words(67), seeds_in_words(240), seeds_in_words(1001)
    ('fewer than 10 seeds', 'some tens of seeds', 'some hundreds of seeds', 'more than 1,000 seeds')
    """
    if number is None or number > MAX_SEEDS:
        return f"more than {MAX_SEEDS:,} seeds"
    return "fewer than 10 seeds" if number < 10 else f"some {'tens' if number < 100 else 'hundreds'} of seeds"
