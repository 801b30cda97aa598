"""What a batch brings: views of what and when, companions, streams beside it, targets that moved with the view."""

import re
import runpy
from pathlib import Path

import pytest
import scipy.stats
import torch
from held import FRAMES, HEIGHT, RATE, WIDTH, Held, held, with_held
from torch import Tensor

from unlabeled.methods.contrastive.simclr import SimCLRConfig
from unlabeled.platform import collective
from unlabeled.platform.augment import (
    SIMCLR_SMALL,
    ColorJitter,
    Crop,
    Flip,
    Gain,
    Moment,
    Polarity,
    Policy,
    Rotate90,
    Stream,
    View,
    ViewPlan,
)
from unlabeled.platform.augment.geometry import move_boxes, move_masks, move_points
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Batch
from unlabeled.platform.processor import Processor
from unlabeled.platform.settings import explain
from unlabeled.platform.testing.processes import run_together
from unlabeled.platform.train.batches import Batches
from unlabeled.platform.train.built import check_fits

CROPPED = Policy(ops=(Crop(size=9, area=(0.3, 1.0)), Flip()))
WEAK, STRONG = Policy(ops=(Flip(),)), Policy(ops=(Crop(), Flip(), ColorJitter()))
LABELLED = Stream(plan=ViewPlan(views=(WEAK,), targets=("class",)), beside=4)
SEMI = ViewPlan(views=(WEAK, STRONG), streams={"labelled": LABELLED})
FILMS = ViewPlan(
    views=(
        View(field="clip", policy=CROPPED, time=Moment(length=3, stride=2)),
        View(field="sound", policy=Policy(ops=(Gain(),)), time=Moment(length=60, like=0)),
        View(field="camera 2", time=Moment(length=2, like=0, apart=0.25)),
        View(field="clip", of=1),
        View(policy=CROPPED),
    ),
    targets=("class", "text", "mask", "masks", "boxes", "points", "pose"),
)


def batches(plan: ViewPlan, data: Data, source: Held | None = None, **fields: object) -> Batches:
    run = RunConfig.checked(method=SimCLRConfig(views=plan), **{"batch_size": 16, "precision": "fp32", **fields})
    return Batches(run, with_held(data, source or held()), Processor(torch.device("cpu"), "fp32"))


def all_known(source: Held) -> Held:
    return Held(source.fields, source.values)


def parts(batch: Batch) -> dict[str, Tensor | list[str]]:
    """Return all that a batch brings, by name."""
    progress = torch.full((len(batch.index),), batch.progress, dtype=torch.float64, device=batch.index.device)
    found: dict[str, Tensor | list[str]] = {"index": batch.index, "rows": batch.draws.uniform("any"), "at": progress}
    for name in ("views", "to_view", "starts"):
        found |= {f"{name} {place}": each for place, each in enumerate(getattr(batch, name))}
    found |= {f"target {name}": each for name, each in batch.targets.items()}
    for stream, beside in batch.streams.items():
        found |= {f"{stream}: {name}": each for name, each in parts(beside).items()}
    return found


def assert_joined(whole: Batch, pieces: list[Batch]) -> None:
    """Check that batches of some rows, one after another, are the batch of all."""
    expected, found = parts(whole), [parts(piece) for piece in pieces]
    assert all(each.keys() == expected.keys() for each in found)
    for name, value in expected.items():
        if isinstance(value, Tensor):
            joined = torch.cat([torch.as_tensor(each[name]) for each in found])
            torch.testing.assert_close(joined, value, rtol=0, atol=1e-6, equal_nan=True)
        else:
            assert [text for each in found for text in each[name]] == value


# ---- of what and of when -----------------------------------------------------------------------------------------


def test_views_show_the_item_its_companion_and_their_moments(small_data: Data) -> None:
    source = all_known(held())
    batch = batches(FILMS, small_data, source)(1)
    film, sound, other_camera, other_film, picture = batch.views
    assert film.shape == (16, 3, 3, 9, 9)
    assert sound.shape == (16, 1, 60)
    assert other_camera.shape == (16, 2, 3, HEIGHT, WIDTH)
    assert other_film.shape == (16, FRAMES, 3, HEIGHT, WIDTH)
    assert picture.shape == (16, 3, 9, 9)
    index = batch.index.tolist()
    for row, item in enumerate(index):
        start = int(batch.starts[0][row])
        assert torch.equal(film[row, :, 1].mean(dim=(1, 2)).mul(255).round(), torch.arange(start, start + 5, 2).float())
        assert film[row, :, 0].mul(255).round().unique().tolist() == [item]
        middle = (start + 3) / RATE
        assert int(batch.starts[1][row]) == round((middle - 0.75) * 40)
        later = (255 - other_camera[row, :, 1].mean(dim=(1, 2)) * 255).round().tolist()
        begin = int(batch.starts[2][row])
        assert later == [begin, begin + 1]
        assert begin >= start + 6 + 1 or begin + 2 + 1 <= start, "a quarter of a second apart is a frame"
        other = other_film[row, :, 0].mul(255).round().unique()
        assert len(other) == 1
        assert other.item() != item
        assert picture[row, 0].mul(255).round().unique().tolist() == [item]
    assert [int(each.sum()) for each in batch.starts[3:]] == [0, 0]


def test_targets_move_with_the_first_view_of_what_they_lie_in(small_data: Data) -> None:
    source = all_known(held())
    batch = batches(FILMS, small_data, source)(0)
    to_film, to_picture = batch.to_view[0], batch.to_view[4]
    frames = batch.starts[0][:, None] + torch.tensor([0, 2, 4])
    rows = torch.arange(16)[:, None]
    masks, points = (source.tensor(batch.index, field)[rows, frames] for field in ("masks", "points"))
    assert torch.equal(batch.targets["masks"], move_masks(masks, to_film, 9, 9))
    torch.testing.assert_close(batch.targets["points"], move_points(points, to_film, 9, 9), equal_nan=True)
    assert torch.equal(batch.targets["mask"], move_masks(source.tensor(batch.index, "mask"), to_picture, 9, 9))
    boxes = move_boxes(source.tensor(batch.index, "boxes"), to_picture, 9, 9)
    torch.testing.assert_close(batch.targets["boxes"], boxes, equal_nan=True)
    assert torch.equal(batch.targets["pose"], source.tensor(batch.index, "pose")), "as it is, for the whole film"
    assert batch.targets["text"] == source.read(batch.index, "text")
    assert torch.equal(batch.to_view[1], torch.eye(3).expand(16, 3, 3)), "a sound moves nowhere"


def test_companions_are_others_and_every_other_as_often(small_data: Data) -> None:
    plan = ViewPlan(views=(View(), View(of=1), View(of=2)))
    source = held(12)
    made = batches(plan, small_data, source, batch_size=12)
    drawn = torch.stack(
        [torch.stack([view[:, 0, 0, 0].mul(255).round() for view in made(step).views], dim=1) for step in range(400)]
    ).flatten(0, 1)
    own, first, second = drawn.long().unbind(1)
    assert not (first == own).any()
    assert not (second == own).any()
    assert 0.05 < float((first == second).float().mean()) < 0.14, "each is drawn for itself"
    counts = torch.bincount((first - own) % 12, minlength=12)[1:]
    assert scipy.stats.chisquare(counts.numpy()).pvalue > 1e-3
    pairs = torch.bincount(own * 12 + first, minlength=144).view(12, 12)
    assert (pairs > 0).sum() == 12 * 11


# ---- beside a batch ----------------------------------------------------------------------------------------------


def test_a_stream_stands_beside_its_rows_and_passes_over_what_is_known(small_data: Data) -> None:
    source = held()
    made = batches(SEMI, small_data, source)
    known = source.rows[source.known("class")].tolist()
    seen = []
    for step in range(12):
        batch = made(step)
        beside = batch.streams["labelled"]
        assert beside.draws.rows.tolist() == [0, 1, 2, 3]
        assert beside.views[0].shape == (4, 3, HEIGHT, WIDTH)
        assert torch.equal(beside.targets["class"], beside.index % 3)
        assert torch.equal(beside.views[0][:, 0, 0, 0].mul(255).round().long(), beside.index)
        assert not batch.targets
        seen += beside.index.tolist()
    passes = [seen[:24], seen[24:]]
    assert all(sorted(each) == known for each in passes), "each once in a pass"
    assert passes[0] != passes[1]
    other = batches(SEMI, small_data, source, seed=1)(0).streams["labelled"]
    assert other.index.tolist() != seen[:4]


def test_a_stream_has_draws_and_companions_of_its_own(small_data: Data) -> None:
    plan = ViewPlan(views=(SIMCLR_SMALL, View(of=1)))
    twice = ViewPlan(views=plan.views, streams={name: Stream(plan=plan, beside=1) for name in ("one", "two")})
    source = held()
    batch = batches(twice, small_data, source)(0)
    both = [batch, *batch.streams.values()]
    assert len({tuple(each.draws.uniform("any").tolist()) for each in both}) == 3
    assert len({tuple(each.to_view[0].flatten().tolist()) for each in both}) == 3
    for beside in batch.streams.values():
        companion = beside.views[1][:, 0, 0, 0].mul(255).round().long()
        assert source.known("class")[companion].all(), "of the stream's own items"
        assert not (companion == beside.index).any()


def test_a_stream_may_be_longer_than_what_it_is_drawn_from(small_data: Data) -> None:
    few = Stream(plan=LABELLED.plan, beside=1, per_class=2)
    source = held()
    made = batches(ViewPlan(views=(WEAK,), streams={"labelled": few}), small_data, source)
    seen = torch.cat([made(step).streams["labelled"].index for step in range(3)])
    first = [0, 2, 4, 6, 8, 10]  # 0 and 6 are ants, 4 and 10 bees, 2 and 8 cats; the odd are not told
    assert seen.sort().values.tolist() == sorted(first * 8)
    for turn in range(8):
        assert sorted(seen[6 * turn : 6 * turn + 6].tolist()) == first


@pytest.mark.parametrize("plan", [SEMI, FILMS])
@pytest.mark.parametrize(("workers", "micro_batch"), [(2, None), (4, None), (2, 8), (1, 4)])
def test_workers_and_micro_batches_cut_the_same_rows(
    plan: ViewPlan, workers: int, micro_batch: int | None, small_data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = held() if plan is SEMI else all_known(held())
    whole = batches(plan, small_data, source)(5)
    pieces: dict[int, list[Batch]] = {}
    for rank in range(workers):
        monkeypatch.setattr(collective, "world_size", lambda: workers)
        monkeypatch.setattr(collective, "rank", lambda rank=rank: rank)
        made = batches(plan, small_data, source, micro_batch=micro_batch)
        share = (micro_batch or 16) // workers
        for rows in torch.split(made.own_rows(), share):
            pieces[int(rows[0])] = [made(5, rows)]
    assert_joined(whole, [pieces[first][0] for first in sorted(pieces)])


def test_a_batch_is_a_function_of_its_step(small_data: Data) -> None:
    made = batches(SEMI, small_data)
    expected = parts(made(7))
    made(0), made(9)
    for again in (made(7), batches(SEMI, small_data)(7)):
        assert all(
            torch.equal(torch.as_tensor(value), torch.as_tensor(expected[name])) for name, value in parts(again).items()
        )


def test_a_batch_says_how_far_the_run_is(small_data: Data) -> None:
    made = batches(SEMI, small_data, epochs=3)
    total = 3 * made.steps_per_epoch
    for step in (0, 1, made.steps_per_epoch, total - 1):
        batch = made(step)
        assert batch.progress == batch.streams["labelled"].progress == step / total


def test_without_views_the_rest_is_the_same(small_data: Data) -> None:
    source = all_known(held())
    made = batches(FILMS.model_copy(update={"streams": {"labelled": LABELLED}}), small_data, source)
    whole, without = parts(made(2)), parts(made(2, with_views=False))
    assert {name for name in whole if "views" not in name} == without.keys()
    for name, value in without.items():
        if isinstance(value, Tensor):
            torch.testing.assert_close(value, whole[name], rtol=0, atol=0, equal_nan=True)


def test_what_is_read_once_makes_every_part_of_it(small_data: Data) -> None:
    source = all_known(held())
    made = batches(FILMS.model_copy(update={"streams": {"labelled": LABELLED}}), small_data, source)
    stored = made.read(3)
    for rows in (torch.arange(4, 12), torch.tensor([15, 3, 8, 0])):  # side by side, and not
        read_alone, made_of_all = parts(made(3, rows)), parts(made.make(stored, rows))
        assert read_alone.keys() == made_of_all.keys()
        for name, value in read_alone.items():
            if isinstance(value, Tensor):
                torch.testing.assert_close(made_of_all[name], value, rtol=0, atol=0, equal_nan=True)
            else:
                assert made_of_all[name] == value
    with pytest.raises(AssertionError, match="only what was read"):
        made.make(made.read(3, torch.arange(4)), torch.arange(2, 6))


def test_all_of_it_is_on_the_device(small_data: Data) -> None:
    run = RunConfig(method=SimCLRConfig(views=SEMI), batch_size=16)
    made = Batches(run, with_held(small_data, held()), Processor(torch.device("meta"), "fp32"))
    for name, value in parts(made(0, with_views=False)).items():
        assert torch.as_tensor(value).device.type == "meta", name


# ---- two real workers --------------------------------------------------------------------------------------------

WORKER = Path(__file__).with_name("batches_worker.py")


@pytest.mark.parametrize("micro_batch", [None, 8])
def test_two_workers_train_as_one_with_streams_companions_and_moments(micro_batch: int | None, tmp_path: Path) -> None:
    worker = runpy.run_path(str(WORKER))
    alone = worker["trained"](micro_batch)
    run_together([("-W", "error", WORKER, rank, tmp_path, micro_batch or 0) for rank in range(2)])
    for rank in range(2):
        together = torch.load(tmp_path / f"{rank}.pt")
        assert together.keys() == alone.keys()
        for name, value in alone.items():
            torch.testing.assert_close(together[name], value, rtol=1e-9, atol=1e-9)


def test_resumed_equals_uninterrupted() -> None:
    worker = runpy.run_path(str(WORKER))
    whole, resumed = worker["trained"](None), worker["trained"](None, stop=2)
    assert all(torch.equal(resumed[name], value) for name, value in whole.items())


# ---- one clear line ----------------------------------------------------------------------------------------------


def plan_of(*views: View | Policy, **fields: object) -> ViewPlan:
    return ViewPlan(views=views, **fields)


def stream_of(views: tuple[View | Policy, ...] = (WEAK,), beside: int = 4, **fields: object) -> ViewPlan:
    targets = fields.pop("targets", ())
    plan = ViewPlan(views=views, targets=targets)
    return ViewPlan(views=(WEAK, WEAK), streams={"labelled": Stream(plan=plan, beside=beside, **fields)})


def takes_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let SimCLR take views of others and of several sizes: what is tried here is the plan and the data."""
    monkeypatch.setattr(SimCLRConfig, "takes_others", True)
    monkeypatch.setattr(SimCLRConfig, "one_size", slice(0))


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (
            plan_of(View(field="text"), WEAK),
            "view 1 of method.views is of the field 'text', which is no picture, clip or sound; take image or clip or",
        ),
        (
            plan_of(WEAK, View(field="depth")),
            "view 2 of method.views is of the field 'depth', and .* has only image, clip",
        ),
        (
            plan_of(WEAK, View(field="sound", policy=WEAK)),
            r"of 'sound', a wave, and its policy 'Flip\(p=0.5\)' is for pictures; take operations on sounds",
        ),
        (
            plan_of(View(policy=Policy(ops=(Polarity(),))), WEAK),
            r"of 'image', an image, and its policy 'Polarity\(p=0.5\)' is for sounds; take operations on pictures",
        ),
        (
            plan_of(View(time=Moment(length=1)), WEAK),
            "view 1 of method.views has a time, and 'image' is no clip or sound; leave time out",
        ),
        (
            plan_of(View(field="clip", time=Moment(length=13)), WEAK),
            "view 1 of method.views reaches over 13 frames, and 'clip' of .* has 12; make time.length or time.st",
        ),
        (
            plan_of(View(field="clip", time=Moment(length=5, stride=3)), WEAK),
            r"reaches over 13 frames \(5, each 3.\), and 'clip' of fashion-mnist-12k has 12",
        ),
        (
            plan_of(View(field="sound", time=Moment(length=121)), WEAK),
            "reaches over 121 samples, and 'sound' of .* has 120",
        ),
        (
            plan_of(
                View(field="clip", time=Moment(length=5)),
                View(field="clip", time=Moment(length=5, like=0, apart=1.0)),
            ),
            "view 1 of method.views finds no time in the items of fashion-mnist-12k at which it, and the views that go",
        ),
        (
            plan_of(View(field="silent", time=Moment(length=5)), View(field="sound", time=Moment(length=5, like=0))),
            "view 2 of method.views goes by the seconds of view 1, and 'silent' of fashion-mnist-12k has no rate; take",
        ),
        (
            plan_of(View(policy=Policy(ops=(Rotate90(),))), WEAK),
            "view 1 of method.views: Rotate90 needs square images, got 10 x 12 pixels; crop them first",
        ),
        (
            plan_of(View(field="clip"), View(of=1), targets=("mask",)),
            "asks for the field 'mask', which lies in 'image', and moves with .* has none, so add a view of 'image'",
        ),
        (
            plan_of(WEAK, WEAK, targets=("class",)),
            "method.views asks for the field 'class', and 24 of the 48 items to train on of fashion-mnist-12k have",
        ),
        (
            stream_of(beside=3),
            "batch_size 16 does not divide by 3: method.views.streams.labelled has one row beside 3; use 15 or 18",
        ),
        (stream_of(beside=32), "batch_size 16 does not divide by 32: .* use 32"),
        (
            stream_of(known="clas"),
            "streams.labelled is of items that have the field 'clas', and .* has only image, clip",
        ),
        (
            stream_of(known="lost"),
            "streams.labelled: no item to train on has the field 'lost'; choose another data set",
        ),
        (stream_of(per_class=9), "streams.labelled: per_class is 9, and class 'ant' has 8; use 8 or fewer"),
        (
            stream_of(per_class=2, known="text"),
            "streams.labelled: per_class counts items of a class, and 'text' is of kind text; leave it out",
        ),
        (stream_of((View(field="depth"),)), "view 1 of method.views.streams.labelled is of the field 'depth', and"),
        (
            stream_of(targets=("class",), known="text"),
            "method.views.streams.labelled asks for the field 'class', and 24 of the 48 items to train on",
        ),
    ],
)
def test_a_plan_that_does_not_go_with_the_data_is_one_clear_line(
    plan: ViewPlan, message: str, small_data: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    takes_all(monkeypatch)
    source = held()
    fields = {**source.fields, "silent": source.fields["clip"].__class__(kind="clip", shape=(12, 3, 10, 12))}
    fields["lost"] = source.fields["text"]
    lacking = {**source.lacking, "lost": torch.ones(48, dtype=torch.bool)}
    data = with_held(small_data, Held(fields, source.values, lacking))
    with pytest.raises(UserError) as caught:
        check_fits(RunConfig(method=SimCLRConfig(views=plan), batch_size=16), data)
    assert re.search(message, str(caught.value)), str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "workers", "message"),
    [
        ({}, 8, "batch_size 16 does not divide by 32: .* beside 4 on 8 workers; use 32"),
        ({"micro_batch": 2}, 1, "micro_batch 2 does not divide by 4: .*; use 4"),
        ({"micro_batch": 4}, 2, "micro_batch 4 does not divide by 8: .* on 2 workers; use 8"),
    ],
)
def test_every_part_of_a_batch_has_rows_beside_it(
    fields: dict[str, int], workers: int, message: str, small_data: Data
) -> None:
    run = RunConfig.checked(method=SimCLRConfig(views=SEMI), **{"batch_size": 16, **fields})
    with pytest.raises(UserError, match=message):
        check_fits(run, with_held(small_data, held()), workers)


def test_one_item_has_no_companion(small_data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    takes_all(monkeypatch)
    source = held()
    one = Held(source.fields, source.values, {"class": source.rows > 0})
    run = RunConfig(method=SimCLRConfig(views=stream_of((WEAK, View(of=1)))), batch_size=16)
    line = "view 2 of method.views.streams.labelled is of another item, and there is only one; set of=0"
    with pytest.raises(UserError, match=line):
        check_fits(run, with_held(small_data, one))


def test_what_fits_is_let_through(small_data: Data, monkeypatch: pytest.MonkeyPatch) -> None:
    takes_all(monkeypatch)
    check_fits(RunConfig(method=SimCLRConfig(views=SEMI), batch_size=16), with_held(small_data, held()))
    two = FILMS.model_copy(update={"views": (FILMS.views[0], FILMS.views[4])})
    check_fits(RunConfig(method=SimCLRConfig(views=two), batch_size=16), with_held(small_data, all_known(held())))


def test_a_stream_has_no_streams() -> None:
    with pytest.raises(ValueError, match="a stream's plan has no streams of its own"):
        Stream(plan=SEMI, beside=2)


def test_a_policy_is_of_pictures_or_of_sounds() -> None:
    with pytest.raises(ValueError, match="pictures or for sounds") as caught:
        Policy(ops=(Flip(), Gain()))
    assert "and Flip is of pictures, Gain of sounds; make a policy, and a view, for each" in explain(caught.value)  # type: ignore[arg-type]


def test_streams_tell_runs_apart_and_survive_json() -> None:
    def digest(plan: ViewPlan) -> str:
        run = RunConfig(method=SimCLRConfig(views=plan))
        assert RunConfig.model_validate_json(run.canonical_json()) == run
        assert hash(run.method) == hash(run.method.model_copy())
        return run.digest()

    streams = [
        LABELLED,
        LABELLED.model_copy(update={"beside": 2}),
        LABELLED.model_copy(update={"per_class": 4}),
        LABELLED.model_copy(update={"known": "text"}),
        LABELLED.model_copy(update={"plan": ViewPlan(views=(STRONG,), targets=("class",))}),
    ]
    plans = [SEMI.model_copy(update={"streams": {"labelled": stream}}) for stream in streams]
    plans += [SEMI.model_copy(update={"streams": {}}), SEMI.model_copy(update={"streams": {"few": LABELLED}}), FILMS]
    assert len({digest(plan) for plan in plans}) == len(plans)
    assert SEMI.summary.endswith("; labelled, 1 beside 4: 1 x [Flip(p=0.5)] with class")
    assert FILMS.views[1].summary == "sound, 60, by view 1: Gain(-12-0 dB)"
