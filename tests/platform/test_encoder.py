from pathlib import Path

import pytest
import torch
import torchvision.transforms.v2.functional as torchvision
from formats import by_hand, format_of, plain
from torch import Tensor

from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import PictureFormat, WaveFormat
from unlabeled.platform.data.format import Format
from unlabeled.platform.encoder import ConvNetConfig, EncoderConfig, TimmConfig, ViTConfig, WaveConfig
from unlabeled.platform.errors import UserError
from unlabeled.platform.evaluate.layers import Block
from unlabeled.platform.train.export import load_encoder, save_encoder

IMAGES = [(1, 28), (3, 32)]


@pytest.mark.parametrize(("channels", "px"), IMAGES)
@pytest.mark.parametrize("name", ["convnet", "vit", "resnet18", "vit_tiny_patch16_224"])
def test_an_encoder_has_the_width_that_it_declares(name: str, channels: int, px: int) -> None:
    encoder = EncoderConfig.model_validate(name).build(plain(channels, px)).eval()
    x = torch.randn(2, channels, px, px)
    with torch.no_grad():
        pooled, grid, tokens = encoder.maps(x)
        assert torch.equal(encoder(x), pooled)
    assert pooled.shape == (2, encoder.dim)
    assert grid.ndim == 4
    assert grid.shape[1] == encoder.dim
    assert tokens.shape[::2] == (2, encoder.dim)
    positions = grid.flatten(2).transpose(1, 2)
    assert torch.equal(tokens[:, -positions.shape[1] :], positions)  # a ViT has its class token before them


@pytest.mark.parametrize("name", ["convnet", "vit", "resnet18"])
def test_all_maps_are_made_in_one_pass(name: str) -> None:
    encoder, passes = EncoderConfig.model_validate(name).build(plain(1, 28)).eval(), []
    for name, block in encoder.blocks().items():
        block.register_forward_hook(lambda *_, name=name: passes.append(name))
    encoder.maps(torch.rand(2, 1, 28, 28))
    assert passes == list(encoder.blocks())


def test_small_pictures_get_the_small_stem_and_large_ones_keep_theirs() -> None:
    small, large = (
        TimmConfig(model="resnet18").build(plain(3, 32)),
        TimmConfig(model="resnet18").build(plain(3, 224)),
    )
    assert small.maps(torch.randn(2, 3, 32, 32)).grid.shape[-2:] == (4, 4)
    assert large.maps(torch.randn(2, 3, 224, 224)).grid.shape[-2:] == (7, 7)


def test_a_vit_takes_the_patch_that_is_asked_for() -> None:
    encoder = TimmConfig(model="vit_tiny_patch16_224", patch_px=8).build(plain(3, 32))
    assert encoder.maps(torch.randn(1, 3, 32, 32)).grid.shape[-2:] == (4, 4)


@pytest.mark.parametrize(
    ("config", "px", "message"),
    [
        (TimmConfig(model="resnet81"), 32, r"no encoder is called 'resnet81'; near it: resnet"),
        (TimmConfig(model="efficientnet_b0"), 32, r"no encoder .* allowed: convnet, vit, or any timm ResNet or ViT"),
        (
            TimmConfig(model="vit_tiny_patch16_224", patch_px=5),
            32,
            r"patches of 5 px do not divide a picture of 32 px; .* 4,",
        ),
    ],
)
def test_a_wrong_encoder_is_one_clear_line(config: EncoderConfig, px: int, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        config.build(plain(3, px))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("convnet", ConvNetConfig()),
        ("vit", ViTConfig()),
        ("resnet18", TimmConfig(model="resnet18")),
        ({"name": "vit", "depth": 6}, ViTConfig(depth=6)),
        ({"name": "vit_tiny_patch16_224", "patch_px": 8}, TimmConfig(model="vit_tiny_patch16_224", patch_px=8)),
        ({"name": "timm", "model": "resnet18"}, TimmConfig(model="resnet18")),
    ],
)
def test_an_encoder_is_named_as_people_name_it(given: object, meant: EncoderConfig, small_run: RunConfig) -> None:
    assert EncoderConfig.model_validate(given) == meant
    assert small_run.with_field("encoder", given).encoder == meant
    assert RunConfig.model_validate_json(small_run.with_field("encoder", meant).canonical_json()).encoder == meant
    if isinstance(given, str):
        assert small_run.with_field("encoder.name", given).encoder in (meant, small_run.encoder)


def test_naming_an_encoder_again_changes_nothing(small_run: RunConfig) -> None:
    config = TimmConfig(model="vit_tiny_patch16_224", patch_px=8)
    assert config.with_field("name", "vit_tiny_patch16_224") == config
    assert config.with_field("name", "resnet18") == TimmConfig(model="resnet18")
    assert small_run.with_field("encoder.name", "convnet") == small_run


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (
            "encoder.name",
            "timm",
            r"^encoder\.name=timm does not say which model; write its name, as in encoder\.",
        ),
        ("encoder.depth", 6, r"^no field of ConvNetConfig is called 'depth'; .*[Tt]here are: weights, width"),
        ("encoder", {"name": "resnet18", "width": 64}, r"^there is no field 'encoder\.width' in RunConfig$"),
        ("encoder", {"name": "convnet", "patch_px": 4}, r"^there is no field 'encoder\.patch_px' in RunConfig$"),
        ("encoder", {"name": "timm"}, r"^encoder\.model: a value is needed$"),
        ("encoder.name", 3, r"no EncoderConfig is called '3'"),
    ],
)
def test_a_field_that_the_kind_has_not_is_one_clear_line(
    path: str, value: object, message: str, small_run: RunConfig
) -> None:
    with pytest.raises(UserError, match=message):
        small_run.with_field(path, value)


@pytest.mark.parametrize("name", ["vit", "vit_tiny_patch16_224"])
def test_a_vit_sees_only_the_patches_that_are_kept(name: str) -> None:
    encoder = EncoderConfig.model_validate(name).build(plain(1, 28)).eval()
    x, kept = torch.randn(2, 1, 28, 28), torch.tensor([[0, 8, 48], [5, 6, 7]])
    hidden = x.clone()
    for row, places in enumerate(kept.tolist()):
        for place in {*range(49)} - {*places}:
            top, left = 4 * (place // 7), 4 * (place % 7)
            hidden[row, :, top : top + 4, left : left + 4] = 100.0
    with torch.no_grad():
        assert encoder.visible(x, kept).shape == (2, encoder.prefix + 3, encoder.dim)
        assert torch.equal(encoder.visible(x, kept), encoder.visible(hidden, kept))
        every = torch.arange(49).expand(2, -1)
        torch.testing.assert_close(encoder.visible(x, every), encoder.maps(x).tokens)
        assert encoder(torch.randn(2, 1, 12, 12)).shape == (2, encoder.dim)  # a small crop, of whole patches


@pytest.mark.parametrize(("name", "count"), [("convnet", 4), ("vit", 4), ("resnet18", 4)])
def test_probes_may_read_each_block(name: str, count: int) -> None:
    encoder = EncoderConfig.model_validate(name).build(plain(1, 28)).eval()
    assert list(encoder.blocks()) == [f"block{number}" for number in range(1, count + 1)]
    with torch.no_grad():
        for block in encoder.blocks():
            assert Block(encoder, block)(torch.randn(2, 1, 28, 28)).ndim == 2


@pytest.mark.parametrize("name", ["vit", "vit_tiny_patch16_224"])
def test_a_vits_attention_is_that_of_its_last_block(name: str) -> None:
    encoder = EncoderConfig.model_validate(name).build(plain(1, 12)).double().eval()
    x, into, out_of = torch.randn(2, 1, 12, 12, dtype=torch.float64), [], []
    layer = encoder.model.blocks[-1].attn
    layer.register_forward_hook(lambda _, args, made: into.append(args[0]) or out_of.append(made))
    with torch.no_grad():
        encoder(x)
        attention = encoder.attention(x)
        query, key, value = layer.qkv(into[0]).split(encoder.dim, dim=2)
        width, heads = encoder.dim // layer.num_heads, torch.zeros(2, 10, encoder.dim, dtype=torch.float64)
        for row in range(2):
            for head in range(layer.num_heads):
                own = slice(head * width, (head + 1) * width)
                for token in range(10):
                    scores = torch.stack([query[row, token, own] @ k / width**0.5 for k in key[row, :, own]])
                    weights = scores.exp() / scores.exp().sum()
                    torch.testing.assert_close(attention[row, head, token], weights)
                    heads[row, token, own] = weights @ value[row, :, own]
        torch.testing.assert_close(layer.proj(heads), out_of[0])  # what the block itself makes of them
    assert attention.shape == (2, layer.num_heads, 10, 10)
    torch.testing.assert_close(attention.sum(dim=3), torch.ones_like(attention[..., 0]))


# ---- standardising -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", ["convnet", "vit", "resnet18", "vit_tiny_patch16_224"])
def test_an_encoder_takes_pixels_and_standardises_them_first(name: str, channels: int) -> None:
    pictures = format_of(channels, 32)
    torch.manual_seed(0)
    encoder = EncoderConfig.model_validate(name).build(pictures).eval()
    torch.manual_seed(0)
    bare = EncoderConfig.model_validate(name).build(plain(channels, 32)).eval()
    x = torch.rand(4, channels, 32, 32)
    with torch.no_grad():
        for found, expected in zip(encoder.maps(x), bare.maps(by_hand(x, pictures)), strict=True):
            assert torch.equal(found, expected)
        if name.startswith("vit"):
            assert torch.equal(encoder.attention(x), bare.attention(by_hand(x, pictures)))
            kept = torch.tensor([[0, 5, 3]] * 4)
            assert torch.equal(encoder.visible(x, kept), bare.visible(by_hand(x, pictures), kept))
        for block in encoder.blocks():
            assert torch.equal(Block(encoder, block)(x), Block(bare, block)(by_hand(x, pictures))), block


def test_standardising_is_torchvisions_and_can_be_undone() -> None:
    pictures = PictureFormat(3, 28, (0.49, 0.48, 0.45), (0.2, 0.21, 0.22))
    encoder, x = ConvNetConfig().build(pictures), torch.rand(4, 3, 28, 28)
    before = x.clone()
    theirs = torchvision.normalize(x, list(pictures.mean), list(pictures.std))
    assert torch.equal(encoder.standardise(x), theirs)
    assert torch.equal(x, before)
    torch.testing.assert_close(encoder.pixels(theirs), x)
    strided = x.contiguous(memory_format=torch.channels_last)
    assert encoder.standardise(strided).is_contiguous(memory_format=torch.channels_last)


def test_standardising_is_in_float32_under_autocast() -> None:
    encoder, x = ConvNetConfig().build(format_of(3, 28)), torch.rand(4, 3, 28, 28)
    alone = encoder.standardise(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(encoder.standardise(x), alone)
        assert encoder.standardise(x.bfloat16()).dtype == torch.float32


def test_the_statistics_are_weights_that_nothing_trains() -> None:
    pictures = format_of(3, 28)
    encoder, other = (ConvNetConfig().build(each) for each in (pictures, plain(3, 28)))
    assert {"mean", "std"} <= set(encoder.state_dict())
    assert not {"mean", "std"} & {name for name, _ in encoder.named_parameters()}
    other.load_state_dict(encoder.state_dict())
    x = torch.rand(2, 3, 28, 28)
    assert torch.equal(other.eval()(x), encoder.eval()(x))


@pytest.mark.parametrize("x", [torch.zeros(2, 3, 28, 28, dtype=torch.uint8), torch.zeros(2, 1, 28, 28)])
def test_what_is_no_picture_of_its_kind_is_one_clear_line(x: Tensor) -> None:
    encoder = ConvNetConfig().build(plain(3, 28))
    with pytest.raises(UserError, match=r"takes pixels \[B, 3, H, W\] as floats in \[0, 1\], got (uint8|float32) \["):
        encoder(x)


@pytest.mark.parametrize(("mean", "std"), [((0.5,), (0.2,)), ((0.5, 0.5, 0.5), (0.2, 0.2, 0.0))])
def test_a_format_needs_statistics_of_each_channel(mean: tuple[float, ...], std: tuple[float, ...]) -> None:
    with pytest.raises(UserError, match="pictures of 3 channels need 3 means and as many standard deviations above 0"):
        PictureFormat(3, 28, mean, std)


def sounds(num_samples: int = 2000, channels: int = 2) -> WaveFormat:
    return WaveFormat(channels, num_samples, 16_000.0, (0.1, -0.2)[:channels], (0.5, 0.25)[:channels])


def test_a_wave_encoder_hears_each_moment_through_its_receptive_field_alone() -> None:
    encoder = WaveConfig(width=8).build(sounds()).eval()
    assert (encoder.receptive, encoder.stride) == (465, 160), "29 ms each 10 ms at 16 kHz, as the paper has it"
    x = torch.rand(2, 2, 2000) * 2 - 1
    made = encoder.maps(x)
    assert made.grid.shape == (2, 8, 1 + (2000 - 465) // 160)
    torch.testing.assert_close(made.pooled, made.grid.mean(dim=2))
    torch.testing.assert_close(made.tokens, made.grid.transpose(1, 2))
    moment = 4
    start = moment * encoder.stride
    alone = encoder.maps(x[:, :, start : start + encoder.receptive]).grid
    torch.testing.assert_close(alone[:, :, 0], made.grid[:, :, moment])
    for sample, changes in ((start - 1, False), (start, True), (start + 464, True), (start + 465, False)):
        touched = x.clone()
        touched[:, :, sample] += 0.3
        differs = (encoder.maps(touched).grid[:, :, moment] - made.grid[:, :, moment]).abs().max() > 0
        assert bool(differs) is changes, sample


def test_a_wave_encoder_standardises_and_is_loaded_from_its_card(tmp_path: Path, small_run: RunConfig) -> None:
    config = WaveConfig(width=8)
    encoder = config.build(sounds()).eval()
    x = torch.rand(3, 2, 700) - 0.5
    mean, std = torch.tensor([[0.1], [-0.2]]), torch.tensor([[0.5], [0.25]])
    torch.testing.assert_close(encoder.standardise(x), (x - mean) / std)
    save_encoder(encoder, small_run.with_field("encoder", config), sounds(), tmp_path)
    assert torch.equal(load_encoder(tmp_path)(x), encoder(x))
    assert "samples of sounds: float [B, 2, 2000] in [-1, 1] -> [B, 8]" in (tmp_path / "README.md").read_text()
    with pytest.raises(UserError, match=r"^this encoder takes sounds \[B, 2, S\] as floats, got float32"):
        encoder(torch.rand(3, 1, 28, 28))


@pytest.mark.parametrize(
    ("config", "shown", "message"),
    [
        (ConvNetConfig(), sounds(), "^convnet sees pictures, and method.views shows it sounds; .* such as wave$"),
        (TimmConfig(model="resnet18"), sounds(), "^resnet18 sees pictures, and .* shows it sounds"),
        (WaveConfig(), plain(3, 28), "^wave sees sounds, and method.views shows it pictures; .* such as convnet$"),
        (WaveConfig(), sounds(464), "^the encoder wave sees 465 samples at a time, and sounds here have 464; take"),
    ],
)
def test_an_encoder_of_the_other_sense_is_one_clear_line(config: EncoderConfig, shown: Format, message: str) -> None:
    with pytest.raises(UserError, match=message):
        config.build(shown)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kernels": (4, 4)}, "2 kernels need as many strides, and there are 5"),
        ({"kernels": (4,), "strides": (5,)}, "at most its kernel, so that no sample is left out"),
    ],
)
def test_a_wave_encoder_that_skips_samples_is_one_clear_line(fields: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        WaveConfig.checked(**fields)
