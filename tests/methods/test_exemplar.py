"""Exemplar networks: seeds by their gradients, distortions pixel by pixel, and classes that are pictures."""

import colorsys
import math

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from unlabeled.methods.innate.distortions import recolored, sample, seeds
from unlabeled.methods.innate.exemplar import Exemplar, ExemplarConfig
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import ViTConfig
from unlabeled.platform.errors import UserError
from unlabeled.platform.processor import Processor
from unlabeled.platform.train.built import check_built
from unlabeled.platform.train.loop import Training

B, PX, PATCH = 5, 20, 8


def pictures(channels: int = 3) -> Tensor:
    return torch.rand(B, channels, PX, PX, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def config(**fields: object) -> ExemplarConfig:
    return ExemplarConfig.checked(**{"patch_px": 20, **fields})


# ---- seeds -----------------------------------------------------------------------------------------------------------


def test_the_seed_is_the_square_of_eight_with_the_largest_gradients() -> None:
    images, index = pictures(), torch.tensor([3, 14, 15, 92, 65])
    found = seeds(images, index, PATCH)
    drawn = Draws(index, "exemplar").uniform("seed", 3, 8).double()
    for row in range(B):
        grey, best = images[row].mean(dim=0), (-1.0, (0.0, 0.0, 0.0))
        for y_share, x_share, size in drawn[row].T.tolist():
            side = math.floor(PATCH + size * (min(PX, 2 * PATCH) - PATCH))
            top, left = (math.floor(share * (PX - side + 1)) for share in (y_share, x_share))
            energy = 0.0
            for y in range(top, top + side - 1):
                for x in range(left, left + side - 1):
                    energy += float((grey[y + 1, x] - grey[y, x]) ** 2 + (grey[y, x + 1] - grey[y, x]) ** 2)
            best = max(best, (energy / side**2, (top + side / 2, left + side / 2, float(side))))
        assert found[row].tolist() == list(best[1])
    alone = seeds(images[2:3], index[2:3], PATCH)
    assert torch.equal(alone[0], found[2]), "a picture's seed is the same in any batch"


def test_a_seed_lies_in_the_picture_whatever_there_is_to_see() -> None:
    squares = seeds(torch.zeros(400, 1, PX, PX), torch.arange(400), PATCH)
    low, high = squares[:, :2] - squares[:, 2:] / 2, squares[:, :2] + squares[:, 2:] / 2
    assert float(low.min()) >= 0.0
    assert float(high.max()) <= PX
    assert set(squares[:, 2].tolist()) == {float(side) for side in range(PATCH, 2 * PATCH)}
    whole = seeds(torch.zeros(3, 1, PX, PX), torch.arange(3), PX)
    assert whole.tolist() == [[PX / 2, PX / 2, PX]] * 3


# ---- distortions -----------------------------------------------------------------------------------------------------


def test_a_square_that_is_not_turned_is_cut_out() -> None:
    images = pictures()
    made = sample(images, torch.tensor([[9.0, 6.0, PATCH]] * B).double(), torch.zeros(B).double(), PATCH)
    assert_close(made, images[:, :, 5:13, 2:10])
    turned = sample(
        images,
        torch.tensor([[9.0, 6.0, PATCH]] * B).double(),
        torch.full((B,), math.pi / 2, dtype=torch.float64),
        PATCH,
    )
    assert_close(turned, images[:, :, 5:13, 2:10].rot90(1, (2, 3)))
    beyond = sample(images, torch.tensor([[2.0, 4.0, PATCH]] * B).double(), torch.zeros(B).double(), PATCH)
    assert_close(beyond[:, :, 2:], images[:, :, 0:6, 0:8])
    assert_close(beyond[:, :, :2], images[:, :, :2, 0:8].flip(2))


@pytest.mark.parametrize("channels", [3, 1])
def test_colours_change_as_the_paper_says(channels: int) -> None:
    images, draws = pictures(channels), Draws(torch.arange(B), 7)
    made = recolored(images, draws)
    assert float(made.min()) >= 0.0
    assert float(made.max()) <= 1.0
    factors = 2.0 ** (draws.uniform("contrast", channels).double() * 2 - 1)
    amounts = draws.uniform("saturation and value", 6).double()
    turns = 0.2 * draws.uniform("hue").double() - 0.1
    axes = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, -1.0], [1.0, -2.0, 1.0]]).double()
    axes = torch.nn.functional.normalize(axes, dim=1) if channels == 3 else torch.ones(1, 1).double()
    for row in range(B):
        mean = images[row].mean()
        for y, x in ((0, 0), (7, 12)):
            pixel = images[row, :, y, x] - mean
            pixel = sum(factors[row, k] * (pixel @ axes[k]) * axes[k] for k in range(channels)) + mean
            pixel = pixel.clamp(0.0, 1.0)
            hue, saturation, value = colorsys.rgb_to_hsv(*(float(each) for each in pixel.expand(3)))
            power_s, factor_s, more_s, power_v, factor_v, more_v = amounts[row].tolist()
            saturation, value = (
                min(1.0, max(0.0, each ** (4 ** (2 * power - 1)) * (0.7 + 0.7 * factor) + 0.2 * more - 0.1))
                for each, power, factor, more in (
                    (saturation, power_s, factor_s, more_s),
                    (value, power_v, factor_v, more_v),
                )
            )
            if channels == 1:
                assert float(made[row, 0, y, x]) == pytest.approx(value, abs=1e-6)
                continue
            expected = colorsys.hsv_to_rgb((hue + float(turns[row])) % 1.0, saturation, value)
            assert made[row, :, y, x].tolist() == pytest.approx(expected, abs=1e-5)


# ---- the whole -------------------------------------------------------------------------------------------------------


def test_the_loss_is_of_pictures_as_classes(small_run: RunConfig, small_data: Data, processor: Processor) -> None:
    training = Training(small_run.with_field("method", config()), small_data, processor)
    exemplar, batch = training.method, training.batch(0)
    assert isinstance(exemplar, Exemplar)
    patches = exemplar.distorted(batch.views[0], batch.index, batch.draws)
    assert patches.shape[2:] == (20, 20)
    logits = exemplar.eval().classifier(exemplar.encoder(patches))
    assert logits.shape[1] == len(small_data.pretrain)
    expected = -torch.stack([row.log_softmax(dim=0)[n] for row, n in zip(logits, batch.index.tolist(), strict=True)])
    assert_close(exemplar(batch).loss, expected.mean())
    other = exemplar.distorted(batch.views[0], batch.index, batch.draws.fold_in("again"))
    assert not torch.equal(other, patches)


def test_without_distortions_a_patch_is_the_seed() -> None:
    images, index = pictures(), torch.arange(B)
    still = config(patch_px=PATCH, shift=0.0, scale=(1.0, 1.0), degrees=0.0)
    exemplar = Exemplar.__new__(Exemplar)
    torch.nn.Module.__init__(exemplar)
    exemplar.config = still
    seed, draws = exemplar.distorted(images, index, None), Draws(index, 0)
    assert_close(exemplar.distorted(images, index, draws), recolored(seed, draws))


@pytest.mark.parametrize(
    ("fields", "encoder", "message"),
    [
        ({"patch_px": 29}, None, r"^method\.patch_px 29 exceeds the pictures' 28 px; set it to 28 or less$"),
        (
            {"patch_px": 22},
            ViTConfig(width=4, depth=1),
            r"^method\.patch_px 22 is no multiple of encoder\.patch_px 4; ",
        ),
        ({"scale": (1.4, 0.7)}, None, r"^method\.scale .* falls; give the smallest first"),
    ],
)
def test_what_does_not_fit_is_one_clear_line(
    fields: dict[str, object], encoder: ViTConfig | None, message: str, small_run: RunConfig, small_data: Data
) -> None:
    run = small_run.with_field("method", config(**fields))
    with pytest.raises(UserError, match=message):
        check_built(run if encoder is None else run.with_field("encoder", encoder), small_data)
