"""Every base of a study has its page: the one that was asked for is given, and each names the others."""

import shutil

import pandas as pd
import pytest
from written import Page

from unlabeled.dashboards import frames
from unlabeled.dashboards.bases import Base, bases_of, find_base, place_of, runs_of
from unlabeled.dashboards.publish import publish, publish_all
from unlabeled.dashboards.reading import read_report
from unlabeled.platform.cli.look import report
from unlabeled.platform.errors import UserError
from unlabeled.platform.track import Store

LONG, SHORT = "aaaa000011112222", "bbbb000011112222"


def later(frame, minutes):
    return frame.assign(started=frame["started"] + pd.Timedelta(minutes=minutes))


@pytest.fixture(scope="module")
def twice(tmp_path_factory, empty_store, log_runs, record, runs):
    """A home with a study run over 8 epochs, and then over 2."""
    home = tmp_path_factory.mktemp("twice")
    shutil.copy(empty_store, home)
    log_runs(home, record(), runs(base=LONG))
    log_runs(home, record(seeds=[0]), later(runs(seeds=(0,), base=SHORT, epochs=2), 60))
    return home


def test_each_base_has_its_page_and_names_the_other(twice):
    newest = publish("projection-head", twice)
    asked = publish("projection-head", twice, base=LONG)
    assert newest == twice / "reports" / "projection-head" / "index.html"
    assert asked == newest.parent / "aaaa0000" / "index.html"
    text, other = Page(newest).text, Page(asked).text
    assert "This page is of epochs 2. Also run: epochs 8: 9 of 9 runs finished, 2026-03-02" in text
    assert "This page is of epochs 8. Also run: epochs 2: 3 of 3 runs finished, 2026-03-02" in other
    assert "All 3 planned runs finished." in text
    assert "All 9 planned runs finished." in other
    for page in (newest, asked):
        for link in Page(page).links():
            if not link.startswith(("http", "#")):
                assert (page.parent / link).is_file(), link
    store = Store(twice)
    experiment = store.experiment("projection-head").experiment_id
    (run,) = store.client.search_runs([experiment], filter_string="tags.`mlflow.runName` = 'report'")
    logged = store.client.list_artifacts(run.info.run_id, "report/aaaa0000")
    assert "report/aaaa0000/index.html" in {file.path for file in logged}


def test_the_newest_base_moves_to_the_studys_folder_and_the_one_before_below_it(tmp_path, record, runs):
    report = read_report(record(claims=[], published=[]), runs(), pd.DataFrame())

    def pages(*bases):
        reports = [report.among(base) for base in bases]
        reports[0].among(bases[0], reports[1:]).write(tmp_path)
        return sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("index.html"))

    before, now = (Base(digest, {}, 9, 9, "") for digest in (LONG, SHORT))
    assert pages(before) == ["index.html"]
    assert pages(now, before) == ["aaaa0000/index.html", "index.html"]
    assert pages(before, now) == ["bbbb0000/index.html", "index.html"]
    assert not (tmp_path / "aaaa0000").exists(), "its page is the study's now"


def test_the_site_has_every_base(twice):
    published = publish_all(twice)
    page = Page(published.page)
    assert "Its page is of epochs 2. Also run: epochs 8: 9 of 9 runs finished" in page.text
    assert "projection-head/aaaa0000/index.html" in page.links()
    inner = published.page.parent / "projection-head" / "aaaa0000" / "index.html"
    assert "../../claims.html" in Page(inner).links()
    for link in Page(inner).links():
        if not link.startswith(("http", "#")):
            assert (inner.parent / link.partition("#")[0]).is_file(), link


def test_frames_give_the_base_that_is_named(twice):
    assert [one.words for one in frames.bases("projection-head", twice)] == ["epochs 2", "epochs 8"]
    assert len(frames.runs("projection-head", twice)) == 3
    assert len(frames.runs("projection-head", twice, base=LONG[:6])) == 9
    assert len(frames.runs("projection-head", twice, every=True)) == 12
    assert frames.record("projection-head", twice, base="aaaa")["seeds"] == [0, 1, 2]
    assert set(frames.epochs("projection-head", twice, base="aaaa")["seed"]) <= {0, 1, 2}


def test_a_base_that_is_not_there_is_named_with_those_that_are(runs):
    table = pd.concat([runs(base=LONG, row_digest=""), later(runs(base=SHORT, epochs=2, row_digest=""), 60)])
    with pytest.raises(
        UserError, match=rf"bases {SHORT} \(epochs 2\), {LONG} \(epochs 8\), the newest first; 'cccc' is none"
    ):
        find_base(table, "cccc")
    with pytest.raises(UserError, match="--base cccc is of one study"):
        report(all_=True, base="cccc")


def test_a_command_whose_base_has_no_runs_gives_the_newest(logged, record, runs):
    home = logged(record(claims=[]), runs({"mlp": 0.8}, seeds=(0,), base=LONG))
    page = publish("projection-head", home, base="cccc", or_newest=True)
    assert page.parent.name == "projection-head"
    assert "Also run" not in Page(page).text
    with pytest.raises(UserError, match="'cccc' is none of them"):
        publish("projection-head", home, base="cccc")


def test_another_base_that_cannot_be_reported_keeps_nobody_from_the_newest(logged, record, runs):
    broken = runs(seeds=(0,), base=LONG)
    broken.loc[0, "protocol:test/linear/top1"] = "another"
    logged(record(), broken)
    home = logged(record(), later(runs({"mlp": 0.8}, seeds=(0,), base=SHORT, epochs=2), 60))
    text = Page(publish("projection-head", home)).text
    assert "epochs 8: 3 of 3 runs finished, 2026-03-02 (no page: test/linear/top1 was measured by different" in text


def test_what_tells_bases_apart_leaves_out_what_rows_vary(runs):
    table = pd.concat(
        [runs(base=LONG, batch_size=64, row_digest=""), later(runs(base=SHORT, row_digest=""), 60)], ignore_index=True
    )
    newest, before = bases_of(table)
    assert (newest.words, before.words) == ("batch size 256", "batch size 64")
    assert find_base(table) == SHORT
    assert set(runs_of(table, LONG)["batch_size"]) == {64}


def test_a_bases_folder_is_no_path_whatever_its_tag_is():
    assert place_of("0123456789abcdef") == "01234567"
    for tag in ("", "../../etc", "one", "0123"):
        assert place_of(tag).isalnum()
        assert len(place_of(tag)) == 8
