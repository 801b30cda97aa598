import math
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from timm.optim.lars import Lars
from torch import nn

from unlabeled.platform.errors import UserError
from unlabeled.platform.optim import LARS, SGD, AdamW, Group, OptimizerConfig, undecayed


@pytest.mark.parametrize("config", [SGD(weight_decay=0.1), AdamW(weight_decay=0.1), LARS(weight_decay=0.1)])
def test_one_dimensional_and_frozen_parameters_are_spared(config: OptimizerConfig) -> None:
    module = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))
    module[2].weight.requires_grad_(False)
    weights, others = config.build(module).param_groups
    assert [id(p) for p in weights["params"]] == [id(module[0].weight)]
    assert {id(p) for p in others["params"]} == {id(p) for p in module.parameters() if p.ndim == 1}
    assert (weights["weight_decay"], others["weight_decay"]) == (0.1, 0.0)


class Tokens(nn.Module):
    """Has a bias for each of its channels and places, and positions that it wants spared, as timm's models do."""

    def __init__(self) -> None:
        super().__init__()
        for name in ("weight", "bias", "relative_position_bias_table", "cls_token", "place_row", "place_column"):
            setattr(self, name, nn.Parameter(torch.ones(2, 3)))

    def no_weight_decay(self) -> set[str]:
        return {"cls_token", "place_*", "not_here"}


def test_biases_of_any_shape_and_what_a_model_names_are_spared() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.Sequential(Tokens()), nn.GRU(2, 2))
    decayed = {"0.weight", "1.0.weight", "2.weight_ih_l0", "2.weight_hh_l0"}
    assert undecayed(module) == {name for name, _ in module.named_parameters()} - decayed
    assert undecayed(Tokens()) == {name for name, _ in Tokens().named_parameters()} - {"weight"}


def test_lars_adapts_weights_and_leaves_the_others_to_sgd() -> None:
    module = nn.Linear(4, 4)
    optimizer = LARS(weight_decay=0.0, momentum=0.0).build(module)
    for group in optimizer.param_groups:
        group["lr"] = 1.0
    weight, bias = module.weight.detach().clone(), module.bias.detach().clone()
    module.weight.grad, module.bias.grad = torch.randn(4, 4), torch.randn(4)
    optimizer.step()
    trust = 0.001 * weight.norm() / module.weight.grad.norm()  # eq. 6 of the paper, without decay
    torch.testing.assert_close(module.weight.detach(), weight - trust * module.weight.grad)
    torch.testing.assert_close(module.bias.detach(), bias - module.bias.grad)


def test_the_learning_rate_rises_then_follows_half_a_cosine() -> None:
    rule = AdamW(learning_rate=2.0, warmup_epochs=0.5)
    rates = [rule.learning_rate_at(step, 10, 105, 256) for step in range(105)]
    assert rates[:5] == pytest.approx([0.4, 0.8, 1.2, 1.6, 2.0])
    for step in range(5, 105):
        assert rates[step] == pytest.approx(1.0 + math.cos(math.pi * (step - 5) / 100))
    stairs = SGD(learning_rate=2.0, schedule="steps")
    rates = [stairs.learning_rate_at(step, 10, 200, 256) for step in (0, 119, 120, 159, 160, 199)]
    assert rates == pytest.approx([2.0, 2.0, 0.2, 0.2, 0.02, 0.02])
    flat = AdamW(learning_rate=2.0, schedule="constant")
    assert {flat.learning_rate_at(step, 10, 100, 256) for step in range(100)} == {2.0}


@pytest.mark.parametrize(("scaling", "factor"), [("none", 1.0), ("linear", 16.0), ("sqrt", 4.0)])
def test_the_peak_scales_with_the_batch_as_written(scaling: str, factor: float) -> None:
    rule = SGD.checked(learning_rate=0.1, scaling=scaling)
    assert rule.learning_rate_at(0, 10, 100, 4096) == pytest.approx(0.1 * factor)


class Players(nn.Module):
    """Three parts, two of which may have groups of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.fast, self.bare = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.bare(self.fast(self.body(x).tanh()).tanh())
        return out

    def groups(self) -> list[Group]:
        return [Group(self.fast.parameters(), rate=10.0), Group(self.bare.parameters(), rate=0.5, decay=False)]


def players() -> Players:
    torch.manual_seed(0)
    return Players().double()


@pytest.mark.parametrize(
    ("config", "by_hand"),
    [
        (SGD(weight_decay=0.1), lambda groups: torch.optim.SGD(groups, lr=1.0, momentum=0.9)),
        (AdamW(weight_decay=0.1), lambda groups: torch.optim.AdamW(groups, lr=1.0, betas=(0.9, 0.999))),
        (LARS(weight_decay=0.1), lambda groups: Lars(groups, lr=1.0, momentum=0.9)),
    ],
)
def test_a_group_trains_at_a_rate_of_its_own(
    config: OptimizerConfig, by_hand: Callable[[list[dict[str, Any]]], torch.optim.Optimizer]
) -> None:
    """Against torch's own groups, written down one by one."""
    ours, theirs = players(), players()
    optimizer = config.build(ours, ours.groups())
    rates = [group["rate"] for group in optimizer.param_groups]
    rows: list[dict[str, Any]] = []
    for part, rate, decays in ((theirs.body, 1.0, True), (theirs.fast, 10.0, True), (theirs.bare, 0.5, False)):
        decay, adapts = (0.1 if decays else 0.0), {"always_adapt": decays}
        rows.append({"params": [part.weight], "weight_decay": decay, "rate": rate, **adapts})
        rows.append({"params": [part.bias], "weight_decay": 0.0, "rate": rate, "always_adapt": False})
    other, x = by_hand(rows), torch.linspace(-1.0, 1.0, 12, dtype=torch.float64).view(3, 4)
    for step in range(3):
        learning_rate = 0.01 * (step + 1)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = learning_rate * rate
        for group in other.param_groups:
            group["lr"] = learning_rate * group["rate"]
        for net, rule in ((ours, optimizer), (theirs, other)):
            rule.zero_grad()
            net(x).square().sum().backward()
            rule.step()
    for (name, one), two in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-12, atol=1e-14, msg=name)


def test_what_is_in_no_group_trains_as_usual_and_nothing_is_left_out() -> None:
    module = players()
    module.fast.weight.requires_grad_(False)
    found = SGD(weight_decay=0.1).build(module, module.groups()).param_groups
    names = {parameter: name for name, parameter in module.named_parameters()}
    assert [
        (group["rate"], group["weight_decay"], [names[parameter] for parameter in group["params"]]) for group in found
    ] == [
        (1.0, 0.1, ["body.weight"]),
        (1.0, 0.0, ["body.bias"]),
        (10.0, 0.0, ["fast.bias"]),
        (0.5, 0.0, ["bare.weight", "bare.bias"]),
    ]
    alone = SGD().build(module, [Group(module.parameters(), rate=2.0)])
    assert sum(len(group["params"]) for group in alone.param_groups) == 5


def test_groups_that_do_not_fit_are_one_clear_line() -> None:
    module = players()
    with pytest.raises(UserError, match=r"^body\.weight is in two of its method's groups; leave it in one$"):
        SGD().build(module, [Group([module.body.weight]), Group(module.body.parameters(), rate=2.0)])
    with pytest.raises(UserError, match=r"^2 parameters of a method's groups are none of its own; name those of"):
        SGD().build(module, [Group(nn.Linear(2, 2).parameters())])
    with pytest.raises(ValueError, match=r"^a group's rate is above 0, got 0\.0; what should stay has requires_grad_"):
        Group(module.parameters(), rate=0.0)


@pytest.mark.parametrize("name", ["SGD", "AdamW"])  # LARS is timm's, which imports it itself
def test_training_imports_no_compiler(name: str) -> None:
    """In a process of its own: another test may have imported it."""
    program = f"""
import sys, torch
from unlabeled.platform.optim import {name}
layer = torch.nn.Linear(3, 4)
for _ in range(2):
    optimizer = {name}().build(layer)
    if _:
        optimizer.load_state_dict(state)
    optimizer.zero_grad(set_to_none=True)
    layer(torch.ones(2, 3)).sum().backward()
    optimizer.step()
    state = optimizer.state_dict()
assert isinstance(optimizer, torch.optim.Optimizer)
assert type(optimizer).__name__.lower() == "{name}".lower()
sys.exit("torch._dynamo" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(
    ("config", "torchs"),
    [
        (SGD(), lambda groups: torch.optim.SGD(groups, lr=1.0, momentum=0.9)),
        (AdamW(), lambda groups: torch.optim.AdamW(groups, lr=1.0, fused=True)),
    ],
    ids=["sgd", "adamw"],
)
def test_without_a_compiler_steps_are_the_same(config: OptimizerConfig, torchs: Any) -> None:
    ours, theirs = nn.Linear(3, 4), nn.Linear(3, 4)
    theirs.load_state_dict(ours.state_dict())
    one = config.build(ours)
    fields = [{k: v for k, v in group.items() if k != "params"} for group in one.param_groups]
    other = torchs([{**f, "params": [p]} for f, p in zip(fields, theirs.parameters(), strict=True)])
    for step in range(3):
        for layer, optimizer in ((ours, one), (theirs, other)):
            optimizer.zero_grad()
            layer(torch.linspace(-1.0, step, 6).view(2, 3)).square().sum().backward()
            optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))
    assert one.state_dict()["state"].keys() == other.state_dict()["state"].keys()
