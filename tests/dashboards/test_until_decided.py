"""A study that runs until its claims are decided, whose runs take no time and measure what the test says."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from unlabeled.dashboards import frames
from unlabeled.dashboards.publish import publish
from unlabeled.methods.contrastive.simclr import SimCLRConfig
from unlabeled.platform.cli.deciding import check_decidable, parse_budget, run_until_decided
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import DataConfig
from unlabeled.platform.drive.resources import Resources
from unlabeled.platform.errors import UserError
from unlabeled.platform.study import Claim, Study
from unlabeled.platform.track import Store
from unlabeled.platform.track.looks import looks_of
from unlabeled.platform.train.events import Failed, Finished, Started

MEASURE = "test/linear/top1"


def study(**fields: Any) -> Study:
    """A large difference, a small one, and one that is none."""
    base = RunConfig(
        method=SimCLRConfig(temperature=0.2), data=DataConfig(name="fashion-mnist-12k", train_images=256), batch_size=64
    )
    claims = [("large", "none"), ("small", "none"), ("zero", "none")]
    given: dict[str, Any] = {
        "name": "heads",
        "question": "Which head?",
        "source": "a paper",
        "expected": "a trend",
        "cost": "little",
        "profiles": {"laptop": base},
        "rows": {
            row: {"method.head": (width,)} for row, width in (("none", 8), ("large", 16), ("small", 24), ("zero", 32))
        },
        "claims": [
            Claim(statement=f"{one} beats {other}.", source="a paper", higher=one, lower=other) for one, other in claims
        ],
    }
    return Study(**given | fields)


class Simulated:
    """Does recorders' runs at once, as if each took a minute on one machine."""

    MEANS: ClassVar = {"none": 0.80, "large": 0.86, "small": 0.809, "zero": 0.8}

    def __init__(self, fails: Callable[[str, int], bool] = lambda row, seed: False, stop: int = 10**9) -> None:
        self.fails, self.stop, self.at_once = fails, stop, 2
        self.did: list[tuple[str, int]] = []

    def __enter__(self) -> "Simulated":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def __call__(self, recorder: Any, display: Any) -> Any:
        if recorder.unfinished():
            with recorder:
                while (number := recorder.next(display)) is not None:
                    if len(self.did) >= self.stop:
                        raise KilledError
                    run = recorder.planned[number]
                    self.did.append((run.row, run.seed))
                    recorder.take(display, number, Started({"host": "here"}, 0, []))
                    random = np.random.default_rng([run.seed, len(run.row)])
                    top1 = self.MEANS[run.row] + 0.006 * random.normal()
                    found = Finished({MEASURE: top1, "system/wall_seconds": 60.0}, Path())
                    recorder.take(display, number, Failed("on purpose") if self.fails(run.row, run.seed) else found)
        return recorder.outcome


class KilledError(Exception):
    """The process ends here."""


def run(home: Path, how: Simulated, most: int = 20, budget: float = float("inf"), **fields: Any) -> Any:
    of = study(**fields)
    return run_until_decided(of, of.base("laptop"), "laptop", home, Resources(), most, budget, how)


def rows(**settings: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row: TWO["rows"][row] | settings.get(row, {}) for row in TWO["rows"]}


def recorded(home: Path) -> list[dict[str, Any]]:
    found = looks_of(Store(home), "heads", str(frames.runs("heads", home)["base"].iloc[0]))
    return [{name: part for name, part in look.items() if name != "when"} for look in found]


TWO = {
    "rows": {"none": {"method.head": (8,)}, "zero": {"method.head": (32,)}},
    "claims": [Claim(statement="zero beats none.", source="a paper", higher="zero", lower="none")],
}


def test_open_claims_get_seeds_and_decided_ones_none(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    how = Simulated()
    run(home, how)
    said = capsys.readouterr().out
    more = how.did[12:]
    assert {row for row, _ in more} == {"none", "zero"}
    assert sorted(seed for row, seed in more if row == "zero") == [*range(3, 3 + len(more) // 2)]
    assert "round 1: 1 of 3 claims is open\n  zero beats none. Not decided with 3 seeds; " in said
    assert "\n  + seed 3 for zero, none\n  2 runs, about 1 min 0 s\n" in said
    assert "3 of 3 claims decided, after " in said

    looks = recorded(home)
    assert len(looks) == said.count("round ") + 1
    assert {look["first"] for look in looks} == {3}
    assert sorted(one["decision"] for one in looks[-1]["claims"].values()) == ["held", "held", "no difference"]
    page = publish("heads", home)
    text, numbers = page.read_text(), (page.parent / "verdicts.csv").read_text()
    assert text.count("decided with 3") == 2
    assert "planned runs finished" in text
    assert publish("heads", home).read_text() == text, "to look at the same runs again is no look"
    assert (page.parent / "verdicts.csv").read_text() == numbers
    assert recorded(home) == looks
    run(home, again := Simulated())
    assert not again.did, "what is decided needs no runs"
    assert recorded(home) == looks


def test_a_driver_that_is_killed_loses_and_doubles_no_look(
    home: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other")
    (other / "mlflow.db").write_bytes((home / "mlflow.db").read_bytes())
    whole = Simulated()
    run(home, whole, most=4, **TWO)
    for stop in (2, 5):
        with pytest.raises(KilledError):
            run(other, Simulated(stop=stop), most=4, **TWO)
    run(other, Simulated(), most=4, **TWO)
    assert recorded(other) == recorded(home)
    columns = ["row", "seed", "status", MEASURE]
    before, after = (
        frames.runs("heads", place)[columns].sort_values(columns, ignore_index=True) for place in (home, other)
    )
    assert before.equals(after)


def test_no_run_is_begun_that_can_not_end_within_the_budget(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    how = Simulated()
    assert run(home, how, budget=59.0, **TWO).left_out == 5, "the first tells how long they are"
    assert how.did == [("none", 0)]
    said = " ".join(capsys.readouterr().out.split())
    assert "0 of 1 claim decided" in said
    assert "stopped, because no run can be expected to end in the " in said
    assert "the same command, with another --budget, goes on from here" in said


def test_rows_whose_runs_fail_get_no_more(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    how = Simulated(fails=lambda row, seed: (row, seed) == ("zero", 1))
    assert run(home, how, **TWO).failed == 1
    assert len(how.did) == 6
    assert "stopped, because runs of zero failed" in capsys.readouterr().out


def test_rows_that_were_run_otherwise_since_do_not_stand_in_the_way(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(home, Simulated(), most=3, **TWO)
    run(home, Simulated(), most=3, **TWO | {"rows": rows(zero={"epochs": 2}), "seeds": (0, 1)})
    capsys.readouterr()
    run(home, how := Simulated(), most=4, **TWO)
    assert sorted(how.did) == [("none", 3), ("zero", 3)]
    assert capsys.readouterr().out.count("round ") == 1


def test_rounds_whose_rows_have_data_of_their_own_are_of_the_same_base(home: Path) -> None:
    other = {"data.train_images": 128}
    of = rows(none=other, zero=other) | {"large": {"method.head": (16,)}}
    open_ = Claim(statement="zero beats none.", source="a paper", higher="zero", lower="none", negligible=0.001)
    total = run(home, how := Simulated(), most=4, rows=of, claims=[open_])
    assert sorted(how.did[9:]) == [("none", 3), ("zero", 3)], "the row with the base's data is in no claim"
    (base,) = set(frames.runs("heads", home, every=True)["base"])
    assert total.base == base, "whose report is written then"


@pytest.mark.parametrize(
    ("fields", "most", "words"),
    [
        ({"claims": ()}, 20, "heads declares no claims, so there is nothing to decide; leave --until-decided out"),
        ({"fixed": True}, 20, r"decided by its 3 seeds alone \(fixed\), so more would decide nothing; leave"),
        ({}, 2, "--max-seeds is at least 3 here, for the declared seeds, and at most 40, .* got 2"),
        ({}, 41, "got 41"),
    ],
)
def test_what_no_seeds_can_decide_is_refused(fields: dict[str, Any], most: int, words: str) -> None:
    with pytest.raises(UserError, match=words):
        check_decidable(study(**fields), most)


@pytest.mark.parametrize("text", ["", "2", "h", "0m", "-1h", "1m1h", "2 hours"])
def test_a_budget_is_a_time(text: str) -> None:
    assert parse_budget("1h30m") == 5400.0
    with pytest.raises(UserError, match=r"^--budget .* such as 45m, 2h or 1h30m"):
        parse_budget(text)
