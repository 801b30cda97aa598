"""Encoders: pixels in, a feature vector out, and the feature maps or tokens that lead to it.

An encoder owns the mean and the standard deviation of the pictures that it was made for, and standardises by them
first: views, probes and whoever loads exported weights all show it pixels in [0, 1].

The small convnet is ours, made for 28-32 px on a CPU. Everything else is a timm model by name, at any image size; small
pictures get the stem that the papers give ResNets on CIFAR: 3x3, no stride, no pooling (SimCLR, app. B.9).

What timm calls a ResNet or a ViT is some thirty architectures. Each is run once without memory for its weights, before
it is built: what it makes of a picture, not its name, says which kind it is, how wide, and whether it can be used.
"""

import difflib
import functools
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from unlabeled.platform.data import PictureFormat
from unlabeled.platform.errors import UserError
from unlabeled.platform.randomness import remove_dropout
from unlabeled.platform.settings import Settings

SMALL_PX = 64  # below it a ResNet gets the small stem and a ViT small patches
FAMILIES = (  # timm's own modules of ResNets and ViTs
    *("resnet", "resnetv2", "byobnet", "byoanet", "res2net", "resnest", "senet", "sknet"),
    *("vision_transformer", "vision_transformer_hybrid", "vision_transformer_relpos", "vision_transformer_sam"),
    *("deit", "eva", "beit", "naflexvit"),
)


class Encoder(nn.Module, ABC):
    """Maps pixels [B, C, H, W] in [0, 1] to features [B, dim]. Abstract.

    Attributes:
        dim: width of the feature vector.
        channels: of the feature map and the tokens.
    """

    def __init__(self, dim: int, channels: int | None = None) -> None:
        super().__init__()
        self.dim, self.channels = dim, channels or dim

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Return the features that probes read and heads stand on, [B, dim]."""

    @abstractmethod
    def feature_map(self, x: Tensor) -> Tensor:
        """Return the last feature map before pooling, [B, channels, h, w]: of a ViT, its patch tokens in their grid."""

    @abstractmethod
    def tokens(self, x: Tensor) -> Tensor:
        """Return the last tokens, [B, T, channels]. A convnet's are its feature map's positions, row by row."""

    def blocks(self) -> Mapping[str, nn.Module]:
        """Return the stages that probes may read, in order: "block1" and so on -> what makes a map or tokens."""
        return {}

    def check_size(self, image_px: int) -> None:
        """Raise UserError where pictures of another size than it was built for, such as small crops, do not do."""


class StandardisingEncoder(Encoder, ABC):
    """An encoder that standardises its pictures first, channel by channel. Abstract; every subclass is final.

    Attributes:
        mean: float32 [C, 1, 1], of the pixels it was made for: a buffer, so part of its weights.
        std: likewise, the standard deviation.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, pictures: PictureFormat, dim: int, channels: int | None = None) -> None:
        super().__init__(dim, channels)
        self.register_buffer("mean", torch.tensor(pictures.mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(pictures.std).view(-1, 1, 1))

    def standardise(self, x: Tensor) -> Tensor:
        """Subtract the mean of pixels [B, C, H, W] in [0, 1], and divide by the deviation; float32 under autocast too.

        Raises:
            UserError: they are whole numbers, or have another number of channels.
        """
        if not x.is_floating_point() or x.shape[1] != len(self.mean):
            raise UserError(
                f"this encoder takes pixels [B, {len(self.mean)}, H, W] as floats in [0, 1], got "
                f"{str(x.dtype).removeprefix('torch.')} {list(x.shape)}"
            )
        return x.sub(self.mean).div_(self.std)

    def pixels(self, x: Tensor) -> Tensor:
        """Return the pixels that :meth:`standardise` makes ``x`` of; what was predicted may lie outside [0, 1]."""
        return x * self.std + self.mean


class EncoderConfig(Settings):
    """Which encoder, and how it is cut to the pictures.

    Attributes:
        name: ``convnet`` or ``vit``, both small, or a ResNet or ViT of timm by its name there (``resnet18``,
            ``vit_tiny_patch16_224``, ``vit_small_patch16_dinov3``).
        width: channels of the convnet's first layer; it ends eight times wider, and so wide are the vit's tokens.
        depth: blocks of the vit.
        patch_px: side of a ViT's patches; None keeps the model's own, or 4 px for small pictures.
    """

    name: str = "convnet"
    width: int = Field(default=24, ge=4)
    depth: int = Field(default=4, ge=1)
    patch_px: int | None = Field(default=None, ge=1)

    def build(self, pictures: PictureFormat) -> StandardisingEncoder:
        """Make the encoder for such pictures, weights from torch's global generator.

        Raises:
            UserError: timm has no such model, it is neither ResNet nor ViT, it can't see such pictures, or its patches
                do not divide them.
        """
        fields = type(self).model_fields
        if self.name not in ("convnet", "vit") and self.width != fields["width"].default:
            raise UserError(f"encoder.width is for convnet and vit and would be ignored by {self.name}; leave it out")
        if self.name != "vit" and self.depth != fields["depth"].default:
            raise UserError(f"encoder.depth is for vit and would be ignored by {self.name}; leave it out")
        if self.patch_px is not None and self.name == "convnet":
            raise UserError(_no_patches(self.name))
        if self.name == "convnet":
            return ConvNet(pictures, self.width)
        if self.name == "vit":
            return ViT(pictures, _small_vit(pictures, self.patch_px or 4, 8 * self.width, self.depth))
        return _timm_encoder(self.name, pictures, self.patch_px)


class ConvNet(StandardisingEncoder):
    """Four 3x3 convolutions with batch norm, halving the picture three times: 28 px to 4, 24 channels to 192."""

    def __init__(self, pictures: PictureFormat, width: int) -> None:
        super().__init__(pictures, dim=8 * width)
        widths = [pictures.channels, width, 2 * width, 4 * width, 8 * width]
        self.stages = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv2d(before, after, 3, stride=1 if i == 0 else 2, padding=1, bias=False),
                    nn.BatchNorm2d(after),
                    nn.ReLU(inplace=True),
                )
                for i, (before, after) in enumerate(pairwise(widths))
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the features, [B, dim]: the feature map's mean over positions."""
        return self.feature_map(x).mean(dim=(2, 3))

    def feature_map(self, x: Tensor) -> Tensor:
        """Return the last feature map, [B, dim, h, w]."""
        out: Tensor = self.stages(self.standardise(x))
        return out

    def tokens(self, x: Tensor) -> Tensor:
        """Return the feature map's positions, [B, h * w, dim]."""
        return self.feature_map(x).flatten(2).transpose(1, 2)

    def blocks(self) -> Mapping[str, nn.Module]:
        """Return the four convolutions, each with its batch norm and ReLU."""
        return _numbered(self.stages)


class ResNet(StandardisingEncoder):
    """A ResNet of timm without its classifier.

    Args:
        pictures: what it sees.
        model: timm's, without a classifier.
        dim: width of its features, where it isn't its last map's.
        origin: what it was built from.
    """

    def __init__(
        self, pictures: PictureFormat, model: Any, dim: int | None = None, origin: "Origin | None" = None
    ) -> None:
        super().__init__(pictures, dim or model.num_features, channels=model.num_features)
        self.model, self.origin = model, origin

    def forward(self, x: Tensor) -> Tensor:
        """Return the features as the model pools them, [B, dim]."""
        out: Tensor = self.model.forward_head(self.feature_map(x), pre_logits=True)
        return out

    def feature_map(self, x: Tensor) -> Tensor:
        """Return the last feature map, [B, channels, h, w]."""
        out: Tensor = self.model.forward_features(self.standardise(x))
        return out

    def tokens(self, x: Tensor) -> Tensor:
        """Return the feature map's positions, [B, h * w, channels]."""
        return self.feature_map(x).flatten(2).transpose(1, 2)

    def blocks(self) -> Mapping[str, nn.Module]:
        """Return the stages."""
        model = self.model
        if hasattr(model, "stages"):
            return _numbered(model.stages)
        return _numbered([model.layer1, model.layer2, model.layer3, model.layer4])

    def check_size(self, image_px: int) -> None:
        """Raise UserError where the model, or its way of pooling, is made for one size."""
        if self.origin is not None:
            measure(self.origin, image_px)


class ViT(StandardisingEncoder):
    """A ViT of timm without its classifier; most take larger and smaller pictures, by whole patches.

    Args:
        pictures: what it sees.
        model: timm's, without a classifier.
        dim: width of its features, where it isn't its tokens'.
        origin: what it was built from.

    Attributes:
        patch_px: side of a patch.
        prefix: tokens before the patches': the class token, and registers where the model has them.
        maskable: whether patches can be left out: each enters as one token that knows no other's pixels, and its place
            is in the token. Not so where a convnet comes first, or where attention looks at places.
        shows_attention: whether :meth:`attention` can be taken, from a class token.
    """

    def __init__(
        self, pictures: PictureFormat, model: Any, dim: int | None = None, origin: "Origin | None" = None
    ) -> None:
        from timm.layers.attention import Attention  # here, because they take seconds to import
        from timm.layers.patch_embed import PatchEmbed
        from timm.models.vision_transformer import Block, VisionTransformer

        super().__init__(pictures, dim or model.num_features, channels=model.num_features)
        self.model, self.origin = model, origin
        self.patch_px = int(model.patch_embed.feat_ratio())
        self.prefix = int(model.num_prefix_tokens)
        plain = type(model).forward_features is VisionTransformer.forward_features
        self.maskable = plain and type(model.patch_embed) is PatchEmbed and isinstance(model.blocks, nn.Sequential)
        self.shows_attention = (
            plain
            and getattr(model, "cls_token", None) is not None
            and type(model.blocks[-1]) is Block
            and type(model.blocks[-1].attn) is Attention
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the features as the model pools them, [B, dim]."""
        out: Tensor = self.model.forward_head(self.tokens(x), pre_logits=True)
        return out

    def feature_map(self, x: Tensor) -> Tensor:
        """Return the patches' last tokens in their grid, [B, channels, h, w]."""
        patches = self.tokens(x)[:, self.prefix :].transpose(1, 2)
        return patches.reshape(*patches.shape[:2], x.shape[2] // self.patch_px, x.shape[3] // self.patch_px)

    def tokens(self, x: Tensor, kept: Tensor | None = None) -> Tensor:
        """Return the last tokens, [B, T, channels], the prefix first; of the patches all, or only those that are kept.

        Args:
            x: [B, C, H, W].
            kept: int64 [B, K], places of patches, counted row by row; the others are never computed (MAE's encoder).
                Only where the model is maskable.
        """
        x, model = self.standardise(x), self.model
        if kept is None:
            every: Tensor = model.forward_features(x)
            return every
        assert self.maskable
        tokens: Tensor = model._pos_embed(model.patch_embed(x))
        patches = tokens[:, self.prefix :].gather(1, kept[:, :, None].expand(-1, -1, tokens.shape[2]))
        out: Tensor = model.norm(model.blocks(model.norm_pre(torch.cat([tokens[:, : self.prefix], patches], dim=1))))
        return out

    def attention(self, x: Tensor) -> Tensor:
        """Return how much the last block's tokens look at each other, [B, heads, T, T]; each row sums to 1."""
        assert self.shows_attention
        x, model = self.standardise(x), self.model
        *blocks, last = model.blocks
        tokens: Tensor = model.norm_pre(model._pos_embed(model.patch_embed(x)))
        for block in blocks:
            tokens = block(tokens)
        layer = last.attn
        queries, keys, _ = layer.qkv(last.norm1(tokens)).chunk(3, dim=2)
        queries, keys = (each.unflatten(2, (layer.num_heads, -1)).transpose(1, 2) for each in (queries, keys))
        weights: Tensor = (layer.scale * layer.q_norm(queries) @ layer.k_norm(keys).transpose(2, 3)).softmax(dim=3)
        return weights

    def blocks(self) -> Mapping[str, nn.Module]:
        """Return the transformer's blocks."""
        return _numbered(self.model.blocks)

    def check_size(self, image_px: int) -> None:
        """Raise UserError where the patches do not divide such a picture, or the model is made for one size."""
        settable = not hasattr(self.model.patch_embed, "backbone")
        _check_patches("vit" if self.origin is None else self.origin.name, image_px, self.patch_px, settable=settable)
        if self.origin is not None:
            measure(self.origin, image_px)


class Origin(NamedTuple):
    """What an encoder of timm is built from.

    Attributes:
        name: timm's.
        channels: of the pictures.
        image_px: their side.
        options: what else its constructor is given, by name.
    """

    name: str
    channels: int
    image_px: int
    options: tuple[tuple[str, Any], ...]

    def build(self) -> Any:
        """Make timm's model without classifier and dropout, with the small stem where the pictures are small."""
        import timm  # here, because it takes seconds to import

        model: Any = timm.create_model(
            self.name, pretrained=False, num_classes=0, in_chans=self.channels, **dict(self.options)
        )
        remove_dropout(model)  # some have it by default
        if not any(hasattr(model, part) for part in ("patch_embed", "stages", "layer1")):
            raise UserError(
                f"{self.name} has neither a ResNet's stages nor a ViT's patches of one size; choose another encoder, "
                "such as resnet18 or vit_tiny_patch16_224"
            )
        if self.image_px < SMALL_PX and not hasattr(model, "patch_embed"):
            if not (hasattr(model, "conv1") and hasattr(model, "maxpool")):
                raise UserError(
                    f"{self.name} has no stem for pictures below {SMALL_PX} px, and these have {self.image_px}; choose "
                    f"another encoder, such as resnet18, or set data.image_px to {SMALL_PX} or more"
                )
            width = [layer for layer in model.conv1.modules() if isinstance(layer, nn.Conv2d)][-1].out_channels
            model.conv1 = nn.Conv2d(self.channels, width, 3, padding=1, bias=False)
            model.maxpool = nn.Identity()
        return model


def _numbered(stages: Iterable[nn.Module]) -> dict[str, nn.Module]:
    return {f"block{number}": stage for number, stage in enumerate(stages, start=1)}


def _small_vit(pictures: PictureFormat, patch_px: int, dim: int, depth: int) -> Any:
    from timm.models.vision_transformer import VisionTransformer  # here, because it takes seconds to import

    _check_patches("vit", pictures.image_px, patch_px)
    heads = next(heads for heads in range(max(1, dim // 32), 0, -1) if dim % heads == 0)  # of about 32 channels
    return VisionTransformer(
        img_size=pictures.image_px,
        patch_size=patch_px,
        in_chans=pictures.channels,
        num_classes=0,
        embed_dim=dim,
        depth=depth,
        num_heads=heads,
        dynamic_img_size=True,
    )


def _timm_encoder(name: str, pictures: PictureFormat, patch_px: int | None) -> StandardisingEncoder:
    import timm  # here, because it takes seconds to import

    known = timm.list_models(module=list(FAMILIES))
    if name not in known:
        near = ", ".join(difflib.get_close_matches(name, ["convnet", "vit", *known], n=3, cutoff=0.4))
        raise UserError(
            f"no encoder is called {name!r}; near it: {near or 'convnet, resnet18'}; "
            "allowed: convnet, vit, or any timm ResNet or ViT"
        )
    origin, dim = _fitted(name, pictures.channels, pictures.image_px, patch_px)
    model = origin.build()
    return (ViT if hasattr(model, "patch_embed") else ResNet)(pictures, model, dim, origin)


@functools.lru_cache(maxsize=64)
def _fitted(name: str, channels: int, image_px: int, patch_px: int | None) -> tuple[Origin, int]:
    """Find out which sizes the constructor takes, of pictures and of patches; and the width of its features."""
    options: dict[str, Any] = {"img_size": image_px, "dynamic_img_size": True}
    if patch_px is not None or image_px < SMALL_PX:
        options["patch_size"] = patch_px or 4
    while True:
        origin = Origin(name, channels, image_px, tuple(options.items()))
        try:
            with torch.device("meta"), torch.random.fork_rng(devices=[]):
                model = origin.build()
        except TypeError as error:
            unknown = re.search(r"unexpected keyword argument\S* \W*(\w+)", str(error))
            if unknown is None or unknown[1] not in options:
                raise
            del options[unknown[1]]
            continue
        patches = getattr(model, "patch_embed", None)
        if "patch_size" in options and hasattr(patches, "backbone"):  # patches of a map, not of the picture
            del options["patch_size"]
            if patch_px is None:
                continue
        if patch_px is not None and "patch_size" not in options:
            raise UserError(_no_patches(name))
        if patches is not None and hasattr(patches, "feat_ratio"):
            _check_patches(name, image_px, int(patches.feat_ratio()), settable=not hasattr(patches, "backbone"))
        return origin, _width(model, origin, image_px)


@functools.lru_cache(maxsize=64)
def measure(origin: Origin, image_px: int) -> int:
    """Return the width of the features that an encoder of timm makes of pictures of a size; it is not given memory.

    Raises:
        UserError: it fails, or what it makes is not what an :class:`Encoder` makes.
    """
    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        model = origin.build()
    return _width(model, origin, image_px)


def _width(model: Any, origin: Origin, image_px: int) -> int:
    made: dict[str, Any] = {}
    try:
        with torch.device("meta"), torch.random.fork_rng(devices=[]), torch.no_grad():
            pictures = PictureFormat(origin.channels, image_px, (0.0,) * origin.channels, (1.0,) * origin.channels)
            encoder = (ViT if hasattr(model, "patch_embed") else ResNet)(pictures, model, origin=origin).eval()
            for name, block in encoder.blocks().items():
                block.register_forward_hook(functools.partial(_keep, made, name))
            x = torch.zeros(2, origin.channels, image_px, image_px)
            features, last_map = encoder(x), encoder.feature_map(x)
    except UserError:
        raise
    except Exception as error:
        reason = ": ".join([type(error).__name__, *str(error).splitlines()[:1]])
        raise _unfit(origin, image_px, reason) from error
    ndim = 3 if isinstance(encoder, ViT) else 4
    if features.ndim != 2 or last_map.ndim != 4 or last_map.shape[1] != encoder.channels:
        raise _unfit(origin, image_px, f"it makes {[*features.shape]} of maps {[*last_map.shape]}")
    for name in encoder.blocks():
        if not (isinstance(out := made.get(name), Tensor) and out.ndim == ndim):
            raise _unfit(origin, image_px, f"its {name} can't be read")
    return int(features.shape[1])


def _keep(made: dict[str, Any], name: str, _: nn.Module, __: Any, out: Any) -> None:
    made[name] = out


def _unfit(origin: Origin, image_px: int, reason: str) -> UserError:
    return UserError(
        f"{origin.name} can't be the encoder of pictures of {image_px} px ({reason}); choose another, such as resnet18 "
        "or vit_tiny_patch16_224"
    )


def _no_patches(name: str) -> str:
    return f"encoder.patch_px is for ViTs that cut the picture itself and would be ignored by {name}; leave it out"


def _check_patches(name: str, image_px: int, patch_px: int, *, settable: bool = True) -> None:
    if image_px % patch_px:
        divisor = max((d for d in range(1, patch_px) if image_px % d == 0), default=1)
        hint = f"encoder.patch_px to a divisor such as {divisor}, or " if settable else ""
        raise UserError(
            f"{name}'s patches of {patch_px} px do not divide a picture of {image_px} px; set {hint}data.image_px to a "
            "multiple"
        )
