"""Colour proxy: see a picture's lightness only, and tell the hues and chromas around some of its places.

Larsson, Maire, Shakhnarovich (2017), "Colorization as a Proxy Task for Visual Understanding", arXiv:1703.04044, with
the loss and the hypercolumns of their (2016) "Learning Representations for Automatic Colorization", arXiv:1603.06668:
sec. 3. Code: gustavla/autocolorize (``train/train_vgg16.prototxt``), which settings are of, and
gustavla/self-supervision (``selfsup/multi/methods/colorize_hypercolumn.py``).

At R places of each picture, what all blocks of the encoder make there, bilinear, is one long vector, the hypercolumn.
From it a layer of hidden units tells two histograms of K bins, of the hues and of the chromas in a window around:

    loss = mean over places of KL(chromas || p_chroma) + lambda c KL(hues || p_hue),   c = the place's own chroma

In grey places the hue is noise, so it counts by how colourful the place is.

Shapes: B images per worker, R places of each, K bins.

Differs from both codes: lightness is Lab's, theirs the mean of red, green and blue; the encoder is any; hidden units
have no dropout; places are all whose window fits, theirs 96 and 32 px or more from the edges. In the first, chromas
weigh less where it is dark or bright, and hypercolumns begin with the lightness itself. The second takes 256 places,
and tells of each its own hue and chroma, without a window.
"""

import math
from collections.abc import Mapping
from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from unlabeled.methods.cross_channel.hypercolumns import colored, divergence, histogram, hue_and_chroma, hypercolumns
from unlabeled.methods.cross_channel.lab import LabEncoder, check_colored, lab_to_rgb, rgb_to_lab
from unlabeled.methods.parts import SMALL, one_view, squares
from unlabeled.platform.augment import Crop, Flip, Policy, ViewPlan
from unlabeled.platform.augment.figure import Figure
from unlabeled.platform.data import Data, DataConfig, Format, PictureFormat
from unlabeled.platform.data.format import taken
from unlabeled.platform.encoder import Encoder, EncoderConfig
from unlabeled.platform.errors import UserError
from unlabeled.platform.evaluate.features import in_eval_mode
from unlabeled.platform.method import Batch, Example, Method, MethodConfig, StepResult

FIGURE_PX = 56  # at most, of the sides at which figures are coloured


class ColorProxyConfig(MethodConfig):
    """Defaults are the authors' first code's, but for the views.

    Attributes:
        views: one view of each image.
        places: R.
        bins: K.
        window_px: side of the window, odd.
        hidden: hidden units.
        hue: lambda.
    """

    name = "color-proxy"
    paper = "Larsson et al. 2017, arXiv:1703.04044"
    cost = 1.04
    num_views: ClassVar[int | None] = 1
    views: ViewPlan = one_view(Policy(ops=(Crop(area=(0.3, 1.0)), Flip())))
    places: int = Field(default=128, ge=1)
    bins: int = Field(default=32, ge=2)
    window_px: int = Field(default=7, ge=1)
    hidden: int = Field(default=1024, ge=1)
    hue: float = Field(default=5.0, ge=0.0)

    @classmethod
    def example(cls) -> Example:
        """Return a small run."""
        small = cls(views=one_view(SMALL), places=32, bins=8, window_px=3, hidden=32)
        return Example(method=small, data=DataConfig(name="emoji", train_images=256))

    def check(self, batch_size: int, workers: int, data: Data) -> None:
        """Raise UserError where the pictures are grey, or the window has no middle or no room."""
        check_colored(self.name, data.channels, data.name)
        px = self.views.views[0].output_px(data.image_px)
        if self.window_px % 2 == 0 or self.window_px > px:
            raise UserError(
                f"method.window_px {self.window_px} is not odd, or exceeds the views' {px} px; set it to 7 or less"
            )

    def make_encoder(self, config: EncoderConfig, shown: Format) -> Encoder:
        """Make the configured encoder for one channel, and let it see lightness."""
        pictures = taken(shown, PictureFormat, self.name)
        check_colored(self.name, pictures.channels, "this data set")
        return LabEncoder(config, pictures.image_px, "lightness")

    def build(self, encoder: Encoder, data: Data) -> "ColorProxy":
        """Make what tells histograms around an encoder."""
        assert isinstance(encoder, LabEncoder)
        return ColorProxy(self, encoder, self.views.views[0].output_px(data.image_px))


class ColorProxy(Method):
    """An encoder of lightness, and what tells hues and chromas from its hypercolumns."""

    cut = "per-sample"

    def __init__(self, config: ColorProxyConfig, encoder: LabEncoder, image_px: int) -> None:
        super().__init__(encoder)
        self.config = config
        part, lightness = encoder.seen(torch.zeros(1, 3, image_px, image_px))["lightness"]
        with in_eval_mode(encoder), torch.no_grad():
            width = hypercolumns(part, lightness, torch.zeros(1, 1, 2, dtype=torch.int64)).shape[2]
        self.tell = nn.Sequential(nn.Linear(width, config.hidden), nn.ReLU(), nn.Linear(config.hidden, 2 * config.bins))

    def forward(self, batch: Batch) -> StepResult:
        """Return the weighted divergences, and each alone."""
        (view,), config = batch.views, self.config
        edge = config.window_px // 2
        corner_BR2 = batch.draws.integers("places", view.shape[2] - 2 * edge, config.places, 2)  # y, x of the windows
        hue, chroma = hue_and_chroma(squares(view, corner_BR2, config.window_px)).flatten(3).unbind(2)  # [B, R, window]
        hue_logits, chroma_logits = self.told(rgb_to_lab(view), corner_BR2 + edge).chunk(2, dim=2)
        hue_BR = divergence(hue_logits, histogram(hue, config.bins))
        chroma_BR = divergence(chroma_logits, histogram(chroma, config.bins))
        weight_BR = config.hue * chroma[:, :, chroma.shape[2] // 2]
        loss = (chroma_BR + weight_BR * hue_BR).mean()
        logs = {"hue/nats": hue_BR, "chroma/nats": chroma_BR}
        return StepResult(loss=loss, logs={name: value.detach().mean() for name, value in logs.items()})

    def told(self, lab: Tensor, place_BR2: Tensor) -> Tensor:
        """Return logits of the histograms around places, [B, R, 2K]: of hues, then of chromas."""
        part, lightness = cast(LabEncoder, self.encoder).seen(lab)["lightness"]
        logits: Tensor = self.tell(hypercolumns(part, lightness, place_BR2))
        return logits

    def figures(self, batch: Batch) -> Mapping[str, Figure]:
        """Return the pictures, what the encoder sees of them, and that in the mean hue and chroma that it tells."""
        (images,) = batch.views
        lab, side = rgb_to_lab(images), min(FIGURE_PX, images.shape[2])
        line = (torch.arange(side, device=images.device) * 2 + 1) * images.shape[2] // (2 * side)
        places = torch.cartesian_prod(line, line).expand(len(images), -1, -1)
        hue_p, chroma_p = (
            each.float().softmax(dim=2).transpose(1, 2).reshape(len(images), -1, side, side)
            for each in self.told(lab, places).chunk(2, dim=2)
        )
        middle = ((torch.arange(self.config.bins, device=images.device) + 0.5) / self.config.bins).view(1, -1, 1, 1)
        y, x = ((hue_p * of(2.0 * math.pi * middle)).sum(dim=1) for of in (torch.sin, torch.cos))
        hue = torch.atan2(y, x) / (2.0 * math.pi) % 1.0
        grey = F.adaptive_avg_pool2d(images.mean(dim=1), side)
        rgb = colored(grey, hue, (chroma_p * middle).sum(dim=1))
        blank = lab_to_rgb(torch.cat([lab[:, :1], torch.zeros_like(lab[:, 1:])], dim=1))
        return {"colorization": Figure({"original": images, "lightness": blank, "colorized": rgb})}
