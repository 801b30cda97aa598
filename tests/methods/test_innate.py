"""RotNet and Jigsaw: turned as torch and NumPy turn, cut and shuffled as a loop over pictures and tiles does it."""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from formats import by_hand, format_of, plain
from sources import with_pictures
from torch import Tensor
from torch.testing import assert_close

from unlabeled.methods.innate.jigsaw import Jigsaw, JigsawConfig, far_permutations
from unlabeled.methods.innate.rotnet import RotNet, RotNetConfig, all_rotations, attention
from unlabeled.methods.innate.tiles import cut
from unlabeled.platform.augment.spatial import rotate90
from unlabeled.platform.data import Data
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import ConvNetConfig, ViTConfig
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Batch

B = 6


def draws_of(rows: Sequence[int] = range(B), step: int = 0) -> Draws:
    return Draws(torch.tensor(list(rows)), 0, step, "method")


def images_of(channels: int = 3, px: int = 28) -> Tensor:
    return torch.randn(B, channels, px, px, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def batch_of(images: Tensor, draws: Draws) -> Batch:
    return Batch(views=(images,), index=draws.rows, draws=draws)


# ---- rotations -----------------------------------------------------------------------------------------------------


def rotnet() -> RotNet:
    torch.manual_seed(0)
    return RotNet(ConvNetConfig(width=4).build(plain(3, 28))).double()


def test_rotations_are_torchs_numpys_and_the_platforms() -> None:
    images = images_of()
    turned, turns = all_rotations(images)
    assert turns.tolist() == [0] * B + [1] * B + [2] * B + [3] * B
    for place, quarters in enumerate(turns.tolist()):
        image = images[place % B]
        assert torch.equal(turned[place], torch.rot90(image, quarters, dims=(1, 2)))
        assert np.array_equal(turned[place].numpy(), np.rot90(image.numpy(), quarters, axes=(1, 2)))
    assert torch.equal(turned, rotate90(images.repeat(4, 1, 1, 1), turns))


def test_a_quarter_is_counter_clockwise() -> None:
    """The top right corner comes to the top left, as in the authors' code."""
    image = torch.zeros(1, 1, 5, 5)
    image[0, 0, 0, 4] = 1.0
    turned, turns = all_rotations(image)
    assert turns.tolist() == [0, 1, 2, 3]
    assert [tuple(one[0].nonzero()[0].tolist()) for one in turned] == [(0, 4), (0, 0), (4, 0), (4, 4)]


def test_the_loss_of_rotations_is_the_mean_over_pictures_and_turns() -> None:
    method, images = rotnet().eval(), images_of()
    result = method(batch_of(images, draws_of()))
    losses, right = [], 0
    for image in images:  # eq. 2 and 3; in evaluation no sample sees another
        for turns in range(4):
            logits = method.classifier(method.encoder(torch.rot90(image, turns, dims=(1, 2))[None]))[0]
            losses.append(logits.logsumexp(dim=0) - logits[turns])
            right += int(logits.argmax()) == turns
    assert_close(result.loss, torch.stack(losses).mean(), rtol=1e-12, atol=1e-12)
    assert_close(result.logs["rotation/top1"], torch.tensor(right / len(losses)))


def test_attention_is_the_sum_of_fourth_powers_in_each_rotation() -> None:
    grid = torch.randn(2, 5, 3, 4, dtype=torch.float32)
    expected = [[[sum(float(v) ** 4 for v in grid[b, :, y, x]) for x in range(4)] for y in range(3)] for b in range(2)]
    assert_close(attention(grid), torch.tensor(expected), rtol=1e-5, atol=0)
    shown = rotnet().figures(batch_of(images_of(), draws_of()))
    assert list(shown["attention"].columns) == list(shown["rotations"].columns)
    assert all(column.shape == (B, 3, 28, 28) for column in shown["attention"].columns.values())
    assert not torch.equal(*list(shown["attention"].columns.values())[:2])


def test_rotations_are_drawn_in_four_columns() -> None:
    images = images_of()
    columns = rotnet().figures(batch_of(images, draws_of()))["rotations"].columns
    assert list(columns) == ["0 degrees", "90 degrees", "180 degrees", "270 degrees"]
    assert torch.equal(columns["0 degrees"], images)
    assert torch.equal(columns["270 degrees"], images.rot90(-1, dims=(2, 3)))


# ---- permutations --------------------------------------------------------------------------------------------------


def distance(one: Sequence[int], other: Sequence[int]) -> int:
    return sum(a != b for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(("length", "number"), [(2, 2), (3, 6), (4, 24), (4, 10), (5, 30)])
def test_each_permutation_is_one_of_the_farthest_that_are_left(length: int, number: int) -> None:
    """Algorithm 1, by a loop over all that are left and all that are chosen."""
    chosen = far_permutations(length, number)
    left = set(itertools.permutations(range(length)))
    for place, one in enumerate(chosen):
        sums = {other: sum(distance(other, before) for before in chosen[:place]) for other in left}
        assert sums[one] == max(sums.values())
        left.remove(one)


def test_the_papers_permutations_are_as_far_apart_as_the_papers() -> None:
    """The averages of its ablation; nine at a time share no place, so no set of nine or fewer is farther apart."""
    chosen = np.array(far_permutations(9, 1000))
    assert len(np.unique(chosen, axis=0)) == 1000
    assert (np.sort(chosen, axis=1) == np.arange(9)).all()
    for number, average in ((9, 9.0), (100, 8.08), (1000, 8.00)):
        apart = (chosen[:number, None] != chosen[None, :number]).sum(axis=2)
        assert apart[np.triu_indices(number, 1)].mean() == pytest.approx(average, abs=0.01)


def test_fewer_permutations_are_the_first_of_more_and_always_the_same() -> None:
    first = far_permutations(4, 7)
    far_permutations.cache_clear()
    assert far_permutations(4, 24)[:7] == first
    assert far_permutations(4, 7) == first
    assert first[0] != (0, 1, 2, 3), "the first is random"


# ---- tiles ---------------------------------------------------------------------------------------------------------


def places(px: int) -> Tensor:
    """Pictures whose two channels are the row and the column of each pixel."""
    line = torch.arange(px, dtype=torch.float64)
    return torch.stack([line[:, None].expand(px, px), line.expand(px, px)]).expand(B, 2, px, px)


@pytest.mark.parametrize(("px", "tile_px"), [(28, 8), (28, 9), (32, 7), (29, 4), (12, 4)])
def test_a_tile_is_a_square_out_of_its_cell(px: int, tile_px: int) -> None:
    tiles = cut(places(px), tile_px, draws_of())
    assert tiles.shape == (B, 9, 2, tile_px, tile_px)
    cell, margin = px // 3, (px - px // 3 * 3) // 2
    for row, place in itertools.product(range(B), range(9)):
        y, x = tiles[row, place]
        top, left = int(y[0, 0]), int(x[0, 0])
        assert torch.equal(y, (top + torch.arange(tile_px)).double()[:, None].expand(tile_px, tile_px))
        assert torch.equal(x, (left + torch.arange(tile_px)).double().expand(tile_px, tile_px))
        for start, number in ((top, place // 3), (left, place % 3)):
            low = margin + number * cell
            assert low <= start <= low + cell - tile_px


def test_a_tile_lies_at_every_place_of_its_cell_equally_often_whatever_the_others_do() -> None:
    rows = range(4000)
    images = places(24)[:1].expand(len(rows), -1, -1, -1)  # cells of 8 px
    corners = cut(images, 6, draws_of(rows))[..., 0, 0] - torch.tensor([[8 * (n // 3), 8 * (n % 3)] for n in range(9)])
    for tile in range(9):
        found = torch.stack([(corners[:, tile] == torch.tensor([y, x])).all(dim=1) for y in range(3) for x in range(3)])
        assert_close(found.double().mean(dim=1), torch.full((9,), 1 / 9).double(), atol=0.025, rtol=0.0)
    drawn = corners.flatten(1).T
    assert (torch.corrcoef(drawn) - torch.eye(18)).abs().max() < 0.08


def test_places_and_order_depend_on_the_draws_alone() -> None:
    method, images = jigsaw(), images_of()
    tiles, label = method.puzzles(images, draws_of())
    torch.rand(3)  # what else used torch's generator does not matter
    again, label_again = method.puzzles(images, draws_of())
    assert torch.equal(tiles, again)
    assert torch.equal(label, label_again)
    halves = [method.puzzles(images[rows], draws_of(rows)) for rows in ([0, 1, 2], [3, 4, 5])]
    assert torch.equal(tiles, torch.cat([half[0] for half in halves]))
    assert torch.equal(label, torch.cat([half[1] for half in halves]))
    assert not torch.equal(label, method.puzzles(images, draws_of(step=1))[1])
    assert not torch.equal(cut(images, 8, draws_of()), cut(images, 8, draws_of(step=1)))


# ---- the puzzle ----------------------------------------------------------------------------------------------------


SEEN = format_of(3, 28)


def to_the_encoder(tiles: Tensor) -> Tensor:
    """Standardise tiles [B, 9, C, t, t]."""
    return by_hand(tiles.flatten(0, 1), SEEN).view(tiles.shape)


def jigsaw(**fields: object) -> Jigsaw:
    torch.manual_seed(0)
    config = JigsawConfig.checked(**{"num_permutations": 20, "tile_features": 5, "head": (7,), **fields})
    return Jigsaw(config, ConvNetConfig(width=4).build(SEEN), view_px=28, tile_px=8).double()


def test_the_label_is_the_permutation_that_the_tiles_are_in() -> None:
    method, images = jigsaw(), images_of()
    shuffled, label = method.puzzles(images, draws_of())
    shuffled, tiles = to_the_encoder(shuffled), cut(by_hand(images, SEEN), 8, draws_of())
    orders = far_permutations(9, 20)
    for row, place in itertools.product(range(B), range(9)):
        tile = tiles[row, orders[int(label[row])][place]]
        mean, variance = tile.mean(dim=(1, 2), keepdim=True), tile.var(dim=(1, 2), correction=0, keepdim=True)
        assert_close(shuffled[row, place], (tile - mean) / (variance + 1e-5).sqrt(), rtol=1e-10, atol=1e-10)


def test_every_permutation_is_drawn_about_equally_often() -> None:
    rows = range(8000)
    label = jigsaw().puzzles(torch.zeros(len(rows), 3, 24, 24), draws_of(rows))[1]
    assert_close(label.bincount(minlength=20) / len(rows), torch.full((20,), 0.05), atol=0.01, rtol=0.0)


def test_a_tile_says_nothing_of_its_brightness_and_contrast() -> None:
    images = images_of()
    gain = 1.0 + torch.rand(B, 3, 1, 1, dtype=torch.float64)
    tiles = to_the_encoder(jigsaw().puzzles(images, draws_of())[0])
    assert_close(tiles.mean(dim=(3, 4)), torch.zeros(B, 9, 3).double())
    assert_close(tiles.std(dim=(3, 4), correction=0), torch.ones(B, 9, 3).double(), rtol=1e-4, atol=1e-4)
    changed = to_the_encoder(jigsaw().puzzles(gain * images + 3.0, draws_of())[0])
    assert_close(changed, tiles, rtol=1e-4, atol=1e-4)


def test_a_flat_tile_becomes_0_also_in_float32() -> None:
    flat = torch.full((B, 3, 28, 28), -0.8102)
    assert to_the_encoder(jigsaw().float().puzzles(flat, draws_of())[0]).abs().max() < 1e-3


def test_the_loss_is_that_of_a_loop_over_pictures_and_tiles() -> None:
    method, images = jigsaw().eval(), images_of()
    result = method(batch_of(images, draws_of()))
    shuffled, label = method.puzzles(images, draws_of())
    losses, right = [], 0
    for row in range(B):
        features = [method.tile_layer(method.encoder(tile[None]))[0] for tile in shuffled[row]]
        logits = method.head(torch.cat(features))
        losses.append(F.cross_entropy(logits, label[row]))
        right += int(logits.argmax()) == int(label[row])
    assert_close(result.loss, torch.stack(losses).mean(), rtol=1e-12, atol=1e-12)
    assert_close(result.logs["permutation/top1"], torch.tensor(right / B))


def test_a_tiles_features_do_not_depend_on_the_other_tiles() -> None:
    """Context-free: a tile that changes alone changes its own ninth of what the head sees."""
    method, seen = jigsaw().eval(), []
    method.head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].view(B, 9, -1)))
    images = images_of()
    changed = images.clone()
    changed[:, :, :9, :9] = 0.0  # the first cell
    for each in (images, changed):
        method(batch_of(each, draws_of()))
    _, label = method.puzzles(images, draws_of())
    differs = (seen[0] != seen[1]).any(dim=2)
    assert torch.equal(differs, method.permutations[label] == 0)


def test_the_picture_of_a_puzzle_shows_the_shuffled_tiles_in_three_rows() -> None:
    method, images = jigsaw(), images_of()
    columns = method.figures(batch_of(images, draws_of()))["puzzles"].columns
    tiles, _ = method.puzzles(images, draws_of())
    assert torch.equal(columns["picture"], images)
    assert columns["tiles"].shape == (B, 3, 24, 24)
    for place in range(9):
        top, left = 8 * (place // 3), 8 * (place % 3)
        assert torch.equal(columns["tiles"][:, :, top : top + 8, left : left + 8], tiles[:, place])


@pytest.mark.parametrize(("px", "tile"), [(225, 64), (28, 8), (32, 9), (15, 4)])
def test_a_tile_is_64_of_75_pixels_unless_told_otherwise(small_data: Data, px: int, tile: int) -> None:
    JigsawConfig().check(64, 1, with_pictures(small_data, 3, px))
    assert JigsawConfig().sizes(px) == (px, tile)
    assert JigsawConfig(tile_px=4).sizes(px) == (px, 4)


@pytest.mark.parametrize(
    ("px", "tile_px", "message"),
    [
        (14, None, r"a tile of 3 px does not do: 4 px is the least, and a third of the picture, 4 px, the most; set"),
        (9, None, r"a tile of 3 px does not do: 4 px is the least.* or data\.image_px to 15$"),
        (
            28,
            10,
            r"a tile of 10 px .* the picture, 9 px, the most; set method\.tile_px between, or data\.image_px to 30$",
        ),
    ],
)
def test_a_picture_too_small_for_its_tiles_is_one_clear_line(
    small_data: Data, px: int, tile_px: int | None, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        JigsawConfig(tile_px=tile_px).check(64, 1, with_pictures(small_data, 3, px))


def test_the_patches_of_a_vit_have_to_divide_a_tile(small_data: Data) -> None:
    encoder = ViTConfig(width=4, depth=1, patch_px=4).build(plain(1, 28))
    config = JigsawConfig(num_permutations=4, tile_features=4, head=())
    with pytest.raises(
        UserError, match=r"patches of 4 px do not divide a tile of 9 px; set method\.tile_px to a mul.* 9"
    ):
        config.with_field("tile_px", 9).check_encoder(encoder, small_data.image_px)
    method = config.build(encoder, small_data)  # 8 px
    rows = torch.arange(B)
    result = method(batch_of(images_of(1).float(), Draws(rows, 0)))
    result.loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in method.parameters())


def test_the_permutations_have_their_values_where_weights_have_none(small_data: Data) -> None:
    with torch.device("meta"):
        far_permutations.cache_clear()
        method = JigsawConfig(num_permutations=5).build(ConvNetConfig(width=4).build(plain(1, 28)), small_data)
    assert isinstance(method, Jigsaw)
    assert method.head[0].weight.is_meta  # type: ignore[index, union-attr]
    assert method.permutations.tolist() == [list(one) for one in far_permutations(9, 5)]


@pytest.mark.parametrize("config", [RotNetConfig(), JigsawConfig(num_permutations=4, tile_features=4, head=())])
def test_defaults_take_one_view(config: RotNetConfig | JigsawConfig) -> None:
    (view,) = config.views(
        {"image": torch.randint(0, 256, (2, 3, 28, 28), dtype=torch.uint8)}, Draws(torch.arange(2), 0)
    )
    assert view.shape == (2, 3, 28, 28)
