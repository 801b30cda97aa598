"""Encoders: a picture in, a feature vector out, and the feature maps or tokens that lead to it.

The small convnet is ours, made for 28-32 px on a CPU. Everything else is a timm model by name, at any image size; small
pictures get the stem that the papers give ResNets on CIFAR: 3x3, no stride, no pooling (SimCLR, app. B.9).
"""

import difflib
from abc import ABC, abstractmethod
from itertools import pairwise
from typing import Any

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


class EncoderConfig(Settings):
    """Which encoder, and how it is cut to the pictures.

    Attributes:
        name: ``convnet``, or a ResNet or ViT of timm by its name there (``resnet18``, ``vit_tiny_patch16_224``).
        width: channels of the convnet's first layer; it ends eight times wider.
        patch_px: side of a ViT's patches; None keeps the model's own, or 4 px for small pictures.
    """

    name: str = "convnet"
    width: int = Field(default=24, ge=4)
    patch_px: int | None = Field(default=None, ge=1)

    def build(self, channels: int, image_px: int) -> Encoder:
        """Make the encoder for pictures [*, channels, image_px, image_px], weights from torch's global generator.

        Raises:
            UserError: timm has no such model, it is neither ResNet nor ViT, or the patches do not divide the picture.
        """
        if self.name != "convnet" and self.width != type(self).model_fields["width"].default:
            raise UserError(f"encoder.width is for the convnet and would be ignored by {self.name}; leave it out")
        if self.patch_px is not None and not self.name.startswith("vit"):
            raise UserError(f"encoder.patch_px is for ViTs and would be ignored by {self.name}; leave it out")
        if self.name == "convnet":
            return ConvNet(channels, self.width)
        return TimmEncoder(_timm_model(self.name, channels, image_px, self.patch_px))


class ConvNet(Encoder):
    """Four 3x3 convolutions with batch norm, halving the picture three times: 28 px to 4, 24 channels to 192."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__(dim=8 * width)
        widths = [channels, width, 2 * width, 4 * width, 8 * width]
        layers: list[nn.Module] = []
        for i, (before, after) in enumerate(pairwise(widths)):
            stride = 1 if i == 0 else 2
            layers.append(nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False))
            layers += [nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Return the features, [B, dim]: the feature map's mean over positions."""
        return self.feature_map(x).mean(dim=(2, 3))

    def feature_map(self, x: Tensor) -> Tensor:
        """Return the last feature map, [B, dim, h, w]."""
        out: Tensor = self.layers(x)
        return out

    def tokens(self, x: Tensor) -> Tensor:
        """Return the feature map's positions, [B, h * w, dim]."""
        return self.feature_map(x).flatten(2).transpose(1, 2)


class TimmEncoder(Encoder):
    """A timm model without its classifier."""

    def __init__(self, model: Any) -> None:
        super().__init__(dim=model.num_features)
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        """Return the features as the model pools them, [B, dim]."""
        out: Tensor = self.model.forward_head(self.model.forward_features(x), pre_logits=True)
        return out

    def feature_map(self, x: Tensor) -> Tensor:
        """Return the last feature map, [B, dim, h, w]; a ViT's prefix tokens are left out."""
        last: Tensor = self.model.forward_features(x)
        if last.ndim == 4:
            return last
        height, width = self.model.patch_embed.grid_size
        patches = last[:, self.model.num_prefix_tokens :].transpose(1, 2)
        return patches.reshape(*patches.shape[:2], height, width)

    def tokens(self, x: Tensor) -> Tensor:
        """Return the last tokens, [B, T, dim], a ViT's prefix tokens first."""
        last: Tensor = self.model.forward_features(x)
        return last if last.ndim == 3 else last.flatten(2).transpose(1, 2)


def _timm_model(name: str, channels: int, image_px: int, patch_px: int | None) -> Any:
    import timm  # here, because it takes seconds to import

    known = timm.list_models(["resnet*", "wide_resnet*", "resnext*", "vit_*"], exclude_filters=["resnetv2*"])
    if name not in known:
        near = ", ".join(difflib.get_close_matches(name, ["convnet", *known], n=3, cutoff=0.4)) or "convnet, resnet18"
        raise UserError(f"no encoder is called {name!r}; near it: {near}; allowed: convnet, or any timm ResNet or ViT")
    options: dict[str, Any] = {"pretrained": False, "num_classes": 0, "in_chans": channels}
    if not name.startswith("vit"):
        model: Any = timm.create_model(name, **options)
        if image_px < SMALL_PX:
            model.conv1 = nn.Conv2d(channels, model.bn1.num_features, 3, padding=1, bias=False)
            model.maxpool = nn.Identity()
        return model
    if patch_px is None and image_px < SMALL_PX:
        patch_px = 4
    if patch_px is not None:
        options["patch_size"] = patch_px
    model = timm.create_model(name, img_size=image_px, **options)
    patch_px = int(model.patch_embed.patch_size[0])
    if image_px % patch_px:
        raise UserError(
            f"patches of {patch_px} px do not divide a picture of {image_px} px; set encoder.patch_px to a divisor "
            f"such as {max(d for d in range(1, patch_px) if image_px % d == 0)}, or data.image_px to a multiple"
        )
    return model
