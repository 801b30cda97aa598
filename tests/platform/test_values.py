"""What a study is declared with is recorded: numbers that other libraries made become plain, the rest is refused."""

import enum
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from unlabeled.platform.config import RunConfig
from unlabeled.platform.errors import explain
from unlabeled.platform.search.space import Choice
from unlabeled.platform.settings import plain_value
from unlabeled.platform.study import Study


class Width(enum.Enum):
    NARROW = np.int64(8)


class Level(enum.IntEnum):
    LOW = 1


class Meters(float):
    pass


MADE_PLAIN: dict[str, tuple[Any, Any]] = {
    "int64": (np.int64(3), 3),
    "uint8": (np.uint8(3), 3),
    "bool": (np.bool_(True), True),
    "float64": (np.float64(0.1), 0.1),
    "float32": (np.float32(0.1), 0.1),
    "float16": (np.float16(0.1), 0.1),
    "float32 that is no short decimal": (np.float32(1 / 3), 0.33333334),
    "text": (np.str_("lars"), "lars"),
    "an array": (np.linspace(0.1, 0.3, 3, dtype=np.float32), (0.1, 0.2, 0.3)),
    "a matrix": (np.eye(2, dtype=int), ((1, 0), (0, 1))),
    "an array of objects": (np.array([1, "a"], dtype=object), (1, "a")),
    "a tensor": (torch.tensor([1, 2]), (1, 2)),
    "a parameter": (torch.nn.Parameter(torch.tensor(0.1)), 0.1),
    "a bfloat16": (torch.tensor(0.5, dtype=torch.bfloat16), 0.5),
    "a path": (Path("a") / "b", "a/b"),
    "an enum": (Width.NARROW, 8),
    "an enum that is a number": (Level.LOW, 1),
    "a number of one's own": (Meters(2.5), 2.5),
    "a range": (range(2), (0, 1)),
    "deep inside": ({"a": [np.int8(1), (np.int8(2),)]}, {"a": [1, (2,)]}),
    "nothing": (None, None),
}
REFUSED = {
    "a set": {1, 2},
    "a complex": np.complex64(1j),
    "a fraction": Fraction(1, 3),
    "a function": len,
    "bytes": b"x",
}


@pytest.mark.parametrize(("given", "plain"), MADE_PLAIN.values(), ids=MADE_PLAIN)
def test_it_is_made_plain(given: Any, plain: Any) -> None:
    found = plain_value(given)
    assert found == plain
    assert type(found) is type(plain)
    json.dumps(found)


@pytest.mark.parametrize("given", REFUSED.values(), ids=REFUSED)
def test_what_can_not_be_recorded_is_refused(given: Any) -> None:
    with pytest.raises(ValueError, match=r" is a \w+, which can't be recorded; give numbers, text or lists$"):
        plain_value([given])


def study(small_run: RunConfig, **fields: Any) -> Study:
    words = {"name": "mine", "question": "Which?", "source": "nobody", "expected": "nothing", "cost": "seconds"}
    return Study(**words, profiles={"laptop": small_run}, **fields)


def test_a_study_of_numpy_values_is_the_study_of_plain_ones(small_run: RunConfig) -> None:
    grids: list[tuple[Any, Any]] = [
        ({"batch_size": np.arange(32, 65, 32)}, {"batch_size": (32, 64)}),
        ({"batch_size": tuple(np.arange(32, 65, 32))}, {"batch_size": (32, 64)}),
        ({"batch_size": range(32, 65, 32)}, {"batch_size": (32, 64)}),
        ({"method.temperature": torch.tensor([0.1, 0.5])}, {"method.temperature": (0.1, 0.5)}),
    ]
    for given, plain in grids:
        of_numpy, by_hand = study(small_run, vary=given, seeds=np.arange(2)), study(small_run, vary=plain, seeds=(0, 1))
        assert of_numpy == by_hand
        assert json.dumps(of_numpy.record("laptop")) == json.dumps(by_hand.record("laptop"))
        base = of_numpy.base("laptop")
        assert of_numpy.runs(base, "laptop") == by_hand.runs(base, "laptop")
    rows = {"narrow": {"method.head": np.array([16])}, "wide": {"method.head": [np.int64(32)]}}
    scaled = {"laptop": {"wide": {"method.head": (np.int64(64),)}}}
    assert study(small_run, rows=rows, scaled=scaled) == study(
        small_run,
        rows={"narrow": {"method.head": (16,)}, "wide": {"method.head": [32]}},
        scaled={"laptop": {"wide": {"method.head": (64,)}}},
    )
    assert Choice(values=np.arange(2)) == Choice(values=(0, 1))


def test_a_study_of_values_that_can_not_be_recorded_is_refused_when_declared(small_run: RunConfig) -> None:
    for fields in ({"rows": {"a": {"batch_size": {32}}}}, {"vary": {"batch_size": (Fraction(32),)}}):
        with pytest.raises(ValidationError) as refused:
            study(small_run, **fields)
        assert "which can't be recorded; give numbers, text or lists" in explain(refused.value)
        assert "\n" not in explain(refused.value)
