"""Masked patch prediction: tell the mean colours of corrupted patches, as BERT tells words.

Dosovitskiy, Beyer, Kolesnikov, Weissenborn, Zhai, Unterthiner et al. (2020), "An Image is Worth 16x16 Words:
Transformers for Image Recognition at Scale", arXiv:2010.11929, app. B.1.2. Half of the patches are corrupted: of these
80 % become one learned token, 10 % another patch of the picture, 10 % stay what they are. Of each corrupted patch the
mean colour is told, in 3 bits a channel: one of 512, from the patch's own last token, by cross-entropy.

Shapes: B images per worker, C channels, T patches of each, row by row, K of them corrupted, D width.

Differs from the paper: features are the mean over patches, for no loss looks at the class token.
"""

from collections.abc import Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from unlabeled.methods.masked.patches import mean_of_patches, patchify, unpatchify
from unlabeled.methods.parts import SMALL, classify, one_view
from unlabeled.platform.augment import Crop, Flip, Policy, ViewPlan
from unlabeled.platform.augment.figure import Figure
from unlabeled.platform.data import Data, DataConfig, Format, PictureFormat
from unlabeled.platform.data.format import taken
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import Encoder, EncoderConfig, ViT, ViTConfig
from unlabeled.platform.method import Batch, Example, Method, MethodConfig, StepResult

LEVELS = 8  # of a channel: 3 bits


class MaskedPatchPredictionConfig(MethodConfig):
    """Defaults are the paper's.

    Attributes:
        views: the only view of each image.
        corrupted: share of the patches that are corrupted.
        masked: share of these that become the learned token.
        replaced: share of these that become another patch; the others stay.
    """

    name = "masked-patch-prediction"
    paper = "Dosovitskiy et al. 2020, arXiv:2010.11929"
    cost = 1.32
    num_views: ClassVar[int | None] = 1
    views: ViewPlan = one_view(Policy(ops=(Crop(area=(0.2, 1.0)), Flip())))
    corrupted: float = Field(default=0.5, gt=0.0, le=1.0)
    masked: float = Field(default=0.8, ge=0.0, le=1.0)
    replaced: float = Field(default=0.1, ge=0.0, le=1.0)

    @classmethod
    def example(cls) -> Example:
        """Return a small run."""
        return Example(
            method=cls(views=one_view(SMALL)),
            encoder=ViTConfig(width=4, depth=2, patch_px=4),
            data=DataConfig(name="emoji", train_images=256),  # the colours of grey pictures tell too little
            learning={"encoder": ViTConfig(width=8, depth=2), "optimizer.learning_rate": 2e-3, "batch_size": 32},
        )

    def make_encoder(self, config: EncoderConfig, shown: Format) -> Encoder:
        """Make a ViT that pools by the mean; UserError where it is none."""
        encoder = super().make_encoder(config, taken(shown, PictureFormat, self.name))
        return mean_of_patches(self.name, encoder, config)

    def build(self, encoder: Encoder, data: Data) -> "MaskedPatchPrediction":
        """Make the token and the layer that tells colours."""
        assert isinstance(encoder, ViT)
        return MaskedPatchPrediction(self, encoder, data.channels)


class MaskedPatchPrediction(Method):
    """A ViT that sees some patches, and a linear layer that tells the colours of others."""

    cut = "per-sample"
    encoder: ViT

    def __init__(self, config: MaskedPatchPredictionConfig, encoder: ViT, channels: int) -> None:
        super().__init__(encoder)
        self.config, self.channels = config, channels
        self.token = nn.Parameter(0.02 * torch.randn(encoder.channels))
        self.tell = nn.Linear(encoder.channels, LEVELS**channels)

    def forward(self, batch: Batch) -> StepResult:
        """Return the cross-entropy of corrupted patches' colours, and how often the likeliest is right."""
        (view,) = batch.views
        color_BT, (where_BK, logits) = self.colors(view), self.told(view, batch.draws)
        loss, top1 = classify(logits.transpose(1, 2), color_BT.gather(1, where_BK))
        return StepResult(loss=loss, logs={"patches/top1": top1})

    def colors(self, images: Tensor) -> Tensor:
        """Return each patch's mean colour, as one of 8 levels a channel: int64 [B, T]."""
        mean_BCT = F.avg_pool2d(images, self.encoder.patch_px).flatten(2)
        level_BCT = (mean_BCT * LEVELS).long().clamp(0, LEVELS - 1)
        return sum((level_BCT[:, c] * LEVELS**c for c in range(self.channels)), torch.zeros_like(level_BCT[:, 0]))

    def told(self, images: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        """Return which patches are corrupted, [B, K], and the logits of their colours, [B, K, 8 ** C]."""
        where_BK, images, hidden_BT = self.corrupt(images, draws)
        tokens = self.encoder.masked(images, hidden_BT, self.token)[:, self.encoder.prefix :]
        return where_BK, self.tell(tokens.gather(1, where_BK[:, :, None].expand(-1, -1, tokens.shape[2])))

    def corrupt(self, images: Tensor, draws: Draws) -> tuple[Tensor, Tensor, Tensor]:
        """Return which patches are corrupted, [B, K], pictures with the replaced ones, and what is hidden, [B, T]."""
        patches_BTP = patchify(images, self.encoder.patch_px)
        count = patches_BTP.shape[1]
        share_BT = draws.uniform("corrupt", count)
        order_BT = draws.permutation("patches", count)
        where_BK = order_BT[:, : max(1, round(self.config.corrupted * count))]
        chosen_BT = torch.zeros_like(share_BT, dtype=torch.bool).scatter(1, where_BK, True)
        hidden_BT = chosen_BT & (share_BT < self.config.masked)
        swapped_BT = chosen_BT & ~hidden_BT & (share_BT < self.config.masked + self.config.replaced)
        other_BT = draws.integers("another", count, count)
        others = patches_BTP.gather(1, other_BT[:, :, None].expand_as(patches_BTP))
        mixed = torch.where(swapped_BT[:, :, None], others, patches_BTP)
        return where_BK, unpatchify(mixed, images, self.encoder.patch_px), hidden_BT

    def figures(self, batch: Batch) -> Mapping[str, Figure]:
        """Return pictures, what is left of them, and the colours of corrupted patches: as they are, and as told."""
        (images,) = batch.views
        px, truth_BT = self.encoder.patch_px, self.colors(images)
        where_BK, corrupted, hidden_BT = self.corrupt(images, batch.draws)
        told_BT = truth_BT.scatter(1, where_BK, self.told(images, batch.draws)[1].argmax(dim=2))
        blank = torch.where(hidden_BT[:, :, None], 0.5, patchify(corrupted, px))
        columns = {"original": images, "corrupted": unpatchify(blank, images, px)}
        for title, color_BT in {"mean colours": truth_BT, "told": told_BT}.items():
            levels = torch.stack([color_BT // LEVELS**c % LEVELS for c in range(self.channels)], dim=1)
            small = (levels + 0.5).to(images.dtype).view(len(images), -1, *(side // px for side in images.shape[2:]))
            columns[title] = F.interpolate(small / LEVELS, images.shape[2:], mode="nearest")
        return {"colours": Figure(columns)}
