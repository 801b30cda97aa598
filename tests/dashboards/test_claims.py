"""Kinds of claims, and looks at them."""

import json

import numpy as np
import pytest
from scipy import stats

from unlabeled.dashboards.comparisons import identity
from unlabeled.dashboards.rates import FIRST_SHARE, Look
from unlabeled.dashboards.verdicts import judge, verdict

MEASURE = "test/linear/top1"


def runs_with(runs, scores):
    """Exactly these scores: row -> one value per seed."""
    rows = list(scores)
    frame = runs(dict.fromkeys(rows, 0.5), seeds=range(len(scores[rows[0]])))
    frame[MEASURE] = [scores[row][seed] for row, seed in zip(frame["row"], frame["seed"], strict=True)]
    return frame


LOOSE = {"none": [0.80, 0.81, 0.79], "a": [0.83, 0.845, 0.825], "b": [0.80, 0.813, 0.791], "c": [0.79, 0.82, 0.80]}


@pytest.mark.parametrize(
    ("b", "decision"),
    [
        ([0.801, 0.811, 0.7905], "held"),
        ([0.83, 0.841, 0.8205], "contradicted"),
        ([0.77, 0.781, 0.7605], "contradicted"),
        ([0.809, 0.8195, 0.801], "not decided"),
        ([0.83, 0.79, 0.80], "not decided"),
    ],
)
def test_no_difference_is_found_and_refuted(runs, claim, b, decision):
    frame = runs_with(runs, {"none": [0.80, 0.81, 0.79], "b": b})
    found = verdict(claim("b", "none", kind="no difference"), frame)
    assert found.decision == decision
    difference = np.array(b) - [0.80, 0.81, 0.79]
    ps = [
        stats.ttest_1samp(difference, at, alternative=side).pvalue for at, side in ((-0.01, "greater"), (0.01, "less"))
    ]
    assert (max(ps) < 0.05) == (decision == "held"), "two one-sided tests"
    assert found.label == decision, "no direction is claimed"
    assert (found.deciding.low > -0.01 and found.deciding.high < 0.01) == (decision == "held"), "that decides is shown"


def test_an_absence_may_be_clear_by_itself_and_not_decided(runs, claim):
    frame = runs_with(runs, {"none": [0.80, 0.81, 0.79], "b": [0.804, 0.8115, 0.7935]})
    claims = [claim("b", "none", kind="no difference")]
    (found,), _ = judge({"claims": claims, "seeds": [0, 1, 2]}, frame)
    assert found.decision == "not decided"
    assert -0.01 < found.difference.low < found.difference.high < 0.01 < found.deciding.high
    assert "within what is negligible (1.0 points) by itself, but not at the level that this look asks" in found.reason


def test_a_difference_of_differences_is_one_contrast(runs, claim):
    scores = {"a": [0.9, 0.91, 0.92], "b": [0.8, 0.812, 0.818], "c": [0.7, 0.71, 0.722], "d": [0.69, 0.70, 0.71]}
    gap = claim("a", "b", kind="difference of differences", than=["c", "d"])
    found = verdict(gap, runs_with(runs, scores))
    by_hand = [a - b - (c - d) for a, b, c, d in zip(*scores.values(), strict=True)]
    assert found.difference.mean == pytest.approx(np.mean(by_hand))
    assert (found.decision, found.model) == ("held", "rows and seeds")
    assert found.reason.startswith("(a minus b) minus (c minus d) is +")


def test_an_order_is_its_rise_with_kendalls_tau(runs, claim):
    scores = {"a": [0.70, 0.71, 0.705], "b": [0.73, 0.735, 0.74], "c": [0.75, 0.752, 0.76]}
    found = verdict(claim("c", "a", kind="order", order=["a", "b", "c"]), runs_with(runs, scores))
    slope = np.polyfit(range(3), [np.mean(values) for values in scores.values()], 1)[0]
    assert found.difference.mean == pytest.approx(2 * slope)
    assert found.decision == "held"
    assert found.tau.mean == stats.kendalltau(range(3), [np.mean(values) for values in scores.values()]).statistic == 1
    assert found.tau.low > 0.3
    back = verdict(claim("a", "c", kind="order", order=["c", "b", "a"]), runs_with(runs, scores))
    assert (back.decision, back.tau.mean) == ("contradicted", -1)
    assert "Kendall's tau of the order is −1.00" in back.reason


@pytest.mark.parametrize(
    ("best", "decision"),
    [(["a"], "held"), (["a", "b"], "held"), (["b", "c"], "contradicted"), (["c"], "contradicted")],
)
def test_the_best_is_in_a_set(runs, claim, best, decision):
    fields = {"kind": "best in a set", "best": best, "among": list(LOOSE)}
    found = verdict(claim(best[0], "none", **fields), runs_with(runs, LOOSE))
    assert found.decision == decision
    assert found.deciding.low < found.deciding.mean < found.deciding.high
    alike = {row: [0.80, 0.81, 0.79 + 0.001 * place] for place, row in enumerate(LOOSE)}
    for negligible, none in ((0.0, "not decided"), (0.01, "no difference")):
        one = claim(best[0], "none", **fields, negligible=negligible)
        assert verdict(one, runs_with(runs, alike)).decision == none


def test_two_that_tie_for_the_best_are_not_told_apart_but_their_set_is(runs, claim):
    scores = LOOSE | {"b": [0.831, 0.844, 0.8255]}
    for best, decision in ((["a"], "no difference"), (["a", "b"], "held"), (["none", "c"], "contradicted")):
        fields = {"kind": "best in a set", "best": best, "among": list(LOOSE)}
        assert verdict(claim(best[0], "none", **fields), runs_with(runs, scores)).decision == decision


def test_two_that_tie_for_the_best_have_no_difference_once_that_is_shown(runs, claim):
    random = np.random.default_rng(1)
    values = {row: random.normal(0.8, 0.006, 12) for row in "abc"} | {"d": random.normal(0.7, 0.006, 12)}
    fields = {"kind": "best in a set", "best": ["a"], "among": list("abcd")}
    found = verdict(claim("a", "none", **fields), runs_with(runs, values))
    assert found.decision == "no difference"
    assert "two one-sided tests show it to be within 1.0 points of zero" in found.reason
    assert verdict(claim("a", "none", **fields, negligible=0.0), runs_with(runs, values)).decision == "not decided"
    few = verdict(claim("a", "none", **fields), runs_with(runs, {row: each[:3] for row, each in values.items()}))
    assert few.decision == "not decided"
    assert 3 < few.seeds_to_decide <= 12
    assert "to decide in 4 chances in 5" in few.reason
    better = values | {"a": values["a"] + 0.01}  # on the border of what is negligible
    assert verdict(claim("a", "none", **fields), runs_with(runs, better)).decision != "no difference"


@pytest.mark.parametrize(
    ("values", "decision"),
    [([0.701, 0.702, 0.6995], "held"), ([0.65, 0.66, 0.64], "held"), ([0.75, 0.76, 0.755], "contradicted")],
)
def test_a_row_that_learns_nothing_collapses(runs, claim, values, decision):
    frame = runs_with(runs, {"none": values, "mlp": [0.8, 0.81, 0.805]})
    frame["untrained/linear/top1"] = 0.7
    fields = {"kind": "collapse", "lower_measure": "untrained/linear/top1"}
    found = verdict(claim("none", "none", **fields), frame)
    assert found.decision == decision
    assert found.model == "rows and seeds", "the other row's gain lends its spread"


def test_direction_and_size_are_two_answers(runs, claim):
    frame = runs_with(runs, {"none": [0.80] * 3, "mlp": [0.830, 0.832, 0.829]})
    for published, size in ((0.1, "smaller than published"), (0.01, "at least as large as published"), (0.03, "open")):
        found = verdict(claim("mlp", "none", published_difference=published), frame)
        assert (found.decision, found.direction, found.size) == ("held", "as claimed", size)
        assert found.answers == f"Direction: as claimed; size: {size}."


def test_rows_lend_each_other_their_spread(runs, claim):
    random = np.random.default_rng(3)
    scores = {row: (0.8 + 0.01 * random.normal(size=3)).tolist() for row in "abcdef"}
    found = verdict(claim("a", "b"), runs_with(runs, scores))
    pair = verdict(claim("a", "b"), runs_with(runs, {row: scores[row] for row in "ab"}))
    assert (found.model, pair.model) == ("rows and seeds", "pairs")
    assert 4 < found.freedom <= 10
    assert pair.freedom == 2
    assert pair.p == pytest.approx(stats.ttest_rel(scores["a"], scores["b"]).pvalue)


def test_more_seeds_may_be_looked_at_and_what_is_decided_stays(runs, claim):
    rows = {"none": [0.80, 0.81, 0.79], "mlp": [0.83, 0.842, 0.819]}
    record = {"claims": [claim("mlp", "none")], "seeds": [0, 1, 2], "rows": {row: {} for row in rows}}
    (first,), look = judge(record, runs_with(runs, rows), when="2030-01-01T00:00:00Z")
    assert (first.decision, look.first, look.seeds) == ("held", 3, (0, 1, 2))
    assert first.level == pytest.approx(FIRST_SHARE * 0.05, rel=1e-3)
    assert Look.of_record(json.loads(json.dumps(look.as_record()))) == look
    more = {"none": [*rows["none"], 0.9, 0.7], "mlp": [*rows["mlp"], 0.7, 0.9]}
    (alone,), _ = judge(record, runs_with(runs, more))
    (again,), later = judge(record | {"seeds": [0, 1, 2, 3, 4]}, runs_with(runs, more), [look])
    assert (alone.decision, again.decision, again.decided_earlier) == ("not decided", "held", 3)
    assert later.first == 3, "what was declared at the first look counts"
    assert "Decided with 3 seeds" in again.reason
    (early,), _ = judge(record | {"seeds": [0, 1, 2, 3, 4]}, runs_with(runs, rows))
    assert "nothing is decided before all 5 declared seeds" in early.reason
    (fixed,), _ = judge(record | {"fixed": True}, runs_with(runs, rows))
    assert fixed.level == pytest.approx(0.05)
    (over,), _ = judge(record | {"fixed": True}, runs_with(runs, more))
    assert (over.level, over.decision) == (0, "not decided")


def test_a_claim_is_known_whatever_its_words(claim):
    one, other = claim("a", "b", statement="One."), claim("a", "b", statement="Other.")
    assert identity(one) == identity(other) != identity(claim("b", "a")) != identity(claim("a", "b", 0.01))
