"""Autoencoder: paint a picture again from its features alone; the denoising one, from those of a corrupted picture.

Vincent, Larochelle, Bengio, Manzagol (2008), "Extracting and Composing Robust Features with Denoising Autoencoders",
ICML; Vincent, Larochelle, Lajoie, Bengio, Manzagol (2010), "Stacked Denoising Autoencoders", JMLR 11. With encoder f,
decoder g and a picture x of d numbers in [0, 1], of which x~ ~ q(x~|x) is what the encoder sees and z = g(f(x~)):

- squared error: 1/d sum_k (x_k - z_k)^2, of pixels as the encoder standardises them, where g ends linearly;
- cross-entropy: -1/d sum_k x_k log z_k + (1 - x_k) log(1 - z_k), where g ends in a sigmoid.

The noises q: "masking" makes nu d of the numbers 0, as many in each picture; "salt-and-pepper" makes nu d of them 0 or
1, each by a fair coin; "gaussian" adds to all of them, with deviation sigma. Without noise x~ is x, and the bottleneck
alone keeps the network from copying.

Shapes: B images per worker, C channels, H a picture's side, D width of the code.

Differs from the papers:
- One encoder of any kind, trained at once. Theirs are fully connected layers, trained one after another.
- The decoder has transposed convolutions with batch norm and weights of its own; in 2008 they are the encoder's.
- Losses are means where the papers sum over a picture's numbers; none weighs more for having been destroyed.
"""

from collections.abc import Mapping
from typing import ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from unlabeled.methods.losses.numerics import in_full_precision
from unlabeled.methods.parts import decoder, one_view
from unlabeled.platform.augment import PLAIN, ViewPlan
from unlabeled.platform.augment.figure import Figure
from unlabeled.platform.data import Data
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import Encoder, StandardisingEncoder
from unlabeled.platform.method import Batch, Example, Method, MethodConfig, StepResult

squared_error = in_full_precision(F.mse_loss)
cross_entropy = in_full_precision(F.binary_cross_entropy_with_logits)


class AutoencoderConfig(MethodConfig):
    """Defaults are an autoencoder without noise, whose bottleneck are the encoder's features.

    Attributes:
        views: the only view of each image, which is painted again.
        noise: what the encoder's pictures are corrupted by.
        level: nu, or sigma in pixels of [0, 1]; None takes 0.25 where there is noise, one of those that 2008 tries.
        loss: how a painting is compared with the clean picture.
        bottleneck: D, width of a linear layer on the encoder's features; None takes these for the code.
        width: channels that the decoder starts with, and halves step by step.
    """

    name = "autoencoder"
    paper = "Vincent et al. 2008, ICML; 2010, JMLR 11"
    cost = 2.16
    num_views: ClassVar[int | None] = 1
    views: ViewPlan = one_view(PLAIN)
    noise: Literal["none", "masking", "salt-and-pepper", "gaussian"] = "none"
    level: float | None = Field(default=None, gt=0.0, le=1.0)
    loss: Literal["squared-error", "cross-entropy"] = "squared-error"
    bottleneck: int | None = Field(default=None, ge=1)
    width: int = Field(default=256, ge=8)

    @classmethod
    def example(cls) -> Example:
        """Return a small run."""
        noises = {"masking": "squared-error", "salt-and-pepper": "cross-entropy", "gaussian": "squared-error"}
        others = {noise: cls.checked(noise=noise, loss=loss, width=32) for noise, loss in noises.items()}
        return Example(method=cls(bottleneck=32, width=32), others=others)

    @model_validator(mode="after")
    def _a_level_belongs_to_noise(self) -> Self:
        if self.noise == "none" and self.level is not None:
            raise ValueError(f"level {self.level:g} is of noise, and noise is none; set noise, or leave level out")
        return self

    def build(self, encoder: Encoder, data: Data) -> "Autoencoder":
        """Make the decoder on an encoder."""
        assert isinstance(encoder, StandardisingEncoder)
        return Autoencoder(self, encoder, data.channels, self.views.views[0].output_px(data.image_px))


class Autoencoder(Method):
    """An encoder, and a decoder that paints what the encoder would have seen without the noise."""

    cut = "per-sample"
    encoder: StandardisingEncoder

    def __init__(self, config: AutoencoderConfig, encoder: StandardisingEncoder, channels: int, px: int) -> None:
        super().__init__(encoder)
        self.config, self.level, self.px = config, config.level or 0.25, px
        self.bottleneck = nn.Linear(encoder.dim, config.bottleneck) if config.bottleneck else nn.Identity()
        self.decoder = decoder(config.bottleneck or encoder.dim, channels, px, config.width)

    def forward(self, batch: Batch) -> StepResult:
        """Return the error of painting clean pictures from corrupted ones."""
        (view,) = batch.views
        painted, is_number = self.paint(self.corrupt(view, batch.draws)), self.config.loss == "cross-entropy"
        loss = cross_entropy(painted, view) if is_number else squared_error(painted, self.encoder.standardise(view))
        return StepResult(loss=loss, logs={"pixels/squared_error": squared_error(self.pixels(painted.detach()), view)})

    def corrupt(self, x: Tensor, draws: Draws) -> Tensor:
        """Return corrupted pictures, of which gaussian noise alone leaves [0, 1]."""
        if self.config.noise == "none":
            return x
        if self.config.noise == "gaussian":
            return x + self.level * draws.normal("noise", *x.shape[1:]).to(x.dtype)
        order = draws.permutation("destroyed", x[0].numel())  # of each picture's numbers; the first are destroyed
        destroyed = (order.argsort(dim=1) < round(self.level * order.shape[1])).view(x.shape)
        white = self.config.noise == "salt-and-pepper"
        return torch.where(destroyed, draws.integers("white", 1 + white, *x.shape[1:]).to(x.dtype), x)

    def paint(self, x: Tensor) -> Tensor:
        """Return what is made of [B, C, H, H]: standardised pixels, or logits of numbers in [0, 1]."""
        painted: Tensor = self.decoder(self.bottleneck(self.encoder(x)))[..., : self.px, : self.px]
        return painted

    def pixels(self, painted: Tensor) -> Tensor:
        """Return the pixels that :meth:`paint` stands for."""
        return painted.sigmoid() if self.config.loss == "cross-entropy" else self.encoder.pixels(painted)

    def layers(self) -> Mapping[str, nn.Module]:
        """Return the code, which is the encoder's output where there is no bottleneck of its own."""
        return {"code": nn.Sequential(self.encoder, self.bottleneck)}

    def figures(self, batch: Batch) -> Mapping[str, Figure]:
        """Return pictures, what the encoder sees of them, and what is made of that."""
        images = F.interpolate(batch.views[0], size=2 * [self.px], mode="bilinear", antialias=True)
        seen = self.corrupt(images, batch.draws)
        noisy = {} if self.config.noise == "none" else {"corrupted": seen}
        return {"reconstruction": Figure({"picture": images, **noisy, "reconstruction": self.pixels(self.paint(seen))})}
