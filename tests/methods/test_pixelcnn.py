"""PixelCNN: which numbers each is told from, its loss as a product of chances, and what it paints."""

import itertools
import math

import pytest
import torch
from formats import format_of
from torch import Tensor
from torch.testing import assert_close

from unlabeled.methods.autoregressive.gated import GatedStacks
from unlabeled.methods.autoregressive.pixelcnn import PixelCNN, PixelCNNConfig
from unlabeled.platform.data import DataConfig, load
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import ConvNetConfig
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Batch

B, PX = 3, 8


def stacks(channels: int, depth: int, kernel_px: int) -> GatedStacks:
    torch.manual_seed(0)
    return GatedStacks(channels, 2, 5, 8 * channels, depth, kernel_px).double()


def method_of(channels: int = 3, **fields: object) -> PixelCNN:
    torch.manual_seed(0)
    small = {"code": 5, "levels": 4, "depth": 2, "width": 6, "kernel_px": 3}
    config = PixelCNNConfig.checked(**{**small, **fields})
    return PixelCNN(config, ConvNetConfig(width=4).build(format_of(channels, PX)), channels, PX).double().eval()


def batch_of(channels: int = 3) -> Batch:
    draws = Draws(torch.arange(B), 0, 0, "method")
    return Batch(views=(draws.uniform("x", channels, PX, PX).double(),), index=draws.rows, draws=draws)


@pytest.mark.parametrize(("channels", "depth", "kernel_px"), [(1, 4, 3), (3, 4, 3), (3, 2, 5), (1, 1, 5)])
def test_each_number_is_told_from_exactly_those_before_it(channels: int, depth: int, kernel_px: int) -> None:
    """Rows above and the row so far, as far as the layers reach; colours in their order; and all of the code."""
    net, side, half = stacks(channels, depth, kernel_px), 5, kernel_px // 2
    x = torch.rand(1, channels, side, side, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    code = torch.ones(1, 5, 1, 1, dtype=torch.float64, requires_grad=True)
    x.requires_grad_()
    logits = net(x, code)
    numbers = list(itertools.product(range(side), range(side), range(channels)))
    for row, column, channel in numbers:
        found, of_code = torch.autograd.grad(logits[0, :, channel, row, column].sum(), (x, code), retain_graph=True)
        assert (of_code != 0).all()
        for other_row, other_column, other_channel in numbers:
            is_before = (other_row, other_column, other_channel) < (row, column, channel)
            reach, across = depth * half, abs(column - other_column)
            above = 0 < row - other_row <= reach + 1  # one layer after another, and once from stack to stack
            seen = is_before and across <= reach and (above or row == other_row)
            assert (found[0, other_channel, other_row, other_column] != 0) == seen


def test_there_is_no_blind_spot() -> None:
    net = stacks(1, 5, 3)
    x = torch.rand(1, 1, 5, 5, dtype=torch.float64, requires_grad=True)
    (found,) = torch.autograd.grad(net(x, torch.ones(1, 5, 1, 1, dtype=torch.float64))[0, :, 0, 4, 0].sum(), x)
    assert (found[0, 0, :4] != 0).all(), "the first number of the last row is told from all rows above"
    assert (found[0, 0, 4] == 0).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_chances_of_all_pictures_sum_to_1(channels: int) -> None:
    net, side = stacks(channels, 2, 3), 2
    count = channels * side**2
    bits = torch.tensor(list(itertools.product((0, 1), repeat=count))).view(-1, channels, side, side)
    code = torch.full((len(bits), 5, 1, 1), 0.3, dtype=torch.float64)
    logits = net(2.0 * bits.double() - 1.0, code)
    chances = logits.log_softmax(dim=1).gather(1, bits[:, None]).flatten(1).sum(dim=1).exp()
    assert_close(chances.sum(), torch.ones((), dtype=torch.float64))


@pytest.mark.parametrize("channels", [1, 3])
def test_the_loss_is_the_mean_cross_entropy_of_levels(channels: int) -> None:
    method, batch = method_of(channels), batch_of(channels)
    (x,) = batch.views
    level = method.quantised(x)
    logits = method.stacks(2.0 * level.double() / 3 - 1.0, method.told(x))
    nats = [
        -math.log(logits[b, :, c, i, j].softmax(dim=0)[level[b, c, i, j]].item())
        for b, c, i, j in itertools.product(range(B), range(channels), range(PX), range(PX))
    ]
    result = method(batch)
    assert result.loss.item() == pytest.approx(sum(nats) / len(nats), rel=1e-10)
    assert result.logs["pixels/bits_given_code"].item() == pytest.approx(sum(nats) / len(nats) / math.log(2), rel=1e-10)


@pytest.mark.parametrize("levels", [2, 8, 256])
def test_levels_are_even_and_those_of_256_are_the_pixels(levels: int) -> None:
    method, x = method_of(levels=levels), torch.arange(256).view(1, 1, 16, 16) / 255.0
    found = method.quantised(x)
    assert found.flatten().bincount().tolist() == [256 // levels] * levels
    if levels == 256:
        assert_close((method.scaled(found, x) + 1.0) / 2.0, x)


@pytest.mark.parametrize("located", [True, False])
def test_painting_by_rows_that_are_seen_is_painting_by_all(located: bool) -> None:
    """And each number is drawn from its own chances: from 0 on, what makes up the chance that was drawn."""
    method, batch = method_of(located=located), batch_of()
    (x,) = batch.views
    code, chance = method.told(x), batch.draws.uniform("paint", 3, PX, PX)
    with torch.no_grad():
        found = method.paint(x, code, chance, 5)
        drawn: Tensor = method.scaled(method.quantised(x), x)
        for row, column, channel in itertools.product(range(5, PX), range(PX), range(3)):
            shares = method.stacks(drawn, code)[:, :, channel, row, column].softmax(dim=1).cumsum(dim=1)
            for b in range(B):
                level = sum(float(share) <= float(chance[b, channel, row, column]) for share in shares[b])
                drawn[b, channel, row, column] = 2.0 * min(level, 3) / 3 - 1.0
    assert_close(found, (drawn + 1.0) / 2.0)
    assert_close(found[:, :, :5], method.quantised(x)[:, :, :5].double() / 3)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("kernel_px", 4, r"method\.kernel_px 4 has no middle; set 5"),
        ("width", 10, r"method\.width 10 is shared by 3 channels, and does not divide by them; set 12"),
    ],
)
def test_layers_that_cannot_be_masked_are_one_clear_line(field: str, value: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        PixelCNNConfig().with_field(field, value).check(64, 1, load(DataConfig(name="emoji", train_images=64)))


def test_defaults_are_the_papers() -> None:
    of = PixelCNNConfig()
    assert (of.depth, of.width, of.kernel_px, of.levels, of.code) == (20, 384, 5, 256, 100)
