"""Colour proxy: hypercolumns, hue and chroma by colorsys, histograms and divergences by loops."""

import colorsys
import math

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from unlabeled.methods.cross_channel.color_proxy import ColorProxy, ColorProxyConfig
from unlabeled.methods.cross_channel.hypercolumns import colored, divergence, histogram, hue_and_chroma, hypercolumns
from unlabeled.methods.parts import one_view
from unlabeled.platform.augment import PLAIN
from unlabeled.platform.data import DataConfig, PictureFormat
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import ConvNetConfig, EncoderConfig, ViTConfig
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Batch
from unlabeled.platform.testing.examples import run_of
from unlabeled.platform.train.built import check_fits
from unlabeled.platform.train.loaded import load_cached

B, R, PX = 3, 6, 16
PICTURES = PictureFormat(3, PX, (0.5,) * 3, (0.25,) * 3)


def pictures(*size: int) -> Tensor:
    return torch.rand(*size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def small(**fields: object) -> ColorProxyConfig:
    settings = {"views": one_view(PLAIN), "places": R, "bins": 4, "window_px": 3, "hidden": 8, **fields}
    return ColorProxyConfig.checked(**settings)


def build(config: ColorProxyConfig, encoder: EncoderConfig | None = None) -> ColorProxy:
    torch.manual_seed(0)
    data = load_cached(DataConfig(name="emoji", train_images=256))
    made = config.make_encoder(encoder or ConvNetConfig(width=4), data.format)
    return config.build(made, data).double().eval()


# ---- its parts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoder", [ConvNetConfig(width=4), ViTConfig(width=4, depth=2, patch_px=4)])
def test_a_hypercolumn_is_what_every_block_makes_in_a_place(encoder: EncoderConfig) -> None:
    torch.manual_seed(0)
    net, x = encoder.build(PICTURES).double().eval(), pictures(B, 3, PX, PX)
    places = torch.tensor([[0, 0], [15, 3], [8, 8]]).expand(B, -1, -1)
    made = hypercolumns(net, x, places)
    start, y = 0, net.standardise(x)  # type: ignore[operator]
    if isinstance(encoder, ConvNetConfig):
        maps = [y := stage(y) for stage in net.stages]  # type: ignore[operator,union-attr]
    else:
        tokens = net.model.norm_pre(net.model._pos_embed(net.model.patch_embed(y)))  # type: ignore[operator,union-attr]
        states = [tokens := block(tokens) for block in net.model.blocks]  # type: ignore[union-attr]
        maps = [state[:, 1:].transpose(1, 2).unflatten(2, (4, 4)) for state in states]
    for each in maps:
        scale, limit = each.shape[2] / PX, each.shape[2] - 1
        for row in range(B):
            for number, place in enumerate(places[row].tolist()):
                at = [min(max((pixel + 0.5) * scale - 0.5, 0.0), limit) for pixel in place]
                low, high = [math.floor(a) for a in at], [min(math.floor(a) + 1, limit) for a in at]
                (u, v), corner = (a - math.floor(a) for a in at), each[row]
                top = (1 - v) * corner[:, low[0], low[1]] + v * corner[:, low[0], high[1]]
                bottom = (1 - v) * corner[:, high[0], low[1]] + v * corner[:, high[0], high[1]]
                expected = (1 - u) * top + u * bottom
                assert_close(made[row, number, start : start + len(corner)], expected)
        start += each.shape[1]
    assert made.shape == (B, 3, start)


def test_hue_and_chroma_are_colorsys_and_make_the_colour_again() -> None:
    rgb = torch.cat(
        [pictures(B, 3, 4, 4), torch.tensor([1.0, 0, 0, 0.5, 0.5, 0.5]).double().view(1, 3, 1, 2).expand(B, -1, 4, 2)],
        3,
    )
    made = hue_and_chroma(rgb)
    for row in range(B):
        for y in range(4):
            for x in range(6):
                pixel = [float(each) for each in rgb[row, :, y, x]]
                hue, _, _ = colorsys.rgb_to_hsv(*pixel)
                assert made[row, :, y, x].tolist() == pytest.approx([hue, max(pixel) - min(pixel)], abs=1e-12)
    assert_close(colored(rgb.mean(dim=1), *made.unbind(1)), rgb)


def test_a_histogram_counts_and_a_divergence_is_summed() -> None:
    values = torch.cat([pictures(B, R, 7), torch.tensor([0.0, 1.0]).expand(B, R, 2)], dim=2)
    made, logits = histogram(values, 4), pictures(B, R, 4) * 3
    found = divergence(logits, made)
    for row in range(B):
        for place in range(R):
            counts = [0.0] * 4
            for value in values[row, place].tolist():
                counts[min(int(value * 4), 3)] += 1 / 9
            assert made[row, place].tolist() == pytest.approx(counts)
            powers = [math.exp(float(logit)) for logit in logits[row, place]]
            terms = [p * math.log(p / (q / sum(powers))) for p, q in zip(counts, powers, strict=True) if p]
            assert float(found[row, place]) == pytest.approx(sum(terms))
    assert_close(divergence(made.clamp_min(1e-30).log(), made), torch.zeros(B, R).double(), rtol=0.0, atol=1e-9)


# ---- the whole -------------------------------------------------------------------------------------------------------


def test_the_loss_weighs_the_hues_of_colourful_places() -> None:
    proxy = build(small())
    view, rows = pictures(B, 3, 32, 32), torch.arange(B)
    batch = Batch(views=(view,), index=rows, draws=Draws(rows, 0))
    result = proxy(batch)
    corners = batch.draws.integers("places", 30, R, 2)
    from unlabeled.methods.cross_channel.lab import rgb_to_lab

    logits = proxy.told(rgb_to_lab(view), corners + 1)
    losses = []
    for row in range(B):
        for place, (top, left) in enumerate(corners[row].tolist()):
            window = hue_and_chroma(view[row, :, top : top + 3, left : left + 3])
            share = histogram(window.flatten(1)[:, None], 4)[:, 0]
            hue, chroma = (divergence(each, of) for each, of in zip(logits[row, place].chunk(2), share, strict=True))
            losses.append(chroma + 5.0 * window[1, 1, 1] * hue)
    assert_close(result.loss, torch.stack(losses).mean())


def test_what_does_not_fit_is_one_clear_line() -> None:
    example = ColorProxyConfig.example()
    data = load_cached(example.data)
    for side in (4, 65):
        with pytest.raises(
            UserError, match=rf"^method\.window_px {side} is not odd, or exceeds the views' \d+ px; set it"
        ):
            check_fits(run_of(example, example.method.with_field("window_px", side)), data)
    grey = DataConfig(train_images=256)
    with pytest.raises(UserError, match=r"^color-proxy needs colour pictures, and fashion-mnist-12k is grey; choose"):
        check_fits(run_of(example, data=grey), load_cached(grey))
