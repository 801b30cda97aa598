"""Which figure fits a study is told by its rows, not by its name."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from matplotlib import colormaps
from matplotlib.colors import to_hex

from unlabeled.dashboards.measured import measured
from unlabeled.dashboards.shape import Grid, Line, shape_of
from unlabeled.dashboards.varied import axis_scale, contrast, text_on

MEASURE = "test/linear/top1"
SVG = "{http://www.w3.org/2000/svg}"
NO_RUNS = pd.DataFrame()
OPS = ("crop", "blur", "colour")


def numbers(path, values):
    return {f"{path} {value}": {path: value} for value in values}


def figure_of(record, runs, rows, means=None, **settings):
    frame = runs(means or {row: 0.5 + 0.03 * place for place, row in enumerate(rows)}, **settings)
    return measured(record(rows=rows, published=[], claims=[]), frame, MEASURE).figures[0]


def texts(svg):
    return [element.text for element in ET.fromstring(svg).iter(f"{SVG}text")]


def test_one_number_is_a_line_in_its_order():
    shape = shape_of(numbers("method.temperature", (0.5, 0.05, 1)), NO_RUNS)
    assert isinstance(shape, Line)
    assert shape.across is None
    assert shape.along.values == (0.05, 0.5, 1)
    assert shape.along.of == {"method.temperature 0.5": 1, "method.temperature 0.05": 0, "method.temperature 1": 2}


def test_a_number_that_others_follow_is_a_line():
    rows = {
        f"batch {n}": {"batch_size": n, "method.head": [n], "optimizer.learning_rate": n / 256} for n in (64, 8, 32)
    }
    shape = shape_of(rows, NO_RUNS)
    assert isinstance(shape, Line)
    assert shape.along.name == "batch_size"


def test_two_numbers_are_lines_over_the_one_with_more_values():
    rows = {f"{b} {e}": {"epochs": e, "batch_size": b} for b in (32, 64, 256, 1024) for e in (8, 16)}
    shape = shape_of(rows, NO_RUNS)
    assert isinstance(shape, Line)
    assert (shape.along.name, shape.across.name) == ("batch_size", "epochs")


def test_two_words_are_a_grid():
    rows = {f"{e} {m}": {"encoder.name": e, "method.name": m} for e in ("a", "b") for m in ("x", "y", "z")}
    shape = shape_of(rows, NO_RUNS)
    assert isinstance(shape, Grid)
    assert (shape.down.short_name, shape.right.short_name) == ("encoder", "method")
    assert shape.row(1, 2) == "b z"


def test_names_tell_a_grid_that_settings_do_not_with_one_order_for_both_ways():
    rows = {f"{a} then {b}": {"method.views": [a, b]} for a in OPS for b in reversed(OPS)}
    shape = shape_of(rows, NO_RUNS)
    assert isinstance(shape, Grid)
    assert shape.down.values == shape.right.values == OPS
    assert shape.row(0, 1) == "crop then blur"


def test_a_single_part_stands_on_the_diagonal():
    rows = {a if a == b else f"{a} + {b}": {"method.views": [a, b]} for a in OPS for b in OPS}
    shape = shape_of(rows, NO_RUNS)
    assert isinstance(shape, Grid)
    assert shape.row(1, 1) == "blur"


def test_numbers_in_names_make_lines():
    rows = {
        f"{head}, {width}": {"method.head": [head, width]}
        for head in ("linear", "mlp")
        for width in ("1/8", "1/4", "1")
    }
    shape = shape_of(rows, NO_RUNS)
    assert isinstance(shape, Line)
    assert (shape.along.values, shape.across.values) == ((0.125, 0.25, 1.0), ("linear", "mlp"))


def test_a_kind_that_goes_with_the_number_tells_lines_apart():
    rows = {f"{t}": {"method.temperature": t, "method.normalize": t < 10} for t in (0.1, 0.5, 10, 100)}
    shape = shape_of(rows, NO_RUNS)
    assert isinstance(shape, Line)
    assert (shape.along.name, shape.across.name, shape.across.labels) == (
        *("method.temperature", "method.normalize"),
        ["True", "False"],
    )


@pytest.mark.parametrize(
    "rows",
    [
        {"none": {"method.head": []}, "linear": {"method.head": [128]}, "mlp": {"method.head": [256, 128]}},
        numbers("method.temperature", (0.1, 0.5)),
        {f"{a} then {b}": {} for a in OPS for b in OPS if a != b},
        {"a": {}, "b": {}, "c": {}},
        {},
    ],
    ids=["words", "two numbers", "half a grid", "nothing set", "no rows"],
)
def test_all_else_is_a_list_of_rows(rows):
    assert shape_of(rows, NO_RUNS) is None


def test_a_row_that_sets_nothing_is_placed_by_what_its_runs_logged():
    rows = {"base": {}, "low": {"method.temperature": 0.1}, "high": {"method.temperature": 1.0}}
    assert shape_of(rows, NO_RUNS) is None
    logged = pd.DataFrame({"row": ["base", "low"], "method.temperature": [0.5, 0.1]})
    shape = shape_of(rows, logged)
    assert isinstance(shape, Line)
    assert shape.along.values == (0.1, 0.5, 1.0)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ((0.05, 0.1, 0.2, 0.5, 1.0), "logarithmic axis"),
        ((32, 64, 256, 1024), "logarithmic axis"),
        ((0, 0.9, 0.99, 0.999, 0.9999), "axis logarithmic in the distance from 1"),
        ((0.0, 0.25, 0.5, 0.75, 1.0), ""),
        ((8, 10, 12), ""),
        ((0, 10, 1000), ""),
        ((-1, 1, 2), ""),
    ],
)
def test_axes_follow_how_the_values_are_spread(values, words):
    assert axis_scale([float(value) for value in values])[0] == words


def test_a_line_shows_values_intervals_seeds_and_the_untrained_encoder(record, runs):
    name, svg, caption = figure_of(record, runs, numbers("method.temperature", (0.05, 0.1, 0.2, 0.5, 1.0)))
    assert name == "line"
    assert {"0.05", "0.1", "0.2", "0.5", "1", "untrained encoder", "temperature (logarithmic axis)"} <= set(texts(svg))
    label = ET.fromstring(svg).get("aria-label")
    assert label.startswith("Linear probe, test top-1 over temperature: 0.05: ")
    assert "untrained encoder 76" in label
    assert "95 % intervals" in caption
    assert len(re.findall(r"<use [^>]*fill: #ffffff; stroke: #1b1f24", svg)) == 15


def test_two_numbers_have_a_legend_of_lines(record, runs):
    rows = {f"{b} {e}": {"epochs": e, "batch_size": b} for b in (32, 64, 256) for e in (8, 16)}
    _, svg, caption = figure_of(record, runs, rows)
    assert {"epochs 8", "epochs 16", "32", "64", "256"} <= set(texts(svg))
    assert "one line per value of epochs" in caption


def test_one_seed_is_said_to_have_no_interval(record, runs):
    _, svg, caption = figure_of(record, runs, numbers("epochs", (1, 2, 3)), seeds=(0,))
    assert "without intervals" in caption
    assert "nan" not in svg.lower()
    rows = {f"{a} then {b}": {} for a in OPS for b in OPS}
    _, svg, caption = figure_of(record, runs, rows, seeds=(0,))
    assert "without intervals" in caption
    assert "±" not in svg


def test_a_grid_shows_every_number_and_leaves_the_unmeasured_open(record, runs):
    rows = {f"{a} then {b}": {} for a in OPS for b in OPS}
    means = {row: 0.3 + 0.05 * place for place, row in enumerate(rows) if row != "blur then blur"}
    name, svg, _ = figure_of(record, runs, rows, means, spread=0.001)
    found = texts(svg)
    assert name == "grid"
    assert found.count("crop") == found.count("blur") == 2
    assert sum(bool(re.fullmatch(r"\d\d\.\d", text)) for text in found) == 8
    assert found.count("—") == 1
    assert "crop and blur 35." in ET.fromstring(svg).get("aria-label")


def test_every_cell_can_be_read():
    for part in np.linspace(0, 1, 256):
        colour = to_hex(colormaps["cividis"](part))
        assert contrast(text_on(colour), colour) >= 4.5, part


def test_equal_data_give_equal_bytes(record, runs):
    rows = {f"{a} then {b}": {} for a in OPS for b in OPS}
    assert figure_of(record, runs, rows) == figure_of(record, runs, rows)
    line = numbers("epochs", (1, 2, 3))
    assert figure_of(record, runs, line) == figure_of(record, runs, line)


def test_a_line_of_one_measured_row_is_a_list(record, runs):
    assert figure_of(record, runs, numbers("epochs", (1, 2, 3)), {"epochs 1": 0.8})[0] == "rows"
