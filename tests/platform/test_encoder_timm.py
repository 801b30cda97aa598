"""Whatever timm files as a ResNet or a ViT is an encoder, or is refused by name before anything is trained.

All names are gone through, made shallow and on meta, where a layer costs no time; of each architecture one is trained
for a step and probed. A shallow model has the parts of the deep one: depth repeats them.
"""

import dataclasses
import functools
import importlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import timm
import torch
from formats import plain

from unlabeled.methods.contrastive.simclr import SimCLRConfig
from unlabeled.methods.distillation.dino import DINOConfig
from unlabeled.methods.masked.mae import MAEConfig
from unlabeled.methods.parts import multi_crop
from unlabeled.platform.augment import Crop, Flip, Policy, ViewPlan
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data, DataConfig, load
from unlabeled.platform.encoder import ResNet, TimmConfig, ViT, named
from unlabeled.platform.encoder.named import FAMILIES
from unlabeled.platform.errors import UserError
from unlabeled.platform.evaluate import extract
from unlabeled.platform.evaluate.layers import layers
from unlabeled.platform.method import MethodConfig
from unlabeled.platform.optim import AdamW
from unlabeled.platform.processor import Processor
from unlabeled.platform.train.built import check_built
from unlabeled.platform.train.loop import Training

PX = 64
NAMES = tuple(timm.list_models(module=list(FAMILIES)))
PATCHES_OF_14 = 56
PARTS = 5


def shallow(value: Any) -> Any:
    """Let each stage of timm's configurations have one block."""
    if isinstance(value, list | tuple):
        return type(value)(shallow(each) for each in value)
    if dataclasses.is_dataclass(value) and hasattr(value, "blocks"):
        return dataclasses.replace(value, blocks=shallow(value.blocks))  # type: ignore[type-var]
    return dataclasses.replace(value, d=1) if hasattr(value, "d") else value  # type: ignore[type-var]


def kind(value: Any) -> Any:
    """Name what makes two of timm's models differ in more than their numbers."""
    if isinstance(value, functools.partial):
        return kind(value.func), *map(kind, sorted(value.keywords.items()))
    if isinstance(value, list | tuple):
        return tuple(dict.fromkeys(map(kind, value)))
    if isinstance(value, dict):
        return tuple((name, kind(inner)) for name, inner in sorted(value.items()))
    if dataclasses.is_dataclass(value):
        return tuple((field.name, kind(getattr(value, field.name))) for field in dataclasses.fields(value))
    if isinstance(value, torch.nn.Module):
        return repr(type(value))
    return type(value).__name__ if type(value) in (int, float) else repr(value)


@pytest.fixture(scope="module")
def kinds() -> Iterator[dict[Any, list[str]]]:
    """Return all names by what differs in more than numbers; in the meantime, timm makes its models shallow."""
    found: dict[Any, list[str]] = {}

    class SeenError(Exception):
        pass

    def noted(cls: type, variant: str, *args: Any, **kwargs: Any) -> Any:
        found.setdefault((cls.__name__, kind(kwargs)), []).append(name)
        raise SeenError

    def made(real: Callable[..., Any], cls: type, variant: str, *args: Any, **kwargs: Any) -> Any:
        blocks = kwargs.get("depth", 0)
        depth = {"depth": 2} if blocks else {}
        depth |= {k: v[:2] for k, v in kwargs.items() if blocks and isinstance(v, tuple | list) and len(v) == blocks}
        stages = {"layers": [1] * len(kwargs["layers"])} if "layers" in kwargs else {}
        model_cfg = {"model_cfg": shallow(kwargs["model_cfg"])} if "model_cfg" in kwargs else {}
        return real(cls, variant, *args, **{**kwargs, **depth, **stages, **model_cfg})

    def caches() -> None:
        named._fitted.cache_clear()
        named.measure.cache_clear()

    homes = [importlib.import_module(f"timm.models.{family}") for family in FAMILIES]
    with pytest.MonkeyPatch.context() as patched:
        for home in homes:
            patched.setattr(home, "build_model_with_cfg", noted)
        for name in NAMES:
            with pytest.raises(SeenError), torch.device("meta"):
                timm.create_model(name)
    with pytest.MonkeyPatch.context() as patched:
        for home in homes:
            patched.setattr(home, "build_model_with_cfg", functools.partial(made, home.build_model_with_cfg))
        caches()
        yield found
        caches()


@pytest.mark.parametrize("part", range(PARTS))
def test_every_kind_is_an_encoder_or_is_refused_by_name(part: int, kinds: dict[Any, list[str]]) -> None:
    """On meta, where running costs as little as building; what is looked at there is held by the tests below."""
    assert sum(map(len, kinds.values())) == len(NAMES) > 400
    assert len(kinds) > 100
    refused, built = {}, []
    for name, *_ in list(kinds.values())[part::PARTS]:
        try:
            _, width = named._fitted(name, 3, PATCHES_OF_14 if "patch14" in name else PX, None)
        except UserError as error:
            refused[name] = str(error)
        else:
            built.append(name)
            assert width > 0
    assert not [f"{name}: {line}" for name, line in refused.items() if name not in line or "\n" in line]
    assert not [name for name in refused if name.startswith(("resnet1", "resnet5", "vit_tiny", "vit_small", "deit"))]
    assert len(refused) < 0.35 * (len(refused) + len(built)), refused


ARCHITECTURES = (
    *("resnet10t", "resnet50_gn", "resnetv2_50", "resnet33ts", "legacy_seresnet18"),
    *("vit_tiny_patch16_224", "deit_tiny_distilled_patch16_224", "vit_tiny_r_s16_p8_224"),
    *(
        "vit_relpos_small_patch16_224",
        "vit_small_patch16_rope_224",
        "vit_small_patch16_dinov3",
    ),
)
FLIPPED = ViewPlan(views=(Policy(ops=(Crop(), Flip())), Policy(ops=(Crop(), Flip()))))


@pytest.fixture(scope="module")
def pictures() -> Data:
    return load(DataConfig(name="emoji", train_images=32, image_px=PX))


def run_with(method: MethodConfig, name: str) -> RunConfig:
    return RunConfig(
        method=method,
        data=DataConfig(name="emoji", train_images=32, image_px=PX),
        encoder=TimmConfig(model=name),
        optimizer=AdamW(learning_rate=1e-3),
        epochs=1,
        batch_size=8,
    )


@pytest.mark.usefixtures("kinds")
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_an_architecture_is_trained_for_a_step_and_probed(name: str, pictures: Data, processor: Processor) -> None:
    run = run_with(SimCLRConfig(views=FLIPPED, head=(8,)), name)
    check_built(run, pictures)
    training = Training(run, pictures, processor)
    before = [parameter.detach().clone() for parameter in training.method.encoder.parameters()]
    next(training.steps())
    assert all(parameter.grad is not None for parameter in training.method.encoder.parameters())
    moved = [not torch.equal(old, new) for old, new in zip(before, training.method.encoder.parameters(), strict=True)]
    assert any(moved)
    assert torch.isfinite(training.meter.sums["train/loss"])
    features = extract(training.method.encoder, pictures.test, processor, 8)
    assert features.x.shape == (8, training.method.encoder.dim)
    assert features.x.isfinite().all()
    x, encoder = torch.randn(2, 3, PX, PX), training.method.encoder.eval()
    with torch.no_grad():
        pooled, last_map, tokens = encoder.maps(x)
        assert torch.equal(pooled, encoder(x))
        assert tokens.shape[::2] == last_map.shape[:2] == (2, encoder.channels)
        assert torch.equal(tokens[:, -last_map[0, 0].numel() :], last_map.flatten(2).transpose(1, 2))
        assert list(encoder.blocks()) == [f"block{n}" for n in range(1, len(encoder.blocks()) + 1)]
        assert len(encoder.blocks()) >= 2
        if isinstance(encoder, ViT):
            assert last_map.shape[2:] == (PX // encoder.patch_px,) * 2
        else:
            assert isinstance(encoder, ResNet)
        for layer in layers(training.method).values():
            assert layer(x).ndim == 2


@pytest.mark.usefixtures("kinds")
def test_what_needs_every_patch_is_refused_where_patches_are_left_out(pictures: Data) -> None:
    for name in ("vit_small_patch16_dinov3", "vit_relpos_base_patch16_cls_224", "vit_tiny_r_s16_p8_224"):
        with pytest.raises(UserError, match=rf"^mae (leaves patches out, and|needs a ViT .*) {name}"):
            check_built(run_with(MAEConfig(), name), pictures)
    check_built(run_with(MAEConfig(), "deit_tiny_patch16_224"), pictures)


@pytest.mark.usefixtures("kinds")
def test_crops_of_another_size_are_seen_or_refused_by_name(pictures: Data, processor: Processor) -> None:
    dino = DINOConfig(views=multi_crop(1, 32), head=(8, 4), prototypes=4)
    with pytest.raises(
        UserError, match=r"^vit_relpos_small_patch16_224 can't be the encoder of pictures of 32 px \(Ass"
    ):
        check_built(run_with(dino, "vit_relpos_small_patch16_224"), pictures)
    training = Training(run_with(dino, "vit_small_patch16_dinov3"), pictures, processor)
    next(training.steps())
    assert training.method.figures(training.batch(0)) == {}, "its attention is not the plain ViT's"


@pytest.mark.usefixtures("kinds")
@pytest.mark.parametrize(
    ("name", "px", "patch_px", "message"),
    [
        (
            "resnetv2_50",
            32,
            None,
            r"resnetv2_50 has no stem for pictures below 64 px, .* such as resnet18, or set data\.",
        ),
        ("naflexvit_base_patch16_gap", 64, None, r"naflexvit_base_patch16_gap has neither a ResNet's stages nor"),
        ("samvit_base_patch16", 64, None, r"samvit_base_patch16 can't be the encoder of pictures of 64 px"),
        (
            "vit_large_patch14_224",
            64,
            None,
            r"vit_large_patch14_224's patches of 14 px do not divide .* data\.image_px",
        ),
        (
            "vit_tiny_r_s16_p8_224",
            64,
            8,
            r"encoder\.patch_px is for ViTs that cut the picture itself .* vit_tiny_r_s16",
        ),
        ("resnet26", 64, 8, r"encoder\.patch_px is for ViTs that .* would be ignored by resnet26"),
    ],
)
def test_what_cannot_be_built_is_one_line_with_its_name(name: str, px: int, patch_px: int | None, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        TimmConfig(model=name, patch_px=patch_px).build(plain(3, px))
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("kinds")
def test_finding_out_what_a_model_is_leaves_torchs_generator_alone() -> None:
    state = torch.get_rng_state()
    named.measure(named._fitted("vit_tiny_patch16_224", 3, 32, None)[0], 64)
    assert torch.equal(torch.get_rng_state(), state)
