import math
import re
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from written import Page

from unlabeled.dashboards.measured import table
from unlabeled.dashboards.pages import TEMPLATES
from unlabeled.dashboards.reading import read_report
from unlabeled.dashboards.side_by_side import together
from unlabeled.platform.errors import UserError

MEASURE = "test/linear/top1"


@pytest.fixture
def write(tmp_path, record, runs, epochs):
    """Return a function that writes a report and reads its page back."""

    def writer(study=None, frame=None, curves=None, artifacts=None):
        frame = runs() if frame is None else frame
        if curves is None:
            curves = epochs(runs()).query("metric in ['train/loss', 'health/rankme', 'train/images_per_second']")
        path = read_report(study or record(), frame, curves, artifacts or {}).write(tmp_path / "report")
        assert path == tmp_path / "report" / "index.html"
        return Page(path)

    return writer


@pytest.fixture
def pictures(tmp_path):
    for name in ("views", "tsne"):
        Image.new("RGB", (4, 4), "teal").save(tmp_path / f"{name}.png")
    return {
        "none": {"views": tmp_path / "views.png"},
        "mlp": {"views": tmp_path / "views.png", "tsne": tmp_path / "tsne.png", "inpainting": tmp_path / "none.png"},
    }


def test_table_puts_measured_beside_published(record, runs):
    found = table(record(), runs())
    values = runs().query("row == 'mlp'")
    assert list(found.index) == ["none", "linear", "mlp"]
    assert found.loc["mlp", "mean"] == pytest.approx(values[MEASURE].mean())
    assert found.loc["mlp", "low"] < found.loc["mlp", "mean"] < found.loc["mlp", "high"]
    assert found.loc["mlp", "gain"] == pytest.approx((values[MEASURE] - values["untrained/linear/top1"]).mean())
    assert (found.loc["mlp", "n"], found.loc["mlp", "published"]) == (3, "64.6")


def test_gain_is_paired_by_run(record, runs):
    found = table(record(), runs(seeds=range(20))).loc["mlp"]  # a seed moves trained and untrained scores alike
    assert found["gain_high"] - found["gain_low"] < 0.7 * (found["high"] - found["low"])


@pytest.mark.parametrize(
    ("text", "number"),
    [("64.6", 64.6), ("64.6 %", 64.6), ("64.6 ± 0.3", 64.6), ("−1.5", -1.5), ("> 70", math.nan), ("best", math.nan)],
)
def test_published_words_become_numbers_only_where_they_are_numbers(record, runs, text, number):
    published = [record()["published"][0] | {"rows": {"mlp": text}}]
    found = table(record(published=published), runs())
    assert found.loc["mlp", "published_number"] == pytest.approx(number, nan_ok=True)
    assert math.isnan(found.loc["none", "published_number"])


def test_every_published_table_of_a_metric_is_shown_with_what_no_row_stands_for(write, record):
    first = record()["published"][0] | {"others": {"supervised <b>": "76.5"}}
    second = first | {"quantity": "detection, % AP", "rows": {"mlp": "57.4"}, "others": {}}
    later = first | {"quantity": "another metric's", "measure": "test/knn/top1"}
    page = write(study=record(published=[first, second, later], also=["test/knn/top1"]))
    for words in ("64.6", "supervised <b>: 76.5", "Also publisheddetection, % AP", "mlp, published57.4"):
        assert words in page.text, words
    assert ("b", {}) not in page.tags
    assert page.text.count("Published there, not run here") == 2  # of the first and of the other metric's
    damaged = write(study=record(published=[first | {"others": "76.5"}]))
    assert "64.6" in damaged.text
    assert "not run here" not in damaged.text


def test_whole_page_in_order(write, pictures, tmp_path):
    page = write(artifacts=pictures)
    assert page.headings() == [
        *("verdicts", "numbers", "figures", "claims", "setup", "pictures", "missing", "provenance"),
    ]
    assert ("html", {"lang": "en"}) in page.tags
    title = re.search(r"<h1>(.*?)</h1>", (tmp_path / "report" / "index.html").read_text())[1]
    assert title == "Does a projection head make the representation before it better?"
    for words in (
        *("2 claims judged: 1 held, 1 smaller than claimed.", "All 9 planned runs finished.", "✓ Direction held"),
        *("↓ Smaller than claimed", "Published: more than 10 points on ImageNet. Direction: as claimed."),
        *("64.6", "Chen et al. (2020), fig. 8", "ImageNet, ResNet-50, 100 epochs", "Data, encoder and budget differ"),
        *(
            "drawn towards what all rows have in common",
            "Hedges' g",
            "Seeds that would decide",
            "fashion-mnist",
            "convnet",
            "adamw",
        ),
        *("1,010", "812 MB", "Nothing: every planned run finished", "0f3c2a9", "linear@1 (epochs 100) on test"),
        *("3f09c2d1e4b7a8", "2026-03-02", "Kendall's tau of the two orders is 1.00 over 3 rows"),
    ):
        assert words in page.text, words
    assert re.search(r"8[12]\.\d %", page.text)


def test_a_picture_that_rows_share_is_shown_once_and_one_that_is_gone_is_left_out(write, pictures):
    alts = [attributes["alt"] for tag, attributes in write(artifacts=pictures).tags if tag == "img"]
    assert alts == [
        "none, mlp: the views that the method saw",
        "mlp: t-SNE of the encoder's features on test images",
    ]


def test_page_is_readable_without_eyes_and_without_a_network(write, pictures):
    page = write(artifacts=pictures)
    for tag, attributes in page.tags:
        assert tag not in ("script", "link", "iframe", "object")
        assert not any(name.startswith("on") for name in attributes)
        if tag == "img":
            assert attributes["src"].startswith("data:image/webp;base64,")
            assert attributes["alt"].split(": ")[0] in ("none, mlp", "mlp")
        if tag == "svg" and "aria-hidden" not in attributes:
            assert attributes["role"] == "img"
            assert len(attributes["aria-label"]) > 20
        if tag == "th":
            assert attributes["scope"] in ("row", "col")
    tags = [tag for tag, _ in page.tags]
    assert tags.count("img") == 2
    drawings = [place for place, tag in enumerate(tags) if tag == "svg" and "aria-hidden" not in page.tags[place][1]]
    assert all(tags[place + 1] == "title" for place in drawings)
    assert len(drawings) == 2 + 1 + 4, "two claims on an axis, and the figures"
    assert tags.count("caption") == tags.count("table")
    identifiers = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    targets = {attributes["href"][1:] for tag, attributes in page.tags if attributes.get("href", "").startswith("#")}
    assert targets <= set(identifiers)
    assert "url(http" not in (TEMPLATES / "report.css").read_text()


def test_files_beside_the_page(write, tmp_path, record, runs):
    write()
    folder = tmp_path / "report"
    rows = pd.read_csv(folder / "table.csv", index_col="row")
    pd.testing.assert_frame_equal(rows[["mean", "low", "gain"]], table(record(), runs())[["mean", "low", "gain"]])
    assert len(pd.read_csv(folder / "runs.csv")) == 9
    verdicts = pd.read_csv(folder / "verdicts.csv")
    assert list(verdicts["decision"]) == ["held", "smaller than claimed"]
    assert list(verdicts["n"]) == [3, 3]
    assert (verdicts["low"] < verdicts["difference"]).all()
    names = {path.name for path in folder.glob("*.svg")}
    assert {"rows.svg", "published.svg", "curve-train-loss.svg", "curve-health-rankme.svg"} <= names
    assert not any("images-per-second" in name for name in names)


def test_equal_runs_give_an_equal_page_and_stale_figures_go(write, tmp_path, record, epochs, runs):
    folder = tmp_path / "report"
    write()
    first = (folder / "index.html").read_bytes()
    write()
    assert (folder / "index.html").read_bytes() == first
    write(study=record(published=[]), curves=epochs(runs()).query("metric == 'train/loss'"))
    assert {path.name for path in folder.glob("*.svg")} == {"forest.svg", "rows.svg", "curve-train-loss.svg"}


def test_text_is_escaped_everywhere(write, record, runs, claim):
    bad = "<script>alert('x')</script>"
    frame = runs({bad: 0.8, "mlp": 0.82}).assign(**{"method.head": bad, "environment:processor": bad})
    frame.loc[0, ["status", "reason"]] = ["FAILED", bad]
    frame["name"] = bad
    frame["link"] = "javascript:alert(1)"
    study = record(
        rows={bad: {}, "mlp": {}},
        question=f"{bad}?",
        expected=bad,
        published=[{"source": bad, "setting": bad, "quantity": bad, "rows": {bad: bad}, "measure": MEASURE}],
        claims=[claim("mlp", bad, statement=bad, published=bad)],
    )
    page = write(study=study, frame=frame, curves=pd.DataFrame())
    assert "script" not in [tag for tag, _ in page.tags]
    assert page.text.count(bad) > 12
    assert not any("javascript" in str(attributes.get("href")) for _, attributes in page.tags)


def test_no_runs_at_all(write):
    page = write(frame=pd.DataFrame(), curves=pd.DataFrame())
    assert "No run has finished yet, of 9 planned." in page.text
    assert "No finished run has logged test/linear/top1" in page.text
    assert page.text.count("Missing") == 9
    assert "64.6" in page.text  # the published numbers are there to read already
    assert "figures" not in page.headings()


def test_one_seed_has_means_but_no_interval(write, runs, record):
    page = write(study=record(seeds=[0]), frame=runs(seeds=(0,)))
    assert page.text.count("none from one seed") == 3
    assert "needs at least two seeds" in page.text
    assert not re.search(r"\bnan\b", page.text)


def test_measure_absent_names_what_there_is(write, record):
    page = write(study=record(measure="test/segmentation/iou"))
    assert (
        "No finished run has logged test/segmentation/iou; logged on test: test/knn/top1, test/linear/top1."
        in page.text
    )
    assert page.text.count("finished without test/segmentation/iou") == 9


def test_without_claims_published_numbers_and_labels(write, record, runs):
    frame = runs().drop(columns=[name for name in runs().columns if "top1" in name])
    page = write(study=record(claims=[], published=[], measure="health/rankme"), frame=frame)
    assert "This study makes no claims to judge." in page.text
    assert "names no published numbers" in page.text
    assert "claims" not in page.headings()
    assert "pictures" not in page.headings()


def test_what_is_missing_is_listed(write, runs):
    frame = runs()
    frame.loc[2, ["status", "reason"]] = ["FAILED", "the loss became nan at step 412"]
    frame.loc[4, "status"] = "RUNNING"
    frame.loc[5, "status"] = "KILLED"
    frame.loc[6, MEASURE] = math.nan
    page = write(frame=frame.drop(index=8))
    assert "5 of 9 planned runs finished" in page.text
    assert "5 runs that did not finish" in page.text
    for words in ("Failed", "the loss became nan at step 412", "Running", "Killed", "Missing", "finished without"):
        assert words in page.text


def test_what_is_missing_of_finished_runs_is_listed(write, runs):
    frame = runs().assign(notes="")
    assert "Notes on finished runs" not in write(frame=frame).text
    frame.loc[(frame["row"] == "mlp") & (frame["seed"] == 1), "notes"] = (
        "t-SNE was not drawn: <no>\nhealth was not measured"
    )
    page = write(frame=frame).text
    assert "mlp seed 1: t-SNE was not drawn: <no> mlp seed 1: health was not measured" in page
    assert "could not be drawn or measured in finished runs: 2 notes at the end of the page." in page
    assert "Nothing: every planned run" not in page


def test_settings_that_no_row_sets_are_pointed_out(write, runs):
    frame = runs()
    assert "although no row sets them" not in write(frame=frame).text
    frame.loc[frame["row"] == "mlp", "epochs"] = 16
    assert re.search(r"although no row sets them[^.]*: epochs\.", write(frame=frame).text)


def test_the_precision_is_what_it_came_to_and_a_mix_of_them_is_pointed_out(write, runs):
    frame = runs().assign(precision="auto", **{"environment:precision": "fp32", "environment:device": "cpu"})
    page = write(frame=frame)
    assert re.search(r"Setting here\s?data .{10,200} precision fp32 Data, encoder", page.text)
    assert "precision <strong>fp32</strong>" in page.source
    assert "computed with different" not in page.text
    frame.loc[frame["row"] == "mlp", "environment:precision"] = "bf16"
    frame.loc[0, ["environment:precision", "environment:device"]] = ["bf16", "cuda"]
    page = write(frame=frame)
    assert "precision bf16 and fp32" in page.text
    assert (
        "The counted runs were computed with different precisions: bf16 in none, mlp; fp32 in none, linear. "
        "A difference of rows, or of seeds, may be theirs." in page.text
    )
    assert "different devices: cuda in none; cpu in none, linear, mlp." in page.text
    frame.loc[frame["environment:precision"] == "bf16", "status"] = "FAILED"  # runs that don't count mix nothing
    assert "computed with different" not in write(frame=frame).text


def test_superseded_runs_are_mentioned(write, runs):
    older = runs().assign(started=pd.Timestamp("2020-01-01", tz="UTC"))
    page = write(frame=pd.concat([older, runs()], ignore_index=True))
    assert "9 earlier finished runs of the same row and seed are not counted" in page.text


def test_mixed_protocols_write_nothing(write, runs, tmp_path):
    frame = runs()
    frame.loc[frame["row"] == "mlp", f"protocol:{MEASURE}"] = "linear@2"
    with pytest.raises(UserError, match="different protocols"):
        write(frame=frame)
    assert not (tmp_path / "report").exists()


def test_a_failed_write_leaves_the_old_page_whole(write, tmp_path, monkeypatch, record):
    write()
    before = (tmp_path / "report" / "index.html").read_bytes()

    def full_disk(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full_disk)
    with pytest.raises(UserError, match=r"can't be written into .*: No space left on device; make room"):
        write(study=record(question="Another?"))
    assert (tmp_path / "report" / "index.html").read_bytes() == before
    assert list((tmp_path / "report").glob(".*.tmp")) == []


def luminance(colour):
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1, 2], ids=["light", "dark", "print"])
def test_contrast(scheme):
    blocks = re.findall(r":root \{(.*?)\}", (TEMPLATES / "report.css").read_text(), flags=re.DOTALL)
    colour = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", blocks[scheme]))
    pairs = [(text, back, 4.5) for text in ("ink", "muted", "link") for back in ("page", "paper")]
    pairs += [(name, f"{name}-tint", 4.5) for name in ("held", "contradicted", "open")]
    pairs += [(f"series-{index}", "paper", 3.0) for index in range(8)]
    for text, back, least in pairs:
        bright, dark = sorted((luminance(colour[text]), luminance(colour[back])), reverse=True)
        assert (bright + 0.05) / (dark + 0.05) >= least, (text, back)


MEMORY = "system/training_memory_mb"


def of_memory(record, claim):
    """A study of two measures; the second, a cost, has its own published numbers and claim."""
    published = {"source": "s", "setting": "v100", "quantity": "GB", "measure": MEMORY}
    return record(
        also=[MEMORY],
        published=[*record()["published"], published | {"rows": {"none": "5.0", "linear": "7.4", "mlp": "93.0"}}],
        claims=[
            *record()["claims"],
            claim("mlp", "none", 100.0, negligible=0.0, measure=MEMORY, statement="Heads cost memory."),
        ],
    )


def test_a_study_of_two_measures_shows_and_judges_both(write, record, runs, claim, tmp_path):
    frame = runs()
    frame[MEMORY] = [{"none": 500.0, "linear": 700.0, "mlp": 1500.0}[row] for row in frame["row"]]
    frame[MEMORY] += frame["seed"]
    frame.loc[frame["row"] == "mlp", MEMORY] += frame["seed"]
    page = write(study=of_memory(record, claim), frame=frame)
    for words in (
        *("mlp minus none is +1,001 MB, 95 % interval", "over 3 seeds: all of it lies above the +100 MB"),
        "1,502 MB",
        "GB, s",
        "3 claims judged",
    ):
        assert words in page.text, words
    names = {path.name for path in tmp_path.rglob("*.svg")}
    assert {"rows.svg", "published.svg"} <= names
    assert {"rows-system-training-memory-mb.svg", "published-system-training-memory-mb.svg"} <= names
    (saved,) = tmp_path.rglob("table.csv")
    assert pd.read_csv(saved).groupby("measure").size().to_dict() == {"test/linear/top1": 3, MEMORY: 3}
    assert table(of_memory(record, claim), frame, MEMORY).loc["mlp", "mean"] == pytest.approx(1502.0)


def test_probes_of_many_layers_stand_side_by_side(write, record, runs, tmp_path):
    """In one table and one figure, of the rows that have them; what has something published keeps its own."""
    metrics = [f"test/block{number}/linear/top1" for number in range(1, 6)]
    frame = runs()
    for number, metric in enumerate(metrics):
        frame[metric] = frame["test/linear/top1"] - 0.01 * number
        frame[metric.replace("test/", "untrained/")] = 0.5
        frame.loc[frame["row"] == "none", metric] = math.nan
    study = record(also=["untrained/linear/top1", *metrics])
    page = write(study=study, frame=frame)
    lines = re.findall(r"block(\d) ([\d.]+) % \(\+[\d.]+\) ([\d.]+) % \(", re.sub(r"\s+", " ", page.text))
    means = frame.groupby("row")["test/linear/top1"].mean()
    assert lines == [
        (str(number + 1), *(f"{100 * (means[row] - 0.01 * number):.1f}" for row in ("linear", "mlp")))
        for number in range(5)
    ]
    names = {path.name for path in tmp_path.rglob("*.svg")}
    assert "beside-test-block1-linear-top1.svg" in names
    assert not {name for name in names if name.startswith("rows-")}, "nor of the untrained, which has its column"
    (saved,) = tmp_path.rglob("table.csv")
    assert set(pd.read_csv(saved)["measure"]) == {"test/linear/top1", *metrics}
    published = [*study["published"], {**study["published"][0], "measure": metrics[0]}]
    assert together(study, frame, metrics) == [metrics]
    assert together({**study, "published": published}, frame, metrics) == [metrics[1:]]
    assert together(study, frame, metrics[:3]) == []
    fewer = frame.copy()
    fewer.loc[fewer["seed"] == 0, metrics[4]] = math.nan
    assert together(study, fewer, metrics) == [metrics[:4]], "means of other seeds are no neighbours"
    for metric in metrics:
        frame[f"protocol:{metric}"] = f"linear probe, features of {metric.split('/')[1]}"
    assert together(study, frame, metrics) == [metrics]
    frame[f"protocol:{metrics[0]}"] = "linear probe of 1 % of labels, features of block1"
    assert together(study, frame, metrics) == [metrics[1:]], "nor are those that were measured otherwise"


def test_what_stands_side_by_side_says_its_seeds_and_what_lies_apart(write, record, runs):
    metrics = [f"test/block{number}/linear/top1" for number in range(1, 5)]
    frame = runs(seeds=range(6))
    for metric in metrics:
        frame[metric] = 0.5 + 0.001 * frame["seed"]
        frame[f"protocol:{metric}"] = f"linear@2, features of {metric.split('/')[1]}"
    frame.loc[(frame["row"] == "mlp") & (frame["seed"] == 5), metrics[2]] = 0.1
    frame.loc[frame["row"] == "none", metrics] = math.nan
    frame = frame.drop(columns="test/linear/top1")
    page = write(study=record(also=metrics, claims=[]), frame=frame)
    text = re.sub(r"\s+", " ", page.text)
    assert "of each of these: linear@2, features of …; means over seeds" in text
    assert "linear 6 seeds mlp 6 seeds" in text
    assert "Rows without these: none." in text
    assert re.search(r"block3, \S*mlp\S*: seed 5 at 10.0 %, apart from the others at 50.2 %", text)
    assert "All digits are in table.csv" in text
    assert "beside-test-block1-linear-top1" in page.source, "though the answer itself has no figure"


def test_a_measure_without_untrained_values_has_no_column_of_gains(write, record, runs):
    assert "Untrained encoder" in write().text
    frame = runs().drop(columns="untrained/linear/top1")
    assert "Untrained encoder" not in write(frame=frame).text


def test_a_claim_is_shown_with_who_makes_it_and_how_large_it_was(write, record, claim):
    """Published sizes in words and as numbers, claims of ours, and kinds of claims."""
    claims = [
        claim("mlp", "none", statement="By word.", published="more than 10 points"),
        claim("mlp", "none", statement="By number.", published="", published_difference=0.105),
        claim("mlp", "none", statement="By little.", published="", published_difference=0.001),
        claim("mlp", "none", statement="By us.", source="ours", published=""),
        claim("mlp", "none", statement="Grows.", kind="difference of differences", than=["linear", "none"]),
        claim("mlp", "none", statement="Alike.", kind="no difference"),
    ]
    page = write(study=record(claims=claims))
    for words in (
        "6 claims judged, 1 ours and published nowhere",
        *("Published: more than 10 points.", "Published: +10.5 points."),
        *("✓ Direction held, smaller than published", "✓ Direction held By little."),
        *("Ours, published nowhere.", "ours: no paper makes this claim"),
        *("(mlp minus none) minus (linear minus none)", "Direction: as claimed; size: smaller than published."),
        *("The chance of any wrong decision here is 5 % or less, over all 6 claims", "Rows and seeds, "),
        "3 seeds and 6 claims decide a true difference in test/linear/top1 in 4 chances in 5 if it is at least ",
        "from the finished runs of 5 claims",
    ):
        assert words in page.text, words
    badges = re.findall(r'class="verdict held"><span aria-hidden="true">✓</span> ([^<]*)', page.source)
    assert badges == 2 * [
        "Direction held",
        "Direction held, smaller than published",
        "Direction held",
        "Direction held",
    ]
