"""Vision transformers of timm, and a small one."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from unlabeled.platform.data import Format, PictureFormat
from unlabeled.platform.data.format import taken
from unlabeled.platform.encoder.config import EncoderConfig
from unlabeled.platform.encoder.encoder import Maps, StandardisingEncoder, numbered
from unlabeled.platform.errors import UserError


class ViTConfig(EncoderConfig):
    """A small :class:`ViT`, with a class token, and attention heads of about 32 channels.

    Attributes:
        width: an eighth of the tokens' channels, as wide as the convnet of that width ends.
        depth: blocks.
        patch_px: side of a patch.
    """

    name = "vit"
    width: int = Field(default=24, ge=4)
    depth: int = Field(default=4, ge=1)
    patch_px: int = Field(default=4, ge=1)

    def build(self, shown: Format) -> "ViT":
        """Make it; UserError where the patches do not divide a picture."""
        from timm.models.vision_transformer import VisionTransformer  # here, because it takes seconds to import

        pictures = taken(shown, PictureFormat, self.called)
        fits = functools.partial(check_patches, self.name, self.patch_px)
        fits(pictures.image_px)
        dim = 8 * self.width
        model = VisionTransformer(
            img_size=pictures.image_px,
            patch_size=self.patch_px,
            in_chans=pictures.channels,
            num_classes=0,
            embed_dim=dim,
            depth=self.depth,
            num_heads=heads_of(dim),
            dynamic_img_size=True,
        )
        return ViT(pictures, model, fits)


def heads_of(dim: int) -> int:
    """Return how many attention heads of about 32 channels divide a width."""
    return next(heads for heads in range(max(1, dim // 32), 0, -1) if dim % heads == 0)


class ViT(StandardisingEncoder):
    """A ViT of timm without its classifier; most take larger and smaller pictures, by whole patches.

    Args:
        pictures: what it sees.
        model: timm's, without a classifier.
        fits: raises UserError where the patches do not divide pictures of a side, or the model is made for one size.
        dim: width of its features, where it isn't its tokens'.

    Attributes:
        patch_px: side of a patch.
        prefix: tokens before the patches': the class token, and registers where the model has them.
        maskable: whether patches can be left out: each enters as one token that knows no other's pixels, and its place
            is in the token. Not so where a convnet comes first, or where attention looks at places.
        shows_attention: whether :meth:`attention` can be taken, from a class token.
    """

    compiled = ("maps", "visible", "masked")

    def __init__(
        self, pictures: PictureFormat, model: Any, fits: Callable[[int], object], dim: int | None = None
    ) -> None:
        from timm.layers.attention import Attention  # here, because they take seconds to import
        from timm.layers.patch_embed import PatchEmbed
        from timm.models.vision_transformer import Block, VisionTransformer

        super().__init__(pictures, dim or model.num_features, channels=model.num_features)
        self.model, self.fits = model, fits
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

    def maps(self, x: Tensor) -> Maps:
        """Return the last tokens, the prefix first, the patches' in their grid, and the features as the model pools."""
        tokens = self.model.forward_features(self.standardise(x))
        patches = tokens[:, self.prefix :].transpose(1, 2)
        grid = patches.reshape(*patches.shape[:2], x.shape[2] // self.patch_px, x.shape[3] // self.patch_px)
        return Maps(self.model.forward_head(tokens, pre_logits=True), grid, tokens)

    def visible(self, x: Tensor, kept: Tensor) -> Tensor:
        """Return the last tokens, the prefix first, where only some patches are seen: [B, prefix + K, channels].

        The others are never computed (MAE's encoder). Only where the model is maskable.

        Args:
            x: pixels [B, C, H, W].
            kept: int64 [B, K], places of patches, counted row by row.
        """
        assert self.maskable
        model = self.model
        tokens: Tensor = model._pos_embed(model.patch_embed(self.standardise(x)))
        patches = tokens[:, self.prefix :].gather(1, kept[:, :, None].expand(-1, -1, tokens.shape[2]))
        out: Tensor = model.norm(model.blocks(model.norm_pre(torch.cat([tokens[:, : self.prefix], patches], dim=1))))
        return out

    def masked(self, x: Tensor, hidden: Tensor, token: Tensor) -> Tensor:
        """Return the last tokens, the prefix first, where some patches are not seen but by their places.

        Instead of them stands one and the same token (BEiT, iBOT). Only where the model is maskable.

        Args:
            x: pixels [B, C, H, W].
            hidden: bool [B, T], which patches, counted row by row.
            token: [channels].
        """
        assert self.maskable
        model = self.model
        patches: Tensor = model.patch_embed(self.standardise(x))
        where = hidden.view(*patches.shape[:-1], 1)
        tokens = model._pos_embed(torch.where(where, token.to(patches.dtype), patches))
        out: Tensor = model.norm(model.blocks(model.norm_pre(tokens)))
        return out

    def attention(self, x: Tensor) -> Tensor:
        """Return how much the last block's tokens look at each other, [B, heads, T, T]; each row sums to 1."""
        assert self.shows_attention
        model = self.model
        *blocks, last = model.blocks
        tokens: Tensor = model.norm_pre(model._pos_embed(model.patch_embed(self.standardise(x))))
        for block in blocks:
            tokens = block(tokens)
        layer = last.attn
        queries, keys, _ = layer.qkv(last.norm1(tokens)).chunk(3, dim=2)
        queries, keys = (each.unflatten(2, (layer.num_heads, -1)).transpose(1, 2) for each in (queries, keys))
        weights: Tensor = (layer.scale * layer.q_norm(queries) @ layer.k_norm(keys).transpose(2, 3)).softmax(dim=3)
        return weights

    def blocks(self) -> Mapping[str, nn.Module]:
        """Return the transformer's blocks."""
        return numbered(self.model.blocks)

    def channels_first(self, made: Tensor) -> Tensor:
        """Turn a block's tokens [B, T, channels] round."""
        return made.transpose(1, 2)

    def check_size(self, image_px: int) -> None:
        """Raise UserError where the patches do not divide such a picture, or the model is made for one size."""
        self.fits(image_px)


def check_patches(name: str, patch_px: int, image_px: int, *, settable: bool = True) -> None:
    """Check that patches divide a picture.

    Raises:
        UserError: they do not; it names the encoder, and ``encoder.patch_px`` where that can be set.
    """
    if image_px % patch_px:
        divisor = max((d for d in range(1, patch_px) if image_px % d == 0), default=1)
        hint = f"encoder.patch_px to a divisor such as {divisor}, or " if settable else ""
        raise UserError(
            f"{name}'s patches of {patch_px} px do not divide a picture of {image_px} px; set {hint}data.image_px to a "
            "multiple"
        )
