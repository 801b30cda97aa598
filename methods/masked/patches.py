"""Patches, and ViTs that can do without some of them; for the methods that hide patches.

Shapes: B images, T patches of each, row by row, P pixel values of a patch.
"""

import torch.nn.functional as F
from torch import Tensor

from unlabeled.platform.encoder import Encoder, EncoderConfig, ViT
from unlabeled.platform.errors import UserError


def maskable(method: str, encoder: Encoder, config: EncoderConfig) -> ViT:
    """Return a ViT that can do without some patches.

    Raises:
        UserError: it is none that pools by a class token, or none that can leave patches out.
    """
    if not isinstance(encoder, ViT) or getattr(encoder.model, "global_pool", "") != "token":
        raise UserError(
            f"{method} needs a ViT that pools by its class token, and encoder.name is {config.called}; set it to vit, "
            "or to one of timm such as vit_base_patch16_224"
        )
    if not encoder.maskable:
        raise UserError(
            f"{method} leaves patches out, and {config.called} needs all: a convnet comes first, or attention looks at "
            "their places; set encoder.name to vit, or to one such as vit_base_patch16_224"
        )
    return encoder


def mean_of_patches(method: str, encoder: Encoder, config: EncoderConfig) -> ViT:
    """Let a ViT's features be the mean over its patches: no loss of these methods looks at its class token.

    Raises:
        UserError: as :func:`maskable`.
    """
    vit = maskable(method, encoder, config)
    vit.model.global_pool = "avg"
    return vit


def patchify(images: Tensor, patch_px: int) -> Tensor:
    """Cut [B, C, H, W] into patches [B, T, P], row by row."""
    return F.pixel_unshuffle(images, patch_px).flatten(2).transpose(1, 2)


def unpatchify(patches_BTP: Tensor, like: Tensor, patch_px: int) -> Tensor:
    """Put patches [B, T, P] together to pictures of the size of ``like``."""
    grid = [side // patch_px for side in like.shape[2:]]
    return F.pixel_shuffle(patches_BTP.transpose(1, 2).reshape(len(like), -1, *grid), patch_px)
