import functools
import itertools
import math
import re

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

from unlabeled.dashboards.inference import holm, mean_interval, paired_difference
from unlabeled.dashboards.power import corrected, power, seeds_for, smallest_effect
from unlabeled.dashboards.verdicts import verdict, verdicts
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
        ([0.830, 0.832, 0.829], 0.06, "smaller than claimed"),
        ([0.802, 0.801, 0.799], 0.06, "smaller than claimed"),  # the direction is open, the size is not
        ([0.798, 0.799, 0.801], 0.06, "contradicted"),
        ([0.770, 0.772, 0.769], 0.06, "contradicted"),
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
    assert (whole_above, whole_below) == (decision == "held", decision in ("smaller than claimed", "contradicted"))


def test_reasons_say_points(runs, claim):
    scores = runs_with(runs, {"none": [0.80] * 3, "mlp": [0.830, 0.832, 0.829]})
    assert verdict(claim("mlp", "none"), scores).reason == (
        "mlp minus none is +3.0 points, 95 % interval +2.7 to +3.4 over 3 seeds: all of it lies above zero."
    )
    smaller = verdict(claim("mlp", "none", 0.06), scores).reason
    assert smaller.endswith("all of it lies below the +6.0 points claimed, and above zero.")
    worse = runs_with(runs, {"none": [0.80] * 3, "mlp": [0.770, 0.772, 0.769]})
    assert verdict(claim("mlp", "none", 0.06), worse).reason.endswith("all of it lies below the +6.0 points claimed.")


@pytest.mark.parametrize(
    ("mean", "at_least", "leaning"),
    [
        (0.81, 0.0, "towards the claim"),
        (0.79, 0.0, "against the claim"),
        (0.81, 0.02, "towards less than is claimed"),
        (0.79, 0.02, "against the claim"),
        (0.83, 0.02, "towards the claim"),
    ],
)
def test_an_open_claim_says_which_way_it_leans(runs, claim, mean, at_least, leaning):
    scores = {"none": [0.80] * 3, "mlp": [mean - 0.03, mean, mean + 0.03]}
    found = verdict(claim("mlp", "none", at_least), runs_with(runs, scores))
    assert (found.decision, found.leaning) == ("not decided", leaning)
    assert f"The mean leans {leaning}; if the difference is what was measured" in found.reason
    assert re.search(r"to decide in 4 chances in 5, and 3 seeds can tell no more than the order", found.reason)
    assert verdict(claim("mlp", "none"), runs_with(runs, {"none": [0.8, 0.8], "mlp": [0.9, 0.9001]})).leaning == ""


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
@pytest.mark.parametrize("num_claims", [1, 4, 10])
def test_the_smallest_difference_that_seeds_can_show_has_its_power(n, num_claims):
    level = corrected(0.95, num_claims)
    effect = smallest_effect(n, level)
    assert decided_in(effect, n, level) == pytest.approx(0.8, abs=2e-4)
    assert decided_in(0.95 * effect, n, level) < 0.8
    assert seeds_for(1.0001 * effect, level) == n
    assert smallest_effect(2, level) > 11, "two seeds decide practically nothing"
    assert smallest_effect(1, level) == math.inf


def test_seeds_to_decide_is_the_smallest_number(runs, claim):
    scores = runs_with(runs, {"none": [0.80] * 3, "mlp": [0.81, 0.79, 0.83]})
    found = verdict(claim("mlp", "none"), scores)
    n = found.seeds_to_decide
    assert found.spread == pytest.approx(0.02)
    assert decided_in(0.5, n - 1) < 0.8 <= decided_in(0.5, n)
    assert n == 34  # as Cohen's tables have it; 18 give an even chance
    assert "some tens of seeds to decide in 4 chances in 5" in found.reason
    assert "34" not in found.reason, "three seeds don't know it that well"


@pytest.mark.parametrize("mlp", [[0.81, 0.79, 0.80], [0.8001, 0.75, 0.85]])
def test_no_number_of_seeds_decides_a_mean_on_the_bound(runs, claim, mlp):
    found = verdict(claim("mlp", "none"), runs_with(runs, {"none": [0.80] * 3, "mlp": mlp}))
    assert (found.decision, found.seeds_to_decide) == ("not decided", None)
    assert "it takes more than 1,000 seeds to decide" in found.reason


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
    assert one == 0.04  # a claim that waits for its runs is a claim
    assert math.isnan(missing)


def closed_test(p_values):
    """Holm's values by the definition: a hypothesis falls when every set of hypotheses with it falls to Bonferroni."""
    places = range(len(p_values))
    sets = [s for size in range(1, len(p_values) + 1) for s in itertools.combinations(places, size)]
    falls_at = {s: min(1.0, len(s) * min(p_values[place] for place in s)) for s in sets}
    return [max(falls_at[s] for s in sets if place in s) for place in places]


def test_holm_is_the_closed_test_with_waiting_claims_as_one():
    random = np.random.default_rng(6)
    for _ in range(100):
        p_values = [float(p) for p in random.beta(0.3, 1.0, random.integers(1, 7))]
        waiting = [bool(away) for away in random.random(len(p_values)) < 0.4]
        found = holm([math.nan if away else p for p, away in zip(p_values, waiting, strict=True)])
        expected = closed_test([1.0 if away else p for p, away in zip(p_values, waiting, strict=True)])
        assert [math.isnan(p) for p in found] == waiting
        for p, other, away in zip(found, expected, waiting, strict=True):
            assert away or p == pytest.approx(other)


def test_another_row_that_finishes_undoes_no_decision():
    random = np.random.default_rng(8)
    for _ in range(200):
        p_values = [float(p) for p in random.beta(0.3, 1.0, 6)]
        seen, before = [math.nan] * 6, [math.inf] * 6
        for place in random.permutation(6):
            seen[place] = p_values[place]
            now = holm(seen)
            assert all(p <= was + 1e-15 for p, was in zip(now, before, strict=True) if not math.isnan(p))
            before = [math.inf if math.isnan(p) else p for p in now]
        assert now == pytest.approx(closed_test(p_values))


def test_looking_as_rows_arrive_decides_five_true_nulls_falsely_in_five_percent():
    random, zero = np.random.default_rng(9), np.zeros(3)
    studies = random.normal(0.0, 1.0, (SIMULATIONS // 2, 5, 3))
    p_values = 2 * stats.t.sf(np.abs(studies.mean(2) / stats.sem(studies, axis=2)), 2)
    few = paired_difference(by_seed(studies[0, 0]), by_seed(zero))
    assert few.p == pytest.approx(p_values[0, 0]), "the claims' own p values, computed at once"
    waiting = [math.nan] * 5
    looks = [[*waiting[: 5 - ready], *study[5 - ready :]] for study in p_values.tolist() for ready in range(1, 6)]
    falsely = np.array([min(p for p in holm(look) if not math.isnan(p)) < 0.05 for look in looks]).reshape(-1, 5)
    ignoring = np.array([min(holm([p for p in look if not math.isnan(p)])) < 0.05 for look in looks]).reshape(-1, 5)
    assert falsely.any(axis=1).mean() < 0.05 + 0.017  # 3.5 standard errors
    assert ignoring.any(axis=1).mean() > 0.08, "what counting the waiting claims is for"


def test_a_study_counts_the_claims_whose_runs_are_out(runs, claim):
    frame = runs_with(runs, {"none": [0.80] * 3, "a": [0.815, 0.82, 0.825], "b": [0.9, 0.91, 0.93]})
    alone = verdict(claim("a", "none"), frame)
    found = verdicts([claim("a", "none"), claim("c", "none"), claim("d", "none")], frame)
    assert alone.decision == "held"
    assert [each.decision for each in found] == ["not decided"] * 3
    assert found[0].p_adjusted == pytest.approx(3 * alone.p)
    assert math.isnan(found[1].p_adjusted)


def test_holms_correction_can_withhold_a_decision(runs, claim):
    scores = {"none": [0.80, 0.80, 0.80], "a": [0.815, 0.82, 0.825], "b": [0.81, 0.79, 0.80], "c": [0.80, 0.82, 0.79]}
    claims = [claim(row, "none") for row in "abc"]
    frame = runs_with(runs, scores)
    alone, several = (verdicts(claims, frame, correct_for_several=several)[0] for several in (False, True))
    assert alone.p == several.p < 0.05
    assert several.p_adjusted == pytest.approx(min(1, 3 * alone.p), rel=1e-9)
    assert (alone.decision, several.decision) == ("held", "not decided")
    assert "but not after Holm's correction" in several.reason
    level, effect = 1 - 0.05 / 3, 0.02 / 0.005
    assert decided_in(effect, 3, level) < 0.8 <= decided_in(effect, several.seeds_to_decide, level)


def test_a_claim_waits_for_those_that_holms_method_asks_first(runs, claim):
    spread = np.array([-2, -1, 0, 1, 2]) / math.sqrt(2.5)  # a deviation of 1
    means = {"none": 0.0, "a": 3.85, "b": 1.71, "c": 1.60, "d": 0.06}
    scores = {row: 0.8 + 0.01 * (mean + (row != "none") * spread) for row, mean in means.items()}
    found = verdicts([claim(row, "none") for row in "abcd"], runs_with(runs, scores))
    assert [each.decision for each in found] == ["held", *["not decided"] * 3]
    _, b, c, _ = found
    assert 2 * c.p < 0.05 < 3 * b.p  # so c waits for b only
    assert b.seeds_to_decide == c.seeds_to_decide
    assert (
        decided_in(1.71, b.seeds_to_decide - 1, 1 - 0.05 / 3) < 0.8 <= decided_in(1.71, b.seeds_to_decide, 1 - 0.05 / 3)
    )


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
