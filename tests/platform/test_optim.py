import math

import pytest
import torch
from torch import nn

from unlabeled.platform.optim import LARS, SGD, AdamW, OptimizerConfig, undecayed


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
