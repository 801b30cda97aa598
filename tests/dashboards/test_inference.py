import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from unlabeled.dashboards.inference import mean_interval, paired_difference, seeds_apart

SIMULATIONS = 4000


def by_seed(values, seeds=None):
    return pd.Series(list(values), index=list(range(len(values))) if seeds is None else seeds, dtype=float)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_interval_is_scipys(n):
    values = np.random.default_rng(n).normal(0.8, 0.01, n)
    interval = mean_interval(values)
    low, high = stats.t.interval(0.95, n - 1, loc=values.mean(), scale=stats.sem(values))
    assert interval.n == n
    assert (interval.mean, interval.low, interval.high) == pytest.approx((values.mean(), low, high), rel=1e-12)
    wider = mean_interval(values, level=0.99)
    assert wider.low < interval.low < interval.high < wider.high


@pytest.mark.parametrize(("values", "mean"), [([0.8], 0.8), ([0.8, 0.8, 0.8], 0.8), ([0.8, math.nan], 0.8)])
def test_interval_without_spread_has_no_bounds(values, mean):
    interval = mean_interval(values)
    assert interval.mean == pytest.approx(mean)
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)


def test_interval_of_nothing():
    interval = mean_interval([])
    assert interval.n == 0
    assert math.isnan(interval.mean)


@pytest.mark.parametrize("n", [3, 5])
def test_interval_covers_the_truth_at_its_level(n):
    samples = np.random.default_rng(n).normal(0.8, 0.01, (SIMULATIONS, n))
    intervals = [mean_interval(sample) for sample in samples]
    coverage = np.mean([interval.low <= 0.8 <= interval.high for interval in intervals])
    assert coverage == pytest.approx(0.95, abs=0.012)  # 3.5 standard errors; the normal's 1.96 would cover 81 to 88 %


def test_paired_difference_is_scipys():
    random = np.random.default_rng(1)
    better, worse = by_seed(random.normal(0.82, 0.01, 4)), by_seed(random.normal(0.80, 0.01, 4))
    found = paired_difference(better, worse)
    expected = stats.ttest_rel(better, worse)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9)
    interval = expected.confidence_interval(0.95)
    assert (found.interval.low, found.interval.high) == pytest.approx((interval.low, interval.high), rel=1e-9)
    against = paired_difference(better, worse, bound=0.03)
    assert against.p == pytest.approx(stats.ttest_1samp(better - worse, 0.03).pvalue, rel=1e-9)
    assert against.interval == found.interval


def test_pairs_are_matched_by_seed_not_by_place():
    better = by_seed([0.9, 0.7, 0.5, math.nan], seeds=[3, 1, 7, 4])
    worse = by_seed([0.6, 0.8, 0.1], seeds=[1, 3, 4])
    found = paired_difference(better, worse)
    assert found.n == 2
    assert found.interval.mean == pytest.approx(0.1)


def test_p_value_and_interval_agree():
    random = np.random.default_rng(5)
    for _ in range(200):
        n = int(random.integers(2, 6))
        better, worse = by_seed(random.normal(0.01, 0.01, n)), by_seed(random.normal(0, 0.01, n))
        found = paired_difference(better, worse, bound=0.002)
        assert (found.p < 0.05) == (not found.interval.low <= 0.002 <= found.interval.high)


@pytest.mark.parametrize("n", [2, 3])
def test_false_decisions_stay_at_five_percent(n):
    random = np.random.default_rng(10 + n)
    p_values = [
        paired_difference(by_seed(better), by_seed(worse)).p
        for better, worse in random.normal(0.8, 0.01, (SIMULATIONS // 2, 2, n))
    ]
    assert np.mean(np.array(p_values) < 0.05) == pytest.approx(0.05, abs=0.017)  # 3.5 standard errors


def test_effect_size_is_unbiased_for_few_seeds():
    differences = np.random.default_rng(2).normal(0.8, 1.0, (SIMULATIONS // 2, 4))  # true standardised mean 0.8
    zero = by_seed([0.0] * 4)
    found = [paired_difference(by_seed(sample), zero).effect_size for sample in differences]
    raw = differences.mean(axis=1) / differences.std(axis=1, ddof=1)
    assert np.mean(found) == pytest.approx(0.8, abs=0.07)
    assert np.mean(raw) > 1.0  # what the correction is for
    assert found[0] / raw[0] == pytest.approx(1 - 3 / (4 * 3 - 1), rel=0.01)


def test_effect_size_needs_three_seeds():
    assert math.isnan(paired_difference(by_seed([0.3, 0.2]), by_seed([0.1, 0.1])).effect_size)


@pytest.mark.parametrize(
    ("values", "apart"),
    [
        ([0.80, 0.81, 0.50, 0.805, 0.508], [2, 4]),
        ([0.80, 0.81, 0.805, 0.808, 0.40], [4]),
        ([0.80, 0.81, 0.82, 0.83, 0.84], []),
        ([0.80, 0.81, 0.50, 0.805], []),  # too few to tell
        ([0.80] * 6, []),
    ],
)
def test_seeds_that_lie_apart_are_named(values, apart):
    assert sorted(seeds_apart(by_seed(values)).index) == apart
