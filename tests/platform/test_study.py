from typing import Any

import pytest

from unlabeled.platform.augment import MOCO_V2, two_views
from unlabeled.platform.config import RunConfig
from unlabeled.platform.errors import UserError
from unlabeled.platform.optim import AdamW
from unlabeled.platform.study import OURS, Claim, Published, Study


def declare(small_run: RunConfig, **fields: Any) -> Study:
    given = {
        "name": "heads",
        "question": "Which head?",
        "source": "a paper",
        "expected": "a trend",
        "cost": "little",
        "profiles": {"laptop": small_run},
        "rows": {"none": {"method.head": ()}, "linear": {"method.head": (16,)}},
    }
    return Study.checked(**{**given, **fields})


def test_runs_are_rows_times_seeds_whole_sets_of_rows_first(small_run: RunConfig) -> None:
    study = declare(small_run, seeds=(3, 4))
    runs = study.runs(study.base("laptop", {"epochs": 5}))
    assert [run.name for run in runs] == ["none seed 3", "linear seed 3", "none seed 4", "linear seed 4"]
    assert [run.config.seed for run in runs] == [3, 3, 4, 4]
    assert {run.config.epochs for run in runs} == {5}
    assert runs[1].config.method.head == (16,)


def test_a_grid_names_its_rows_by_their_values(small_run: RunConfig) -> None:
    study = declare(small_run, rows={}, vary={"method.temperature": (0.1, 0.5), "batch_size": (32, 64)})
    assert list(study.row_settings())[:2] == ["temperature 0.1, batch_size 32", "temperature 0.1, batch_size 64"]
    assert len(study.runs(study.base("laptop"))) == 4 * 3


def test_the_fingerprint_is_of_what_decides_the_result_and_of_nothing_else(small_run: RunConfig) -> None:
    assert small_run.fingerprint("data") == small_run.with_field("epochs", 2).fingerprint("data")
    changed = [
        small_run.with_field(path, value)
        for path, value in {"seed": 1, "epochs": 3, "method.temperature": 0.21}.items()
    ]
    assert len({run.fingerprint("data") for run in [small_run, *changed]} | {small_run.fingerprint("other data")}) == 5
    assert not {"workers", "device", "resources"} & set(RunConfig.model_fields)


def test_the_precision_is_decided_in_the_fingerprint(small_run: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = small_run.with_field("precision", "auto")
    for decided in ("bf16", "fp32"):
        monkeypatch.setattr("unlabeled.platform.config.precision_here", lambda decided=decided: decided)
        assert asked.fingerprint("data") == small_run.with_field("precision", decided).fingerprint("data")
    assert small_run.fingerprint("data") != small_run.with_field("precision", "bf16").fingerprint("data")


def test_runs_that_differ_in_what_is_measured_share_their_training(small_run: RunConfig) -> None:
    measured = small_run.with_field("evaluation.final", ({"name": "knn"},))
    assert measured.training("data") == small_run.training("data") != small_run.training("other data")
    assert measured.fingerprint("data") != small_run.fingerprint("data")
    again = small_run.with_field("seed", 7)
    assert again.row("data") == small_run.row("data") != measured.row("data")
    assert again.training("data") != small_run.training("data")


def test_a_run_round_trips_through_json(small_run: RunConfig) -> None:
    assert RunConfig.model_validate_json(small_run.canonical_json()) == small_run


def test_parameters_are_dotted_and_short_enough_to_compare(small_run: RunConfig) -> None:
    parameters = small_run.parameters()
    assert parameters["method.name"] == "simclr"
    assert parameters["method.head"] == "32, 16"
    assert parameters["method.views"].startswith("2 x [Crop(0.08-1) > Flip")
    assert all(isinstance(value, str | int | float | bool) for value in parameters.values())
    assert small_run.with_field("method.head", ()).parameters()["method.head"] == "none"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rows": {"a": {"method.haed": ()}}}, r"no field of SimCLRConfig is called 'haed'; did you mean 'head'\?"),
        ({"rows": {"a": {"batch_size": -1}}}, r"batch_size: .*greater than or equal to 2, got -1"),
        ({"rows": {}}, "declares either rows or vary"),
        ({"rows": {"a": {"epochs": 3}, "b": {"epochs": 3}}}, "the rows 'a' and 'b' are the same run"),
        ({"seeds": (1, 1)}, "seeds must differ"),
        ({"seeds": ()}, "seeds"),
        ({"question": "A statement."}, "question"),
        (
            {"claims": (Claim(statement="s", source="p", higher="linaer", lower="none"),)},
            r"no row is called 'linaer'; did you mean 'linear'\?",
        ),
        (
            {"published": (Published(source="p", setting="s", quantity="q", rows={"nnoe": "1"}),)},
            r"no row is called 'nnoe'; did you mean 'none'\?",
        ),
        ({"scaled": {"laptpo": {}}}, r"no profile is called 'laptpo'; did you mean 'laptop'\?"),
        ({"scaled": {"laptop": {"nnoe": {}}}}, r"no row is called 'nnoe'; did you mean 'none'\?"),
        (
            {
                "also": ("a/b",),
                "published": (Published(source="p", setting="s", quantity="q", rows={}, measure="a/c"),),
            },
            "a/c",
        ),
    ],
)
def test_a_study_is_checked_when_declared(small_run: RunConfig, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        declare(small_run, **fields)


@pytest.mark.parametrize(
    ("profile", "changes", "message"),
    [
        ("laptpo", {}, r"no profile of heads is called 'laptpo'; did you mean 'laptop'\?"),
        ("laptop", {"method.head": (8,)}, "method.head is what heads varies, so setting it would be ignored"),
        ("laptop", {"seed": 3}, "choose them with --seeds"),
        ("laptop", {"epochs": 0}, "epochs: .*greater than or equal to 1, got 0"),
    ],
)
def test_a_wrong_base_is_one_clear_line(
    small_run: RunConfig, profile: str, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        declare(small_run).base(profile, changes)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "difference of differences"}, "a claim on a difference of differences has a second pair: than"),
        ({"kind": "difference", "than": ("none", "linear")}, "a claim on a difference has no second pair"),
        (
            {"kind": "difference of differences", "than": ("linear", "none")},
            "a difference is not larger than itself: both pairs are linear and none",
        ),
        ({"kind": "no difference", "at_least": 0.1}, r"a claim on no difference asks for no size, got at_least 0\.1"),
        ({"source": OURS, "published": "3 points"}, "a claim of ours has nothing published"),
        ({"source": OURS, "published_difference": 0.03}, "a claim of ours has nothing published"),
        ({"kind": "orders"}, "kind"),
        ({"kind": "order"}, "a claim of the kind order says so by order"),
        ({"order": ("none", "linear")}, "an order is of three rows or more"),
        ({"order": ("a", "b", "a")}, "order has a row twice"),
        ({"order": ("a", "b", "c"), "best": ("a",)}, "a claim says one thing, this one both order and best in a set"),
        ({"best": ("a",), "among": ("a",)}, "among has all rows of best, and others"),
        ({"lower": ""}, "a claim compares two rows: higher and lower"),
        ({"at_least": 0.01, "negligible": 0.01}, "at_least is more than what is negligible"),
    ],
)
def test_a_claim_says_one_thing(fields: dict[str, Any], message: str) -> None:
    given = {"statement": "s", "source": "p", "higher": "linear", "lower": "none"}
    with pytest.raises(UserError, match=message):
        Claim.checked(**{**given, **fields})


def test_the_second_pair_of_a_claim_is_of_the_studys_rows(small_run: RunConfig) -> None:
    gap = {"statement": "s", "source": "p", "higher": "linear", "lower": "none", "kind": "difference of differences"}
    with pytest.raises(UserError, match=r"no row is called 'noen'; did you mean 'none'\?"):
        declare(small_run, claims=(Claim(**gap, than=("noen", "linear")),))
    (claim,) = declare(small_run, claims=(Claim(**gap, than=("none", "linear")),)).record("laptop")["claims"]
    assert (claim["kind"], claim["than"]) == ("difference of differences", ["none", "linear"])


def test_the_record_of_a_claim_says_all_that_it_is_judged_by(small_run: RunConfig) -> None:
    words = {"statement": "s", "source": "p"}
    claims = (
        Claim(**words, collapsed="none"),
        Claim(**words, best=("none",)),
        Claim(**words, higher="linear", lower="none", kind="no difference", negligible=0.005),
        Claim(**words, higher="linear", lower="none", measure="train/loss"),
    )
    study = declare(small_run, claims=claims, also=("train/loss",))
    collapse, best, alike, loss = study.record("laptop")["claims"]
    assert (collapse["kind"], collapse["higher"], collapse["lower"]) == ("collapse", "none", "none")
    assert collapse["lower_measure"] == study.measure.replace("test/", "untrained/")
    assert (best["kind"], best["among"], best["lower"]) == ("best in a set", ["none", "linear"], "linear")
    assert [claim["negligible"] for claim in (collapse, alike, loss)] == [0.01, 0.005, 0.0]
    with pytest.raises(UserError, match="a claim on no difference in train/loss says what is negligible"):
        declare(
            small_run,
            also=("train/loss",),
            claims=(Claim(**{**dict(claims[2]), "negligible": None, "measure": "train/loss"}),),
        )


def test_the_record_is_plain_json(small_run: RunConfig) -> None:
    import json

    record = declare(small_run, claims=(Claim(statement="s", source="p", higher="linear", lower="none"),)).record(
        "laptop"
    )
    assert json.loads(json.dumps(record)) == json.loads(json.dumps(record, default=str))
    assert list(record["rows"]) == ["none", "linear"]
    assert record["profile"] == "laptop"
    assert "profiles" not in record


def test_views_may_be_given_as_a_policys_name(small_run: RunConfig) -> None:
    assert small_run.with_field("method.views", "moco-v2").method.views == two_views(MOCO_V2)
    with pytest.raises(UserError, match=r"no policy is called 'moco-v3'; did you mean 'moco-v2'\?"):
        small_run.with_field("method.views", "moco-v3")


def test_a_row_may_be_otherwise_at_another_scale(small_run: RunConfig) -> None:
    study = declare(
        small_run,
        rows={"small": {"batch_size": 16}, "large": {"batch_size": 32}},
        profiles={"laptop": small_run, "cluster": small_run},
        scaled={"cluster": {"large": {"batch_size": 64, "epochs": 1}}},
    )
    sizes = {
        profile: [run.config.batch_size for run in study.runs(study.base(profile), profile)[:2]]
        for profile in study.profiles
    }
    assert sizes == {"laptop": [16, 32], "cluster": [16, 64]}
    assert study.record("cluster")["rows"]["large"] == {"batch_size": 64, "epochs": 1}
    study.base("laptop", {"epochs": 3})
    with pytest.raises(UserError, match=r"epochs is what .* varies"):
        study.base("cluster", {"epochs": 3})


def test_claims_and_published_numbers_say_which_measure(small_run: RunConfig) -> None:
    claims = (
        Claim(statement="s", source="p", higher="linear", lower="none"),
        Claim(statement="s", source="p", higher="linear", lower="none", measure="system/training_seconds"),
    )
    study = declare(small_run, also=("system/training_seconds",), claims=claims)
    assert [claim["measure"] for claim in study.record("laptop")["claims"]] == list(study.measures)


def test_what_is_set_on_the_base_may_not_make_two_rows_one(small_run: RunConfig) -> None:
    two = declare(small_run, rows={"as it is": {}, "decayed": {"optimizer.weight_decay": 0.1}})
    base = two.base("laptop", {"optimizer": AdamW(weight_decay=0.1)})
    with pytest.raises(UserError, match=r"^the rows 'as it is' and 'decayed' of .* are the same run with what is set"):
        two.runs(base)
