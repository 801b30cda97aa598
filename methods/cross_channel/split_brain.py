"""Split-brain autoencoder: one half of the network tells the colours from the lightness, the other the reverse.

Zhang, Isola, Efros (2017), "Split-Brain Autoencoders: Unsupervised Learning by Cross-Channel Prediction",
arXiv:1611.09842. Both halves' losses: sec. 3.1, as classification. Their features are concatenated: sec. 3.2.

Shapes: B pictures per worker, Q bins of the ab plane, h x w places of the encoder's feature map.

Differs from the paper: the halves are small convnets or ViTs of half the width, or, of timm's encoders, which come in
one width, two whole ones; each has one linear layer to its classes, at the feature map's resolution, where the paper
ends AlexNet in 1x1 convolutions; targets are averages over a place's pixels; Q is 261, not 313 (see ``lab.py``); L has
one right class, colours have five, and all classes weigh alike; crops and flips are ours.
"""

from collections.abc import Mapping
from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from unlabeled.methods.cross_channel.lab import (
    TEMPERATURE,
    ColorBins,
    LabEncoder,
    check_colored,
    halves,
    lab_to_rgb,
    rgb_to_lab,
    soft_cross_entropy,
)
from unlabeled.methods.parts import SMALL, classify, one_view
from unlabeled.platform.augment import Crop, Flip, Policy, ViewPlan
from unlabeled.platform.augment.figure import Figure
from unlabeled.platform.data import Data, DataConfig, Format
from unlabeled.platform.encoder import Encoder, EncoderConfig
from unlabeled.platform.method import Batch, Example, Method, MethodConfig, StepResult


class SplitBrainConfig(MethodConfig):
    """Defaults are the paper's, but for the views.

    Attributes:
        views: one view of each image.
        lightness_bins: classes that L is cut into, of equal width.
    """

    name = "split-brain"
    paper = "Zhang et al. 2017, arXiv:1611.09842"
    cost = 0.68
    num_views: ClassVar[int | None] = 1
    views: ViewPlan = one_view(Policy(ops=(Crop(area=(0.3, 1.0)), Flip())))
    lightness_bins: int = Field(default=100, ge=2)

    @classmethod
    def example(cls) -> Example:
        """Return a small run."""
        return Example(method=cls(views=one_view(SMALL)), data=DataConfig(name="emoji", train_images=256))

    def check(self, batch_size: int, workers: int, data: Data) -> None:
        """Raise UserError where the pictures are grey."""
        check_colored(self.name, data.channels, data.name)

    def make_encoder(self, config: EncoderConfig, shown: Format) -> Encoder:
        """Make an encoder for L and one for ab, each of half the configured width where it comes in widths."""
        return halves(config, shown, self.name)

    def build(self, encoder: Encoder, data: Data) -> "SplitBrain":
        """Make the two predictions on an encoder's halves."""
        assert isinstance(encoder, LabEncoder)
        return SplitBrain(self, encoder)


class SplitBrain(Method):
    """Two halves of an encoder, and a linear layer on each that tells what the other half sees."""

    cut = "per-sample"

    def __init__(self, config: SplitBrainConfig, encoder: LabEncoder) -> None:
        super().__init__(encoder)
        self.lightness_bins = config.lightness_bins
        self.bins = ColorBins()
        lightness, color = (cast(Encoder, encoder.parts[name]) for name in ("lightness", "color"))
        self.to_color = nn.Conv2d(lightness.channels, len(self.bins), 1)
        self.to_lightness = nn.Conv2d(color.channels, config.lightness_bins, 1)

    def forward(self, batch: Batch) -> StepResult:
        """Return the sum of both cross-entropies, and how often each half's likeliest class is right."""
        (view,) = batch.views
        lab = rgb_to_lab(view)
        color, lightness = self._predict(lab)
        bins, shares = self.bins.encode(F.adaptive_avg_pool2d(lab[:, 1:], (color.shape[2], color.shape[3])))
        level = F.adaptive_avg_pool2d(lab[:, 0], (lightness.shape[2], lightness.shape[3])) * (self.lightness_bins / 100)
        level = level.long().clamp(0, self.lightness_bins - 1)
        of_lightness, lightness_top1 = classify(lightness, level)
        color_top1 = color.detach().argmax(dim=1).eq(bins[:, 0]).float().mean()
        return StepResult(
            loss=soft_cross_entropy(color, bins, shares).mean() + of_lightness,
            logs={"color/top1": color_top1, "lightness/top1": lightness_top1},
        )

    def figures(self, batch: Batch) -> Mapping[str, Figure]:
        """Return the pictures, and their halves with what is told of the other: the annealed mean of each place."""
        (images,) = batch.views
        lab = rgb_to_lab(images)
        color, lightness = self._predict(lab)
        ab = self.bins.annealed_mean(color)
        centers = (torch.arange(self.lightness_bins, device=lab.device) + 0.5) * (100 / self.lightness_bins)
        share = (lightness.to(lab.dtype) / TEMPERATURE).softmax(dim=1)
        level = (share * centers.to(lab.dtype).view(1, -1, 1, 1)).sum(dim=1, keepdim=True)
        ab, level = (F.interpolate(told, size=images.shape[2:], mode="bilinear") for told in (ab, level))
        columns = {
            "original": images,
            "colours from lightness": lab_to_rgb(torch.cat([lab[:, :1], ab], dim=1)),
            "lightness from colours": lab_to_rgb(torch.cat([level, lab[:, 1:]], dim=1)),
        }
        return {"cross-channel": Figure(columns)}

    def _predict(self, lab: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits [B, Q, h, w] of colours, from lightness, and [B, levels, h, w] of lightness, from colours."""
        seen = cast(LabEncoder, self.encoder).seen(lab)
        (left, lightness), (right, color) = seen["lightness"], seen["color"]
        return self.to_color(left.maps(lightness).grid), self.to_lightness(right.maps(color).grid)
