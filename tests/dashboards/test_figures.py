import itertools
import re
import subprocess
import sys
import xml.etree.ElementTree as ET

import pandas as pd
import pytest

from unlabeled.dashboards import counted, drawing, figures
from unlabeled.dashboards.answered import strips
from unlabeled.dashboards.forest import covered
from unlabeled.dashboards.measured import measured, table
from unlabeled.dashboards.reading import read_report
from unlabeled.dashboards.strokes import strokes_of
from unlabeled.dashboards.website import strip

MEASURE = "test/linear/top1"
SVG = "{http://www.w3.org/2000/svg}"


def curve_of(runs, epochs, metric):
    long = epochs(runs)
    return long[long["metric"] == metric]


@pytest.fixture
def drawn(record, runs, epochs):
    """Return a function that draws all three kinds of figure afresh."""

    def draw(**columns):
        frame = runs(**columns)
        rows = table(record(), frame)
        strokes, _ = strokes_of(record(), frame, list(rows.index))
        return [
            figures.rows_figure(rows, counted.scores(frame, MEASURE), MEASURE),
            figures.published_figure(rows, MEASURE, "ImageNet top-1, %", strokes),
            figures.epochs_figure(curve_of(frame, epochs, "train/loss"), "train/loss", strokes),
        ]

    return draw


def test_equal_data_give_equal_bytes(drawn):
    first = drawn()
    assert first == drawn()
    assert first != drawn(spread=0.006)
    assert not any(re.search(r"dc:date|20\d\d-\d\d-\d\d|Matplotlib", svg) for svg in first)


def test_figures_say_in_words_what_they_show(drawn):
    for svg, words in zip(drawn(), [r"mlp 82\.\d %, interval", "mlp published 64.6", "mlp ends at"], strict=True):
        root = ET.fromstring(svg)
        assert root.get("role") == "img"
        assert re.search(words, root.get("aria-label"))
        assert root[0].tag == f"{SVG}title"
        assert root[0].text


def test_rows_figure_shows_every_seed_and_the_untrained_encoder(record, runs):
    frame = runs(seeds=(0, 1, 2, 3))
    svg = figures.rows_figure(table(record(), frame), counted.scores(frame, MEASURE), MEASURE)
    texts = [element.text for element in ET.fromstring(svg).iter(f"{SVG}text")]
    assert {"none", "linear", "mlp", "untrained encoder", "95 % interval", "one seed"} <= set(texts)
    assert len(re.findall(r"<use [^>]*fill: #ffffff; stroke: #0072b2", svg)) == 4


def test_one_seed_draws_no_interval(record, runs):
    frame = runs(seeds=(0,))
    svg = figures.rows_figure(table(record(), frame), counted.scores(frame, MEASURE), MEASURE)
    assert "95 % interval" not in svg
    assert "nan" not in svg.lower()


def test_names_are_taken_literally(record, runs):
    name = "<script>$x$ & 温度"
    frame = runs({name: 0.8, "mlp": 0.82})
    svg = figures.rows_figure(table(record(rows={name: {}, "mlp": {}}), frame), counted.scores(frame, MEASURE), MEASURE)
    assert "<script>" not in svg
    assert name in [element.text for element in ET.fromstring(svg).iter(f"{SVG}text")]


def test_curves_are_means_with_the_range_of_seeds():
    curve = pd.DataFrame({"row": ["a"] * 4, "seed": [0, 0, 1, 1], "epoch": [1, 2, 1, 2], "value": [0.5, 0.6, 0.7, 0.8]})
    svg = figures.epochs_figure(curve, "validation/knn/top1", strokes_of({"rows": {}}, curve, ["a", "unseen"])[0])
    assert "a ends at 70.0 %" in svg
    assert "unseen" not in svg


def test_inline_takes_the_pages_colours_and_keeps_identifiers_apart(drawn):
    svg = drawn()[0]
    one, two = drawing.inline(svg, "one"), drawing.inline(svg, "two")
    assert not re.findall(r"#[0-9a-f]{6}", one)
    assert "var(--series-2)" in one
    assert "<style" not in one
    identifiers = [set(re.findall(r'\bid="([^"]+)"', text)) for text in (one, two)]
    assert not identifiers[0] & identifiers[1]
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', one))
    assert used
    assert used <= identifiers[0]


def test_a_difference_of_exactly_zero_has_an_axis(record, runs, claim):
    frame = runs({"none": 0.5, "mlp": 0.5}, seeds=(0,)).assign(**{MEASURE: 0.5})
    judged = read_report(record(published=[], claims=[claim("mlp", "none")]), frame, pd.DataFrame()).judged
    assert judged[0].difference.mean == 0
    low, high = covered(judged)
    assert low < 0 < high
    assert "svg" in strips(judged)[0]


def test_dots_of_a_card_stand_apart(record, runs):
    drawn = ET.fromstring(strip(measured(record(), runs(), MEASURE)))
    across = [(float(one.get("cy")), float(one.get("r"))) for one in drawn.iter("circle")]
    assert all(high - low > 2 * radius for (low, radius), (high, _) in itertools.pairwise(across))


def test_figures_leave_pyplot_alone():
    code = "import sys, unlabeled.dashboards.report; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
