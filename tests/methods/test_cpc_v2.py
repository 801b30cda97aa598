"""CPC v2 against its paper's code, prediction by prediction; what contexts may see, and what is done to patches."""

import pytest
import torch
from timm.layers import BatchNormAct2d
from torch import Tensor, nn
from torch.testing import assert_close

from unlabeled.methods.autoregressive.cpc_v2 import CPCV2, CPCV2Config
from unlabeled.methods.autoregressive.patches import layer_norms
from unlabeled.platform.augment import Policy
from unlabeled.platform.data import DataConfig, PictureFormat, load
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import ConvNetConfig
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Batch

B, PX = 3, 16  # 3 x 3 patches of 8 px


def build(channels: int = 1, **fields: object) -> CPCV2:
    torch.manual_seed(0)
    small = {"patch_px": 8, "stride_px": 4, "num_steps": 2, "skipped": 0, "context": 5, "blocks": 2, "target": 6}
    config = CPCV2Config.checked(**{**small, **fields})
    pictures = PictureFormat(channels, PX, (0.4,) * channels, (0.5,) * channels)
    encoder = config.make_encoder(ConvNetConfig(width=4), pictures)
    method = config.build(encoder, load(DataConfig(train_images=256))).double()
    assert isinstance(method, CPCV2)
    return method


def batch_of(channels: int = 1) -> Batch:
    images = torch.rand(B, channels, PX, PX, generator=torch.Generator().manual_seed(0)).double()
    rows = torch.arange(B)  # policies compute in float32
    return Batch(views=(images,), index=rows, draws=Draws(rows, 0, 0))


def slow(method: CPCV2, z: Tensor) -> tuple[Tensor, float]:
    """Return the mean over directions and steps, and how often the right patch is the likeliest."""
    losses, hits = [], []
    for turns in range(4):
        turned = torch.stack([torch.rot90(each, turns, dims=(1, 2)) for each in z])
        way, (images, _, rows, columns) = method.directions[turns], turned.shape
        c = way.context(turned)
        everywhere = [(b, r, col) for b in range(images) for r in range(rows) for col in range(columns)]
        target = {at: way.target.weight @ turned[at[0], :, at[1], at[2]] for at in everywhere}
        for k, linear in zip(way.steps, way.predict, strict=True):
            terms, right = [], []
            for b, r, col in everywhere:
                if r + k < rows:
                    made = 0.1 * (linear.weight @ c[b, :, r, col] + linear.bias)
                    f = {at: (made @ t).exp() for at, t in target.items()}
                    terms.append(-(f[b, r + k, col] / sum(f.values())).log())
                    right.append(all(bool(f[b, r + k, col] > f[at]) for at in everywhere if at != (b, r + k, col)))
            losses.append(torch.stack(terms).mean())
            hits.append(sum(right) / len(right))
    return torch.stack(losses).mean(), sum(hits) / len(hits)


@pytest.mark.parametrize("skipped", [0, 1])
def test_loss_gradients_and_top1_are_the_papers(skipped: int) -> None:
    ours, theirs = build(skipped=skipped), build(skipped=skipped)
    (z,) = ours.embed(batch_of())
    z = 30 * z.detach()  # so that some predictions are right
    result = ours.contrast((z,), batch_of())
    result.loss.backward()
    expected, share = slow(theirs, z)
    expected.backward()  # type: ignore[no-untyped-call]
    assert_close(result.loss, expected, rtol=1e-9, atol=0)
    assert result.logs["contrast/top1"].item() == pytest.approx(share)
    for name, parameter in theirs.named_parameters():
        if not name.startswith("encoder."):
            assert_close(ours.get_parameter(name).grad, parameter.grad, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("turns", range(4))
def test_a_context_sees_no_row_below_its_own(turns: int) -> None:
    context = build(blocks=3).directions[turns].context
    z = torch.randn(1, 32, 5, 5, dtype=torch.float64, requires_grad=True)
    for row in range(5):
        seen = torch.autograd.grad(context(z)[0, :, row, 2].sum(), z)[0][0].abs().sum(dim=0) > 0
        assert not seen[row + 1 :].any()
        assert seen[row, 2]
        assert seen[max(0, row - 3) : row + 1].any(dim=1).all(), "a row more above with each block"


def test_layer_norm_keeps_patches_from_telling_each_other() -> None:
    normed, batched = build(patch=Policy()), build(patch=Policy(), layer_norm=False)
    images = batch_of().views[0]
    other = torch.cat([images[:1], torch.rand_like(images[1:])])
    alone = [method.encoder.maps(x).grid[0] for method in (normed, batched) for x in (images, other)]
    assert_close(alone[0], alone[1], rtol=1e-10, atol=1e-12)
    assert (alone[2] - alone[3]).abs().max() > 0.01, "batch norm does"
    kinds = {type(part) for part in normed.encoder.modules()}
    assert nn.GroupNorm in kinds
    assert nn.BatchNorm2d not in kinds


def test_each_patch_is_changed_by_itself_and_keeps_one_channel() -> None:
    method = build(channels=3, patch=Policy(), channel_drop=1.0)
    patches = torch.rand(B, 3, 3, 3, 8, 8).double()
    changed = method.changed(patches, batch_of().draws).flatten(0, 2)
    kept = (changed == patches.flatten(0, 2)).flatten(2).all(dim=2)
    assert kept.sum(dim=1).tolist() == [1] * (9 * B)
    assert len(kept.unique(dim=0)) == 3, "each channel somewhere"  # type: ignore[no-untyped-call]
    assert_close(changed[~kept], torch.full_like(changed[~kept], 0.4))
    assert torch.equal(method.changed(patches[1:], Draws(torch.arange(1, B), 0, 0)), changed.view(patches.shape)[1:])


def test_a_share_of_patches_keeps_its_channels_and_grey_ones_all() -> None:
    method = build(channels=3, patch=Policy(), channel_drop=0.5)
    patches = torch.rand(40, 3, 3, 3, 8, 8).double()
    whole = (method.changed(patches, Draws(torch.arange(40), 0)) == patches).flatten(3).all(dim=3)
    assert 0.4 < whole.double().mean() < 0.6
    grey = patches[:, :, :, :1]
    assert torch.equal(build(patch=Policy()).changed(grey, Draws(torch.arange(40), 0)), grey)


def test_probes_see_patches_unchanged() -> None:
    method, batch = build(channels=3), batch_of(3)
    assert not torch.equal(method.embed(batch)[0], method.encoder.maps(batch.views[0]).grid)
    plain = build(channels=3, patch=Policy(), channel_drop=0.0)
    assert_close(plain.embed(batch)[0], plain.encoder.maps(batch.views[0]).grid)


def test_what_can_not_be_is_one_clear_line() -> None:
    with pytest.raises(UserError, match=r"skipped 3 leaves nothing of num_steps 3 to predict; skip 2 or fewer"):
        CPCV2Config.checked(skipped=3)
    with pytest.raises(UserError, match=r"channel_drop.*less than or equal to 1"):
        CPCV2Config.checked(channel_drop=2.0)
    encoder = ConvNetConfig(width=4).build(PictureFormat(3, 64, (0.5,) * 3, (0.5,) * 3))
    encoder.stages[1][1] = BatchNormAct2d(8)
    with pytest.raises(
        UserError,
        match=r"^cpc-v2 puts .* BatchNorm2d alone, and 1 is a BatchNormAct2d; choose another",
    ):
        layer_norms(encoder, "cpc-v2")
