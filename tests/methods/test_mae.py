"""MAE against loops written from the paper: what is hidden, what is predicted from what, and what counts."""

import pytest
import torch
from formats import by_hand
from pydantic import ValidationError
from timm.layers.pos_embed_sincos import build_sincos2d_pos_embed
from torch import Tensor, nn
from torch.testing import assert_close

from unlabeled.methods.masked.mae import MAE, MAEConfig, random_masks
from unlabeled.methods.masked.patches import patchify, unpatchify
from unlabeled.platform.augment import Crop, Flip
from unlabeled.platform.data import DataConfig, PictureFormat
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import ConvNetConfig, EncoderConfig, TimmConfig, ViTConfig
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Batch
from unlabeled.platform.train.loaded import load_cached

B, PX, PATCH = 6, 28, 4
T = (PX // PATCH) ** 2


def config(**fields: object) -> MAEConfig:
    return MAEConfig.checked(**{"decoder_width": 32, "decoder_depth": 2, **fields})


def build(of: MAEConfig) -> MAE:
    """Build MAE in float64, in eval mode."""
    torch.manual_seed(0)
    data = load_cached(DataConfig(train_images=256))
    encoder = of.make_encoder(ViTConfig(width=4, depth=2, patch_px=PATCH), data.format)
    mae = of.build(encoder, data)
    assert isinstance(mae, MAE)
    return mae.double().eval()


def seen() -> PictureFormat:
    """Return what the encoder is made for."""
    return load_cached(DataConfig(train_images=256)).format


def draws_of(rows: int, seed: int = 0) -> Draws:
    return Draws(torch.arange(rows), seed, "test")


def images_of(seed: int = 0) -> Tensor:
    return torch.randn(B, 1, PX, PX, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def batch_of(images: Tensor) -> Batch:
    return Batch(views=(images,), index=torch.arange(B), draws=draws_of(B))


def cut(images: Tensor, image: int, place: int) -> Tensor:
    """Cut one patch out, [C, PATCH, PATCH]."""
    top, left = PATCH * (place // (PX // PATCH)), PATCH * (place % (PX // PATCH))
    return images[image, :, top : top + PATCH, left : left + PATCH]


# ---- patches -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("channels", "height", "width", "patch_px"), [(1, 28, 28, 4), (3, 8, 12, 2), (3, 6, 6, 6)])
def test_patches_are_cut_row_by_row_and_put_together_again(
    channels: int, height: int, width: int, patch_px: int
) -> None:
    images = torch.randn(2, channels, height, width)
    patches = patchify(images, patch_px)
    for image in range(2):
        place = 0
        for top in range(0, height, patch_px):
            for left in range(0, width, patch_px):
                box = images[image, :, top : top + patch_px, left : left + patch_px]
                assert torch.equal(patches[image, place], box.flatten())
                place += 1
        assert place == patches.shape[1]
    assert torch.equal(unpatchify(patches, images, patch_px), images)


def test_a_place_is_the_same_patch_for_the_encoder_and_for_the_targets() -> None:
    mae, images = build(config()), images_of()
    place = 17
    changed = images.clone()
    cut(changed, 0, place).add_(1.0)
    moved = (patchify(changed, PATCH) != patchify(images, PATCH)).any(dim=2)
    embedded = [mae.encoder.model.patch_embed(x).flatten(1, 2) for x in (images, changed)]
    assert moved.nonzero().tolist() == (embedded[0] != embedded[1]).any(dim=2).nonzero().tolist() == [[0, place]]


# ---- masks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ratio", "patches", "visible"),
    [
        (0.75, 196, 49),
        (0.75, 49, 12),
        (0.9, 10, 1),  # 10 * (1 - 0.9) is just under 1 in floating point
        (0.9, 49, 5),
        (0.25, 49, 37),
        (0.99, 49, 1),
        (0.001, 49, 48),
        (0.999, 2, 1),
        (0.001, 2, 1),
    ],
)
def test_every_patch_is_either_visible_or_hidden_and_none_of_both_is_empty(
    ratio: float, patches: int, visible: int
) -> None:
    kept, hidden = random_masks(draws_of(5), patches, ratio)
    assert kept.shape == (5, visible)
    assert torch.equal(torch.cat([kept, hidden], dim=1).sort(dim=1).values, torch.arange(patches).expand(5, -1))


def test_each_patch_is_hidden_as_often_as_the_ratio_says_and_pairs_are_independent() -> None:
    images, patches = 20_000, 16
    _, hidden = random_masks(draws_of(images), patches, 0.75)
    is_hidden = torch.zeros(images, patches).scatter(1, hidden, 1.0)
    assert (is_hidden.mean(dim=0) - 0.75).abs().max() < 5 * (0.75 * 0.25 / images) ** 0.5
    together = is_hidden.T @ is_hidden / images
    expected = (12 / 16) * (11 / 15)  # of two different patches, drawn without replacement
    off = together[~torch.eye(patches, dtype=torch.bool)] - expected
    assert off.abs().max() < 5 * (expected * (1 - expected) / images) ** 0.5


def test_images_and_steps_have_masks_of_their_own_that_depend_on_the_row_alone() -> None:
    kept, _ = random_masks(draws_of(64), T, 0.75)
    other, _ = random_masks(draws_of(64, seed=1), T, 0.75)
    assert len({tuple(sorted(row.tolist())) for row in torch.cat([kept, other])}) == 128
    later_rows, _ = random_masks(Draws(torch.arange(32, 64), 0, "test"), T, 0.75)
    assert torch.equal(later_rows, kept[32:])


# ---- what is predicted from what -----------------------------------------------------------------------------------


def test_nothing_hidden_reaches_the_prediction_and_everything_visible_does() -> None:
    mae, images = build(config()), images_of()
    kept, hidden = random_masks(draws_of(B), T, 0.75)
    images.requires_grad_()
    mae.predict(images, kept).square().sum().backward()  # type: ignore[no-untyped-call]
    assert images.grad is not None
    reached = patchify(images.grad, PATCH).abs().amax(dim=2)
    assert (reached.gather(1, hidden) == 0.0).all()
    assert (reached.gather(1, kept) > 0.0).all()


def test_the_order_in_which_visible_patches_are_listed_makes_no_difference() -> None:
    mae, images = build(config()), images_of()
    kept, _ = random_masks(draws_of(B), T, 0.75)
    orders = [kept, kept.sort(dim=1).values, kept.flip(1)]
    first, *others = [mae.predict(images, order) for order in orders]
    for other in others:
        assert_close(other, first, rtol=1e-10, atol=1e-10)


def test_the_decoder_gets_each_visible_patch_at_its_place_and_mask_tokens_elsewhere() -> None:
    mae, images = build(config()), images_of()
    kept, hidden = random_masks(draws_of(B), T, 0.75)
    got: list[Tensor] = []
    mae.decoder.register_forward_pre_hook(lambda _, args: got.append(args[0]))
    mae.predict(images, kept)
    embedded = mae.embed(mae.encoder.visible(images, kept))
    positions = build_sincos2d_pos_embed([7, 7], 32)
    (sequence,) = got
    assert sequence.shape == (B, 1 + T, 32)
    for image in range(B):
        assert_close(sequence[image, 0], embedded[image, 0], rtol=0.0, atol=0.0)  # the class token has no position
        for rank, place in enumerate(kept[image].tolist()):
            assert_close(sequence[image, 1 + place], embedded[image, 1 + rank] + positions[place])
        for place in hidden[image].tolist():
            assert_close(sequence[image, 1 + place], mae.mask_token + positions[place])


def test_the_encoder_looks_at_visible_patches_only_and_the_decoder_at_all() -> None:
    mae, lengths = build(config()), []
    for block in (mae.encoder.model.blocks[0], mae.decoder[0]):
        block.register_forward_pre_hook(lambda _, args: lengths.append(args[0].shape[1]))
    mae(batch_of(images_of()))
    assert lengths == [1 + 12, 1 + T]


def test_a_view_of_another_size_has_patches_of_its_own() -> None:
    mae = build(config())
    x = torch.randn(B, 1, 20, 20, dtype=torch.float64)
    kept, _ = random_masks(draws_of(B), 25, 0.75)
    assert mae.predict(x, kept).shape == (B, 25, PATCH**2)
    assert mae(batch_of(x)).loss.isfinite()


def test_features_are_the_mean_over_patches_of_the_whole_picture() -> None:
    mae, images = build(config()), images_of()
    assert_close(mae.encoder(images), mae.encoder.maps(images).tokens[:, 1:].mean(dim=1))
    assert_close(mae.encoder.visible(images, torch.arange(T).expand(B, -1)), mae.encoder.maps(images).tokens)


# ---- the loss ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("normalised", [True, False])
@pytest.mark.parametrize("ratio", [0.25, 0.75, 0.9])
def test_the_loss_is_the_mean_squared_error_of_hidden_patches_only(normalised: bool, ratio: float) -> None:
    mae, images = build(config(normalised_targets=normalised, mask_ratio=ratio)), images_of()
    batch = batch_of(images)
    kept, hidden = random_masks(batch.draws, T, ratio)
    predicted = mae.predict(images, kept)
    errors, of_zeros, images = [], [], by_hand(images, seen())
    for image in range(B):
        for place in hidden[image].tolist():
            pixels = [float(value) for value in cut(images, image, place).flatten()]
            if normalised:
                mean = sum(pixels) / len(pixels)
                variance = sum((value - mean) ** 2 for value in pixels) / (len(pixels) - 1)
                pixels = [(value - mean) / (variance + 1e-6) ** 0.5 for value in pixels]
            for guess, value in zip(predicted[image, place].tolist(), pixels, strict=True):
                errors.append((guess - value) ** 2)
                of_zeros.append(value**2)
    result = mae(batch)
    assert_close(result.loss.item(), sum(errors) / len(errors), rtol=1e-10, atol=0.0)
    assert_close(result.logs["pixels/error_of_zeros"].item(), sum(of_zeros) / len(of_zeros), rtol=1e-10, atol=0.0)


def test_visible_patches_do_not_count() -> None:
    mae = build(config())
    batch = batch_of(images_of())
    kept, hidden = random_masks(batch.draws, T, 0.75)
    mae.predict = lambda *_: predicted  # type: ignore[method-assign]
    for places, counts in ((kept, False), (hidden, True)):
        target = mae.standardised(patchify(by_hand(batch.views[0], seen()), PATCH))[0]
        predicted = target.scatter_add(1, places[:, :, None].expand(-1, -1, 16), torch.full_like(target, 3.0))
        assert_close(mae(batch).loss.item(), 9.0 if counts else 0.0)


def test_a_patch_of_one_colour_has_zeros_to_predict() -> None:
    mae = build(config())
    target, deviation, mean = mae.standardised(torch.full((1, 2, 16), 0.7, dtype=torch.float64))
    assert_close(target, torch.zeros_like(target), rtol=0.0, atol=1e-9)
    assert_close(target * deviation + mean, torch.full_like(target, 0.7))


def test_normalised_targets_forget_brightness_and_contrast() -> None:
    mae, patches = build(config()), patchify(images_of(), PATCH)
    assert_close(
        mae.standardised(3.0 * patches + 2.0)[0], mae.standardised(patches)[0], rtol=1e-4, atol=1e-4
    )  # up to the 1e-6 beside the variance


# ---- pictures ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("normalised", [True, False])
def test_pictures_show_what_is_visible_as_it_is_and_what_is_hidden_as_predicted(normalised: bool) -> None:
    mae, images = build(config(normalised_targets=normalised)), images_of()
    columns = mae.figures(batch_of(images))["reconstruction"].columns
    assert list(columns) == [
        "original",
        *("75 % hidden", "made of 25 %", "85 % hidden", "made of 15 %", "95 % hidden", "made of 5 %"),
    ]
    assert all(column.shape == images.shape for column in columns.values())
    assert torch.equal(columns["original"], images)
    of_encoder = by_hand(images, seen())
    for percent in (75, 85, 95):
        kept, hidden = random_masks(draws_of(B), T, percent / 100)
        predicted = mae.predict(images, kept)
        for image in range(B):
            for place in kept[image].tolist():
                for title in (f"{percent} % hidden", f"made of {100 - percent} %"):
                    assert torch.equal(cut(columns[title], image, place), cut(images, image, place))
            for place in hidden[image].tolist():
                assert (cut(columns[f"{percent} % hidden"], image, place) == mae.encoder.mean).all()
                true, made = cut(of_encoder, image, place), predicted[image, place].view(1, PATCH, PATCH)
                expected = made * (true.var() + 1e-6).sqrt() + true.mean() if normalised else made
                shown = by_hand(columns[f"made of {100 - percent} %"], seen())
                assert_close(cut(shown, image, place), expected)


def test_what_is_hidden_at_75_percent_is_hidden_at_95_too() -> None:
    hidden = [set(random_masks(draws_of(1), T, ratio)[1][0].tolist()) for ratio in (0.75, 0.85, 0.95)]
    assert hidden[0] < hidden[1] < hidden[2]


# ---- settings ------------------------------------------------------------------------------------------------------


def test_defaults_are_the_papers() -> None:
    of = MAEConfig()
    assert (of.mask_ratio, of.normalised_targets, of.decoder_width, of.decoder_depth) == (0.75, True, 512, 8)
    (view,) = of.views.views
    assert view.policy.ops == (Crop(area=(0.2, 1.0)), Flip())
    mae = build(config(decoder_width=64, decoder_depth=3))
    assert [block.attn.num_heads for block in list(mae.decoder)[:3]] == [2, 2, 2]  # type: ignore[union-attr]
    assert not any(layer.bias.any() for layer in mae.decoder.modules() if isinstance(layer, nn.Linear))


@pytest.mark.parametrize("ratio", [0.0, 1.0, -0.5, 1.5])
def test_a_ratio_that_hides_nothing_or_everything_is_refused(ratio: float) -> None:
    with pytest.raises(UserError, match=rf"mask_ratio: Input should be (greater than 0|less than 1), got {ratio}$"):
        config(mask_ratio=ratio)
    with pytest.raises(ValidationError):
        MAEConfig(mask_ratio=ratio)


@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        (
            ConvNetConfig(),
            r"mae needs a ViT that pools by .*, and encoder.name is convnet; set it to vit, or to one of",
        ),
        (TimmConfig(model="resnet18"), r"mae needs a ViT .* and encoder.name is resnet18; set it to vit"),
        (ViTConfig(patch_px=28), r"a patch of 28 px leaves nothing .* 28 px; set .* another divisor"),
        (ViTConfig(patch_px=1), r"a patch of 1 px leaves nothing to predict"),
        (ViTConfig(patch_px=5), r"patches of 5 px do not divide a picture of 28 px"),
    ],
)
def test_an_encoder_that_cannot_be_masked_is_one_clear_line(encoder: EncoderConfig, message: str) -> None:
    with pytest.raises(UserError, match=message):
        config().make_encoder(encoder, PictureFormat(1, 28, (0.5,), (0.2,)))


def test_a_pixel_can_be_predicted_where_it_is_not_normalised() -> None:
    of, pictures = config(normalised_targets=False), PictureFormat(1, 4, (0.5,), (0.2,))
    assert of.make_encoder(ViTConfig(patch_px=1, depth=1), pictures).dim
