import functools
import math

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

from unlabeled.dashboards.inference import paired_difference
from unlabeled.dashboards.power import equivalence_power, power, smallest_effect

SIMULATIONS = 4000


def by_seed(values):
    return pd.Series(list(values), dtype=float)


@functools.cache
def spreads_seen(n, points=20_000):
    """The standard deviations that n values of a true one of 1 show, each as likely as the others."""
    return np.sqrt(stats.chi2.ppf((np.arange(points) + 0.5) / points, n - 1) / (n - 1))


def decided_in(effect, n, level=0.95):
    """How often n seeds decide rightly, by integrating the normal distribution over the spread that they show."""
    threshold = stats.t.ppf((1 + level) / 2, n - 1) * spreads_seen(n)
    return float(special.ndtr(effect * math.sqrt(n) - threshold).mean())


@pytest.mark.parametrize(("effect", "n"), [(0.0, 4), (0.3, 20), (1.0, 5), (3.0, 3), (12.0, 2), (40.0, 2)])
@pytest.mark.parametrize("level", [0.95, 0.99])
def test_power_is_how_often_the_test_decides(effect, n, level):
    assert power(effect, n, level) == pytest.approx(decided_in(effect, n, level), abs=1e-4)


def test_power_is_what_verdicts_do():
    random, zero = np.random.default_rng(4), by_seed([0.0] * 4)
    samples = random.normal(1.5, 1.0, (SIMULATIONS // 4, 4))
    found = [paired_difference(by_seed(sample), zero) for sample in samples]
    decided = np.mean([each.interval.low > 0 for each in found])
    assert decided == pytest.approx(power(1.5, 4, 0.95), abs=0.055)  # 3.5 standard errors
    assert power(5.0, 1, 0.95) == 0.0


@pytest.mark.parametrize("n", [2, 3, 5, 20])
@pytest.mark.parametrize("level", [0.95, 0.99])
def test_the_smallest_difference_that_seeds_can_show_has_its_power(n, level):
    effect = smallest_effect(n, level)
    assert decided_in(effect, n, level) == pytest.approx(0.8, abs=2e-4)
    assert decided_in(0.95 * effect, n, level) < 0.8
    assert smallest_effect(2, level) > 11, "two seeds decide practically nothing"
    assert smallest_effect(1, level) == math.inf


def test_power_to_find_no_difference_is_what_two_one_sided_tests_do():
    random = np.random.default_rng(5)
    sample = random.normal(0.2, 1.0, (SIMULATIONS, 30))
    half = stats.t.isf(0.05, 29) * sample.std(1, ddof=1) / math.sqrt(30)
    found = (sample.mean(1) - half > -0.7) & (sample.mean(1) + half < 0.7)
    assert equivalence_power(0.2, 0.7, 30, 0.9, 29) == pytest.approx(found.mean(), abs=0.03)
