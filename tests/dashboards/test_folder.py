"""Folders that reports are written into: what is theirs is replaced and taken away, what is not is never touched."""

import json
import os
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest

from unlabeled.dashboards.folder import MANIFEST, Pages, written_in
from unlabeled.dashboards.method_pages import About
from unlabeled.dashboards.publish import publish, publish_all
from unlabeled.dashboards.reading import read_report
from unlabeled.dashboards.search_reading import read_search_report
from unlabeled.dashboards.website import write_site
from unlabeled.platform.errors import UserError

FILES = {"index.html": "<p>one</p>", "rows.svg": "<svg/>", "methods/moco.html": "<p>MoCo</p>"}


def tree(folder):
    """Everything in a folder: path -> content, or what it leads to."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = f"-> {os.readlink(path)}"
        elif path.is_file():
            found[name] = path.read_bytes()
    return found


@pytest.fixture
def out(tmp_path):
    return tmp_path / "paper"


def as_report(out, record, runs, **changes):
    return read_report(record(**changes), runs(), pd.DataFrame()).write(out)


def as_search(out, record, runs, **changes):
    return read_search_report({"name": "s", "question": "?", **changes}, pd.DataFrame(), pd.DataFrame()).write(out)


def as_site(out, record, runs, **changes):
    reports = {"projection-head": read_report(record(**changes), runs(), pd.DataFrame())}
    return write_site(out, reports, methods=[About("moco", "MoCo.")])


WRITERS = pytest.mark.parametrize("write", [as_report, as_search, as_site])


@WRITERS
def test_what_others_put_there_stays(write, out, record, runs):
    foreign = {
        "overview.svg": "<svg/>",
        "curve-mine.svg": "<svg/>",
        "winner.json": "{}",
        "notes/index.html": "mine",
        "methods/how-we-measured.html": "mine",
        "projection-head/sketch.svg": "<svg/>",
    }
    for name, text in foreign.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text(text)
    before = tree(out)
    for question in ("Once?", "Twice?"):
        write(out, record, runs, question=question)
        assert {name: content for name, content in tree(out).items() if name in before} == before


@WRITERS
@pytest.mark.parametrize("what", ["file", "link", "folder", "dangling link"])
def test_a_file_in_the_way_is_refused_before_anything_is_written(write, out, record, runs, tmp_path, what):
    out.mkdir()
    way = out / "index.html"
    (tmp_path / "elsewhere.html").write_text("mine")
    if what == "file":
        way.write_text("mine")
    elif what == "folder":
        way.mkdir()
    else:
        way.symlink_to(tmp_path / ("elsewhere.html" if what == "link" else "nowhere"))
    before = tree(tmp_path)
    with pytest.raises(UserError, match=r"index\.html is not a report's, so it is not replaced.*--out") as caught:
        write(out, record, runs)
    assert "\n" not in str(caught.value)
    assert tree(tmp_path) == before


def test_a_file_in_the_way_of_one_page_keeps_the_whole_site_unwritten(out, record, runs):
    (out / "methods").mkdir(parents=True)
    (out / "methods" / "moco.html").write_text("mine")
    with pytest.raises(UserError, match=r"methods/moco\.html is not a report's"):
        as_site(out, record, runs)
    assert list(tree(out)) == ["methods/moco.html"]


@WRITERS
def test_a_report_replaces_its_own_and_gives_the_same_bytes(write, out, record, runs):
    write(out, record, runs, question="Once?")
    before = tree(out)
    write(out, record, runs, question="Twice?")
    assert tree(out)["index.html"] != before["index.html"]
    write(out, record, runs, question="Once?")
    assert tree(out) == before


def test_what_the_last_report_had_and_the_next_has_not_goes(out):
    Pages(out, FILES).write()
    assert written_in(out) == sorted(FILES)
    Pages(out, {"index.html": "<p>two</p>"}).write()
    assert set(tree(out)) == {"index.html", MANIFEST}
    assert written_in(out) == ["index.html"]


def test_a_file_that_was_changed_since_is_neither_replaced_nor_deleted(out, capsys):
    Pages(out, FILES).write()
    (out / "rows.svg").write_text("<svg>in colour</svg>")
    before = tree(out)
    with pytest.raises(UserError, match=r"rows\.svg was changed since a report wrote it, so it is not replaced"):
        Pages(out, FILES | {"index.html": "<p>two</p>"}).write()
    assert tree(out) == before
    Pages(out, {"index.html": "<p>two</p>"}).write()
    assert (out / "rows.svg").read_text() == "<svg>in colour</svg>"
    assert capsys.readouterr().err == f"{out / 'rows.svg'} was changed since a report wrote it, so it is left alone\n"
    Pages(out, {"index.html": "<p>three</p>"}).write()  # it is the user's now, and not spoken of again
    assert capsys.readouterr().err == ""


def test_links_are_followed_neither_to_write_nor_to_delete(out, tmp_path):
    Pages(out, FILES).write()
    elsewhere = tmp_path / "elsewhere"
    (out / "methods").rename(elsewhere)
    (out / "methods").symlink_to(elsewhere)
    (out / "rows.svg").rename(tmp_path / "rows.svg")
    (out / "rows.svg").symlink_to(tmp_path / "rows.svg")
    with pytest.raises(UserError, match=r"methods has to be a folder, and is a link; nothing was written"):
        Pages(out, {"index.html": "<p>two</p>", "methods/moco.html": "<p>MoCo</p>"}).write()
    Pages(out, {"index.html": "<p>two</p>"}).write()
    assert (elsewhere / "moco.html").read_text() == "<p>MoCo</p>"
    assert (tmp_path / "rows.svg").read_text() == "<svg/>"
    assert (out / "rows.svg").is_symlink()


def test_a_manifest_that_points_outside_deletes_nothing_there(out, tmp_path):
    Pages(out, FILES).write()
    (tmp_path / "mine.txt").write_text("<svg/>")
    manifest = json.loads((out / MANIFEST).read_text())
    digests = manifest["files"]["rows.svg"]
    manifest["files"] |= {"../mine.txt": digests, str(tmp_path / "mine.txt"): digests, MANIFEST: digests}
    (out / MANIFEST).write_text(json.dumps(manifest))
    Pages(out, {"index.html": "<p>two</p>"}).write()
    assert (tmp_path / "mine.txt").read_text() == "<svg/>"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"files": [], "whole": true}', '{"files": {"a": 3}, "whole": true}'])
def test_a_manifest_that_cannot_be_read_is_one_clear_line(out, text):
    out.mkdir()
    (out / MANIFEST).write_text(text)
    with pytest.raises(UserError, match=r"names the files that a report wrote, and can't be read"):
        Pages(out, FILES).write()
    assert tree(out) == {MANIFEST: text.encode()}
    assert written_in(out) == []


@pytest.mark.parametrize("after", range(6))
def test_a_write_that_is_cut_off_can_be_done_again(out, monkeypatch, after):
    Pages(out, FILES).write()
    newer = {name: text + "<!-- newer -->" for name, text in FILES.items()}
    replace, left = Path.replace, [after]

    def full_disk(self, target):
        if not left[0]:
            raise OSError(28, "No space left on device")
        left[0] -= 1
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full_disk)
        if after < 5:  # two notes of what is written, and three files
            with pytest.raises(UserError, match=r"can't be written into .*paper: No space left on device; make room"):
                Pages(out, newer).write()
        else:
            Pages(out, newer).write()
    assert all((out / name).read_text() in (FILES[name], newer[name]) for name in FILES)
    Pages(out, newer).write()
    assert {name: (out / name).read_text() for name in newer} == newer
    assert set(tree(out)) == {*FILES, MANIFEST}


def test_a_folder_that_is_a_file_is_one_clear_line(out):
    out.write_text("mine")
    with pytest.raises(UserError, match=r"the report can't be written into .*paper: File exists"):
        Pages(out, FILES).write()


def test_a_page_made_with_the_studys_record_is_not_replaced_by_one_without(logged, record, runs, tmp_path):
    home = logged(record(), runs())
    out = tmp_path / "out"
    page = publish("projection-head", home, out)
    site = publish_all(home, tmp_path / "site")
    before = page.read_bytes(), (tmp_path / "site" / "projection-head" / "index.html").read_bytes()
    (home / "artifacts").rename(home / "moved")
    with pytest.raises(UserError, match=r"no study\.json was found with the runs, so the report in .*out, which was"):
        publish("projection-head", home, out)
    found = publish_all(home, tmp_path / "site")
    assert re.match(r"no study\.json was found with the runs", found.failed["projection-head"])
    assert found.written == []
    assert "no study.json was found with the runs" in site.page.read_text()
    assert before == (page.read_bytes(), (tmp_path / "site" / "projection-head" / "index.html").read_bytes())
    said = []
    fresh = publish("projection-head", home, tmp_path / "fresh", said.append).read_text()
    assert "No study.json was found with its runs" in fresh
    shutil.rmtree(home / "artifacts")  # the fresh report was logged there
    (home / "moved").rename(home / "artifacts")
    assert publish("projection-head", home, tmp_path / "fresh").read_text() != fresh


def test_no_password_of_an_address_is_in_any_file(tmp_path, record, runs):
    address = "postgresql://anna:s3cret-word@db.example:5432/store"
    frame = runs().assign(
        link="https://anna:s3cret-word@mlflow.example/#/experiments/1/runs/2",
        notes=f"not drawn: no answer of {address}",
    )
    frame.loc[0, ["status", "reason"]] = ["FAILED", f"{address} does not answer"]
    frame["environment:host"] = address
    reports = {"heads": read_report(record(), frame, pd.DataFrame())}
    write_site(tmp_path / "site", reports, failed={"other": "no"})
    search = frame.assign(**{"search.stage": "trial", "search.trial": range(len(frame))})
    read_search_report({"name": "s", "question": "?"}, search, pd.DataFrame()).write(tmp_path / "search")
    written = tree(tmp_path)
    assert {"site/heads/runs.csv", "search/runs.csv", "site/heads/index.html"} <= set(written)
    for name, content in written.items():
        assert b"s3cret-word" not in content, name
    for name in ("site/heads/index.html", "site/heads/runs.csv", "search/runs.csv"):
        assert b"db.example:5432/store" in written[name], "the rest of the address tells what was asked"
    assert b'href="https://mlflow.example/#/experiments/1/runs/2"' in written["site/heads/index.html"]


def test_the_gallery_is_as_it_was_written():
    gallery = Path(__file__).resolve().parents[2] / "dashboards" / "gallery"
    folders = [path.parent for path in gallery.rglob(MANIFEST)]
    assert {gallery, gallery / "projection-head"} <= set(folders)
    for folder in folders:
        names = written_in(folder)
        assert "index.html" in names
        Pages(folder, dict.fromkeys(names, "")).check()  # each is the report's own, by its digest
    ours = {folder / name for folder in folders for name in written_in(folder)}
    others = {path for path in gallery.rglob("*") if path.is_file() and path.name != MANIFEST} - ours
    assert {path.name for path in others} == {"projection-head.png"}
