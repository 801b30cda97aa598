"""The autoencoder: corrupted as a loop over pictures does it, painted and compared as NumPy does it."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from formats import by_hand, format_of
from torch import Tensor
from torch.testing import assert_close

from unlabeled.methods.masked.autoencoder import Autoencoder, AutoencoderConfig
from unlabeled.methods.parts import decoder
from unlabeled.platform.data import Data
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import ConvNetConfig
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Batch

B, PX = 6, 28


def draws_of(rows: Sequence[int] = range(B), step: int = 0) -> Draws:
    return Draws(torch.tensor(list(rows)), 0, step, "method")


def images_of(channels: int = 3, px: int = PX, count: int = B) -> Tensor:
    """Pictures of numbers well between 0 and 1."""
    generator = torch.Generator().manual_seed(0)
    return 0.2 + 0.6 * torch.rand(count, channels, px, px, generator=generator, dtype=torch.float64)


def method_of(channels: int = 3, px: int = PX, **fields: object) -> Autoencoder:
    torch.manual_seed(0)
    config = AutoencoderConfig.checked(**{"width": 8, **fields})
    return Autoencoder(config, ConvNetConfig(width=4).build(format_of(channels, px)), channels, px).double()


def batch_of(images: Tensor, draws: Draws) -> Batch:
    return Batch(views=(images,), index=draws.rows, draws=draws)


# ---- noise ---------------------------------------------------------------------------------------------------------


def test_without_noise_the_encoder_sees_the_picture() -> None:
    assert method_of().corrupt(images := images_of(), draws_of()) is images


@pytest.mark.parametrize("level", [0.1, 0.25, 0.4, 1.0])
@pytest.mark.parametrize("channels", [1, 3])
def test_masking_makes_a_fixed_number_of_each_pictures_numbers_0_and_leaves_the_others(
    level: float, channels: int
) -> None:
    images = images_of(channels)
    seen = method_of(channels, noise="masking", level=level).corrupt(images, draws_of())
    order = draws_of().permutation("destroyed", channels * PX * PX)
    for image, corrupted, first in zip(images, seen, order.tolist(), strict=True):
        expected = image.flatten().clone()
        for number in first[: round(level * channels * PX * PX)]:
            expected[number] = 0.0
        assert torch.equal(corrupted.flatten(), expected)


def test_every_number_is_destroyed_as_often_whatever_becomes_of_the_others() -> None:
    count = 3000
    images = images_of(1, 6, count)
    method = method_of(1, 6, noise="masking", level=0.25)
    destroyed = (method.corrupt(images, draws_of(range(count))) == 0.0).flatten(1).double()
    assert_close(destroyed.mean(dim=0), torch.full((36,), 0.25).double(), atol=0.04, rtol=0.0)
    off = torch.corrcoef(destroyed.T) - torch.eye(36)
    assert off.abs().max() < 0.12
    assert not torch.equal(destroyed[0], destroyed[1]), "each picture by itself"


def test_salt_and_pepper_makes_them_0_or_1_by_a_fair_coin() -> None:
    count = 200
    images = images_of(count=count)
    seen = method_of(noise="salt-and-pepper", level=0.4).corrupt(images, draws_of(range(count)))
    changed = seen != images
    assert (changed.flatten(1).sum(dim=1) == round(0.4 * 3 * PX * PX)).all()
    values = seen[changed]
    assert set(values.unique().tolist()) == {0.0, 1.0}
    assert values.mean() == pytest.approx(0.5, abs=0.01)


def test_gaussian_noise_has_its_deviation_and_no_mean() -> None:
    images = images_of(count=100)
    added = method_of(noise="gaussian", level=0.3).corrupt(images, draws_of(range(100))) - images
    assert added.std() == pytest.approx(0.3, rel=0.01)
    assert added.mean() == pytest.approx(0.0, abs=0.005)
    assert (added.abs() / 0.3 < 1.0).double().mean() == pytest.approx(math.erf(1 / 2**0.5), abs=0.01)


@pytest.mark.parametrize("noise", ["masking", "salt-and-pepper", "gaussian"])
def test_what_is_corrupted_depends_on_the_draws_alone(noise: str) -> None:
    method, images = method_of(noise=noise), images_of()
    seen = method.corrupt(images, draws_of())
    torch.rand(3)  # what else used torch's generator does not matter
    assert torch.equal(seen, method.corrupt(images, draws_of()))
    halves = [method.corrupt(images[rows], draws_of(rows)) for rows in ([0, 1, 2], [3, 4, 5])]
    assert torch.equal(seen, torch.cat(halves))
    assert not torch.equal(seen, method.corrupt(images, draws_of(step=1)))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"level": 0.25}, r"level 0.25 is of noise, and noise is none; set noise, or leave level out"),
        ({"noise": "masking", "level": 0.0}, r"level.*greater than 0"),
        ({"noise": "poisson"}, r"'none', 'masking', 'salt-and-pepper' or 'gaussian'"),
    ],
)
def test_a_setting_that_would_do_nothing_is_one_clear_line(fields: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        AutoencoderConfig.checked(**fields)


# ---- loss ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", ["none", "masking", "gaussian"])
@pytest.mark.parametrize("loss", ["squared-error", "cross-entropy"])
def test_the_loss_compares_what_is_made_of_corrupted_pictures_with_the_clean_ones(noise: str, loss: str) -> None:
    method, images = method_of(noise=noise, loss=loss, bottleneck=5).eval(), images_of()
    result = method(batch_of(images, draws_of()))
    seen, losses, errors = method.corrupt(images, draws_of()), [], []
    for row in range(B):
        code = method.bottleneck(method.encoder(seen[row : row + 1]))
        assert code.shape == (1, 5)
        made, clean = method.decoder(code)[0].detach().numpy(), images[row].numpy()
        if loss == "squared-error":
            target = by_hand(images, format_of(3, PX))[row].numpy()
            losses.append(((made - target) ** 2).mean())
            painted = method.encoder.pixels(torch.from_numpy(made)).numpy()
        else:
            painted = 1.0 / (1.0 + np.exp(-made))  # z
            losses.append(-(clean * np.log(painted) + (1.0 - clean) * np.log(1.0 - painted)).mean())
        errors.append(((painted - clean) ** 2).mean())
    assert float(result.loss.detach()) == pytest.approx(np.mean(losses), rel=1e-9)
    assert float(result.logs["pixels/squared_error"]) == pytest.approx(np.mean(errors), rel=1e-9)


def test_both_losses_are_least_where_the_picture_is_painted_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for loss in ("squared-error", "cross-entropy"):
        method, images = method_of(loss=loss), images_of()
        exact = images.logit() if loss == "cross-entropy" else method.encoder.standardise(images)
        painted = exact.clone().requires_grad_()
        monkeypatch.setattr(method, "paint", lambda _, painted=painted: painted)
        result = method(batch_of(images, draws_of()))
        (gradient,) = torch.autograd.grad(result.loss, painted)
        assert gradient.abs().max() < 1e-12
        assert result.logs["pixels/squared_error"] < 1e-12


# ---- decoder -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("px", "start"), [(1, 1), (3, 3), (7, 7), (8, 4), (28, 7), (30, 8), (32, 4), (50, 7), (64, 4)])
def test_the_decoder_starts_small_and_comes_to_the_pictures_size(px: int, start: int) -> None:
    made = decoder(5, 3, px, 16)
    sides = [start]
    for layer in made:
        sides += [2 * sides[-1]] if isinstance(layer, torch.nn.ConvTranspose2d) else []
    painted = made(torch.zeros(2, 5))
    assert painted.shape == (2, 3, sides[-1], sides[-1])
    assert px <= sides[-1] < px + 2 ** (len(sides) - 1)
    if len(sides) > 1:
        assert made[1].unflattened_size == (16, start, start)
    assert method_of(3, px).paint(images_of(3, px)).shape == (B, 3, px, px)


def test_the_code_is_the_encoders_features_unless_a_bottleneck_is_asked_for(small_data: Data) -> None:
    images = images_of()
    plain, narrow = method_of().eval(), method_of(bottleneck=3).eval()
    assert torch.equal(plain.layers()["code"](images), plain.encoder(images))
    assert torch.equal(narrow.layers()["code"](images), narrow.bottleneck(narrow.encoder(images)))
    assert narrow.layers()["code"](images).shape == (B, 3)


def test_the_figure_shows_the_picture_what_is_seen_of_it_and_what_is_made_of_that() -> None:
    images = images_of()
    assert list(method_of().figures(batch_of(images, draws_of()))["reconstruction"].columns) == [
        "picture",
        "reconstruction",
    ]
    method = method_of(noise="masking", loss="cross-entropy").eval()
    columns = method.figures(batch_of(images, draws_of()))["reconstruction"].columns
    assert list(columns) == ["picture", "corrupted", "reconstruction"]
    assert_close(columns["picture"], images)
    assert_close(columns["corrupted"], method.corrupt(images, draws_of()))
    assert_close(columns["reconstruction"], method.paint(columns["corrupted"]).sigmoid())
