"""Masked patch prediction: what a ViT sees of hidden patches, what is corrupted, and what is told of it."""

import math

import pytest
import torch
from formats import format_of
from torch.testing import assert_close

from unlabeled.methods.masked.masked_patch_prediction import MaskedPatchPrediction, MaskedPatchPredictionConfig
from unlabeled.methods.masked.patches import patchify
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import ConvNetConfig, ViT, ViTConfig
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Batch

B, PX, PATCH = 4, 24, 4
SIDE = PX // PATCH
T = SIDE**2


def vit_of(channels: int = 3) -> ViT:
    torch.manual_seed(0)
    vit = ViTConfig(width=4, depth=2, patch_px=PATCH)
    encoder = MaskedPatchPredictionConfig().make_encoder(vit, format_of(channels, PX))
    assert isinstance(encoder, ViT)
    return encoder


def colors_of(channels: int = 3, **fields: object) -> MaskedPatchPrediction:
    config = MaskedPatchPredictionConfig.checked(**fields)
    return MaskedPatchPrediction(config, vit_of(channels), channels).double().eval()


def batch_of(channels: int = 3, count: int = B) -> Batch:
    draws = Draws(torch.arange(count), 0, 0, "method")
    return Batch(views=(draws.uniform("x", channels, PX, PX).double(),), index=draws.rows, draws=draws)


# ---- a ViT that does not see some patches ----------------------------------------------------------------------------


def test_hidden_patches_are_not_seen_and_others_are() -> None:
    vit, (x,) = vit_of().double(), batch_of(count=1).views
    x.requires_grad_()
    hidden_BT = torch.zeros(1, T, dtype=torch.bool)
    hidden_BT[0, [0, 3, 20]] = True
    token = torch.full((vit.channels,), 0.3, dtype=torch.float64, requires_grad=True)
    tokens = vit.masked(x, hidden_BT, token)
    of_x, of_token = torch.autograd.grad(tokens.square().sum() + tokens[:, 1].sum(), (x, token))
    assert ((patchify(of_x, PATCH) == 0).all(dim=2) == hidden_BT).all()
    assert (of_token != 0).any()


def test_where_nothing_is_hidden_tokens_are_the_encoders_and_its_features_their_mean() -> None:
    vit, (x,) = vit_of().double().eval(), batch_of().views
    seen = vit.masked(x, torch.zeros(B, T, dtype=torch.bool), torch.zeros(vit.channels).double())
    assert_close(seen, vit.maps(x).tokens)
    assert_close(vit(x), seen[:, 1:].mean(dim=1))


def test_another_encoder_is_one_clear_line() -> None:
    rule = r"^masked-patch-prediction needs a ViT that pools by .* encoder.name is convnet; set"
    with pytest.raises(UserError, match=rule):
        MaskedPatchPredictionConfig().make_encoder(ConvNetConfig(), format_of(3, PX))


# ---- mean colours ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
def test_colours_are_3_bits_a_channel_of_the_mean(channels: int) -> None:
    method, (x,) = colors_of(channels), batch_of(channels).views
    found = method.colors(x)
    assert method.tell.out_features == 8**channels
    for b, t in ((0, 0), (1, 7), (3, T - 1)):
        row, column = t // SIDE * PATCH, t % SIDE * PATCH
        patch = x[b, :, row : row + PATCH, column : column + PATCH]
        expected = sum(min(int(8 * float(patch[c].mean())), 7) * 8**c for c in range(channels))
        assert found[b, t] == expected
    assert method.colors(torch.ones_like(x)).unique().tolist() == [8**channels - 1]  # type: ignore[no-untyped-call]


def test_of_corrupted_patches_so_many_are_hidden_replaced_and_left() -> None:
    method, batch = colors_of(), batch_of(count=400)
    where_BK, mixed, hidden_BT = method.corrupt(batch.views[0], batch.draws)
    assert where_BK.shape == (400, T // 2)
    chosen_BT = torch.zeros_like(hidden_BT).scatter(1, where_BK, True)
    assert not (hidden_BT & ~chosen_BT).any()
    before, after = patchify(batch.views[0], PATCH), patchify(mixed, PATCH)
    moved_BT = (before != after).any(dim=2)
    assert not (moved_BT & (hidden_BT | ~chosen_BT)).any()
    assert (hidden_BT.sum() / chosen_BT.sum()).item() == pytest.approx(0.8, abs=0.02)
    assert (moved_BT.sum() / chosen_BT.sum()).item() == pytest.approx(0.1 * (T - 1) / T, abs=0.02)
    for b, t in moved_BT.nonzero()[:50].tolist():
        assert any(torch.equal(after[b, t], patch) for patch in before[b])


@pytest.mark.parametrize("channels", [1, 3])
def test_the_loss_is_what_the_colours_of_corrupted_patches_cost(channels: int) -> None:
    method, batch = colors_of(channels), batch_of(channels)
    color_BT, (where_BK, logits) = method.colors(batch.views[0]), method.told(batch.views[0], batch.draws)
    nats = [
        -math.log(logits[b, k].softmax(dim=0)[color_BT[b, t]].item())
        for b in range(B)
        for k, t in enumerate(where_BK[b].tolist())
    ]
    assert method(batch).loss.item() == pytest.approx(sum(nats) / len(nats), rel=1e-6)


def test_defaults_are_the_papers() -> None:
    colors = MaskedPatchPredictionConfig()
    assert (colors.corrupted, colors.masked, colors.replaced) == (0.5, 0.8, 0.1)
