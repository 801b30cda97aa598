"""PixelCNN: tell each number of a picture from those before it, and from a code of the whole.

Van den Oord, Kalchbrenner, Vinyals, Espeholt, Graves, Kavukcuoglu (2016), "Conditional Image Generation with PixelCNN
Decoders", arXiv:1606.05328. Pixels come row by row, and in each red, green, blue. With h = V f(x), of an encoder f:

    p(x|h) = prod_i p(x_i | x_1 .. x_i-1, h)                                        (eq. 3)
    loss = -log p(x|h), a mean over numbers, each being one of so many levels
    y = tanh(W_f * x + V_f * s) sigmoid(W_g * x + V_g * s), of each gated layer     (eq. 5; eq. 4 where s is h)

It is the auto-encoder of sec. 2.4: what can be told from the numbers before, the code need not tell, so that it keeps
what they don't show. Layers are gated, in two stacks (sec. 2.1, 2.2, figure 2): a vertical one that sees the rows above
whole, and a horizontal one that sees the row so far and is told of the other: together all that is before, without the
blind spot of one masked convolution after another. See :mod:`gated`. A deconvolution s = m(h) says what is where; else
every place is told the same h.

``pixels/bits_given_code`` is the loss in bits: no bound on the likelihood, for the code itself costs nothing.

Shapes: B images per worker, C channels, H a picture's side, L levels, W width.

Differs from the paper: the encoder is any, with a linear layer to h; nothing weighs h down (nor there); a lesser number
of levels can be told instead of 256.
"""

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from unlabeled.methods.autoregressive.gated import GatedStacks
from unlabeled.methods.losses.numerics import in_full_precision
from unlabeled.methods.parts import decoder, one_view
from unlabeled.platform.augment import PLAIN, ViewPlan
from unlabeled.platform.augment.figure import Figure
from unlabeled.platform.data import Data
from unlabeled.platform.encoder import Encoder
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Batch, Example, Method, MethodConfig, StepResult

cross_entropy = in_full_precision(F.cross_entropy)


class PixelCNNConfig(MethodConfig):
    """Defaults are the paper's of ImageNet at 32 px, and its larger code.

    Attributes:
        views: the only view of each image.
        code: numbers of h.
        located: whether places are told what is there, by a deconvolution of h, or all the same.
        levels: L, of a channel.
        depth: gated layers.
        width: W of each, of all channels together.
        kernel_px: n, side of what a layer looks at, were it not masked.
    """

    name = "pixelcnn"
    paper = "van den Oord et al. 2016, arXiv:1606.05328"
    cost = 4.89
    num_views: ClassVar[int | None] = 1
    views: ViewPlan = one_view(PLAIN)
    code: int = Field(default=100, ge=1)
    located: bool = True
    levels: int = Field(default=256, ge=2, le=256)
    depth: int = Field(default=20, ge=1)
    width: int = Field(default=384, ge=3)
    kernel_px: int = Field(default=5, ge=3)

    @classmethod
    def example(cls) -> Example:
        """Return a small run."""
        small = cls(code=16, levels=8, depth=2, width=8, kernel_px=3)
        return Example(method=small, others={"same everywhere": small.with_field("located", False)})

    def check(self, batch_size: int, workers: int, data: Data) -> None:
        """Raise UserError where a layer has no middle, or its width is not to be shared by the channels."""
        if self.kernel_px % 2 == 0:
            raise UserError(f"method.kernel_px {self.kernel_px} has no middle; set {self.kernel_px + 1}")
        if self.width % data.channels:
            raise UserError(
                f"method.width {self.width} is shared by {data.channels} channels, and does not divide by them; "
                f"set {self.width + -self.width % data.channels}"
            )

    def build(self, encoder: Encoder, data: Data) -> "PixelCNN":
        """Make the code and the stacks on an encoder."""
        return PixelCNN(self, encoder, data.channels, self.views.views[0].output_px(data.image_px))


class PixelCNN(Method):
    """An encoder, and a decoder that tells numbers one after another."""

    cut = "per-sample"

    def __init__(self, config: PixelCNNConfig, encoder: Encoder, channels: int, px: int) -> None:
        super().__init__(encoder)
        self.config, width, told = config, config.width, config.width if config.located else config.code
        self.code = nn.Linear(encoder.dim, config.code)
        self.places = (
            decoder(config.code, width, px, max(width, 32)) if config.located else nn.Unflatten(1, (told, 1, 1))
        )
        self.stacks = GatedStacks(channels, config.levels, told, width, config.depth, config.kernel_px)

    def forward(self, batch: Batch) -> StepResult:
        """Return the cross-entropy of all numbers."""
        (x,) = batch.views
        level = self.quantised(x)
        loss = cross_entropy(self.stacks(self.scaled(level, x), self.told(x)), level)
        return StepResult(loss=loss, logs={"pixels/bits_given_code": loss.detach() / math.log(2)})

    def told(self, x: Tensor) -> Tensor:
        """Return what the codes of pictures say of places, [B, S, H, H] or [B, S, 1, 1]."""
        made: Tensor = self.places(self.code(self.encoder(x)))
        return made[:, :, : x.shape[2], : x.shape[3]]

    def quantised(self, x: Tensor) -> Tensor:
        """Return the level of each number, int64 [B, C, H, H]."""
        return (x * self.config.levels).long().clamp(0, self.config.levels - 1)

    def scaled(self, level: Tensor, like: Tensor) -> Tensor:
        """Return levels as numbers in [-1, 1]."""
        return level.to(like.dtype) * (2.0 / (self.config.levels - 1)) - 1.0

    def layers(self) -> Mapping[str, nn.Module]:
        """Return the code."""
        return {"code": nn.Sequential(self.encoder, self.code)}

    def figures(self, batch: Batch) -> Mapping[str, Figure]:
        """Return pictures, and their lower halves painted: by their own code, and by another picture's."""
        (x,) = batch.views
        top, told = x.shape[2] // 2, self.told(x)
        chance = batch.draws.uniform("paint", *x.shape[1:]).repeat(2, 1, 1, 1)
        painted = self.paint(x.repeat(2, 1, 1, 1), torch.cat([told, told.roll(1, dims=0)]), chance, top)
        own, other = painted.chunk(2)
        upper = x.clone()
        upper[:, :, top:] = 0.5
        columns = {"picture": x, "upper half": upper, "by its code": own, "by the code above": other}
        return {"painted": Figure(columns)}

    def paint(self, x: Tensor, told: Tensor, chance: Tensor, top: int) -> Tensor:
        """Draw all rows from ``top`` on, number by number, by what is told and chances in [0, 1); those above are kept.

        A row is told from no more rows than the stacks see, so that no more of them are computed.
        """
        drawn = self.scaled(self.quantised(x), x)
        for row in range(top, x.shape[2]):
            seen = slice(max(0, row - self.stacks.reach), row + 1)
            here = told[:, :, seen] if self.config.located else told
            for column in range(x.shape[3]):
                for channel in range(x.shape[1]):
                    logits = self.stacks(drawn[:, :, seen], here, last_row=True)[:, :, channel, 0, column]
                    below = logits.float().softmax(dim=1).cumsum(dim=1) <= chance[:, channel, row, column, None]
                    level = below.sum(dim=1).clamp_max(self.config.levels - 1)
                    drawn[:, channel, row, column] = self.scaled(level, x)
        return (drawn + 1.0) / 2.0
