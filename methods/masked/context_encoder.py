"""Context encoder: cut a hole into a picture and paint it from what surrounds it.

Pathak, Krahenbuhl, Donahue, Darrell, Efros (2016), "Context Encoders: Feature Learning by Inpainting",
arXiv:1604.07379. Encoder, channel-wise fully connected layer, decoder: sec. 3.1. Losses: eq. 1 to 3. Holes: sec. 3.3.

Shapes: B images per worker, C channels, H a picture's side, R a painting's (the hole's, or H), K blocks, N positions.

Differs from the paper: any encoder; batch norm in the decoder; no 7 px of overlap; blocks where its features were
learned with regions of random shape, which do as well (sec. 3.3); both players step at once, at one rate (theirs: in
turns, 10 to 1); eq. 2 to the letter (the authors' code: -log D(F)).
"""

from collections.abc import Mapping
from typing import ClassVar, Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from unlabeled.methods.adversarial import mistaken, sight
from unlabeled.methods.parts import SMALL, one_view
from unlabeled.platform.augment import Crop, Flip, Policy, ViewPlan
from unlabeled.platform.augment.figure import Figure
from unlabeled.platform.data import Data
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import Encoder, StandardisingEncoder
from unlabeled.platform.errors import UserError
from unlabeled.platform.evaluate.features import in_eval_mode
from unlabeled.platform.method import Batch, Example, Method, MethodConfig, StepResult

WEIGHTS = {"reconstruction": (1.0, 0.0), "adversarial": (0.0, 1.0), "joint": (0.999, 0.001)}  # lambda_rec, lambda_adv


class ContextEncoderConfig(MethodConfig):
    """Defaults are those of the paper's features: random holes (sec. 3.3), by reconstruction alone (sec. 5.2).

    Its inpainting is of the square in the middle, by the joint loss.

    Attributes:
        views: one view of each image.
        region: what is hidden: four random blocks, which may overlap, or the square in the middle.
        hole: side of that square, as a share of the picture's; the blocks are half as wide, a quarter of it each.
        loss: eq. 1, eq. 2, or both by eq. 3.
        width: channels that the decoder starts with, and halves step by step; the discriminator doubles a quarter.
    """

    name = "context-encoder"
    paper = "Pathak et al. 2016, arXiv:1604.07379"
    cost = 1.89
    num_views: ClassVar[int | None] = 1
    views: ViewPlan = one_view(Policy(ops=(Crop(area=(0.3, 1.0)), Flip())))
    region: Literal["centre", "blocks"] = "blocks"
    hole: float = Field(default=0.5, gt=0.0, lt=1.0)
    loss: Literal["reconstruction", "adversarial", "joint"] = "reconstruction"
    width: int = Field(default=256, ge=32)

    @classmethod
    def example(cls) -> Example:
        """Return a small run."""
        return Example(
            method=(blocks := cls(views=one_view(Policy(ops=(Flip(),))), region="blocks", width=32)),
            others={
                "joint": blocks.with_field("loss", "joint"),
                "adversarial": cls(views=one_view(SMALL), region="centre", width=32, loss="adversarial"),
            },
        )

    def check(self, batch_size: int, workers: int, data: Data) -> None:
        """Raise UserError where the hole is too small to paint, or leaves too little to paint it from."""
        side = round(self.hole * (px := self.views.views[0].output_px(data.image_px)))
        if not 4 <= side <= px - 2:
            raise UserError(f"method.hole {self.hole:g} is {side} px of {px}; set a share that makes 4 to {px - 2} px")

    def build(self, encoder: Encoder, data: Data) -> "ContextEncoder":
        """Make the painter around an encoder."""
        assert isinstance(encoder, StandardisingEncoder)
        return ContextEncoder(self, encoder, data.channels, self.views.views[0].output_px(data.image_px))


class ContextEncoder(Method):
    """An encoder, a decoder that paints what the encoder was not shown, and, if wanted, a discriminator."""

    cut = "per-sample"
    encoder: StandardisingEncoder

    def __init__(self, config: ContextEncoderConfig, encoder: StandardisingEncoder, channels: int, px: int) -> None:
        super().__init__(encoder)
        self.weight_rec, self.weight_adv = WEIGHTS[config.loss]
        self.centre, self.hole_px = config.region == "centre", round(config.hole * px)
        side = self.hole_px if self.centre else px
        self.decoder = decoder(encoder, channels, px, side, config.width)
        self.discriminator = None
        if self.weight_adv:
            seen, n = sight(channels, side, config.width // 4)
            self.discriminator = nn.Sequential(*seen, nn.Linear(n, 1))

    def forward(self, batch: Batch) -> StepResult:
        """Return eq. 3, or its part, and the discriminator's own loss: one backward serves both players."""
        (x,) = batch.views
        hidden = self.hidden(x, batch.draws)
        truth, painting = self.part(self.encoder.standardise(x)), self.paint(x, hidden)
        counts = self.part(hidden)
        square_B1RR = (painting - truth).square().mean(dim=1, keepdim=True)
        reconstruction = ((square_B1RR * counts).sum(dim=(1, 2, 3)) / counts.sum(dim=(1, 2, 3))).mean()  # eq. 1
        loss, logs = self.weight_rec * reconstruction, {"inpaint/reconstruction": reconstruction.detach()}
        if self.discriminator is not None:
            fixed = painting.detach()
            climbing = fixed + self.weight_adv * (fixed - painting)  # painting itself, with minus its weighed gradient
            real_B1, fake_B1 = self.discriminator(truth), self.discriminator(climbing)  # apart, for batch norm's sake
            loss = loss + mistaken(real_B1, fake_B1)  # eq. 2
            logs["inpaint/discriminator"] = torch.cat([real_B1 > 0.0, fake_B1 < 0.0]).float().mean()
        return StepResult(loss=loss, logs=logs)

    def hidden(self, x: Tensor, draws: Draws) -> Tensor:
        """Return which pixels are hidden, bool [B, 1, H, H]."""
        px, side = x.shape[-1], self.hole_px if self.centre else self.hole_px // 2
        corner_BK2 = torch.full((len(x), 1, 2), (px - side) // 2, device=x.device)
        if not self.centre:
            corner_BK2 = draws.integers("blocks", px - side + 1, 4, 2)
        from_corner_BK2H = torch.arange(px, device=x.device) - corner_BK2[..., None]
        row_BKH, column_BKH = ((from_corner_BK2H >= 0) & (from_corner_BK2H < side)).unbind(2)
        return (row_BKH[..., :, None] & column_BKH[..., None, :]).any(dim=1, keepdim=True)

    def part(self, x: Tensor) -> Tensor:
        """Cut out what is painted, [B, C, R, R]: the square in the middle; where blocks are hidden, everything."""
        start = (x.shape[-1] - self.hole_px) // 2
        return x[..., start : start + self.hole_px, start : start + self.hole_px] if self.centre else x

    def paint(self, x: Tensor, hidden: Tensor) -> Tensor:
        """Predict that part, standardised, from the pixels that are not hidden."""
        return cast(Tensor, self.decoder(self.encoder.maps(self.with_hole(x, hidden)).grid))

    def with_hole(self, x: Tensor, hidden: Tensor) -> Tensor:
        """Give hidden pixels the mean colour."""
        return torch.where(hidden, self.encoder.mean, x)

    def figures(self, batch: Batch) -> Mapping[str, Figure]:
        """Return pictures, with the hole, and with the hole painted."""
        (images,) = batch.views
        hidden, painted = self.hidden(images, batch.draws), images.clone()
        painting = self.encoder.pixels(self.paint(images, hidden))
        self.part(painted).copy_(torch.where(self.part(hidden), painting, self.part(images)))
        columns = {"original": images, "hole": self.with_hole(images, hidden), "inpainted": painted}
        return {"inpainting": Figure(columns)}


class ChannelwiseLinear(nn.Module):
    """Fully connected within each channel: [B, C, h, w] to the same, by a matrix [n, n] for each, n = h * w."""

    def __init__(self, channels: int, n: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels, n, n).uniform_(-(n**-0.5), n**-0.5))  # nn.Linear's start
        self.bias = nn.Parameter(torch.zeros(channels, n))

    def forward(self, x: Tensor) -> Tensor:
        """Let each position see all of its channel."""
        return (torch.einsum("bcn,cmn->bcm", x.flatten(2), self.weight) + self.bias).view(x.shape)


def decoder(encoder: Encoder, channels: int, px: int, side: int, width: int) -> nn.Module:
    """Make the way from the grid of pictures of ``px`` to a painting [B, channels, side, side]."""
    with torch.no_grad(), in_eval_mode(encoder):  # only to see the map's shape
        _, dim, h, w = encoder.maps(next(encoder.parameters()).new_zeros(1, channels, px, px)).grid.shape
    layers = [ChannelwiseLinear(dim, h * w), nn.Conv2d(dim, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    while 2 * h < side:
        layers += [nn.Upsample(scale_factor=2.0), nn.Conv2d(width, width // 2, 3, padding=1, bias=False)]
        layers += [nn.BatchNorm2d(width // 2), nn.ReLU()]
        h, width = 2 * h, width // 2
    return nn.Sequential(*layers, nn.Upsample(side), nn.Conv2d(width, channels, 3, padding=1))
