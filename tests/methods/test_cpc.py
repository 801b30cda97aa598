"""CPC against its paper's equations, term by term; and what a context and an encoder may see."""

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from unlabeled.methods.autoregressive.cpc import CPCConfig
from unlabeled.methods.autoregressive.prediction import CPC, contexts
from unlabeled.platform.augment import PLAIN, Crop, Policy, ViewPlan
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data, DataConfig, PictureFormat, load
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import ConvNetConfig, ViTConfig
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Batch
from unlabeled.platform.processor import Processor
from unlabeled.platform.train.built import build_method, check_built, check_fits

B, PX = 3, 16  # 3 x 3 patches of 8 px


def build(**fields: object) -> CPC:
    torch.manual_seed(0)
    config = CPCConfig.checked(**{"patch_px": 8, "stride_px": 4, "num_steps": 2, "context": 5, **fields})
    encoder = config.make_encoder(ConvNetConfig(width=4), PictureFormat(1, PX, (0.5,), (0.5,)))
    return config.build(encoder, load(DataConfig(train_images=256))).double()


def batch_of(images: Tensor | None = None) -> Batch:
    if images is None:
        images = torch.randn(B, 1, PX, PX, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rows = torch.arange(len(images))
    return Batch(views=(images,), index=rows, draws=Draws(rows, 0, 0))


# ---- the loss ------------------------------------------------------------------------------------------------------


def gru(cpc: CPC, column: list[Tensor]) -> list[Tensor]:
    """Return the states of a GRU after each patch of a column, by its equations."""
    (w_r, w_z, w_n), (u_r, u_z, u_n) = cpc.gru.weight_ih_l0.chunk(3), cpc.gru.weight_hh_l0.chunk(3)
    (b_r, b_z, b_n), (d_r, d_z, d_n) = cpc.gru.bias_ih_l0.chunk(3), cpc.gru.bias_hh_l0.chunk(3)
    state, states = torch.zeros(5, dtype=torch.float64), []
    for x in column:
        reset = torch.sigmoid(w_r @ x + b_r + u_r @ state + d_r)
        update = torch.sigmoid(w_z @ x + b_z + u_z @ state + d_z)
        state = (1 - update) * torch.tanh(w_n @ x + b_n + reset * (u_n @ state + d_n)) + update * state
        states.append(state)
    return states


def equation_4(cpc: CPC, z: Tensor) -> tuple[Tensor, list[list[bool]]]:
    """Return the mean over steps of the mean of eq. 4 over what is predicted, and for each whether it is right."""
    images, rows, columns, _ = z.shape
    everywhere = [(b, r, c) for b in range(images) for r in range(rows) for c in range(columns)]
    losses, right = [], []
    for k in range(1, len(cpc.predict) + 1):
        terms, hits = [], []
        for b in range(images):
            for column in range(columns):
                contexts = gru(cpc, [z[b, r, column] for r in range(rows)])
                for t in range(rows - k):
                    prediction = cpc.predict[k - 1].weight @ contexts[t]
                    f = {x: (z[x] @ prediction).exp() for x in everywhere}  # eq. 3
                    positive = f[b, t + k, column]
                    terms.append(-(positive / sum(f.values())).log())
                    hits.append(all(bool(positive > f[x]) for x in everywhere if x != (b, t + k, column)))
        losses.append(torch.stack(terms).mean())
        right.append(hits)
    return torch.stack(losses).mean(), right


def test_loss_gradients_and_top1_are_the_papers() -> None:
    ours, theirs = build(), build()
    optimizer = torch.optim.Adam(ours.parameters(), lr=0.01)
    for _ in range(5):  # until some predictions are right, and some not
        optimizer.zero_grad()
        ours(batch_of()).loss.backward()
        optimizer.step()
    optimizer.zero_grad()
    theirs.load_state_dict(ours.state_dict())
    result = ours(batch_of())
    result.loss.backward()
    expected, right = equation_4(theirs, *theirs.embed(batch_of()))
    expected.backward()  # type: ignore[no-untyped-call]
    assert [len(hits) for hits in right] == [B * 2 * 3, B * 1 * 3], "two rows to predict one ahead, one for two ahead"
    assert_close(result.loss, expected, rtol=1e-10, atol=1e-10)
    for name, parameter in theirs.named_parameters():
        assert_close(ours.get_parameter(name).grad, parameter.grad, rtol=1e-8, atol=1e-10)
    shares = [sum(hits) / len(hits) for hits in right]
    assert 0 < sum(shares) < 2
    for k, share in enumerate(shares, start=1):
        assert result.logs[f"contrast/top1_step{k}"].item() == pytest.approx(share)
    assert result.logs["contrast/top1"].item() == pytest.approx(sum(shares) / 2)


def test_a_collapsed_encoder_guesses_among_all_patches() -> None:
    cpc = build()
    flat = torch.ones(B, 3, 3, cpc.encoder.dim, dtype=torch.float64)
    result = cpc.contrast((flat,), batch_of())
    everything = torch.tensor(float(B * 9), dtype=torch.float64).log()
    assert_close(result.loss, everything)
    assert_close(result.logs["contrast/entropy"], everything)
    assert result.logs["contrast/top1"] == 0.0


@pytest.mark.parametrize("steps", [1, 2])
def test_each_step_has_a_prediction_of_its_own(steps: int) -> None:
    cpc = build(num_steps=steps)
    assert [tuple(w.shape) for w in cpc.predict.parameters()] == [(cpc.encoder.dim, 5)] * steps
    logs = cpc(batch_of()).logs
    assert set(logs) == {"contrast/top1", "contrast/entropy", *(f"contrast/top1_step{k + 1}" for k in range(steps))}


def test_the_order_of_images_does_not_matter() -> None:
    cpc, batch = build(), batch_of()
    assert_close(cpc(batch_of(batch.views[0][[2, 0, 1]])).loss, cpc(batch).loss, rtol=1e-10, atol=0)


def test_half_precision_scores_in_full() -> None:
    cpc = build().float()
    batch = batch_of(batch_of().views[0].float())
    with torch.autocast("cpu", torch.bfloat16):
        result = cpc(batch)
    assert result.loss.dtype == torch.float32
    result.loss.backward()
    assert_close(result.loss, cpc(batch).loss, rtol=0.02, atol=0)


# ---- the context ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", [0, 1, 2])
def test_a_context_sees_its_column_down_to_its_row_alone(row: int) -> None:
    cpc = build()
    z = torch.randn(B, 3, 3, cpc.encoder.dim, dtype=torch.float64, requires_grad=True)
    seen = torch.autograd.grad(contexts(cpc.gru, z)[1, row, 2].sum(), z)[0].abs().sum(dim=3) > 0
    expected = torch.zeros(B, 3, 3, dtype=torch.bool)
    expected[1, : row + 1, 2] = True
    assert torch.equal(seen, expected)


@pytest.mark.parametrize("row", [0, 1, 2])
def test_pixels_below_a_row_of_patches_do_not_change_its_contexts(row: int) -> None:
    cpc = build().eval()  # in training, batch norm tells each patch a little of all the others
    images = batch_of().views[0]
    other = images.clone()
    other[:, :, 4 * row + 8 :] = 7.0
    (one,), (changed,) = cpc.embed(batch_of(images)), cpc.embed(batch_of(other))
    same = (contexts(cpc.gru, one) == contexts(cpc.gru, changed)).all(dim=3).all(dim=2).all(dim=0)
    assert same.tolist() == [place <= row for place in range(3)]


# ---- patches -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("px", "patch", "stride", "side"), [(16, 8, 4, 3), (17, 6, 5, 3), (9, 3, 1, 7), (8, 2, 3, 3)])
def test_patches_are_cut_row_by_row(px: int, patch: int, stride: int, side: int) -> None:
    config = CPCConfig(patch_px=patch, stride_px=stride, num_steps=1)
    encoder = config.make_encoder(ConvNetConfig(width=4), PictureFormat(3, px, (0.5,) * 3, (0.5,) * 3)).eval()
    images = torch.randn(2, 3, px, px)
    found, tokens = encoder.maps(images).grid, encoder.maps(images).tokens
    assert found.shape == (2, 32, side, side)
    for row in range(side):
        for column in range(side):
            top, left = row * stride, column * stride
            alone = encoder.inner(images[:, :, top : top + patch, left : left + patch])
            assert_close(found[:, :, row, column], alone, rtol=1e-4, atol=1e-5)
            assert_close(tokens[:, row * side + column], alone, rtol=1e-4, atol=1e-5)
    assert_close(encoder(images), found.mean(dim=(2, 3)))


@pytest.mark.parametrize(("px", "expected"), [(256, (64, 32)), (96, (24, 12)), (32, (8, 4)), (28, (8, 4)), (1, (2, 1))])
def test_patches_are_a_quarter_of_the_picture_and_overlap_by_half(px: int, expected: tuple[int, int]) -> None:
    assert CPCConfig().patches(px) == expected
    assert CPCConfig(patch_px=7).patches(px) == (7, 3)
    assert CPCConfig(stride_px=3).patches(px) == (expected[0], 3)


def test_probes_see_pictures_patch_by_patch(small_run: RunConfig, small_data: Data, processor: Processor) -> None:
    run = small_run.with_field("method", CPCConfig(context=8))
    encoder = build_method(run, small_data, processor).encoder
    assert encoder.maps(torch.randn(2, 1, 28, 28)).grid.shape == (2, 64, 6, 6)
    assert not encoder.blocks()


# ---- what can't be ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"num_steps": 6},
            r"method\.num_steps 6 needs 7 rows of patches, and a view of 28 px has 6 of patch_px 8 and stride_px 4; "
            r"use method\.num_steps 5 or less, or smaller ones$",
        ),
        ({"num_steps": 1, "patch_px": 20, "stride_px": 9}, r"has 1 of patch_px 20 and stride_px 9; use smaller ones$"),
        ({"num_steps": 1, "patch_px": 40}, r"has 0 of patch_px 40 and stride_px 20; use smaller ones$"),
        (
            {"views": ViewPlan(views=(Policy(ops=(Crop(size=20),)),))},
            r"a view of 20 px has 4 of patch_px 8 .*num_steps 3 or less",
        ),
    ],
)
def test_too_few_rows_are_refused_before_it_starts(
    small_run: RunConfig, small_data: Data, fields: dict[str, object], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        check_fits(small_run.with_field("method", CPCConfig.checked(**fields)), small_data)


def test_the_size_of_the_last_crop_counts(small_run: RunConfig, small_data: Data) -> None:
    views = ViewPlan(views=(Policy(ops=(Crop(size=20), Crop(size=32), *PLAIN.ops)),))
    check_fits(small_run.with_field("method", CPCConfig(views=views, num_steps=6)), small_data)


def test_a_vits_patches_have_to_divide_ours(small_run: RunConfig, small_data: Data) -> None:
    run = small_run.with_field("encoder", ViTConfig(width=4, depth=1, patch_px=4))
    check_built(run.with_field("method", CPCConfig()), small_data)
    with pytest.raises(
        UserError, match=r"^cpc's encoder gets method\.patch_px 6 as its picture: vit's patches of 4 px do not"
    ):
        check_built(run.with_field("method", CPCConfig(patch_px=6)), small_data)
