"""Encoders: a picture in, a feature vector out, and the feature maps or tokens that lead to it.

The small convnet is ours, made for 28-32 px on a CPU. Everything else is a timm model by name, at any image size; small
pictures get the stem that the papers give ResNets on CIFAR: 3x3, no stride, no pooling (SimCLR, app. B.9).
"""

import difflib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from unlabeled.platform.errors import UserError
from unlabeled.platform.settings import Settings

SMALL_PX = 64  # below it a ResNet gets the small stem and a ViT small patches


class Encoder(nn.Module, ABC):
    """Maps [B, C, H, W] to [B, dim]. Abstract; every subclass is final.

    Attributes:
        dim: width of the feature vector.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

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


class EncoderConfig(Settings):
    """Which encoder, and how it is cut to the pictures.

    Attributes:
        name: ``convnet`` or ``vit``, both small, or a ResNet or ViT of timm by its name there (``resnet18``,
            ``vit_tiny_patch16_224``).
        width: channels of the convnet's first layer; it ends eight times wider, and so wide are the vit's tokens.
        depth: blocks of the vit.
        patch_px: side of a ViT's patches; None keeps the model's own, or 4 px for small pictures.
    """

    name: str = "convnet"
    width: int = Field(default=24, ge=4)
    depth: int = Field(default=4, ge=1)
    patch_px: int | None = Field(default=None, ge=1)

    def build(self, channels: int, image_px: int) -> Encoder:
        """Make the encoder for pictures [*, channels, image_px, image_px], weights from torch's global generator.

        Raises:
            UserError: timm has no such model, it is neither ResNet nor ViT, or the patches do not divide the picture.
        """
        fields = type(self).model_fields
        if self.name not in ("convnet", "vit") and self.width != fields["width"].default:
            raise UserError(f"encoder.width is for convnet and vit and would be ignored by {self.name}; leave it out")
        if self.name != "vit" and self.depth != fields["depth"].default:
            raise UserError(f"encoder.depth is for vit and would be ignored by {self.name}; leave it out")
        if self.patch_px is not None and not self.name.startswith("vit"):
            raise UserError(f"encoder.patch_px is for ViTs and would be ignored by {self.name}; leave it out")
        if self.name == "convnet":
            return ConvNet(channels, self.width)
        if self.name == "vit":
            return ViT(_small_vit(channels, image_px, self.patch_px or 4, 8 * self.width, self.depth))
        return _timm_encoder(self.name, channels, image_px, self.patch_px)


class ConvNet(Encoder):
    """Four 3x3 convolutions with batch norm, halving the picture three times: 28 px to 4, 24 channels to 192."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__(dim=8 * width)
        widths = [channels, width, 2 * width, 4 * width, 8 * width]
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
        out: Tensor = self.stages(x)
        return out

    def tokens(self, x: Tensor) -> Tensor:
        """Return the feature map's positions, [B, h * w, dim]."""
        return self.feature_map(x).flatten(2).transpose(1, 2)

    def blocks(self) -> Mapping[str, nn.Module]:
        """Return the four convolutions, each with its batch norm and ReLU."""
        return _numbered(self.stages)


class ResNet(Encoder):
    """A ResNet of timm without its classifier."""

    def __init__(self, model: Any) -> None:
        super().__init__(dim=model.num_features)
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        """Return the features as the model pools them, [B, dim]."""
        out: Tensor = self.model.forward_head(self.feature_map(x), pre_logits=True)
        return out

    def feature_map(self, x: Tensor) -> Tensor:
        """Return the last feature map, [B, dim, h, w]."""
        out: Tensor = self.model.forward_features(x)
        return out

    def tokens(self, x: Tensor) -> Tensor:
        """Return the feature map's positions, [B, h * w, dim]."""
        return self.feature_map(x).flatten(2).transpose(1, 2)

    def blocks(self) -> Mapping[str, nn.Module]:
        """Return the four stages."""
        return _numbered([self.model.layer1, self.model.layer2, self.model.layer3, self.model.layer4])


class ViT(Encoder):
    """A ViT of timm without its classifier; its pictures may be larger or smaller, by whole patches.

    Attributes:
        patch_px: side of a patch.
        prefix: tokens before the patches': the class token, and registers where the model has them.
    """

    def __init__(self, model: Any) -> None:
        super().__init__(dim=model.num_features)
        self.model = model
        self.patch_px = int(model.patch_embed.patch_size[0])
        self.prefix = int(model.num_prefix_tokens)

    def forward(self, x: Tensor) -> Tensor:
        """Return the features as the model pools them, [B, dim]."""
        out: Tensor = self.model.forward_head(self.tokens(x), pre_logits=True)
        return out

    def feature_map(self, x: Tensor) -> Tensor:
        """Return the patches' last tokens in their grid, [B, dim, h, w]."""
        patches = self.tokens(x)[:, self.prefix :].transpose(1, 2)
        return patches.reshape(*patches.shape[:2], x.shape[2] // self.patch_px, x.shape[3] // self.patch_px)

    def tokens(self, x: Tensor, kept: Tensor | None = None) -> Tensor:
        """Return the last tokens, [B, T, dim], the prefix first; of the patches all, or only those that are kept.

        Args:
            x: [B, C, H, W].
            kept: int64 [B, K], places of patches, counted row by row; the others are never computed (MAE's encoder).
        """
        model = self.model
        tokens: Tensor = model._pos_embed(model.patch_embed(x))
        if kept is not None:
            patches = tokens[:, self.prefix :].gather(1, kept[:, :, None].expand(-1, -1, tokens.shape[2]))
            tokens = torch.cat([tokens[:, : self.prefix], patches], dim=1)
        out: Tensor = model.norm(model.blocks(model.norm_pre(tokens)))
        return out

    def attention(self, x: Tensor) -> Tensor:
        """Return how much the last block's tokens look at each other, [B, heads, T, T]; each row sums to 1."""
        model = self.model
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


def _numbered(stages: Iterable[nn.Module]) -> dict[str, nn.Module]:
    return {f"block{number}": stage for number, stage in enumerate(stages, start=1)}


def _small_vit(channels: int, image_px: int, patch_px: int, dim: int, depth: int) -> Any:
    from timm.models.vision_transformer import VisionTransformer  # here, because it takes seconds to import

    _check_patches(image_px, patch_px)
    heads = next(heads for heads in range(max(1, dim // 32), 0, -1) if dim % heads == 0)  # of about 32 channels
    return VisionTransformer(
        img_size=image_px,
        patch_size=patch_px,
        in_chans=channels,
        num_classes=0,
        embed_dim=dim,
        depth=depth,
        num_heads=heads,
        dynamic_img_size=True,
    )


def _timm_encoder(name: str, channels: int, image_px: int, patch_px: int | None) -> Encoder:
    import timm  # here, because it takes seconds to import

    known = timm.list_models(["resnet*", "wide_resnet*", "resnext*", "vit_*"], exclude_filters=["resnetv2*"])
    if name not in known:
        near = ", ".join(difflib.get_close_matches(name, ["convnet", "vit", *known], n=3, cutoff=0.4))
        raise UserError(
            f"no encoder is called {name!r}; near it: {near or 'convnet, resnet18'}; "
            "allowed: convnet, vit, or any timm ResNet or ViT"
        )
    options: dict[str, Any] = {"pretrained": False, "num_classes": 0, "in_chans": channels}
    if not name.startswith("vit"):
        model: Any = timm.create_model(name, **options)
        if image_px < SMALL_PX:
            model.conv1 = nn.Conv2d(channels, model.bn1.num_features, 3, padding=1, bias=False)
            model.maxpool = nn.Identity()
        return ResNet(model)
    if patch_px is None and image_px < SMALL_PX:
        patch_px = 4
    if patch_px is not None:
        options["patch_size"] = patch_px
    model = timm.create_model(name, img_size=image_px, dynamic_img_size=True, **options)
    _check_patches(image_px, int(model.patch_embed.patch_size[0]))
    return ViT(model)


def _check_patches(image_px: int, patch_px: int) -> None:
    if image_px % patch_px:
        raise UserError(
            f"patches of {patch_px} px do not divide a picture of {image_px} px; set encoder.patch_px to a divisor "
            f"such as {max(d for d in range(1, patch_px) if image_px % d == 0)}, or data.image_px to a multiple"
        )
