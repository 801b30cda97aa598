"""Colorization: see a picture's lightness only, and tell its colours.

Zhang, Isola, Efros (2016), "Colorful Image Colorization", arXiv:1603.08511. Loss: eq. 2, its weights: eq. 3 and 4.
Colours from distributions: eq. 5. As pretraining: sec. 3.2. Bins, targets, weights and eq. 5 are in ``lab.py``.

Shapes: B pictures per worker, Q bins of the ab plane, h x w places, a fourth of the picture's sides.

Differs from the paper: the encoder is any, with a decoder of three convolutions, where the paper's is a VGG of its own;
Q is 261, not 313 (see ``lab.py``); targets are colours averaged over 4 x 4 pixels, and so are those that are counted
for the weights, in the data's first 2,000 pictures; the loss is the mean over places, not the sum; views are our own.
Differs from the authors' code: grey pictures count in the loss, where theirs leaves them out; the weights scale the
loss itself, where theirs scales its gradient alone.
"""

from collections.abc import Mapping
from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from unlabeled.methods.cross_channel.lab import (
    ColorBins,
    LabEncoder,
    check_colored,
    color_counts,
    lab_to_rgb,
    rgb_to_lab,
    soft_cross_entropy,
)
from unlabeled.methods.parts import SMALL, one_view
from unlabeled.platform.augment import Crop, Flip, Policy, ViewPlan
from unlabeled.platform.augment.figure import Figure
from unlabeled.platform.data import Data, DataConfig, Format, PictureFormat
from unlabeled.platform.data.format import taken
from unlabeled.platform.encoder import Encoder, EncoderConfig
from unlabeled.platform.method import Batch, Example, Method, MethodConfig, StepResult


class ColorizationConfig(MethodConfig):
    """Defaults are the paper's, but for the views and the decoder.

    Attributes:
        views: one view of each image.
        decoder: channels of the decoder's hidden layers.
        uniform: lambda in eq. 4, how much rare colours' weights are held back; 1 weighs all colours alike.
    """

    name = "colorization"
    paper = "Zhang et al. 2016, arXiv:1603.08511"
    cost = 2.03
    num_views: ClassVar[int | None] = 1
    views: ViewPlan = one_view(Policy(ops=(Crop(area=(0.3, 1.0)), Flip())))
    decoder: int = Field(default=256, ge=1)
    uniform: float = Field(default=0.5, gt=0.0, le=1.0)

    @classmethod
    def example(cls) -> Example:
        """Return a small run."""
        return Example(method=cls(views=one_view(SMALL), decoder=32), data=DataConfig(name="emoji", train_images=256))

    def check(self, batch_size: int, workers: int, data: Data) -> None:
        """Raise UserError where the pictures are grey."""
        check_colored(self.name, data.channels, data.name)

    def make_encoder(self, config: EncoderConfig, shown: Format) -> Encoder:
        """Make the configured encoder for one channel, and let it see lightness."""
        pictures = taken(shown, PictureFormat, self.name)
        check_colored(self.name, pictures.channels, "this data set")
        return LabEncoder(config, pictures.image_px, "lightness")

    def build(self, encoder: Encoder, data: Data) -> "Colorization":
        """Make the colouriser around an encoder, with the data's colours counted."""
        assert isinstance(encoder, LabEncoder)
        side = max(1, data.image_px // 4)
        return Colorization(self, encoder, side, color_counts(data.pretrain, side))


class Colorization(Method):
    """An encoder of lightness and a decoder to distributions over colours.

    Attributes:
        counts: int64 [Q], how often the data has each colour; the weights are made of it, in any precision.
    """

    cut = "per-sample"
    counts: Tensor

    def __init__(self, config: ColorizationConfig, encoder: LabEncoder, side: int, counts: Tensor) -> None:
        super().__init__(encoder)
        self.side, self.uniform = side, config.uniform
        self.bins = ColorBins()
        self.register_buffer("counts", counts.clone())
        self.decoder = nn.Sequential(
            *_convolution(encoder.channels, config.decoder, 1),
            nn.Upsample(size=(side, side), mode="bilinear"),
            *_convolution(config.decoder, config.decoder, 3),
            nn.Conv2d(config.decoder, len(self.bins), 1),
        )

    def forward(self, batch: Batch) -> StepResult:
        """Return the weighted cross-entropy, and how often the likeliest colour is the nearest."""
        (view,) = batch.views
        lab = rgb_to_lab(view)
        logits = self._predict(lab)
        bins, shares = self.bins.encode(F.adaptive_avg_pool2d(lab[:, 1:], self.side))
        nearest = bins[:, 0]  # q* in eq. 3
        weights = self.bins.rebalancing(self.counts.to(lab.dtype), self.uniform)
        loss = (weights[nearest] * soft_cross_entropy(logits, bins, shares)).mean()
        return StepResult(loss=loss, logs={"color/top1": logits.detach().argmax(dim=1).eq(nearest).float().mean()})

    def figures(self, batch: Batch) -> Mapping[str, Figure]:
        """Return the pictures, what the encoder sees of them, and that in the colours that it tells."""
        (images,) = batch.views
        lab = rgb_to_lab(images)
        ab = self.bins.annealed_mean(self._predict(lab))
        ab = F.interpolate(ab, size=images.shape[2:], mode="bilinear")
        grey = torch.cat([lab[:, :1], torch.zeros_like(ab)], dim=1)
        colorized = torch.cat([lab[:, :1], ab], dim=1)
        columns = {"original": images, "lightness": lab_to_rgb(grey), "colorized": lab_to_rgb(colorized)}
        return {"colorization": Figure(columns)}

    def _predict(self, lab: Tensor) -> Tensor:
        """Return logits [B, Q, h, w] of pictures in Lab."""
        part, lightness = cast(LabEncoder, self.encoder).seen(lab)["lightness"]
        logits: Tensor = self.decoder(part.maps(lightness).grid)
        return logits


def _convolution(before: int, after: int, side: int) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(before, after, side, padding=side // 2, bias=False)
    return convolution, nn.BatchNorm2d(after), nn.ReLU(inplace=True)
