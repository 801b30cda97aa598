import math
import re

import pandas as pd
import pytest

from unlabeled.dashboards.power import power
from unlabeled.dashboards.verdicts import verdict, verdicts
from unlabeled.platform.errors import UserError

MEASURE = "test/linear/top1"


def runs_with(runs, scores):
    """Exactly these scores: row -> one value per seed."""
    rows = list(scores)
    frame = runs(dict.fromkeys(rows, 0.5), seeds=range(len(scores[rows[0]])))
    frame[MEASURE] = [scores[row][seed] for row, seed in zip(frame["row"], frame["seed"], strict=True)]
    return frame


@pytest.mark.parametrize(
    ("mlp", "at_least", "decision"),
    [
        ([0.830, 0.832, 0.829], 0.0, "held"),
        ([0.830, 0.832, 0.829], 0.02, "held"),
        ([0.830, 0.832, 0.829], 0.06, "smaller than claimed"),
        ([0.802, 0.801, 0.799], 0.06, "no difference"),
        ([0.798, 0.799, 0.801], 0.0, "no difference"),
        ([0.790, 0.799, 0.811], 0.06, "smaller than claimed"),  # the direction is open, the size is not
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
    assert found.level == pytest.approx(0.05)
    assert (found.difference.low > at_least) == (decision == "held")
    assert (found.difference.high < 0) == (decision == "contradicted")
    assert found.deciding.low == pytest.approx(found.difference.low), "one claim, one look"


def test_reasons_say_points(runs, claim):
    scores = runs_with(runs, {"none": [0.80] * 3, "mlp": [0.830, 0.832, 0.829]})
    assert verdict(claim("mlp", "none"), scores).reason == (
        "mlp minus none is +3.0 points, 95 % interval +2.7 to +3.4 over 3 seeds: all of it lies above zero."
    )
    smaller = verdict(claim("mlp", "none", 0.06), scores).reason
    assert smaller.endswith("all of it lies below the +6.0 points claimed, and above zero.")
    worse = runs_with(runs, {"none": [0.80] * 3, "mlp": [0.770, 0.772, 0.769]})
    assert verdict(claim("mlp", "none", 0.06), worse).reason.endswith("all of it lies below zero.")


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


def test_seeds_to_decide_is_the_smallest_number(runs, claim):
    scores = runs_with(runs, {"none": [0.80] * 3, "mlp": [0.81, 0.79, 0.83]})
    found = verdict(claim("mlp", "none", negligible=0.0), scores)
    n = found.seeds_to_decide
    assert found.spread == pytest.approx(0.02)
    assert power(0.5, n - 1, 0.95) < 0.8 <= power(0.5, n, 0.95)
    assert n == 34  # as Cohen's tables have it; 18 give an even chance
    assert "some tens of seeds to decide in 4 chances in 5" in found.reason
    assert "34" not in found.reason, "three seeds don't know it that well"


@pytest.mark.parametrize("mlp", [[0.82, 0.78, 0.80], [0.8001, 0.75, 0.85]])
def test_no_number_of_seeds_decides_a_mean_on_the_bound(runs, claim, mlp):
    found = verdict(claim("mlp", "none", negligible=0.0), runs_with(runs, {"none": [0.80] * 3, "mlp": mlp}))
    assert (found.decision, found.seeds_to_decide) == ("not decided", None)
    assert "it takes more than 40 seeds to decide" in found.reason


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


def test_a_study_counts_the_claims_whose_runs_are_out(runs, claim):
    frame = runs_with(runs, {"none": [0.80] * 3, "a": [0.815, 0.82, 0.825]})
    alone = verdict(claim("a", "none", negligible=0.0), frame)
    assert (alone.decision, alone.level) == ("held", pytest.approx(0.05))
    claims = [claim(row, "none", negligible=0.0) for row in ("a", "c", "d", "e", "f")]
    found = verdicts(claims, frame)
    assert [each.decision for each in found] == ["not decided"] * 5
    assert 0.01 <= found[0].level < 0.012, "contrasts without runs are taken as free of each other"
    assert "clear of zero by itself, but not at the level that 5 claims and this look ask for" in found[0].reason


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
    assert f"{MEASURE} minus test/head/linear/top1 of mlp is +10.1 points" in found.reason
