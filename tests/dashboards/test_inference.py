import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from unlabeled.dashboards.inference import holm, mean_interval, paired_difference, verdict, verdicts
from unlabeled.platform.errors import UserError

MEASURE = "test/linear/top1"
SIMULATIONS = 4000


def by_seed(values, seeds=None):
    return pd.Series(list(values), index=list(range(len(values))) if seeds is None else seeds, dtype=float)


def runs_with(runs, scores):
    """Exactly these scores: row -> one value per seed."""
    rows = list(scores)
    frame = runs(dict.fromkeys(rows, 0.5), seeds=range(len(scores[rows[0]])))
    frame[MEASURE] = [scores[row][seed] for row, seed in zip(frame["row"], frame["seed"], strict=True)]
    return frame


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
    ("mlp", "at_least", "decision"),
    [
        ([0.830, 0.832, 0.829], 0.0, "held"),
        ([0.830, 0.832, 0.829], 0.02, "held"),
        ([0.830, 0.832, 0.829], 0.06, "contradicted"),
        ([0.770, 0.772, 0.769], 0.0, "contradicted"),
        ([0.830, 0.790, 0.810], 0.0, "not decided"),
        ([0.830, 0.832, 0.829], 0.03, "not decided"),
    ],
)
def test_decisions(runs, claim, mlp, at_least, decision):
    found = verdict(claim("mlp", "none", at_least), runs_with(runs, {"none": [0.80] * 3, "mlp": mlp}))
    assert found.decision == decision
    assert found.n == 3
    assert found.p == found.p_adjusted
    whole_above, whole_below = found.difference.low > at_least, found.difference.high < at_least
    assert (whole_above, whole_below) == (decision == "held", decision == "contradicted")


def test_reasons_say_points(runs, claim):
    scores = runs_with(runs, {"none": [0.80] * 3, "mlp": [0.830, 0.832, 0.829]})
    assert verdict(claim("mlp", "none"), scores).reason == (
        "mlp minus none is +3.0 points, 95 % interval +2.7 to +3.4 over 3 seeds: all of it lies above zero."
    )
    assert "all of it lies below the +6.0 points claimed." in verdict(claim("mlp", "none", 0.06), scores).reason


def test_seeds_to_decide_is_the_smallest_number(runs, claim):
    scores = runs_with(runs, {"none": [0.80] * 3, "mlp": [0.81, 0.79, 0.83]})
    found = verdict(claim("mlp", "none"), scores)
    mean, spread, n = 0.01, 0.02, found.seeds_to_decide
    assert n == 18
    low = [stats.t.interval(0.95, m - 1, loc=mean, scale=spread / math.sqrt(m))[0] for m in (n - 1, n)]
    assert low[0] <= 0 < low[1]
    assert "about 18 seeds would decide" in found.reason


@pytest.mark.parametrize("mlp", [[0.81, 0.79, 0.80], [0.8001, 0.75, 0.85]])
def test_no_number_of_seeds_decides_a_mean_on_the_bound(runs, claim, mlp):
    found = verdict(claim("mlp", "none"), runs_with(runs, {"none": [0.80] * 3, "mlp": mlp}))
    assert (found.decision, found.seeds_to_decide) == ("not decided", None)
    assert "more than 1,000 seeds would be needed" in found.reason


@pytest.mark.parametrize("noise", [0.0, 3e-8])
def test_equal_differences_decide_nothing(runs, claim, noise):
    scores = {"none": [0.80, 0.81], "mlp": [0.82, 0.83 + noise]}  # up to a float32 rounding
    found = verdict(claim("mlp", "none"), runs_with(runs, scores))
    assert (found.decision, found.seeds_to_decide) == ("not decided", None)
    assert math.isnan(found.p)
    assert "+2.0 points in each of 2 seeds" in found.reason


@pytest.mark.parametrize(("keep", "words"), [(1, r"one did \(\+2\.\d points\)"), (0, "none did")])
def test_fewer_than_two_seeds_decide_nothing(runs, claim, keep, words):
    frame = runs()
    frame.loc[(frame["row"] == "mlp") & (frame["seed"] >= keep), "status"] = "FAILED"
    found = verdict(claim("mlp", "none"), frame)
    assert (found.decision, found.n) == ("not decided", keep)
    assert "needs at least two seeds" in found.reason
    assert pytest.approx(1) == len(pd.Series([found.reason]).str.extract(f"({words})").dropna())


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    one, missing = holm([0.02, math.nan])
    assert one == 0.02  # a claim that could not be tested is no test
    assert math.isnan(missing)


def test_holms_correction_can_withhold_a_decision(runs, claim):
    scores = {"none": [0.80, 0.80, 0.80], "a": [0.815, 0.82, 0.825], "b": [0.81, 0.79, 0.80], "c": [0.80, 0.82, 0.79]}
    claims = [claim(row, "none") for row in "abc"]
    frame = runs_with(runs, scores)
    alone, corrected = (verdicts(claims, frame, correct_for_several=several)[0] for several in (False, True))
    assert alone.p == corrected.p < 0.05
    assert corrected.p_adjusted == pytest.approx(min(1, 3 * alone.p), rel=1e-9)
    assert (alone.decision, corrected.decision) == ("held", "not decided")
    assert "but not after Holm's correction" in corrected.reason
    assert corrected.seeds_to_decide == 4


def test_a_claim_waits_for_those_that_holms_method_asks_first(runs, claim):
    spread = np.array([-2, -1, 0, 1, 2]) / math.sqrt(2.5)  # a deviation of 1
    means = {"none": 0.0, "a": 3.85, "b": 1.71, "c": 1.60, "d": 0.06}
    scores = {row: 0.8 + 0.01 * (mean + (row != "none") * spread) for row, mean in means.items()}
    found = verdicts([claim(row, "none") for row in "abcd"], runs_with(runs, scores))
    assert [each.decision for each in found] == ["held", *["not decided"] * 3]
    _, b, c, _ = found
    assert 2 * c.p < 0.05 < 3 * b.p  # so c waits for b only
    assert b.seeds_to_decide == c.seeds_to_decide == 6


def test_protocols_are_not_mixed(runs, claim):
    frame = runs()
    frame.loc[frame["row"] == "mlp", f"protocol:{MEASURE}"] = "linear@2"
    with pytest.raises(UserError, match=r"'linear@1 .*' in linear, none; 'linear@2' in mlp; run the rows") as caught:
        verdict(claim("mlp", "none"), frame)
    assert "\n" not in str(caught.value)
    frame.loc[frame["row"] == "mlp", f"protocol:{MEASURE}"] = None
    with pytest.raises(UserError, match="an unstated protocol"):
        verdict(claim("mlp", "none"), frame)
    frame.loc[frame["row"] == "mlp", "status"] = "FAILED"  # a run that does not count does not mix
    assert verdict(claim("mlp", "none"), frame).n == 0


def test_the_newest_finished_run_speaks_for_its_seed(runs, claim):
    frame = runs_with(runs, {"none": [0.80, 0.80, 0.80], "mlp": [0.82, 0.83, 0.84]})
    older = frame[frame["row"] == "mlp"].assign(started=pd.Timestamp("2020-01-01", tz="UTC"), **{MEASURE: 0.1})
    failed = frame.assign(started=pd.Timestamp("2030-01-01", tz="UTC"), status="FAILED", **{MEASURE: 0.2})
    found = verdict(claim("mlp", "none"), pd.concat([frame, older, failed], ignore_index=True))
    assert found.difference.mean == pytest.approx(0.03)


def test_a_claim_may_compare_two_measures_of_one_row(runs, claim):
    frame = runs_with(runs, {"none": [0.80, 0.81, 0.82], "mlp": [0.90, 0.915, 0.92]})
    frame["test/head/linear/top1"] = frame[MEASURE] - 0.1 - 0.001 * frame["seed"]
    found = verdict(claim("mlp", "mlp", lower_measure="test/head/linear/top1"), frame)
    assert (found.decision, found.n) == ("held", 3)
    assert found.difference.mean == pytest.approx(0.101)
    assert f"{MEASURE} of mlp minus test/head/linear/top1 of mlp is +10.1 points" in found.reason
