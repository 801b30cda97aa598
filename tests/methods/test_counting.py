"""Counting: its loss as a loop over pictures, tiles and counts has it."""

import pytest
import torch
from formats import format_of
from torch.testing import assert_close

from unlabeled.methods.innate.counting import Counting, CountingConfig, another_beside, counted, halved, quarters
from unlabeled.platform.augment import MOCO_V2, Crop, Policy, two_views
from unlabeled.platform.data import Data
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import ConvNetConfig, ViTConfig
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Batch

B, PX, COUNTS = 4, 12, 5


def test_the_loss_is_the_loops() -> None:
    torch.manual_seed(0)
    method = Counting(
        CountingConfig(counts=COUNTS, margin=2.0), ConvNetConfig(width=4).build(format_of(3, PX))
    ).double()
    method.eval()  # batch norm then treats each picture by itself
    views = tuple(torch.rand(B, 3, PX, PX, dtype=torch.float64) for _ in range(2))
    draws = Draws(torch.arange(B), 0, 0, "method")
    found = method(Batch(views=views, index=draws.rows, draws=draws))

    def phi(image: torch.Tensor) -> torch.Tensor:
        counts: torch.Tensor = method.head(method.encoder(image[None]))[0].detach()
        return counts

    losses, right, half = [], 0, PX // 2
    for x, y in zip(*views, strict=True):
        small_x, small_y = (torch.empty(3, half, half, dtype=torch.float64) for _ in range(2))
        for small, large in ((small_x, x), (small_y, y)):
            for row in range(half):
                for column in range(half):
                    small[:, row, column] = large[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].mean(
                        dim=(1, 2)
                    )
        tiles = [x[:, :half, :half], x[:, :half, half:], x[:, half:, :half], x[:, half:, half:]]
        total = torch.stack([phi(tile) for tile in tiles]).sum(dim=0)
        own = sum(float(d) ** 2 for d in phi(small_x) - total)
        other = sum(float(d) ** 2 for d in phi(small_y) - total)
        losses.append(own + max(0.0, 2.0 - other))
        right += own < other
    assert float(found.loss.detach()) == pytest.approx(sum(losses) / B)
    assert float(found.logs["counts/top1"]) == right / B


def test_quarters_are_the_picture_and_halving_keeps_its_mean() -> None:
    x = torch.rand(2, 3, 8, 8)
    first, second, third, fourth = quarters(x)
    rows = [torch.cat(pair, dim=3) for pair in ((first, second), (third, fourth))]
    assert torch.equal(torch.cat(rows, dim=2), x)
    assert_close(halved(x).mean(), x.mean())


def test_counts_of_nothing_cost_the_margin_and_other_pictures_far_away_nothing() -> None:
    none = torch.zeros(3, COUNTS)
    assert counted(none, none, none.expand(4, -1, -1), 10.0)[0] == 10.0
    assert counted(none, none + 10, none.expand(4, -1, -1), 10.0)[0] == 0.0


def test_a_view_without_halves_is_one_clear_line(small_data: Data) -> None:
    odd = CountingConfig(views=another_beside(Policy(ops=(Crop(size=27),))))
    with pytest.raises(UserError, match=r"^view 1 of method.views has 27 px, which are no two halves; crop it to 28,"):
        odd.check(64, 1, small_data)


def test_a_policys_name_plans_a_view_of_another_picture_too() -> None:
    plan = CountingConfig.checked(views="moco-v2").views
    assert [view.of for view in plan.views] == [0, 1]
    assert {view.policy for view in plan.views} == {MOCO_V2}


def test_another_view_of_the_same_picture_is_one_clear_line(small_data: Data) -> None:
    same = CountingConfig(views=two_views(Policy()))
    with pytest.raises(
        UserError, match=r"^counting takes .* one of another, and method.views has of 0 and 0; set them"
    ):
        same.check(64, 1, small_data)


def test_the_quarters_of_a_small_picture_may_be_too_small_for_an_encoder() -> None:
    config, encoder = CountingConfig(), ViTConfig(width=8, depth=1, patch_px=4).build(format_of(1, 28))
    with pytest.raises(UserError, match="14"):
        config.check_encoder(encoder, 28)
