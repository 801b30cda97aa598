"""What declared seeds can show: said before and after runs, by the study's record alone."""

import math
import re

import numpy as np
import pytest
from scipy import optimize, stats

from unlabeled.dashboards.detectable import detectable, needs, open_in_words, smallest_of
from unlabeled.dashboards.power import TYPICAL_SPREAD, pooled
from unlabeled.dashboards.rates import rate_of_each
from unlabeled.dashboards.verdicts import judge
from unlabeled.platform.cli.sweeping import seeds_show
from unlabeled.platform.metrics import duration
from unlabeled.studies import STUDIES

TOP1 = "test/linear/top1"


def test_before_any_run_the_spread_is_a_typical_one_and_said_to_be(record):
    (said,) = detectable(record())
    each = rate_of_each(np.array([[1, 0.5], [0.5, 1]]), 0.9 * 0.05)  # two claims that share a row
    threshold = stats.t.isf(0.6 * each / 2, 4)  # three rows and three seeds
    effect = optimize.brentq(lambda d: stats.nct.sf(threshold, 4, d * math.sqrt(3)) - 0.8, 0, 100)
    assert said == (
        f"3 seeds and 2 claims decide a true difference in {TOP1} in 4 chances in 5 if it is at least "
        f"{100 * effect * TYPICAL_SPREAD:.1f} points, {effect:.2g} times the spread of the difference over seeds "
        "(0.9 points, typical of a linear probe here; no runs tell this study's own)."
    )


def test_runs_tell_the_spread(record, runs):
    frame = runs()
    pivot = frame.pivot(index="seed", columns="row", values=TOP1)
    spreads = [(pivot["mlp"] - pivot[row]).std() for row in ("none", "linear")]
    (said,) = detectable(record(), frame)
    assert f"({100 * np.sqrt(np.mean(np.square(spreads))):.1f} points, from the finished runs of 2 claims)" in said
    only = detectable(record(), frame[frame["row"] != "linear"])
    assert "from the finished runs of 1 claim)" in only[0]
    assert detectable(record(), frame[frame["seed"] == 0]) == detectable(record()), "one seed has no spread"
    assert detectable(record(), frame.iloc[:0]) == detectable(record())


def test_each_measure_has_its_own_and_one_without_runs_is_in_spreads(record, claim):
    claims = [*record()["claims"], claim("mlp", "none", measure="train/seconds")]
    top1, seconds = detectable(record(claims=claims))
    assert "points" in top1
    assert re.search(r"if it is at least \d\.\d times the spread of the difference over seeds\.$", seconds)


@pytest.mark.parametrize(
    ("seeds", "words"),
    [([0], "1 seed has no spread"), ([0, 1], "Two seeds decide practically nothing"), ([], None)],
)
def test_few_seeds_are_told_so(record, seeds, words):
    said = detectable(record(seeds=seeds))
    assert (words in said[-1]) if words else said == []


def test_more_claims_ask_for_larger_differences_and_kinds_without_a_size_have_none(record, claim):
    one = record()["claims"][:1]
    few, many = (smallest_of(record(claims=claims), claims[0], 3) for claims in (one, [*one, claim("linear", "none")]))
    assert few < many
    assert detectable(record(claims=[claim("mlp", "none", kind="no difference")])) == []


def test_spreads_of_several_claims_become_one():
    assert pooled([3.0, 4.0, 0.0, math.nan]) == pytest.approx(math.sqrt(12.5))
    assert math.isnan(pooled([]))


@pytest.mark.parametrize("study", STUDIES.values(), ids=list(STUDIES))
def test_every_study_can_say_it(study):
    said = detectable(study.record("laptop"))
    assert not any(math.isnan(claim["at_least"]) for claim in study.record("laptop")["claims"])
    sized = [claim for claim in study.record("laptop")["claims"] if claim["kind"] not in ("best in a set", "collapse")]
    assert len(said) >= len({claim["measure"] for claim in sized if claim["kind"] != "no difference"})


def test_the_commands_read_the_spread_off_the_home_and_make_none(logged, runs, tmp_path):
    study, momentum = STUDIES["projection-head"], STUDIES["momentum"]
    laptop, cluster = study.record("laptop"), study.record("cluster")
    means = dict(zip(study.row_settings("laptop"), (0.79, 0.81, 0.82), strict=True))
    home = logged(laptop, runs(means, seeds=(0, 1, 2)))
    assert "from the finished runs of 3 claims" in seeds_show(study.name, laptop, home)[0]
    assert seeds_show(study.name, cluster, home) == detectable(cluster), "its runs are of another scale"
    assert seeds_show(study.name, laptop, tmp_path / "none") == detectable(laptop)
    assert not (tmp_path / "none").exists()
    assert "typical of a linear probe" in seeds_show(momentum.name, momentum.record("laptop"), home)[0], "no runs there"


def test_what_is_open_says_the_runs_and_the_time_that_decide_it(record, runs, claim):
    frame = runs({"none": 0.80, "linear": 0.80, "mlp": 0.81})
    claims = [claim("mlp", "none", negligible=0.0), claim("linear", "none", negligible=0.0)]
    judged, _ = judge(record(claims=claims), frame)
    found = needs(judged, frame, most=40)
    assert [need.verdict for need in found] == [one for one in judged if one.decision == "not decided"]
    for need in found:
        assert need.seeds == need.verdict.seeds_to_decide
        if need.seeds:
            assert set(need.runs.values()) == {need.seeds - 3}
            seconds = frame.groupby("row")["seconds"].mean()
            assert need.seconds == pytest.approx(sum(num * seconds[row] for row, num in need.runs.items()))
    assert all(need.seeds is None and not need.runs for need in needs(judged, frame, most=3))


def test_what_is_open_is_said_with_its_runs_and_time_each_run_once(record, runs, claim):
    frame = runs({"none": 0.80, "linear": 0.805, "mlp": 0.807}, spread=0.02, seconds=60.0)
    claims = [claim(row, "none", negligible=0.0) for row in ("mlp", "linear")]
    judged, _ = judge(record(claims=claims), frame)
    found = needs(judged, frame, most=40)
    assert all(need.seeds for need in found)
    assert len(found) == 2
    more = sum(need.runs[row] for need, row in zip(found, ("mlp", "linear"), strict=True))
    more += max(need.runs["none"] for need in found)
    (said,) = open_in_words(judged, frame)
    assert said.startswith(f"2 of 2 claims are open; about {more} more runs, {duration(60.0 * more)} of work,")
    assert "would decide 2 in 4 chances in 5" in said
    apart = runs({"none": 0.80, "linear": 0.9, "mlp": 0.9})
    assert open_in_words(judge(record(claims=claims), apart)[0], apart) == ["All of its claims are decided."]
    alike = runs({"none": 0.80, "linear": 0.80, "mlp": 0.80}, spread=0.05)
    (said,) = open_in_words(judge(record(claims=claims[:1]), alike)[0], alike)
    assert said.startswith("1 of 1 claim is open; ")
