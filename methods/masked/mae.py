"""MAE: hide most patches of a picture, encode the others alone, and let a small decoder predict the hidden pixels.

He, Chen, Xie, Li, Dollár, Girshick (2021), "Masked Autoencoders Are Scalable Vision Learners", arXiv:2111.06377.
Masking, encoder, decoder, target: sec. 3. Decoder's size: sec. 4.1. Views, class token, initial weights: app. A.1.

Shapes: B images per worker, T patches of each, row by row, K of them visible, P pixel values of a patch, D width.

Differs from the paper: features are the mean over patches, which app. A.1 finds as good as the class token: no loss
looks at that, and after a laptop's training it is worse than untrained. The encoder is timm's, with learned positions
and its own initial weights. The number of visible patches is rounded, not cut: at 75 % of 14 x 14 that is the same.
Differs from the authors' code: neither the mask token nor the class token is decayed; crops are resized with a bilinear
filter, theirs with a bicubic one.
"""

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from unlabeled.methods.masked.patches import mean_of_patches, patchify, unpatchify
from unlabeled.methods.parts import SMALL, one_view
from unlabeled.platform.augment import Crop, Flip, Policy, ViewPlan
from unlabeled.platform.augment.figure import Figure
from unlabeled.platform.data import Data, Format, PictureFormat
from unlabeled.platform.data.format import taken
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import Encoder, EncoderConfig, ViT, ViTConfig
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Batch, Example, Method, MethodConfig, StepResult
from unlabeled.platform.optim import AdamW


class MAEConfig(MethodConfig):
    """Defaults are the paper's ImageNet settings.

    Attributes:
        views: the only view of each image.
        mask_ratio: share of the patches that are hidden.
        normalised_targets: predict each patch less its mean, divided by its deviation; false predicts pixels as the
            encoder standardises them.
        decoder_width: of the decoder's tokens; its attention has a head for each 32, as in the authors' code.
        decoder_depth: blocks of the decoder.
    """

    name = "mae"
    paper = "He et al. 2021, arXiv:2111.06377"
    cost = 0.79
    num_views: ClassVar[int | None] = 1
    views: ViewPlan = one_view(Policy(ops=(Crop(area=(0.2, 1.0)), Flip())))
    mask_ratio: float = Field(default=0.75, gt=0.0, lt=1.0)
    normalised_targets: bool = True
    decoder_width: int = Field(default=512, ge=32, multiple_of=32)
    decoder_depth: int = Field(default=8, ge=1)

    @classmethod
    def example(cls) -> Example:
        """Return a small run."""
        return Example(
            method=(pixels := cls(views=one_view(SMALL), decoder_width=32, decoder_depth=1, normalised_targets=False)),
            encoder=ViTConfig(width=4, depth=2, patch_px=4),
            learning={"encoder": ViTConfig(width=8, depth=2), "optimizer": AdamW(learning_rate=2e-3), "batch_size": 32},
            others={"normalised": pixels.with_field("normalised_targets", True)},
        )

    def make_encoder(self, config: EncoderConfig, shown: Format) -> Encoder:
        """Make a ViT that pools by the mean; UserError where it is none, or its patches are too large or too small."""
        pictures = taken(shown, PictureFormat, self.name)
        encoder = mean_of_patches(self.name, super().make_encoder(config, pictures), config)
        px, patch_px = pictures.image_px, encoder.patch_px
        if patch_px == px or (self.normalised_targets and patch_px**2 * pictures.channels == 1):
            hint = f"set encoder.patch_px to another divisor of {px}"
            raise UserError(f"a patch of {patch_px} px leaves nothing to predict of a picture of {px} px; {hint}")
        return encoder

    def build(self, encoder: Encoder, data: Data) -> "MAE":
        """Make MAE around a ViT."""
        assert isinstance(encoder, ViT)
        return MAE(self, encoder, data.channels)


class MAE(Method):
    """A ViT that sees some patches, and a transformer that predicts the others from what it makes of them."""

    cut = "per-sample"
    encoder: ViT

    def __init__(self, config: MAEConfig, encoder: ViT, channels: int) -> None:
        from timm.models.vision_transformer import Block  # here, because timm takes seconds to import

        super().__init__(encoder)
        self.config, self.patch_px, width = config, encoder.patch_px, config.decoder_width
        self.embed = nn.Linear(encoder.channels, width)
        self.mask_token = nn.Parameter(0.02 * torch.randn(width))
        self.decoder = nn.Sequential(
            *(Block(width, width // 32, qkv_bias=True) for _ in range(config.decoder_depth)),
            nn.LayerNorm(width, eps=1e-6),
            nn.Linear(width, self.patch_px**2 * channels),
        )
        for layer in (self.embed, *self.decoder.modules()):
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, batch: Batch) -> StepResult:
        """Return the mean squared error on hidden patches."""
        (view,) = batch.views
        target_BTP = self.standardised(self.patches(view))[0]
        kept_BK, hidden = random_masks(batch.draws, target_BTP.shape[1], self.config.mask_ratio)
        error_BT = (self.predict(view, kept_BK) - target_BTP).square().mean(dim=2)
        logs = {"pixels/error_of_zeros": target_BTP.square().mean(dim=2).gather(1, hidden).mean()}
        return StepResult(loss=error_BT.gather(1, hidden).mean(), logs=logs)

    def predict(self, images: Tensor, kept_BK: Tensor) -> Tensor:
        """Return what is predicted of every patch, [B, T, P], from the visible ones alone."""
        from timm.layers.pos_embed_sincos import build_sincos2d_pos_embed

        grid = [side // self.patch_px for side in images.shape[2:]]
        prefix, visible_BKD = self.embed(self.encoder.visible(images, kept_BK)).tensor_split([self.encoder.prefix], 1)
        masks_BTD = self.mask_token.to(visible_BKD.dtype).expand(len(images), grid[0] * grid[1], -1)
        patches_BTD = masks_BTD.scatter(1, kept_BK[:, :, None].expand_as(visible_BKD), visible_BKD)
        patches_BTD = patches_BTD + build_sincos2d_pos_embed(grid, patches_BTD.shape[2], device=images.device)
        out: Tensor = self.decoder(torch.cat([prefix, patches_BTD], dim=1))[:, self.encoder.prefix :]
        return out

    def patches(self, images: Tensor) -> Tensor:
        """Cut pictures, standardised, into patches [B, T, P]."""
        return patchify(self.encoder.standardise(images), self.patch_px)

    def standardised(self, patches_BTP: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the targets, and the deviations and means [B, T, 1] that make them patches again."""
        variance, mean = torch.var_mean(patches_BTP, dim=2, keepdim=True)
        deviation = (variance + 1e-6).sqrt()  # as in the authors' code: a patch of one colour has no variance
        if not self.config.normalised_targets:
            mean, deviation = torch.zeros_like(mean), torch.ones_like(mean)
        return (patches_BTP - mean) / deviation, deviation, mean

    def figures(self, batch: Batch) -> Mapping[str, Figure]:
        """Return pictures with more and more hidden, in the mean colour, and with the hidden patches as predicted."""
        (images,) = batch.views
        columns, patches_BTP = {"original": images}, self.patches(images)
        _, deviation, mean = self.standardised(patches_BTP)  # the true patches': the network doesn't know them
        for percent in (75, 85, 95):
            kept_BK, hidden = random_masks(batch.draws, patches_BTP.shape[1], percent / 100)
            predicted_BTP = self.predict(images, kept_BK).to(images.dtype) * deviation + mean
            is_hidden = torch.zeros_like(mean, dtype=torch.bool).scatter(1, hidden[:, :, None], True)
            where, predicted = (
                unpatchify(each, images, self.patch_px) for each in (is_hidden.expand_as(predicted_BTP), predicted_BTP)
            )
            columns[f"{percent} % hidden"] = torch.where(where, self.encoder.mean, images)
            columns[f"made of {100 - percent} %"] = torch.where(where, self.encoder.pixels(predicted), images)
        return {"reconstruction": Figure(columns)}


def random_masks(draws: Draws, patches: int, ratio: float) -> tuple[Tensor, Tensor]:
    """Draw which patches stay visible, [B, K], and which are hidden, [B, T - K]: at least one of both."""
    visible = min(max(round((1.0 - ratio) * patches), 1), patches - 1)
    kept_BK, hidden = draws.permutation("mask", patches).tensor_split([visible], dim=1)
    return kept_BK, hidden
