"""On a GPU no operation waits, and gives the numbers of a CPU, which changes the chosen samples alone."""

import pytest
import torch

from unlabeled.platform.augment import (
    POLICIES,
    Crop,
    Extent,
    GaussianNoise,
    Moment,
    Op,
    Policy,
    View,
    ViewPlan,
    WaveOp,
    devices,
)
from unlabeled.platform.draws import Draws
from unlabeled.platform.testing.no_waits import no_waits

OPS = [kind(p=p) for kind in Op.family.values() if kind.__module__.startswith("unlabeled.") for p in (0.5, 1.0)]
WAVE_OPS = [
    kind(p=p) for kind in WaveOp.family.values() if kind.__module__.startswith("unlabeled.") for p in (0.5, 1.0)
]
PLANS = {
    **{name: ViewPlan(views=(policy, policy)) for name, policy in POLICIES.items()},
    "moments": ViewPlan(
        views=(
            View(policy=POLICIES["simclr"], field="clip", time=Moment(length=2)),
            View(policy=POLICIES["moco-v1"], field="clip", time=Moment(length=2, like=0)),
            View(policy=Policy(ops=tuple(WAVE_OPS)), field="sound", time=Moment(length=40, like=0, apart=0.1)),
        )
    ),
}
SHAPES = {"image": (3, 32, 32), "clip": (6, 3, 32, 32), "sound": (1, 600)}
RATES = {"image": 1.0, "clip": 10.0, "sound": 1000.0}


def summary(op):
    return op.summary


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 28), (3, 224, 224), (4, 3, 32, 32)], ids=str)
@pytest.mark.parametrize("op", OPS, ids=summary)
def test_no_operation_on_pictures_waits(op, shape):
    with no_waits() as gpu:
        extent, draws = Extent.of(shape), Draws(torch.arange(4, device=gpu), 0)
        drawn = op.draw(extent, draws)
        made = op.change(torch.zeros(4, *shape, device=gpu), drawn)
        assert op.change(made.clone(), drawn, overwrite=True).shape == made.shape == (4, *shape)
        op.movement(extent, gpu, drawn)


@pytest.mark.parametrize("op", [op for op in OPS if op.moves and op.name != "rotate90"], ids=summary)
def test_no_drawing_of_pictures_of_many_sizes_waits(op):
    with no_waits() as gpu:
        extent, draws = Extent(3, (torch.full((4,), 20, device=gpu), 24)), Draws(torch.arange(4, device=gpu), 0)
        op.movement(extent, gpu, op.draw(extent, draws))


@pytest.mark.parametrize("op", WAVE_OPS, ids=summary)
def test_no_operation_on_sounds_waits(op):
    with no_waits() as gpu:
        made = op(torch.zeros(4, 2, 64, device=gpu), Draws(torch.arange(4, device=gpu), 0))
        assert made.shape == (4, 2, 64)


@pytest.mark.parametrize("side", [32, 224])
@pytest.mark.parametrize("name", PLANS)
def test_no_plan_waits(name, side):
    shapes = {field: (*shape[:-2], side, side) if field != "sound" else shape for field, shape in SHAPES.items()}
    plan, kinds = PLANS[name], {"sound": torch.float32}
    with no_waits() as gpu:
        items = {
            view.item: torch.zeros(4, *shapes[view.field], dtype=kinds.get(view.field, torch.uint8), device=gpu)
            for view in plan.views
        }
        draws = Draws(torch.arange(4, device=gpu), 0)
        views = plan(items, draws, RATES)
        assert [view.device for view in views] == [gpu] * len(views)
        for drawn in plan.draw(shapes, draws):
            assert drawn.matrix().shape == (4, 3, 3)


def test_draws_do_not_wait():
    with no_waits() as gpu:
        draws = Draws(torch.arange(4), 0).to(gpu)
        draws.normal("n", 2, 3)
        draws.permutation("p", 5)
        draws.other("o", 9, than=draws.below("b", 9))
        draws.integers("i", draws.integers("high", 7) + 1)
        draws.bernoulli(0.3)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("op", [op for op in OPS if op.p < 1.0], ids=summary)
def test_a_gpu_that_changes_all_gets_the_numbers_of_a_cpu(op, channels, monkeypatch):
    pictures = torch.rand(30, channels, 32, 32, generator=torch.Generator().manual_seed(5))
    drawn = op.draw(Extent.of(pictures.shape[1:]), Draws(torch.arange(30), 0))
    expected = op.change(pictures, drawn)
    monkeypatch.setattr(devices, "computes_chosen_alone", lambda device: False)
    assert torch.equal(op.change(pictures, drawn), expected)
    assert torch.equal(op.change(pictures.clone(), drawn, overwrite=True), expected)


@pytest.mark.parametrize("op", [op for op in WAVE_OPS if op.p < 1.0], ids=summary)
def test_a_gpu_that_changes_all_sounds_gets_the_numbers_of_a_cpu(op, monkeypatch):
    sounds = torch.rand(30, 2, 64, generator=torch.Generator().manual_seed(5)) * 2 - 1
    drawn = op.draw(Extent.of(sounds.shape[1:]), Draws(torch.arange(30), 0))
    expected = op.change(sounds, drawn)
    monkeypatch.setattr(devices, "computes_chosen_alone", lambda device: False)
    assert torch.equal(op.change(sounds, drawn), expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_gpu_that_changes_all_makes_the_views_of_a_cpu(channels, monkeypatch):
    pictures = torch.randint(256, (30, channels, 32, 32), generator=torch.Generator().manual_seed(5)).byte()
    policy = Policy(ops=(*POLICIES["simclr"].ops, GaussianNoise(p=0.5), Crop(size=16)))
    plan, draws = ViewPlan(views=(policy, policy)), Draws(torch.arange(30), 0)
    expected = plan({"image": pictures}, draws)
    monkeypatch.setattr(devices, "computes_chosen_alone", lambda device: False)
    for view, wanted in zip(plan({"image": pictures}, draws), expected, strict=True):
        assert torch.equal(view, wanted)


@pytest.mark.parametrize(("name", "side"), [("simclr", 32), ("moco-v1-blur", 132), ("plain", 132)])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_batch_that_is_changed_in_parts_gets_the_same_numbers(name, side, threads, monkeypatch):
    """On as many threads as there may be; of bytes as of floats."""
    pictures = torch.randint(256, (9, 3, side, side), generator=torch.Generator().manual_seed(5)).byte()
    plan, draws = ViewPlan(views=(POLICIES[name],) * 2), Draws(torch.arange(9), 0)
    monkeypatch.setattr(devices, "_FLOATS_AT_ONCE", 3_000_000)
    expected = plan({"image": pictures.float().div(255)}, draws)
    calls = []
    whole = Policy._change
    monkeypatch.setattr(
        Policy, "_change", lambda self, items, drawn: calls.append(len(items)) or whole(self, items, drawn)
    )
    monkeypatch.setattr(devices, "_FLOATS_AT_ONCE", 3 * 3 * side * side)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        made = plan({"image": pictures}, draws)
        assert torch.get_num_threads() == threads, "as it was, here and for threads to come"
    finally:
        torch.set_num_threads(before)
    assert set(calls) <= {2, 3}
    assert sum(calls) == 2 * len(pictures)
    for view, wanted in zip(made, expected, strict=True):
        assert view.dtype == torch.float32
        assert torch.equal(view, wanted)
