"""What a number of seeds can show: the power of Student's t on a contrast, at the level that its design allows.

If the true contrast is ``effect`` spreads away from what it is tested against, t follows the noncentral t distribution
with noncentrality ``effect * sqrt(n)`` (Cohen 1988, ch. 2). An effect is counted in spreads: standard deviations, over
seeds, of the contrast of one seed. Paired differences have ``n - 1`` degrees of freedom, a study's model has more.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import optimize, special, stats

from unlabeled.dashboards.comparisons import Comparison
from unlabeled.dashboards.rates import MOST_SEEDS, Design
from unlabeled.platform.metrics import BEST, COLLAPSE, NO_DIFFERENCE

POWER = 0.8
CHANCES = "4 chances in 5"  # how a page says it
TYPICAL_SPREAD = 0.009  # of differences in top-1: the median over the 18 such claims of five laptop studies (gallery/)


def power(effect: float, n: int, level: float, freedom: float | None = None) -> float:
    """Return how often ``n`` seeds decide, in the right direction, when the true contrast is ``effect`` spreads.

    Args:
        effect: at least 0.
        n: seeds that all rows have; below two nothing is ever decided.
        level: of the interval that must leave the bound out: 0.95, or more where several claims are corrected for.
        freedom: degrees of freedom of the error; ``n - 1`` where None.
    """
    if n < 2 or level >= 1:
        return 0.0
    freedom = freedom or n - 1.0
    threshold = float(stats.t.isf((1 - level) / 2, freedom))
    return float(stats.nct.sf(threshold, freedom, effect * math.sqrt(n)))


def equivalence_power(effect: float, limit: float, n: int, level: float, freedom: float) -> float:
    """Return how often the interval of a level lies within ``limit`` spreads of zero, by the normal approximation."""
    if n < 2 or level >= 1:
        return 0.0
    threshold, root = float(stats.t.isf((1 - level) / 2, freedom)), math.sqrt(n)
    sides = [special.ndtr((limit + sign * effect) * root - threshold) for sign in (-1, 1)]
    return max(0.0, float(sum(sides)) - 1.0)


def smallest_effect(n: int, level: float, freedom: float | None = None) -> float:
    """Return the smallest true contrast, in spreads, that ``n`` seeds decide with ``POWER``; infinite for one."""
    if n < 2 or level >= 1:
        return math.inf
    threshold = float(stats.t.isf((1 - level) / 2, freedom or n - 1.0))
    most = 4 * (threshold + 2) / math.sqrt(n)  # (effect sqrt(n) + z) / spread > threshold, for nearly all z and spreads
    return float(optimize.brentq(lambda effect: power(effect, n, level, freedom) - POWER, 0.0, most, xtol=1e-9))


def seeds_to_decide(
    claim: Mapping[str, Any], compared: Comparison, design: Design, main_rate: float, side_rate: float
) -> int | None:
    """Return how many seeds decide a claim with ``POWER``, if the true contrast and spread are those measured.

    Whichever way: the contrast may be shown to lie on either side of what is asked for, or to be negligible. None where
    no number of seeds that the design may decide with does, or where the seeds gave no spread. Of a claim on the best,
    it is what tells the best of either side apart, which are the hardest to.

    Args:
        claim: as recorded.
        compared: its contrast.
        design: when it may be decided.
        main_rate: the claim's rate, over all looks, for what it asks.
        side_rate: the same for what it does not ask.
    """
    if not compared.error > 0:
        return None
    mean, limit = compared.estimate / compared.spread, float(claim.get("negligible") or 0.0) / compared.spread
    bound = float(claim["at_least"]) / compared.spread
    targets = [bound] if bound == 0 else [bound, 0.0]
    one_sided, beyond = side_rate, main_rate
    if claim["kind"] == NO_DIFFERENCE:
        targets, one_sided, beyond = [math.copysign(limit, mean)], main_rate, side_rate
        targets = targets if abs(mean) > limit else []
    elif claim["kind"] == COLLAPSE:
        targets, one_sided = [limit], 0.0
    start = compared.n + 1 if design.fixed else max(compared.n + 1, design.first)

    among = len(claim["among"]) - 1 if claim["kind"] == BEST else 0

    def level_of(rate: float, n: int, patient: bool = False) -> float:
        # a fixed design has no later look: what it takes is a study that declares so many seeds
        level = min(1.0, rate) if design.fixed else design.level(min(1.0, rate), n, patient)
        return min(1.0, 2 * level / among) if among else level

    for n in range(start, MOST_SEEDS + 1):
        freedom = max(1.0, compared.freedom * (n - 1) / max(1, compared.n - 1))
        level = 1 - level_of(beyond, n)
        if any(power(abs(mean - target), n, level, freedom) >= POWER for target in targets):
            return n
        if limit and one_sided:
            sided = 1 - level_of(one_sided if among else 2 * one_sided, n, True)
            if equivalence_power(abs(mean), limit, n, sided, freedom) >= POWER:
                return n
    return None


def pooled(spreads: "np.typing.ArrayLike") -> float:
    """Return one spread for several differences: the root of their mean square; NaN where none is known."""
    known = np.asarray(spreads, dtype=float)
    known = known[np.isfinite(known) & (known > 0)]
    return float(np.sqrt(np.mean(known**2))) if len(known) else math.nan


def seeds_in_words(number: int | None) -> str:
    """Say a number of seeds by its order of magnitude, which is all that few seeds can tell of it; None is too many.

    >>> seeds_in_words(8), seeds_in_words(37), seeds_in_words(None)
    ('fewer than 10 seeds', 'some tens of seeds', 'more than 40 seeds')
    """
    if number is None or number > MOST_SEEDS:
        return f"more than {MOST_SEEDS} seeds"
    return "fewer than 10 seeds" if number < 10 else "some tens of seeds"
