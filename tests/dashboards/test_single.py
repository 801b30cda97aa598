"""Single runs stand in one table, by the fields in which they differ; the next one joins them."""

import pandas as pd
import pytest
from written import Page

from unlabeled.dashboards import frames
from unlabeled.dashboards.publish import publish
from unlabeled.dashboards.single import comparable, differing, is_single, lines_of, named, scores_of

MEASURE = "test/linear/top1"


@pytest.fixture
def table(runs):
    """SimCLR at two temperatures, one of them over two seeds, and MoCo with a field of its own."""

    def one(digest, seed, top1, **fields):
        frame = runs({"simclr": top1}, seeds=(seed,)).assign(study="runs", profile="single", row_digest=digest)
        frame = frame.drop(columns="method.head").assign(**{name.replace("__", "."): v for name, v in fields.items()})
        return frame.assign(run_id=f"{digest}{seed}", base=f"base-{digest}")

    moco = one("c", 0, 0.79, method__name="moco", method__queue=1024).drop(columns="method.temperature")
    parts = [one("a", 0, 0.82), one("b", 0, 0.85, method__temperature=0.5), one("b", 1, 0.84, method__temperature=0.5)]
    parts = [part.assign(started=part["started"] + pd.Timedelta(hours=at)) for at, part in enumerate([*parts, moco])]
    return pd.concat(parts, ignore_index=True)


def test_rows_are_called_by_what_tells_them_apart(table):
    assert is_single(table)
    assert not is_single(table.assign(profile="laptop"))
    assert differing(table) == ["method.name", "method.temperature"], "a queue that only MoCo has is no difference"
    assert list(dict.fromkeys(named(table)["row"])) == ["simclr temperature 0.2", "simclr temperature 0.5", "moco"]
    unseen = table.assign(row_digest=[f"{digest}{at}" for at, digest in enumerate(table["row_digest"])])
    assert named(unseen)["row"].is_unique, "what differs in nothing that is logged is numbered"


def test_the_best_stands_on_top_and_seeds_share_a_line(table):
    lines = lines_of(named(table), scores_of(named(table)))
    assert [line.row for line in lines] == ["simclr temperature 0.5", "simclr temperature 0.2", "moco"]
    assert [line.seeds for line in lines] == ["0, 1", "0", "0"]
    assert lines[2].fields["method.temperature"] == "—"


def test_numbers_of_two_protocols_stand_in_two_columns(table):
    table.loc[0, f"protocol:{MEASURE}"] = "linear@9"
    rows = named(table)
    columns = [(one.protocol[:8], list(one.of)) for one in scores_of(rows) if one.metric == MEASURE]
    assert columns == [("linear@1", ["moco", "simclr temperature 0.5"]), ("linear@9", ["simclr temperature 0.2"])]
    assert comparable(rows)[MEASURE].isna().tolist() == [True, False, False, False], "figures take one"


def test_every_run_is_on_the_page_and_in_the_frame(logged, table, tmp_path):
    table.loc[3, ["status", "reason"]] = ["FAILED", "<script>alert(1)</script>"]
    home = logged({"name": "runs"}, table, name="runs")
    page = Page(publish("runs", home, base="unknown", or_newest=True))
    assert "3 configurations, 3 of 4 runs finished." in page.text
    assert "seed 0 failed: <script>alert(1)</script>" in page.text
    assert [tag for tag, _ in page.tags].count("script") == 1, "ours, that sorts"
    (policy,) = [given["content"] for tag, given in page.tags if given.get("http-equiv") == "Content-Security-Policy"]
    assert "script-src 'sha256-" in policy
    heads = [given.get("scope") for tag, given in page.tags if tag == "th"]
    assert heads.count("row") == 3 + 1 + 4, "configurations, what is missing, every run"
    assert sorted(set(frames.runs("runs", home)["row"])) == ["moco", "simclr temperature 0.2", "simclr temperature 0.5"]
