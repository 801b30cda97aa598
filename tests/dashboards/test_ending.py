"""A command's last words are those of the report."""

import pytest

from unlabeled.dashboards.publish import publish
from unlabeled.platform.cli.ending import answered, next_steps, say_answer
from unlabeled.studies import STUDIES


def test_the_last_words_are_the_reports(logged, runs, capsys):
    study = STUDIES["projection-head"]
    means = dict(zip(study.row_settings("laptop"), (0.60, 0.81, 0.82), strict=True))
    home = logged(study.record("laptop"), runs(means, seeds=(0, 1, 2)))
    page = publish(study.name, home)
    found = answered(page)
    assert found["report"] == page.as_uri()
    assert found["best"]["row"] == "non-linear"
    assert found["best"]["mean"] == pytest.approx(0.82, abs=0.02)
    assert [one["decision"] for one in found["claims"]] == ["held"] * 3
    assert not list(next_steps(found, "projection-head"))
    found["claims"][2] |= {"decision": "not decided", "label": "not decided"}
    (step,) = next_steps(found, "projection-head")
    assert step == "1 claim is open; `unlabeled study run projection-head --until-decided` adds seeds to their rows"
    (step,) = next_steps(found, "projection-head", some_rows=True)
    assert step == "the claims are of other rows, too; `unlabeled study run projection-head` runs them"
    capsys.readouterr()
    say_answer(found, [step])
    report, best, *verdicts, last = capsys.readouterr().out.splitlines()
    assert report == f"report    {page.as_uri()}"
    assert best.startswith("best      non-linear, test/linear/top1 8")
    assert " of 3 seeds, " in best
    assert verdicts[0].startswith("direction held  ")
    assert "A non-linear head beats none. +2" in verdicts[1]
    assert " points, +" in verdicts[1]
    assert verdicts[2].startswith("not decided  ")
    assert last == f"next      {step}"


def test_the_best_of_what_should_be_low_is_the_lowest(tmp_path):
    (tmp_path / "table.csv").write_text(
        "measure,row,n,mean,low,high,untrained\ntrain/loss,a,3,2.0,1.9,2.1,\ntrain/loss,b,3,1.0,,,\ntrain/loss,c,0,,,,\n"
    )
    found = answered(tmp_path / "index.html")
    assert (found["best"]["row"], found["claims"]) == ("b", [])


def test_without_runs_there_is_no_best(tmp_path):
    (tmp_path / "table.csv").write_text("measure,row\n")
    assert answered(tmp_path / "index.html")["best"] is None
