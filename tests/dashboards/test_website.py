"""All studies as a site: what it says, where it leads, and what it does with what can't be read."""

import itertools
import re
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from written import Page

from unlabeled.dashboards.method_pages import About, Family
from unlabeled.dashboards.pages import TEMPLATES
from unlabeled.dashboards.publish import publish, publish_all
from unlabeled.dashboards.reading import read_report
from unlabeled.dashboards.varied import contrast
from unlabeled.dashboards.website import Declared, Searched, write_site
from unlabeled.methods import METHODS
from unlabeled.platform.cli import look
from unlabeled.platform.errors import UserError
from unlabeled.platform.track import Store
from unlabeled.studies import STUDIES

MEASURE = "test/linear/top1"
CONTRAST, PAPER = Family("contrastive", "Views are told apart."), "He (2020), arXiv:1911.05722."
MOCO = About("moco", "MoCo: a queue of keys.", (PAPER,), CONTRAST, PAPER, 1.35)
WAITING = Declared("queue", "How long must the queue be?", "12 runs")


@pytest.fixture
def reports(record, runs, claim):
    """Two studies: one with two claims, one of another method whose claim nobody can decide."""

    def read():
        momentum = {f"m {value}": {"method.momentum": value} for value in (0.9, 0.99, 0.999)}
        of_momentum = record(
            name="momentum",
            question="How slow?",
            rows=momentum,
            published=[],
            claims=[claim("m 0.99", "m 0.9", negligible=0.0, statement="Slow is better.")],
        )
        frame = runs(dict(zip(momentum, (0.8, 0.8001, 0.81), strict=True))).assign(**{"method.name": "moco"})
        return {
            "projection-head": read_report(record(), runs(), pd.DataFrame()),
            "momentum": read_report(of_momentum, frame, pd.DataFrame()),
        }

    return read


@pytest.fixture
def site(tmp_path, reports):
    out = tmp_path / "reports"
    search = Searched("augmentation", "Which augmentations?", 40, 31)
    write_site(
        out, reports(), [WAITING, Declared("momentum", "?", "")], [MOCO], [search], {"broken": "a <b>reason</b>"}
    )
    return {str(path.relative_to(out)): Page(path) for path in out.rglob("*.html")}


def test_there_is_a_page_for_each_study_and_method_and_one_of_all_claims(site):
    assert set(site) == {
        *("index.html", "claims.html", "methods.html", "projection-head/index.html", "momentum/index.html"),
        *("methods/moco.html", "methods/simclr.html"),
    }


def test_the_first_page_says_what_was_asked_found_and_spent(site):
    text = site["index.html"].text
    for words in (
        "2 studies with runs, 1 search, 3 claims judged: 1 smaller than claimed, 1 held, 1 not decided.",
        *("Does a projection head make the representation before it better?", "How slow?", "2026-03-02"),
        *("9 of 9 planned runs finished", "6 min 18 s of work"),
        *("✓ 1 held", "↓ 1 smaller than claimed", "? 1 not decided", "Highest", "Lowest", "Untrained"),
        *("broken", "a <b>reason</b>", "augmentation", "40", "31"),
        *("contrastive", "moco", "others", "simclr", "queue", "How long must the queue be?", "12 runs"),
    ):
        assert words in text, words
    assert "momentum ?" not in text, "a study that has run is not waiting"


def test_the_page_of_claims_groups_them_and_leads_to_each(site):
    page = site["claims.html"]
    sections = [attributes["id"] for tag, attributes in page.tags if tag == "section"]
    assert sections == ["contradicted", "smaller-than-claimed", "no-difference", "held", "not-decided", "waiting"]
    for words in (
        "Slow is better.",
        "+3.0 points",
        "towards the claim; ",
        "Published",
        "+3 %",
        "How long must the queue be?",
    ):
        assert words in page.text, words
    assert {"projection-head/index.html#claim-1", "momentum/index.html#claim-1"} <= set(page.links())
    claims = pd.read_csv(page.path.parent / "claims.csv")
    assert sorted(claims["study"]) == ["momentum", "projection-head", "projection-head"]


def test_a_methods_page_has_its_paper_and_every_row_that_used_it(site):
    page = site["methods/moco.html"]
    assert "https://arxiv.org/abs/1911.05722" in page.links()
    assert page.links().count("../momentum/index.html") == 3
    assert re.search(r"m 0\.999 momentum test/linear/top1 8\d\.\d %", page.text)
    assert "was not handed in" in site["methods/simclr.html"].text


def test_a_methods_page_shows_its_pictures_formulas_and_lists(tmp_path, record, runs):
    """Pictures of the row that has most: its views and its own figures."""
    pictures: dict[str, dict[str, Path]] = {"mlp": {}, "none": {}}
    for row, kind, colour in (
        *(("mlp", kind, colour) for kind, colour in (("views", "teal"), ("tsne", "red"), ("queue", "navy"))),
        ("none", "views", "gold"),
    ):
        pictures[row][kind] = tmp_path / f"{row}-{kind}.png"
        Image.new("RGB", (4, 4), colour).save(pictures[row][kind])
    report = read_report(record(), runs(), pd.DataFrame(), pictures)
    about = About("simclr", "SimCLR: views.", ("Its loss:", "    l = <a>\n      + b", "- one", "- two"), CONTRAST)
    folder = write_site(tmp_path / "site", {"projection-head": report}, [], [about, MOCO]).parent
    page = Page(folder / "methods" / "simclr.html")
    assert [attributes["alt"].partition(":")[2] for tag, attributes in page.tags if tag == "img"] == [
        " the views that the method saw",
        " queue of test pictures",
    ]
    assert "From the first seed of mlp in projection-head" in page.text
    assert "    l = &lt;a&gt;\n      + b</pre>" in page.path.read_text()
    assert "• one" in page.text
    assert "img" not in [tag for tag, _ in Page(folder / "methods" / "moco.html").tags]


def test_methods_stand_by_family_with_how_far_they_came(site, tmp_path, record, runs):
    page = site["methods.html"]
    for words in ("Contrastive", "Views are told apart.", "MoCo: a queue of keys.", "1.35 × its encoder", "Others"):
        assert words in page.text, words
    assert "In momentum" in page.text, "no study has several methods: no rows side by side"
    rows = {"SimCLR": {}, "MoCo": {"method.name": "moco"}}
    frame = runs({"SimCLR": 0.8, "MoCo": 0.7})
    frame.loc[frame["row"] == "MoCo", "method.name"] = "moco"
    both = {"both": read_report(record(name="both", rows=rows, claims=[], published=[]), frame, pd.DataFrame())}
    page = Page(write_site(tmp_path / "both", both, [], [MOCO]).parent / "methods.html")
    assert re.search(r"(?i)linear probe.* SimCLR 8\d\.\d % \(.*\), 3 seeds", page.text)
    drawings = [attributes["aria-label"] for tag, attributes in page.tags if tag == "svg"]
    assert [re.search(r": (\d\d)\.\d %, 95 % interval", words)[1] for words in drawings] == ["70", "80"]
    dots = [float(attributes["cx"]) for tag, attributes in page.tags if tag == "circle"]
    assert 8 <= dots[0] < dots[1] <= 232, "on one axis, MoCo is below"


def test_every_link_leads_somewhere(site, tmp_path):
    for page in site.values():
        for link in page.links():
            if not link.startswith("http"):
                path, _, anchor = link.partition("#")
                target = (page.path.parent / path).resolve() if path else page.path
                assert target.is_file(), (page.path, link)
                assert not anchor or f'id="{anchor}"' in target.read_text(), (page.path, link)
    assert {"../index.html", "../claims.html", "../methods/simclr.html", "../momentum/index.html"} <= set(
        site["projection-head/index.html"].links()
    )


def test_every_page_is_readable_without_eyes_scripts_or_a_network(site):
    for name, page in site.items():
        tags = [tag for tag, _ in page.tags]
        assert ("html", {"lang": "en"}) in page.tags
        assert tags.count("h1") == tags.count("main") == tags.count("footer") == 1, name
        assert tags.count("caption") == tags.count("table"), name
        assert not {"script", "link", "iframe", "object"} & set(tags)
        levels = [int(tag[1]) for tag in tags if re.fullmatch(r"h[1-6]", tag)]
        assert all(later <= before + 1 for before, later in itertools.pairwise(levels)), (name, levels)
        for tag, attributes in page.tags:
            assert not any(attribute.startswith("on") for attribute in attributes)
            if tag == "th":
                assert attributes["scope"] in ("row", "col")
            if tag == "svg" and "aria-hidden" not in attributes:
                assert len(attributes["aria-label"]) > 20
            if tag == "nav":
                assert attributes["aria-label"]
            if tag == "section":
                assert f'id="{attributes["aria-labelledby"]}"' in page.path.read_text()
        identifiers = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
        assert len(identifiers) == len(set(identifiers)), name


def test_equal_runs_give_equal_bytes_and_stale_methods_go(tmp_path, reports):
    out = tmp_path / "reports"

    def files():
        return {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}

    write_site(out, reports(), [WAITING], [MOCO, About("byol", "BYOL.")])
    first = files()
    write_site(out, reports(), [WAITING], [MOCO, About("byol", "BYOL.")])
    assert files() == first
    write_site(out, reports(), [WAITING], [MOCO])
    assert set(first) - set(files()) == {out / "methods" / "byol.html"}


def test_text_is_escaped_on_every_page(tmp_path, record, runs, claim):
    bad = "<script>alert('x')</script>"
    study = record(question=f"{bad}?", rows={bad: {}, "mlp": {}}, cost=bad, claims=[claim("mlp", bad, statement=bad)])
    frame = runs({bad: 0.8, "mlp": 0.82}).assign(**{"method.name": bad})
    report = read_report(study, frame, pd.DataFrame())
    out = tmp_path / "reports"
    write_site(out, {"s": report}, [Declared(bad, bad, bad)], [About(bad, bad, (bad,))], [], {bad: bad})
    pages = [Page(path) for path in out.rglob("*.html")]
    assert len(pages) == 5
    for page in pages:
        assert "script" not in [tag for tag, _ in page.tags]
        assert bad in page.text


def test_nothing_at_all_is_a_site_too(tmp_path):
    page = Page(write_site(tmp_path / "reports", {}, [WAITING]))
    assert "No study has runs yet." in page.text
    assert "How long must the queue be?" in page.text


def colours():
    """Return each scheme of the style sheet as a parameter: variable -> colour."""
    blocks = re.findall(r":root \{(.*?)\}", (TEMPLATES / "report.css").read_text(), flags=re.DOTALL)
    return [dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block)) for block in blocks]


@pytest.mark.parametrize("scheme", [0, 1, 2], ids=["light", "dark", "print"])
def test_every_pair_of_text_and_background_has_contrast(scheme):
    css = (TEMPLATES / "report.css").read_text()
    colour = colours()[scheme]
    texts = set(re.findall(r"(?<![-\w])color: var\(--([\w-]+)\)", css))
    backgrounds = set(re.findall(r"background: var\(--([\w-]+)\)", css))
    tints = {name for name in backgrounds if name.endswith("-tint")}
    assert texts <= set(colour)
    assert {"page", "paper"} | tints == backgrounds
    pairs = {(text, f"{text}-tint") for text in texts if f"{text}-tint" in tints}
    pairs |= {(text, back) for text in texts for back in ("page", "paper")}  # the brief list has verdicts without tints
    assert len(pairs) >= 15
    for text, back in sorted(pairs):
        assert contrast(colour[text], colour[back]) >= 4.5, (text, back)
    for index in range(8):
        assert contrast(colour[f"series-{index}"], colour["paper"]) >= 3.0, index


def test_a_store_is_published_and_what_cannot_be_read_does_not_stop_it(logged, record, runs, claim):
    logged(record(name="whole"), runs())
    one_seed = record(name="one-seed", seeds=[0], rows={"none": {}, "mlp": {}}, claims=[claim("mlp", "none")])
    logged(one_seed, runs({"none": 0.8, "mlp": 0.82}, seeds=(0,)))
    failed = runs({"none": 0.8, "mlp": 0.82}, seeds=(0, 1)).assign(status="FAILED", reason="the loss became nan")
    logged(one_seed | {"name": "all-failed"}, failed)
    mixed = runs({"none": 0.8, "mlp": 0.82}, seeds=(0, 1))
    mixed.loc[mixed["row"] == "mlp", f"protocol:{MEASURE}"] = "linear@2"
    logged(record(name="mixed"), mixed)
    older = {name: value for name, value in record(name="older").items() if name not in ("also", "rows")}
    logged(older | {"published": {}, "claims": [{"statement": "A head helps.", "better": "mlp"}]}, runs(seeds=(0,)))
    logged(None, runs(seeds=(0,)), name="no-record")
    home = logged("{half", runs(seeds=(0,)), name="half-record")
    store = Store(home)
    store.client.create_experiment("nothing-begun")
    store.client.create_run(store.client.create_experiment("somebody-elses"))
    store.client.create_run(store.client.create_experiment("../outside"), tags={"unlabeled.study": "x"})

    found = publish_all(home, studies=[WAITING, Declared("whole", "?", "")], methods=[MOCO])
    assert found.written[0] == "whole", "in the order of declaration, then by name"
    assert sorted(found.written) == ["all-failed", "no-record", "older", "one-seed", "whole"]
    assert set(found.failed) == {"mixed", "half-record"}
    assert re.search(r"different protocols.*'linear@1.*' in none; 'linear@2' in mlp", found.failed["mixed"])
    assert found.not_logged == {}
    folder = home / "reports"
    text = {name: Page(folder / name / "index.html").text for name in found.written}
    assert "No run has finished yet, of 2 planned." in text["all-failed"]
    assert text["all-failed"].count("the loss became nan") == 4
    assert "none from one seed" in text["one-seed"]
    assert "needs at least two seeds" in text["one-seed"]
    assert "No study.json was found with its runs" in text["no-record"]
    assert "3 runs finished; how many were planned is not recorded." in text["no-record"]
    assert "“A head helps.” lacks higher and lower" in text["older"]
    assert "Its record has no rows." in text["older"]
    assert re.search(r"mlp 8\d\.\d %", text["older"]), "rows that the runs know are shown"
    index = Page(found.page).text
    assert "What could not be reported" in index
    for name in ("mixed", "half-record", "queue"):
        assert name in index
    for foreign in ("somebody-elses", "outside", "nothing-begun"):
        assert foreign not in index
    assert not any(re.search(r"\bnan\b", page.replace("became nan", "")) for page in [index, *text.values()])


def test_reports_are_logged_beside_the_runs_and_are_none_of_them(logged, record, runs):
    home = logged(record(), runs())
    first = publish("projection-head", home)
    store = Store(home)
    experiment = store.experiment("projection-head")
    found = store.client.search_runs([experiment.experiment_id], filter_string="attributes.run_name = 'report'")
    (run,) = found
    files = {item.path for item in store.client.list_artifacts(run.info.run_id, "report")}
    assert {"report/index.html", "report/table.csv", "report/rows.svg"} <= files
    assert (run.data.tags["verdicts.held"], run.data.tags["verdicts.smaller_than_claimed"]) == ("1", "1")
    assert "**held**: A nonlinear projection head is better than none." in run.data.tags["mlflow.note.content"]
    assert len(list(store.runs("projection-head"))) == 9
    before = first.read_bytes()
    assert publish("projection-head", home).read_bytes() == before
    assert len(store.client.search_runs([experiment.experiment_id])) == 10, "reported again in the same run"
    ((_, link),) = store.pages("http://here")
    assert link.endswith("/runs?workflowType=machine_learning&viewStateShareKey=study")
    view = store.experiment("projection-head").tags["mlflow.sharedViewState.study"]
    assert "metrics.`test/linear/top1`" in view
    assert "params.`method.head`" in view


def test_a_report_by_itself_keeps_the_links_of_the_site_that_it_stands_in(logged, record, runs):
    home = logged(record(), runs())
    alone = publish("projection-head", home).read_text()
    assert "../index.html" not in alone
    publish_all(home)
    again = Page(publish("projection-head", home))
    assert {"../index.html", "../claims.html", "../methods/simclr.html"} <= set(again.links())
    assert all((again.path.parent / link.partition("#")[0]).is_file() for link in again.links() if link[0] == ".")


def test_a_store_that_cannot_be_written_still_gives_the_report(logged, record, runs, tmp_path: Path):
    home = logged(record(), runs())
    publish("projection-head", home)
    artifacts = next((home / "artifacts" / "projection-head").glob("*/artifacts/report"))
    for file in artifacts.iterdir():
        file.unlink()
    artifacts.rmdir()
    artifacts.write_text("in the way of the folder")
    said = []
    page = publish("projection-head", home, tmp_path / "out", said.append)
    assert page.is_file()
    assert len(said) == 1
    assert "is written, but not logged to MLflow" in said[0]


def test_the_command_reports_all_with_what_methods_and_studies_say_of_themselves(logged, record, runs, capsys):
    home = logged(record(), runs())
    look.report(None, all_=True, home=home)
    said = capsys.readouterr()
    assert said.out.strip() == str(home / "reports" / "index.html")
    assert said.err == ""
    page = Page(home / "reports" / "methods" / "simclr.html")
    assert "https://arxiv.org/abs/2002.05709" in page.links()
    assert "Shapes" not in page.text
    index = Page(home / "reports" / "index.html").text
    assert all(name in index for name in METHODS)
    assert all(name in index for name in STUDIES)


def test_the_command_names_what_it_could_not_report_and_exits_with_one(logged, record, runs, capsys):
    logged(record(), runs())
    home = logged("{half", runs(seeds=(0,)), name="half")
    with pytest.raises(SystemExit, match="1"):
        look.report(None, all_=True, home=home)
    said = capsys.readouterr()
    assert said.out.strip().endswith("index.html")
    assert said.err.startswith("half: not reported: what is logged of it can't be read (JSONDecodeError")
    assert len(said.err.splitlines()) == 1


@pytest.mark.parametrize(("name", "every"), [(None, False), ("heads", True)])
def test_the_command_takes_a_name_or_all(name, every):
    with pytest.raises(UserError, match="takes a study's name or --all, one of them"):
        look.report(name, all_=every)


def test_a_study_without_runs_is_one_clear_line(home):
    with pytest.raises(UserError, match="no runs of 'heads'"):
        publish("heads", home)
