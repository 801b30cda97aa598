"""Names and texts that are logged, against MLflow's own rules and against databases."""

import random
import sqlite3

import pytest
from mlflow.utils import validation

from unlabeled.platform.train.loggable import MAX_NAME, key_name, metric_name, plain_text

NASTY = [*"a1_-. :/@#$%&'`\"\\\n\t\0é中\udce9~", "..", ".", "//", "/", "x" * 120]


def strange_names() -> list[str]:
    draw = random.Random(0)
    return [*NASTY, "", *("".join(draw.choices(NASTY, k=draw.randrange(1, 12))) for _ in range(3000))]


@pytest.mark.parametrize("named", [metric_name, key_name])
def test_every_name_is_made_one_that_mlflow_takes(named: object) -> None:
    assert callable(named)
    for text in strange_names():
        name = named(text)
        validation._validate_metric(name, 1.0, 0, 0)
        validation._validate_param(name, "value")
        validation._validate_tag(name, "value")
        assert len(name) <= MAX_NAME
        assert named(name) == name, "a second time changes nothing"
        name.encode()
        assert "\n" not in name


def test_a_name_that_mlflow_takes_is_kept() -> None:
    for name in ("train/loss", "test/head/rotation/linear-1pct/top1", "contrast/acc at 1", "été/中", "x" * MAX_NAME):
        assert metric_name(name) == name


def test_long_names_stay_apart() -> None:
    assert len({metric_name(f"area/{'x' * 400}{number}") for number in range(50)}) == 50


def test_every_text_is_taken_by_a_database() -> None:
    with sqlite3.connect(":memory:") as database:
        for text in strange_names():
            plain = plain_text(text, 500)
            assert database.execute("SELECT ?", (plain,)).fetchone() == (plain,)
            assert "\0" not in plain
            assert plain_text(plain, 500) == plain
