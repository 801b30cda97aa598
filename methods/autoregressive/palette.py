"""Pictures as sequences of indices of a few colours, and a ViT that sees them so; for :mod:`image_gpt`.

Shapes: B images, K colours, C channels, T tokens of a picture, row by row, D width.
"""

import functools
import math
from collections.abc import Mapping
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.methods.losses.numerics import in_full_precision
from unlabeled.platform.data import Source
from unlabeled.platform.encoder import Encoder, Maps, ViT
from unlabeled.platform.errors import UserError
from unlabeled.platform.evaluate.lloyd import sample_of

SAMPLE = 2000  # pictures that colours are looked for in


class CausalViT(Encoder):
    """A ViT of which no token sees later ones, after the class token; its features are those of a block within."""

    compiled = ("hidden",)

    def __init__(self, vit: ViT, colors: int, channels: int, layer: int) -> None:
        super().__init__(vit.channels)
        self.vit, self.layer = vit, layer
        vit.model.patch_embed = PaletteEmbedding(vit.model.patch_embed, vit.patch_px, colors, channels, vit.channels)

    @property
    def colors(self) -> "PaletteEmbedding":
        """What stands in the place of the ViT's patches."""
        return cast(PaletteEmbedding, self.vit.model.patch_embed)

    def hidden(self, index_BT: Tensor) -> tuple[Tensor, Tensor]:
        """Return the normalised tokens of the features' block and of the last, [B, 1 + T, D] each."""
        model, (rows, columns) = self.vit.model, self.grid_of(index_BT)
        token = self.colors(index_BT)
        token = model._pos_embed(token.view(-1, rows, columns, token.shape[2]) if model.dynamic_img_size else token)
        token = model.norm_pre(token)
        count = token.shape[1]
        features, mask = token, torch.full((count, count), -torch.inf, dtype=token.dtype, device=token.device).triu(1)
        norms = [*(block.norm1 for block in model.blocks[1:]), model.norm]  # each block's output, as the next sees it
        for number, (block, norm) in enumerate(zip(model.blocks, norms, strict=True), start=1):
            token = block(token, attn_mask=mask)
            features = norm(token) if number == self.layer else features
        return features, model.norm(token)

    def grid_of(self, index_BT: Tensor) -> tuple[int, int]:
        """Return how many rows and columns of tokens square pictures have."""
        return (side := math.isqrt(index_BT.shape[1])), side

    def maps(self, x: Tensor) -> Maps:
        """Return the features' block's tokens, and their mean."""
        index_BT = self.colors.indices(x)
        tokens = self.hidden(index_BT)[0]
        grid = tokens[:, 1:].transpose(1, 2).reshape(len(x), self.channels, *self.grid_of(index_BT))
        return Maps(tokens[:, 1:].mean(dim=1), grid, tokens)

    def blocks(self) -> Mapping[str, nn.Module]:
        """Return the transformer's blocks."""
        return self.vit.blocks()

    def channels_first(self, made: Tensor) -> Tensor:
        """Turn a block's tokens round."""
        return self.vit.channels_first(made)

    def check_size(self, image_px: int) -> None:
        """Raise UserError where patches do not divide such a picture."""
        self.vit.check_size(image_px)


class PaletteEmbedding(nn.Module):
    """Instead of a ViT's patches: each patch's mean colour, as the index of the nearest of a palette, embedded.

    Attributes:
        palette: uint8 [K, C].
        grid_size: of the pictures that it was made for.
    """

    palette: Tensor

    def __init__(self, patches: Any, patch_px: int, colors: int, channels: int, width: int) -> None:
        super().__init__()
        self.patch_px, self.grid_size = patch_px, patches.grid_size
        self.register_buffer("palette", torch.zeros(colors, channels, dtype=torch.uint8))
        self.weight = nn.Parameter(0.02 * torch.randn(colors, width))

    @in_full_precision
    def indices(self, x: Tensor) -> Tensor:
        """Return the nearest colour of each patch of pictures [B, C, H, W] in [0, 1]: int64 [B, T]."""
        color_BTC = F.avg_pool2d(x, self.patch_px).flatten(2).transpose(1, 2)
        return torch.cdist(color_BTC, self.palette.to(x.dtype)[None] / 255.0).argmin(dim=2)

    def forward(self, index_BT: Tensor) -> Tensor:
        """Return what stands for colours, [B, T, D]."""
        return F.embedding(index_BT, self.weight)

    def pixels(self, index_BT: Tensor, side: int) -> Tensor:
        """Return pictures of ``side`` patches, one pixel for each: [B, C, side, side]."""
        colors = self.palette[index_BT].to(self.weight.dtype) / 255.0
        return colors.transpose(1, 2).reshape(len(colors), -1, side, side)


@functools.lru_cache(maxsize=4)
def palette_of(source: Source, colors: int, patch_px: int) -> Tensor:
    """Return the centres of k-means over the mean colours of patches in the first 2,000 pictures: uint8 [K, C].

    Raises:
        UserError: there are not so many colours.
    """
    from sklearn.cluster import KMeans  # here, because scikit-learn takes a second to import

    with torch.device("cpu"):
        pooled = [
            F.avg_pool2d(source.tensor(rows, "image").float(), patch_px).round().movedim(1, -1).flatten(0, 2)
            for rows in torch.split(source.rows[:SAMPLE], 64)
        ]
        found, count = counted(torch.cat(pooled).to(torch.uint8))
        if len(found) < colors:
            raise UserError(
                f"a palette of {colors} colours is larger than the {len(found)} that patches of {patch_px} px of the "
                f"first {min(SAMPLE, len(source))} pictures have; set method.colors to at most {len(found)}"
            )
        some = sample_of(len(found), colors)
        fitted = KMeans(colors, n_init=1, random_state=0).fit(
            found[some].double().numpy(), sample_weight=count[some].numpy()
        )
        return torch.from_numpy(fitted.cluster_centers_).round().clamp(0, 255).to(torch.uint8)


def counted(colors_NC: Tensor) -> tuple[Tensor, Tensor]:
    """Return the colours that there are, uint8 [M, C] in order, and how often each is there, int64 [M].

    Each is made one number, of a byte for a channel: so two million are told apart six times as fast.
    """
    shift_C = 8 * torch.arange(colors_NC.shape[1] - 1, -1, -1)
    number, count = (colors_NC.long() << shift_C).sum(dim=1).unique(return_counts=True)  # type: ignore[no-untyped-call]
    return (number[:, None] >> shift_C & 255).to(torch.uint8), count
