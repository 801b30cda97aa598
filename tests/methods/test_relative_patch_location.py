"""Relative patch location: cut, cleaned of shortcuts and paired as a loop over pictures and patches does it."""

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from formats import by_hand, format_of, plain
from sources import with_pictures
from torch import Tensor
from torch.testing import assert_close

from unlabeled.methods.innate.relative_patch_location import RelativePatchLocation, RelativePatchLocationConfig
from unlabeled.platform.data import Data
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import ConvNetConfig, ViTConfig
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Batch

B, PX = 6, 28
AROUND = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1), (2, 2)]  # row and column, in the order of the labels


def draws_of(rows: Sequence[int] = range(B), step: int = 0) -> Draws:
    return Draws(torch.tensor(list(rows)), 0, step, "method")


def images_of(channels: int = 3, px: int = PX, count: int = B) -> Tensor:
    return torch.rand(count, channels, px, px, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def batch_of(images: Tensor) -> Batch:
    return Batch(views=(images,), index=torch.arange(len(images)), draws=draws_of())


def method_of(channels: int = 3, px: int = PX, **fields: object) -> RelativePatchLocation:
    torch.manual_seed(0)
    config = RelativePatchLocationConfig.checked(**{"patch_features": 5, "head": (7,), **fields})
    encoder = ConvNetConfig(width=4).build(format_of(channels, px))
    return RelativePatchLocation(config, encoder, px).double()


def seen(method: RelativePatchLocation, images: Tensor, draws: Draws) -> Tensor:
    """Return patches [B, 9, C, s, s] as the encoder standardises them."""
    patches = method.patches(images, draws)
    return by_hand(patches.flatten(0, 1), format_of(images.shape[1], PX)).view(patches.shape)


def ramps(px: int, count: int = B) -> Tensor:
    """Pictures of one channel that tell where a square was cut out: by its step across and its step down."""
    line = torch.arange(px, dtype=torch.float64)
    return (line[:, None] ** 2 * 100 + line**2).expand(count, 1, px, px)


def corners(px: int, count: int, draws: Draws, **fields: object) -> Tensor:
    """Find where each patch was cut out, int64 [count, 9, 2]: the only place of a picture that has its differences."""
    picture = ramps(px, count)
    method = method_of(1, px, **fields)
    size = method.patch_px
    squares = picture[0, 0].unfold(0, size, 1).unfold(1, size, 1)
    centred = squares - squares.mean(dim=(2, 3), keepdim=True)
    unit = (centred / centred.square().mean(dim=(2, 3), keepdim=True).sqrt()).flatten(2).flatten(0, 1)
    patches = method.patches(picture, draws).flatten(2)
    patches = patches - patches.mean(dim=2, keepdim=True)
    patches = patches / patches.square().mean(dim=2, keepdim=True).sqrt()
    best = torch.cdist(patches.flatten(0, 1), unit)
    assert best.min(dim=1).values.max() < 1e-3
    at = best.argmin(dim=1)
    return torch.stack([at // squares.shape[1], at % squares.shape[1]], dim=1).view(count, 9, 2)


@pytest.mark.parametrize(
    ("px", "fields"), [(28, {}), (64, {}), (30, {"patch_px": 5, "gap_px": 2, "jitter_px": 3}), (28, {"jitter_px": 0})]
)
def test_patches_lie_in_a_grid_with_gaps_each_a_little_off_its_place(px: int, fields: dict[str, int]) -> None:
    count = 400
    method = method_of(1, px, **fields)
    gap, jitter, covered = method.config.grid(method.patch_px)
    found = corners(px, count, draws_of(range(count)), **fields)
    start = (px - covered) // 2 + jitter
    for place in range(9):
        for axis, number in enumerate((place // 3, place % 3)):
            off = found[:, place, axis] - (start + number * (method.patch_px + gap))
            assert sorted(off.unique().tolist()) == list(range(-jitter, jitter + 1))
    assert found.min() >= 0
    assert found.max() <= px - method.patch_px
    if jitter:
        drawn = found.flatten(1).T.double()
        assert (torch.corrcoef(drawn) - torch.eye(18)).abs().max() < 0.2, "each by itself"


def test_patches_never_touch_with_the_papers_sizes() -> None:
    for patch_px in range(4, 200):
        gap, jitter, covered = RelativePatchLocationConfig().grid(patch_px)
        assert gap - 2 * jitter > -1
        assert covered == 3 * patch_px + 2 * gap + 2 * jitter
    assert RelativePatchLocationConfig().grid(96) == (48, 7, 398)


@pytest.mark.parametrize(("px", "patch"), [(398, 96), (64, 15), (56, 13), (32, 7), (28, 6), (20, 4), (18, 4)])
def test_the_largest_patches_that_fit_are_taken(small_data: Data, px: int, patch: int) -> None:
    config = RelativePatchLocationConfig()
    assert config.patch(px) == patch
    assert config.grid(patch + 1)[2] > px
    config.check(64, 1, with_pictures(small_data, 3, px))


@pytest.mark.parametrize(
    ("px", "fields", "message"),
    [
        (17, {}, r"^3 x 3 patches of 4 px, with gaps of 2 and moved by up to 1, take 18 of 17 px; .* crop, to 18$"),
        (
            28,
            {"patch_px": 10},
            r"of 10 px, with gaps of 5 and moved by up to 1, take 42 of 28 px; lower method.patch_px",
        ),
        (28, {"gap_px": 9}, r"^3 x 3 patches of 4 px, with gaps of 9 and moved by up to 1, take 32 of 28 px; lower me"),
    ],
)
def test_a_grid_that_does_not_fit_is_one_clear_line(
    small_data: Data, px: int, fields: dict[str, int], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        RelativePatchLocationConfig.checked(**fields).check(64, 1, with_pictures(small_data, 3, px))


def test_the_patches_of_a_vit_have_to_divide_a_patch() -> None:
    encoder = ViTConfig(width=4, depth=1, patch_px=4).build(plain(1, 28))
    with pytest.raises(UserError, match=r"4 px do not divide .*6"):
        RelativePatchLocationConfig().check_encoder(encoder, 28)
    RelativePatchLocationConfig(patch_px=4).check_encoder(encoder, 28)


# ---- shortcuts -----------------------------------------------------------------------------------------------------


def test_a_patch_says_nothing_of_its_brightness_and_contrast() -> None:
    for color, channels in itertools.product(("drop", "project", "none"), (1, 3)):
        method, images = method_of(channels, color=color), images_of(channels)
        patches = seen(method, images, draws_of())
        assert_close(patches.square().mean(dim=(2, 3, 4)), torch.ones(B, 9).double(), rtol=1e-3, atol=1e-3)
        tolerance = 2e-2 if color == "drop" else 1e-6  # what replaces a channel has a mean of its own
        assert patches.mean(dim=(3, 4)).abs().max() < tolerance
        brighter = seen(method, 0.5 * images + 0.3, draws_of())
        assert_close(brighter, patches, rtol=1e-3, atol=1e-3)


def test_of_three_channels_one_is_kept_and_noise_of_a_hundredth_of_it_replaces_the_others() -> None:
    count = 300
    patches = seen(method_of(), images_of(count=count), draws_of(range(count)))
    deviation = patches.square().mean(dim=(3, 4)).sqrt()
    largest = deviation.amax(dim=2, keepdim=True)
    assert ((deviation == largest).sum(dim=2) == 1).all()
    ratio = (deviation / largest)[deviation != largest]
    assert ratio.square().mean() == pytest.approx(1e-4, rel=0.02)
    share = (deviation == largest).double().mean(dim=(0, 1))
    assert_close(share, torch.full((3,), 1 / 3).double(), atol=0.03, rtol=0.0)
    whole, kept = seen(method_of(color="none"), images_of(count=count), draws_of(range(count))), deviation == largest
    one, other = (each[kept] / each[kept].std(dim=(1, 2), correction=0)[:, None, None] for each in (patches, whole))
    assert_close(one, other, rtol=1e-6, atol=1e-6)


def test_a_projection_is_the_papers_matrix() -> None:
    images = images_of()
    a = np.array([[-1.0, 2.0, -1.0]])
    matrix = np.eye(3) - a.T @ a / (a @ a.T)  # sec. 3.1
    changed = torch.from_numpy(np.einsum("cd,bdhw->bchw", matrix, images.numpy()))
    expected = method_of(color="none").patches(changed, draws_of())
    assert_close(method_of(color="project").patches(images, draws_of()), expected)
    green = torch.tensor([-1.0, 2.0, -1.0], dtype=torch.float64).view(1, 3, 1, 1) * images_of(1)
    assert seen(method_of(color="project"), green, draws_of()).abs().max() < 1e-3, "nothing of that axis is left"


@pytest.mark.parametrize("color", ["drop", "project", "none"])
def test_grey_pictures_have_no_colours_to_take(color: str) -> None:
    images = images_of(1)
    assert torch.equal(
        method_of(1, color=color).patches(images, draws_of()), method_of(1, color="none").patches(images, draws_of())
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_a_flat_patch_becomes_0_also_in_float32(channels: int) -> None:
    flat = torch.full((B, channels, PX, PX), 0.7102)
    assert seen(method_of(channels).float(), flat, draws_of()).abs().max() < 1e-2


def test_what_is_drawn_depends_on_the_draws_alone() -> None:
    method, images = method_of(), images_of()
    patches = method.patches(images, draws_of())
    torch.rand(3)  # what else used torch's generator does not matter
    assert torch.equal(patches, method.patches(images, draws_of()))
    halves = [method.patches(images[rows], draws_of(rows)) for rows in ([0, 1, 2], [3, 4, 5])]
    assert torch.equal(patches, torch.cat(halves))
    assert not torch.equal(patches, method.patches(images, draws_of(step=1)))


# ---- pairs ---------------------------------------------------------------------------------------------------------


def test_the_loss_is_that_of_a_loop_over_pictures_and_neighbours() -> None:
    method, images = method_of().eval(), images_of()
    result = method(batch_of(images))
    patches, losses, right = method.patches(images, draws_of()), [], 0
    for patch in patches:
        grid = {(number // 3, number % 3): method.fc6(method.encoder(one[None]))[0] for number, one in enumerate(patch)}
        for label, where in enumerate(AROUND):
            logits = method.head(torch.cat([grid[1, 1], grid[where]])[None])[0]
            losses.append(logits.logsumexp(dim=0) - logits[label])
            right += int(logits.argmax()) == label
    assert_close(result.loss, torch.stack(losses).mean(), rtol=1e-12, atol=1e-12)
    assert_close(result.logs["place/top1"], torch.tensor(right / (8 * B)))


def test_it_starts_near_chance() -> None:
    result = method_of(patch_features=64, head=(64,))(batch_of(images_of()))
    assert float(result.loss.detach()) == pytest.approx(math.log(8), abs=0.4)


def test_the_layer_that_probes_may_read_is_fc6() -> None:
    method, images = method_of().eval(), images_of()
    (name,) = method.layers()
    assert name == "fc6"
    assert torch.equal(method.layers()[name](images), method.fc6(method.encoder(images)))


def test_a_pair_is_drawn_where_it_is_and_where_it_is_thought_to_be() -> None:
    method, images = method_of().eval(), images_of()
    columns = method.figures(batch_of(images))["pairs"].columns
    patches = method.patches(images, draws_of())
    located = method.locate(patches).argmax(dim=2)
    asked = draws_of().integers("asked", 8)
    size = method.patch_px + 2
    assert list(columns) == ["picture", "pair", "as located"]
    for row in range(B):
        number = int(asked[row])
        for title, place in (("pair", number), ("as located", int(located[row, number]))):
            cells = F.unfold(columns[title][row : row + 1], size, stride=size)[0].T.view(3, 3, 3, size, size)
            inner = cells[:, :, :, 1:-1, 1:-1]
            assert torch.equal(inner[1, 1], patches[row, 4])
            of = AROUND[number][0] * 3 + AROUND[number][1]
            assert torch.equal(inner[AROUND[place]], patches[row, of])
            for other in set(AROUND) - {AROUND[place]}:
                assert (inner[other] == method.encoder.mean).all()
