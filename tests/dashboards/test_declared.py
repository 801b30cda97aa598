"""Records of other versions, or damaged ones: what is there is shown, what is not is named."""

import math

import pytest

from unlabeled.dashboards.declared import NO_RECORD, declared
from unlabeled.platform import study
from unlabeled.platform.metrics import DIFFERENCE

OLDER = {
    "name": "projection-head",
    "question": "Does a head help?",
    "source": "a paper",
    "expected": "It does.",
    "cost": "little",
    "profile": "laptop",
    "measure": "test/linear/top1",
    "seeds": [0, 1],
    "rows": {"none": {}, "mlp": {}},
    "published": {"source": "a paper", "rows": {"none": "51"}},
    "claims": [{"statement": "A head helps.", "better": "mlp", "worse": "none", "at_least": 0.0}],
}


def test_a_whole_record_is_returned_as_it_is(record):
    found, gaps = declared(record())
    assert gaps == []
    for name, value in record().items():
        if name != "claims":
            assert found[name] == value
    assert [claim["statement"] for claim in found["claims"]] == [claim["statement"] for claim in record()["claims"]]
    assert all(claim["lower_measure"] == claim["measure"] for claim in found["claims"])


def test_an_older_record_keeps_what_can_be_read_and_names_the_rest():
    found, gaps = declared(OLDER)
    assert (found["rows"], found["seeds"]) == ({"none": {}, "mlp": {}}, [0, 1])
    assert (found["claims"], found["published"], found["also"]) == ([], [], [])
    assert gaps == [
        "Its record has no also.",
        "Its record has no published in a form that can be read.",
        "“A head helps.” lacks higher and lower and measure, so it can't be judged.",
    ]


def test_no_record_at_all_keeps_the_name():
    found, gaps = declared(None, "heads")
    assert (found["name"], found["question"], found["rows"]) == ("heads", "", {})
    assert gaps == [NO_RECORD]


@pytest.mark.parametrize(
    "damage",
    [
        *({"than": 5}, {"than": ["mlp"]}, {"kind": 3}, {"kind": []}, {"kind": "a later version's"}, {"kind": "order"}),
        *({"published_difference": "much"}, {"at_least": math.inf}),
    ],
)
def test_a_claim_that_is_damaged_is_named_and_left_out(record, claim, damage):
    found, gaps = declared(record(claims=[claim("mlp", "none", statement="Better.", **damage)]))
    assert (found["claims"], gaps) == ([], ["“Better.” lacks a form that can be read, so it can't be judged."])


def test_a_claim_is_of_the_kind_that_is_judged_unless_it_says_otherwise(record, claim):
    (kind,) = {one.kind for one in [study.Claim(statement="s", source="t", higher="a", lower="b")]}
    assert kind == DIFFERENCE
    _, gaps = declared(record(claims=[claim("mlp", "none", kind="difference of differences", than=["new", "none"])]))
    assert gaps == ["“mlp is better than none.” compares the row 'new', which the study does not have."]


def test_a_claim_about_a_row_that_is_not_there_is_pointed_out(record, claim):
    _, gaps = declared(record(claims=[claim("mlp", "nobody", statement="Better.")]))
    assert gaps == ["“Better.” compares the row 'nobody', which the study does not have."]


@pytest.mark.parametrize(
    ("part", "value", "words"),
    [
        ("rows", ["none", "mlp"], "no rows in a form"),
        ("rows", {"none": 3}, "no rows in a form"),
        ("seeds", "0,1", "no seeds in a form"),
        ("claims", {"a": 1}, "no claims in a form"),
        ("claims", ["words"], "Claim 1 lacks a form that can be read"),
        ("claims", [{"at_least": float("nan")}], "Claim 1 lacks statement and higher"),
        ("published", [{"source": "s"}], "Published table 1 lacks setting and quantity"),
        ("question", 7, "no question"),
        ("measure", None, "no measure"),
        ("also", [1], "no also in a form"),
    ],
)
def test_every_part_may_be_damaged(record, part, value, words):
    _, gaps = declared(record(**{part: value}))
    assert any(words in gap for gap in gaps), gaps


@pytest.mark.parametrize("part", ["question", "expected", "source", "cost", "profile", "measure", "rows", "seeds"])
def test_a_missing_part_is_named(record, part):
    found = record()
    del found[part]
    assert f"Its record has no {part}." in declared(found)[1]
