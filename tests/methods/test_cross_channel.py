"""Lab, its bins and weights against their formulas, pixel by pixel; colorization and split-brain against eq. 2-4."""

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.testing import assert_close

from unlabeled.methods.cross_channel.colorization import Colorization, ColorizationConfig
from unlabeled.methods.cross_channel.lab import (
    NEIGHBORS,
    ColorBins,
    LabEncoder,
    color_counts,
    lab_to_rgb,
    rgb_to_lab,
    soft_cross_entropy,
)
from unlabeled.methods.cross_channel.split_brain import SplitBrain, SplitBrainConfig
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data, DataConfig, load
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import (
    ConvNetConfig,
    Encoder,
    EncoderConfig,
    StandardisingEncoder,
    TimmConfig,
    ViTConfig,
)
from unlabeled.platform.errors import UserError
from unlabeled.platform.evaluate.layers import layers
from unlabeled.platform.method import Batch, MethodConfig
from unlabeled.platform.train.built import check_built, check_fits
from unlabeled.platform.train.export import load_encoder, save_encoder

B = 4
CONFIGS = (ColorizationConfig(decoder=12), SplitBrainConfig())
both = pytest.mark.parametrize("config", CONFIGS, ids=[config.name for config in CONFIGS])


@pytest.fixture(scope="module")
def emoji() -> Data:
    return load(DataConfig(name="emoji", train_images=256))


def build(config: MethodConfig, data: Data, encoder: EncoderConfig | None = None) -> Colorization | SplitBrain:
    """Build in float64, as the contract's suite does."""
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    try:
        method = config.build(config.make_encoder(encoder or ConvNetConfig(width=8), data.format), data)
    finally:
        torch.set_default_dtype(torch.float32)
    assert isinstance(method, Colorization | SplitBrain)
    return method


def pictures_of(data: Data) -> Tensor:
    return data.test.read(torch.arange(B), "image").double() / 255.0


def batch_of(data: Data) -> Batch:
    rows = torch.arange(B)
    return Batch(views=(pictures_of(data),), index=rows, draws=Draws(rows, 0))


def lab_of(data: Data) -> Tensor:
    return rgb_to_lab(pictures_of(data))


# ---- Lab -----------------------------------------------------------------------------------------------------------


def scalar_lab(red: float, green: float, blue: float) -> tuple[float, float, float]:
    """Return one colour's Lab by the standards' formulas, with D65's white."""
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (red, green, blue))
    x = (0.4124564 * r + 0.3575761 * g + 0.1804375 * b) / 0.95047
    y = 0.2126729 * r + 0.7151522 * g + 0.0721750 * b
    z = (0.0193339 * r + 0.1191920 * g + 0.9503041 * b) / 1.08883

    def f(t: float) -> float:
        return t ** (1 / 3) if t > 216 / 24389 else (24389 / 27 * t + 16) / 116

    return 116 * f(y) - 16, 500 * (f(x) - f(y)), 200 * (f(y) - f(z))


def colors(count: int) -> Tensor:
    """Draw colours, all from black to white and many dark ones, as float64 [count, 3, 1, 1]."""
    drawn = torch.rand(count, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    drawn[::3] *= 0.05  # where both curves are linear
    corners = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * 3)
    return torch.cat([corners, drawn])[:count, :, None, None]


def test_lab_is_the_standards_formulas() -> None:
    rgb = colors(300)
    expected = torch.tensor([scalar_lab(*color) for color in rgb.flatten(1).tolist()], dtype=torch.float64)
    # The formulas' white is rounded to five digits, ours is what the matrix makes of (1, 1, 1).
    assert_close(rgb_to_lab(rgb).flatten(1), expected, rtol=0.0, atol=1e-4)
    assert_close(rgb_to_lab(rgb.float()).flatten(1), expected.float(), rtol=0.0, atol=1e-3)


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [
        ((1.0, 1.0, 1.0), (100.0, 0.0, 0.0)),
        ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0)),
        ((1.0, 0.0, 0.0), (53.24, 80.09, 67.20)),
        ((0.0, 1.0, 0.0), (87.73, -86.18, 83.18)),
        ((0.0, 0.0, 1.0), (32.30, 79.19, -107.86)),
        ((1.0, 1.0, 0.0), (97.14, -21.55, 94.48)),
        ((0.5, 0.5, 0.5), (53.39, 0.0, 0.0)),
    ],
)
def test_known_colours(rgb: tuple[float, ...], lab: tuple[float, ...]) -> None:
    made = rgb_to_lab(torch.tensor(rgb, dtype=torch.float64).view(1, 3, 1, 1)).flatten()
    assert_close(made, torch.tensor(lab, dtype=torch.float64), rtol=0.0, atol=0.006)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_there_and_back_is_the_same_colour(kind: torch.dtype) -> None:
    rgb = colors(2000).to(kind)
    assert_close(lab_to_rgb(rgb_to_lab(rgb)), rgb, rtol=0.0, atol=1e-4 if kind == torch.float32 else 1e-9)


def test_greys_have_no_colour_and_half_precision_is_widened() -> None:
    grey = torch.linspace(0, 1, 50, dtype=torch.float64)[:, None, None, None].expand(-1, 3, -1, -1)
    assert rgb_to_lab(grey)[:, 1:].abs().max() < 1e-12
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert rgb_to_lab(grey.bfloat16()).dtype == torch.float32


def test_what_srgb_cannot_show_is_clipped() -> None:
    impossible = torch.tensor([[50.0, 110.0, 110.0], [100.0, 60.0, 0.0], [0.0, -50.0, 50.0]])[:, :, None, None]
    made = lab_to_rgb(impossible)
    assert made.isfinite().all()
    assert made.min() >= 0.0
    assert made.max() <= 1.0


# ---- bins ----------------------------------------------------------------------------------------------------------


def test_the_bins_are_those_that_a_colour_lies_in() -> None:
    bins = ColorBins()
    assert len(bins) == 261
    ours = {tuple(center) for center in bins.centers.tolist()}
    assert len(ours) == 261
    level = torch.linspace(0, 1, 86, dtype=torch.float64)  # every third of the 256, from 0 to 255
    ab = rgb_to_lab(torch.cartesian_prod(level, level, level).T[None, :, :, None])[0, 1:, :, 0].T
    found = {tuple(center) for center in (10 * (ab / 10).round().long()).unique(dim=0).tolist()}  # type: ignore[no-untyped-call]
    assert found <= ours, "inside the cube of sRGB too"
    assert len(ours - found) < 5


def test_colours_are_spread_over_the_nearest_of_all_bins() -> None:
    """Also colours that sRGB has not, at which means of its colours may lie, and those just between two squares."""
    bins = ColorBins()
    generator = torch.Generator().manual_seed(1)
    anywhere = torch.rand(1500, 2, generator=generator, dtype=torch.float64) * 230 - 115
    seen = rgb_to_lab(colors(400))[:, 1:].flatten(1)
    edges = torch.tensor([[4.9999, 0.1], [5.0001, 0.1], [-5.0001, 14.998], [0.0, 0.0]], dtype=torch.float64)
    ab = torch.cat([anywhere, seen, edges])
    picked, shares = bins.encode(ab[:, :, None, None])
    centers = bins.centers.double().numpy()
    for row, (a, b) in enumerate(ab.tolist()):
        squared = ((centers - np.array([a, b])) ** 2).sum(axis=1)
        nearest = np.argsort(squared)[:NEIGHBORS]
        weights = np.exp(-(squared[nearest] - squared[nearest].min()) / (2 * 5.0**2))
        ours = dict(zip(picked[row].flatten().tolist(), shares[row].flatten().tolist(), strict=True))
        assert picked[row, 0] == nearest[0]
        expected = dict(zip(nearest.tolist(), (weights / weights.sum()).tolist(), strict=True))
        assert ours == pytest.approx(expected, rel=1e-9), (a, b)


def test_looking_at_near_bins_only_is_worth_it() -> None:
    assert ColorBins().nearby.shape[1] < 261 / 5


def test_the_soft_cross_entropy_is_eq_2() -> None:
    bins = ColorBins()
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, len(bins), 2, 3, generator=generator, dtype=torch.float64)
    ab = torch.rand(2, 2, 2, 3, generator=generator, dtype=torch.float64) * 100 - 50
    picked, shares = bins.encode(ab)
    dense = torch.zeros_like(logits).scatter_(1, picked, shares)
    assert_close(soft_cross_entropy(logits, picked, shares), F.cross_entropy(logits, dense, reduction="none"))


def test_the_annealed_mean_goes_from_the_mean_to_the_mode() -> None:
    bins = ColorBins()
    logits = torch.randn(1, len(bins), 1, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for place in range(2):
        z = logits[0, :, 0, place].softmax(dim=0).tolist()
        powers = [math.exp(math.log(share) / 0.38) for share in z]
        expected = sum(
            torch.tensor(center, dtype=torch.float64) * power
            for center, power in zip(bins.centers.tolist(), powers, strict=True)
        ) / sum(powers)
        assert_close(bins.annealed_mean(logits)[0, :, 0, place], expected)
    mode = bins.centers[logits.argmax(dim=1)[0, 0]].T.double()
    assert_close(bins.annealed_mean(logits, 1e-3)[0, :, 0], mode)


@pytest.mark.parametrize("uniform", [0.5, 0.1, 1.0])
def test_the_weights_are_eq_4(uniform: float) -> None:
    bins = ColorBins()
    count = len(bins)
    counts = torch.randint(0, 9, (count,), generator=torch.Generator().manual_seed(0)).square()
    centers: npt.NDArray[np.float64] = bins.centers.double().numpy()
    p = (counts / counts.sum()).double().numpy()
    smooth = np.zeros(count)
    for source in range(count):
        kernel = [math.exp(-((centers[source] - center) ** 2).sum() / (2 * 5.0**2)) for center in centers]
        smooth += float(counts[source]) / float(counts.sum()) * np.array(kernel) / sum(kernel)
    assert p.sum() == pytest.approx(smooth.sum()) == pytest.approx(1.0)
    expected = 1 / ((1 - uniform) * smooth + uniform / count)
    expected /= (smooth * expected).sum()  # so that the weight is 1 on average
    assert_close(bins.rebalancing(counts.double(), uniform), torch.from_numpy(expected))
    if uniform == 1.0:
        assert_close(bins.rebalancing(counts.double(), uniform), torch.ones(count, dtype=torch.float64))


def test_colours_are_counted_in_the_pictures_also_where_weights_take_no_memory(emoji: Data) -> None:
    color_counts.cache_clear()
    with torch.device("meta"):
        counts = color_counts(emoji.pretrain, 8)
    assert color_counts(emoji.pretrain, 8) is counts
    assert counts.device.type == "cpu"
    assert counts.sum() == 256 * 8 * 8
    lab = rgb_to_lab(emoji.pretrain.read(torch.arange(256), "image").float() / 255)
    ab = torch.stack(
        [lab[:, 1:, 4 * i : 4 * i + 4, 4 * j : 4 * j + 4].mean(dim=(2, 3)) for i in range(8) for j in range(8)]
    )
    nearest = torch.cdist(ab.flatten(0, 1), ColorBins().centers.float()).argmin(dim=1)
    assert int((counts - nearest.bincount(minlength=261)).abs().sum()) <= 4, "but for ties by rounding"


# ---- the encoder ---------------------------------------------------------------------------------------------------


def test_colorization_sees_lightness_only(emoji: Data) -> None:
    encoder = build(CONFIGS[0], emoji).encoder.eval()
    grey = torch.cat([lab_of(emoji)[:, :1], torch.zeros(B, 2, 32, 32, dtype=torch.float64)], dim=1)
    assert isinstance(encoder, LabEncoder)
    assert encoder.dim == 64
    x, of_grey = pictures_of(emoji), lab_to_rgb(grey)
    assert_close(encoder(of_grey), encoder(x), rtol=0.0, atol=1e-5)
    alone = encoder.parts["lightness"]
    assert isinstance(alone, Encoder)
    lightness = lab_of(emoji)[:, :1]
    assert isinstance(alone, StandardisingEncoder)
    assert_close(alone.standardise(lightness), lightness / 50 - 1)
    assert alone.standardise(lightness).abs().max() <= 1.0 + 1e-9
    assert_close(encoder(x), alone(lightness))
    for whole, part in zip(encoder.maps(x), alone.maps(lightness), strict=True):
        assert_close(whole, part)
    assert encoder.blocks() == alone.blocks()


def test_split_brain_has_two_halves_of_half_the_width(emoji: Data) -> None:
    encoder = build(CONFIGS[1], emoji).encoder.eval()
    assert isinstance(encoder, LabEncoder)
    lightness, color = (encoder.parts[name] for name in ("lightness", "color"))
    assert isinstance(lightness, StandardisingEncoder)
    assert isinstance(color, StandardisingEncoder)
    assert (lightness.dim, color.dim, encoder.dim) == (32, 32, 64)
    x, lab = pictures_of(emoji), lab_of(emoji)
    left, right = lab[:, :1], lab[:, 1:]
    assert_close(lightness.standardise(left), left / 50 - 1)
    assert_close(color.standardise(right), right / 110)
    assert color.standardise(right).abs().max() <= 1.0
    assert_close(encoder(x), torch.cat([lightness(left), color(right)], dim=1))
    maps = encoder.maps(x)
    assert maps.grid.shape == (B, 64, 4, 4)
    assert_close(maps.grid.mean(dim=(2, 3)), encoder(x))
    assert maps.tokens.shape == (B, 16, 64)
    assert_close(maps.tokens.mean(dim=1), encoder(x))
    assert list(encoder.blocks()) == [f"{half}_block{n}" for half in ("lightness", "color") for n in (1, 2, 3, 4)]


@both
def test_probes_read_the_blocks(config: MethodConfig, emoji: Data) -> None:
    method = build(config, emoji).eval()
    x = pictures_of(emoji)
    last = [layer(x) for name, layer in layers(method).items() if name.endswith("block4")]
    assert_close(torch.cat(last, dim=1), method.encoder(x))


@both
@pytest.mark.parametrize("name", ["vit", "resnet18"])
def test_other_encoders_fit(config: MethodConfig, name: str, emoji: Data) -> None:
    encoder = ViTConfig(width=8, depth=1) if name == "vit" else TimmConfig(model=name)
    method = build(config, emoji, encoder)
    x = pictures_of(emoji)[:2]
    assert method.encoder(x).shape == (2, method.encoder.dim)
    whole = {"vit": 64, "resnet18": 512}[name]
    assert method.encoder.dim == (1024 if (config.name, name) == ("split-brain", "resnet18") else whole)
    assert method(Batch(views=(x,), index=torch.arange(2), draws=Draws(torch.arange(2), 0))).loss.isfinite()


@both
def test_a_saved_encoder_gives_the_same_features(config: MethodConfig, emoji: Data, tmp_path: Path) -> None:
    run = RunConfig(method=config, data=DataConfig(name="emoji"), encoder=ConvNetConfig(width=8))
    method = build(config, emoji).float()
    method(Batch(views=(pictures_of(emoji).float(),), index=torch.arange(B), draws=Draws(torch.arange(B), 0)))
    save_encoder(method.encoder, run, emoji.format, tmp_path)
    x = pictures_of(emoji).float()
    with torch.no_grad():
        assert torch.equal(load_encoder(tmp_path)(x), method.encoder.eval()(x))


# ---- the methods ---------------------------------------------------------------------------------------------------


def test_colorization_is_the_weighted_cross_entropy(emoji: Data) -> None:
    method = build(CONFIGS[0], emoji)
    assert isinstance(method, Colorization)
    method.eval()
    result = method(batch_of(emoji))
    lab = lab_of(emoji)
    encoder = method.encoder
    assert isinstance(encoder, LabEncoder)
    log_z = method.decoder(encoder.maps(pictures_of(emoji)).grid).log_softmax(dim=1)
    assert log_z.shape == (B, 261, 8, 8)
    weights = method.bins.rebalancing(color_counts(emoji.pretrain, 8).double(), 0.5)
    losses, right = [], []
    for i in range(B):
        for row in range(8):
            for column in range(8):
                color = lab[i, 1:, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4].mean(dim=(1, 2))
                distance = (method.bins.centers - color).square().sum(dim=1)
                nearest = distance.argsort()[:5]
                z = (-distance[nearest] / 50).exp()
                told = log_z[i, :, row, column]
                cross_entropy = -(z / z.sum() * told[nearest]).sum()
                losses.append(weights[nearest[0]] * cross_entropy)
                right.append(told.argmax() == nearest[0])
    assert_close(result.loss, torch.stack(losses).mean(), rtol=1e-9, atol=1e-9)
    assert_close(result.logs["color/top1"], torch.stack(right).float().mean())


def test_split_brain_is_both_cross_entropies(emoji: Data) -> None:
    method = build(SplitBrainConfig(lightness_bins=50), emoji)
    assert isinstance(method, SplitBrain)
    method.eval()
    result = method(batch_of(emoji))
    lab = lab_of(emoji)
    left, right = method.encoder.maps(pictures_of(emoji)).grid.chunk(2, dim=1)
    color, lightness = (
        layer(half).log_softmax(dim=1) for layer, half in ((method.to_color, left), (method.to_lightness, right))
    )
    losses = []
    for i in range(B):
        for row in range(4):
            for column in range(4):
                mean = lab[i, :, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8].mean(dim=(1, 2))
                distance = (method.bins.centers - mean[1:]).square().sum(dim=1)
                nearest = distance.argsort()[:5]
                z = (-distance[nearest] / 50).exp()
                level = min(int(mean[0] / 2), 49)
                told = -(z / z.sum() * color[i, nearest, row, column]).sum()
                losses.append(told - lightness[i, level, row, column])
    assert_close(result.loss, torch.stack(losses).mean(), rtol=1e-9, atol=1e-9)


def test_no_half_sees_what_it_tells(emoji: Data) -> None:
    """The gradient of each loss reaches its own half only; so the color half can't see lightness."""
    method = build(CONFIGS[1], emoji)
    assert isinstance(method, SplitBrain)
    encoder = method.encoder
    assert isinstance(encoder, LabEncoder)
    lab = lab_of(emoji).requires_grad_()
    color, lightness = method._predict(lab)
    (of_color,) = torch.autograd.grad(color.sum(), lab, retain_graph=True)
    (of_lightness,) = torch.autograd.grad(lightness.sum(), lab)
    assert of_color[:, 1:].abs().max() == of_lightness[:, :1].abs().max() == 0.0
    assert of_color[:, :1].abs().max() > 0.0
    assert of_lightness[:, 1:].abs().max() > 0.0


@both
def test_pictures_keep_what_is_seen_and_change_the_rest(config: MethodConfig, emoji: Data) -> None:
    method = build(config, emoji).eval()
    x = pictures_of(emoji)
    with torch.no_grad():
        (figure,) = method.figures(batch_of(emoji)).values()
    columns = figure.columns
    assert all(made.shape == x.shape for made in columns.values())
    assert torch.equal(columns["original"], x)
    if config.name == "colorization":
        assert list(columns) == ["original", "lightness", "colorized"]
        grey = columns["lightness"]
        assert_close(rgb_to_lab(grey)[:, :1], lab_of(emoji)[:, :1], rtol=0.0, atol=1e-6)
        assert rgb_to_lab(grey)[:, 1:].abs().max() < 1e-6


def test_the_colour_that_the_decoder_is_sure_of_is_shown_at_the_pictures_lightness(emoji: Data) -> None:
    method = build(CONFIGS[0], emoji).eval()
    assert isinstance(method, Colorization)
    sure = method.bins.centers.eq(torch.tensor([10, 20])).all(dim=1)
    assert sure.sum() == 1

    class Sure(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (100.0 * sure.double())[None, :, None, None].expand(len(x), -1, 8, 8)

    method.decoder = nn.Sequential(Sure())
    lightness = torch.linspace(40, 70, 32, dtype=torch.float64)  # at which sRGB can show this colour
    lab = torch.stack([lightness, torch.full_like(lightness, -20.0), torch.zeros_like(lightness)])
    original = lab_to_rgb(lab[None, :, None].expand(B, -1, 32, -1))
    with torch.no_grad():
        batch = Batch(views=(original,), index=torch.arange(B), draws=Draws(torch.arange(B), 0))
        colorized = method.figures(batch)["colorization"].columns["colorized"]
    expected = torch.stack([lightness, torch.full_like(lightness, 10.0), torch.full_like(lightness, 20.0)])
    assert_close(rgb_to_lab(colorized), expected[None, :, None].expand(B, -1, 32, -1), rtol=0.0, atol=1e-6)


@both
def test_grey_pictures_are_one_clear_line(config: MethodConfig) -> None:
    grey = load(DataConfig(train_images=256))
    run = RunConfig(method=config, encoder=ConvNetConfig(width=8), batch_size=64)
    with pytest.raises(
        UserError, match=f"{config.name} needs colour pictures, and fashion-mnist-12k is grey; choose .* emoji"
    ):
        check_fits(run, grey)
    with pytest.raises(UserError, match=f"{config.name} needs colour pictures, and this data set is grey"):
        config.make_encoder(ConvNetConfig(width=8), grey.format)


def test_a_half_cannot_be_narrower_than_an_encoder(emoji: Data) -> None:
    with pytest.raises(UserError, match=r"split-brain halves encoder\.width, and a half is 4 at least; got 7, use 8"):
        SplitBrainConfig().make_encoder(ConvNetConfig(width=7), emoji.format)


@both
def test_what_can_be_checked_without_memory_is(config: MethodConfig, emoji: Data) -> None:
    run = RunConfig(method=config, data=DataConfig(name="emoji", train_images=256), batch_size=64)
    assert {parameter.device.type for parameter in check_built(run, emoji).parameters()} == {"meta"}
