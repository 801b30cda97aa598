"""Looks at claims, recorded with the study: what one has spent or decided, the next one knows."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from unlabeled.dashboards import frames, plots
from unlabeled.dashboards.looking import looked
from unlabeled.dashboards.rates import Look, is_new
from unlabeled.dashboards.verdicts import judge
from unlabeled.platform.track import Store
from unlabeled.platform.track.leases import Leases
from unlabeled.platform.track.looks import looks_of, record_look

Make = Callable[..., Any]


def look(first: int = 3, n: int = 3, decision: str = "not decided", **fields: Any) -> Look:
    return Look("2026-03-02", first, (0, 1, 2), {"a": {"n": n, "level": 0.01, "decision": decision}}, **fields)


def test_what_is_new_of_a_look() -> None:
    assert not is_new(look(n=1), []), "one seed has no interval"
    assert is_new(look(first=5, n=2), []), "it has been seen before all that was declared was there"
    assert not is_new(look(first=0), []), "no seeds are declared"
    assert not is_new(look(), [look()])
    assert is_new(look(n=4), [look()])
    assert is_new(look(decision="held"), [look()])
    assert not is_new(look(decision="held"), [look(decision="held"), look()])


@pytest.fixture
def opened(home: Path, record: Make) -> tuple[Store, Leases]:
    """A store with the study's experiment and ledger, and the ledger's leases."""
    store = Store(home)
    return store, Leases(store.client, store.open_experiment(record())[1])


def test_of_two_drivers_one_gets_the_number_and_both_know_what_it_saw(
    opened: tuple[Store, Leases], record: Make, runs: Make
) -> None:
    store, leases = opened
    frame = runs().assign(base="one", row_digest="x")
    study, (_, mine) = record(), judge(record(), frame)
    assert record_look(store, "projection-head", "one", 0, look(first=5, n=2).as_record())
    assert not record_look(store, "projection-head", "one", 0, mine.as_record()), "another driver was quicker"
    looks, problem = looked(store, "projection-head", study, frame)
    assert (problem, len(looks), looks[1].first) == ("", 2, 5), "its design stays, whatever is declared now"
    assert {said["decision"] for said in looks[1].claims.values()} == {"not decided"}
    assert looked(store, "projection-head", study, frame)[0] == looks, "no new look"
    assert looks_of(store, "projection-head", "other") == []
    leases.refresh()
    assert leases.is_alone(), "looks are no leases"


def test_seeds_that_are_declared_after_a_report_are_later_looks(
    opened: tuple[Store, Leases], record: Make, runs: Make, claim: Make
) -> None:
    store, _ = opened
    claims = [claim("mlp", "none"), claim("mlp", "linear", negligible=0.0)]
    frame = runs(seeds=range(5)).assign(base="one", row_digest="x")
    first, _ = looked(store, "projection-head", record(claims=claims), frame[frame["seed"] < 3])
    more = record(claims=claims, seeds=[0, 1, 2, 3, 4])
    looks, _ = looked(store, "projection-head", more, frame)
    assert [one.first for one in looks] == [3, 3]
    assert looks[:1] == first
    fresh, again = judge(more, frame)[0], judge(more, frame, looks)[0]
    decided = {name for name, said in first[0].claims.items() if said["decision"] != "not decided"}
    assert decided, "the first look decides one"
    assert [one.decided_earlier for one in again].count(3) == len(decided)
    open_ = [(new, old) for new, old in zip(again, fresh, strict=True) if not new.decided_earlier]
    assert open_
    assert all(new.level < old.level for new, old in open_), "the first look has spent some of the rate"


def test_a_look_is_known_again_after_one_at_other_claims(
    opened: tuple[Store, Leases], record: Make, runs: Make, claim: Make
) -> None:
    store, _ = opened
    frame = runs().assign(base="one", row_digest="x")
    one, other = (record(claims=[claim("mlp", row, negligible=0.0)]) for row in ("linear", "none"))
    before = judge(one, frame, looked(store, "projection-head", one, frame)[0])[0]
    assert len(looked(store, "projection-head", other, frame)[0]) == 2
    looks, _ = looked(store, "projection-head", one, frame)
    assert len(looks) == 2
    assert [(each.level, each.decision) for each in judge(one, frame, looks)[0]] == [
        (each.level, each.decision) for each in before
    ]


def test_a_figure_of_claims_is_a_look(logged: Make, record: Make, runs: Make) -> None:
    home = logged(record(), runs())
    store, (base,) = Store(home), set(frames.runs("projection-head", home)["base"])
    assert not looks_of(store, "projection-head", base)
    plots.claims("projection-head", home)
    assert len(looks_of(store, "projection-head", base)) == 1


def test_a_row_that_is_declared_otherwise_is_another_claim(
    opened: tuple[Store, Leases], record: Make, runs: Make
) -> None:
    store, _ = opened
    frame = runs().assign(base="one", row_digest="x")
    (first,), _ = looked(store, "projection-head", record(), frame)
    changed = frame.assign(row_digest=frame["row"].map({"mlp": "y"}).fillna("x"))
    *_, second = looked(store, "projection-head", record(), changed)[0]
    assert not set(first.claims) & set(second.claims)


def test_a_study_that_is_fixed_has_all_of_its_rate_and_one_look(
    opened: tuple[Store, Leases], record: Make, runs: Make
) -> None:
    store, _ = opened
    frame, fixed = runs(seeds=range(4)).assign(base="one", row_digest="x"), record(fixed=True)
    three = frame[frame["seed"] < 3]
    looks, _ = looked(store, "projection-head", fixed, three)
    assert [one.level for one in judge(fixed, three, looks)[0]] == [one.level for one in judge(fixed, three)[0]]
    later, _ = judge(record(seeds=[0, 1, 2, 3]), frame, looks)
    assert all(one.decided_earlier or one.decision == "not decided" for one in later), "whatever is declared now"


def test_a_look_that_can_not_be_recorded_is_told(logged: Make, record: Make, runs: Make, home: Path) -> None:
    frame = runs().assign(base="one", row_digest="x")
    store = Store(home)
    store.client.create_experiment("projection-head")  # as another program makes them
    looks, problem = looked(store, "projection-head", record(), pd.DataFrame(frame))
    assert len(looks) == 1
    assert "could not be recorded, so that later ones forget it: the experiment has no ledger" in problem


def test_a_claim_is_tested_once_with_each_number_of_seeds(record: Make, runs: Make, claim: Make) -> None:
    """More runs of other rows change its error, so another test would be another chance to decide falsely."""
    claims = [claim("mlp", "linear", negligible=0.0), claim("linear", "none", negligible=0.0)]
    study, frame = record(claims=claims), runs(seeds=range(5))
    three = frame[frame["seed"] < 3]
    (open_, _), first = judge(study, three)
    assert (open_.decision, open_.level > 0) == ("not decided", True)
    quiet = frame[(frame["seed"] < 3) | (frame["row"] == "none")]  # the claim's rows have no more seeds
    (again, _), second = judge(study, quiet, [first])
    assert (again.level, again.decision) == (0, "not decided")
    assert "it was tested with as many seeds before, and is tested again when there are more" in again.reason
    assert again.deciding.high == float("inf")
    assert second.counts == first.counts
    (same, _), _ = judge(study, three, [first])
    assert same.level == open_.level, "the same look, made again"
    (more, _), _ = judge(study, frame[frame["seed"] < 4], [first, second])
    assert more.level > 0


def test_the_first_look_waits_for_all_rows_but_not_for_those_that_fail(record: Make, runs: Make, claim: Make) -> None:
    study, frame = record(claims=[claim("mlp", "none")]), runs()
    late = (frame["row"] == "linear") & (frame["seed"] == 2)
    (waits,), look = judge(study, frame[~late])
    assert (waits.decision, waits.level, waits.n) == ("not decided", 0, 3)
    assert "the first look is made when all rows have their declared seeds" in waits.reason
    (found,), _ = judge(study, frame, [look])
    assert found.decision == "held"
    (failed,), _ = judge(study, frame.assign(status=frame["status"].mask(late, "FAILED")))
    assert failed.decision == "held"
