"""Operations make the same views on a GPU as on a CPU, and nobody waits for them."""

import pytest
import torch

from unlabeled.platform.augment import SIMCLR, SIMCLR_SMALL, Op, Policy, two_views
from unlabeled.platform.draws import Draws
from unlabeled.platform.processor import Processor
from unlabeled.platform.testing.gpu_steps import refusing_waits

ROUNDING = 2e-3  # of a pixel in [0, 1]: sums in another order, and a hue near the border of two sextants


def pictures(px: int) -> torch.Tensor:
    return torch.rand(24, 3, px, px, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", sorted(Op.kinds()))
@pytest.mark.parametrize("px", [32, 224])
def test_an_operation_makes_what_it_makes_on_a_cpu(name: str, px: int, gpu: Processor) -> None:
    op, rows = Op.kinds()[name](p=0.5), torch.arange(24)
    expected = op(pictures(px), Draws(rows, 3, "op"))
    made = op(gpu.put(pictures(px)), Draws(gpu.put(rows), 3, "op"))
    assert (made.cpu() - expected).abs().mean() < ROUNDING
    assert (made.cpu() - expected).abs().flatten(1).mean(dim=1).median() < ROUNDING / 10


@pytest.mark.parametrize(("policy", "px"), [(SIMCLR_SMALL, 32), (SIMCLR, 224)], ids=["small", "large"])
def test_views_are_made_without_waiting(policy: Policy, px: int, gpu: Processor) -> None:
    here, plan, draws = gpu.put(pictures(px)), two_views(policy), Draws(gpu.put(torch.arange(24)), 1)
    plan({"image": here}, draws)  # constants are made once
    with refusing_waits(gpu.device):
        views = plan({"image": here}, draws)
        matrices = [each.matrix() for each in plan.draw({"image": (3, px, px)}, draws)]
    assert all(made.isfinite().all() for made in (*views, *matrices))


def test_draws_are_the_same_on_every_device(gpu: Processor) -> None:
    rows = torch.arange(1000)
    here, there = Draws(rows, 7, "x"), Draws(gpu.put(rows), 7, "x")
    assert torch.equal(here.uniform("u", 3), there.uniform("u", 3).cpu())
    assert torch.equal(here.integers("i", 17), there.integers("i", 17).cpu())
