"""DDPM: tell the noise that was mixed into a picture, whatever its share; from noise alone, pictures come of that.

Ho, Jain, Abbeel (2020), "Denoising Diffusion Probabilistic Models", arXiv:2006.11239; the cosine schedule and sampling
in few steps are of Nichol, Dhariwal (2021), "Improved Denoising Diffusion Probabilistic Models", arXiv:2102.09672. For
pictures x_0 in [-1, 1], a step t uniform in 1 .. T and e ~ N(0, 1):

    x_t = sqrt(left_t) x_0 + sqrt(1 - left_t) e                 (eq. 4; left_t is the paper's alpha-bar_t)
    loss = |e - e_theta(x_t, t)|^2, a mean over numbers         (eq. 14, algorithm 1)

Sampling (algorithm 2) goes back from x_T ~ N(0, 1), by a copy of the network that follows its weights slowly.
``pixels/bits_per_dim`` is the bound on the likelihood, eq. 5, as the drawn steps estimate it. Probes read the encoder
with clean pictures; ``layers()`` has it and the decoder at ``probed`` steps (as arXiv:2303.09769 does).

Shapes: B images per worker, C channels, H a picture's side.

Differs from the paper:
- The down path is any encoder, which is not told the step: it sees how much noise there is. The up path is narrow,
  without attention or dropout, and is told. Beside its last block comes the noised picture itself; what the encoder's
  blocks made of it does not, so that whatever is not to be seen nearby has to be in the last grid.
- The last layer starts as any, not at 0. Samples have the posterior's variance (theirs: beta), in few steps.
"""

from collections.abc import Mapping
from typing import ClassVar, Self, cast

import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from unlabeled.methods.generative.denoiser import AtStep, Decoder
from unlabeled.methods.generative.diffusion import Schedule, bits_per_dim, clean, diffuse, sample, signal_left
from unlabeled.methods.losses.numerics import in_full_precision
from unlabeled.methods.parts import MomentumCopy, one_view
from unlabeled.platform.augment import Flip, Policy, ViewPlan
from unlabeled.platform.augment.figure import Figure
from unlabeled.platform.data import Data, Format, PictureFormat
from unlabeled.platform.data.format import taken
from unlabeled.platform.encoder import Encoder, EncoderConfig, ViT
from unlabeled.platform.evaluate.layers import Block
from unlabeled.platform.method import Batch, Example, Method, MethodConfig, StepResult

_squared_error = in_full_precision(F.mse_loss)


class DDPMConfig(MethodConfig):
    """Defaults are the paper's of CIFAR-10, but for the network.

    Attributes:
        views: the only view of each image.
        steps: T.
        schedule: how the noise grows.
        momentum: how much of its own weights the copy that paints keeps at each step.
        width: channels that the decoder starts with, and halves step by step.
        sample_steps: in how many steps figures are painted.
        probed: steps at which probes may read.
    """

    name = "ddpm"
    paper = "Ho et al. 2020, arXiv:2006.11239"
    cost = 6.33
    num_views: ClassVar[int | None] = 1
    views: ViewPlan = one_view(Policy(ops=(Flip(),)))
    steps: int = Field(default=1000, ge=2)
    schedule: Schedule = "linear"
    momentum: float = Field(default=0.9999, ge=0.0, le=1.0)
    width: int = Field(default=256, ge=16, multiple_of=8)
    sample_steps: int = Field(default=50, ge=1)
    probed: tuple[int, ...] = (10, 50, 200)

    @classmethod
    def example(cls) -> Example:
        """Return a small run."""
        small = cls.checked(width=32, momentum=0.98, steps=200, sample_steps=8, probed=(20,))
        return Example(
            method=small,
            learning={"epochs": 9, "batch_size": 32, "optimizer.learning_rate": 2e-3},
            others={"cosine": small.with_field("schedule", "cosine")},
        )

    @model_validator(mode="after")
    def _steps_are_of_the_schedule(self) -> Self:
        for name, each in (("sample_steps", self.sample_steps), *(("probed", step) for step in self.probed)):
            if not 1 <= each <= self.steps:
                raise ValueError(f"{name} {each} lies outside the schedule, whose steps are 1 to {self.steps}")
        return self

    def make_encoder(self, config: EncoderConfig, shown: Format) -> Encoder:
        """Make the configured encoder; a ViT's features are the mean over its patches, which the decoder reads."""
        encoder = super().make_encoder(config, taken(shown, PictureFormat, self.name))
        if isinstance(encoder, ViT) and encoder.model.global_pool == "token":
            encoder.model.global_pool = "avg"
        return encoder

    def build(self, encoder: Encoder, data: Data) -> "DDPM":
        """Make the decoder on an encoder, and the copy of both."""
        return DDPM(self, encoder, data.channels, self.views.views[0].output_px(data.image_px))


class DDPM(Method):
    """An encoder of noised pictures, a decoder to the noise, and the copy that paints."""

    cut = "per-sample"

    def __init__(self, config: DDPMConfig, encoder: Encoder, channels: int, px: int) -> None:
        super().__init__(encoder)
        self.config, self.shape = config, (channels, px, px)
        self.decoder = Decoder(encoder, channels, px, config.width)
        self.copy = MomentumCopy(nn.ModuleList([encoder, self.decoder]), config.momentum)

    def forward(self, batch: Batch) -> StepResult:
        """Return the squared error of the noise; log the bound, too."""
        x_0 = 2.0 * batch.views[0] - 1.0
        left, step_B = self.left(x_0), 1 + batch.draws.integers("step", self.config.steps)
        noise = batch.draws.normal("noise", *self.shape).to(x_0.dtype)
        x_t = diffuse(x_0, left[step_B], noise)
        share_B = (step_B / self.config.steps).to(x_0.dtype)
        predicted = self.decoder(self.encoder.maps((1.0 + x_t) / 2.0).grid, x_t, share_B)
        bits = bits_per_dim(x_0, x_t, noise, predicted.detach(), step_B, left)
        return StepResult(loss=_squared_error(predicted, noise), logs={"pixels/bits_per_dim": bits})

    def left(self, x: Tensor) -> Tensor:
        """Return alpha-bar of all steps, float64 [T + 1]."""
        return signal_left(self.config.schedule, self.config.steps, x.device)

    def after_step(self, progress: float) -> None:
        """Let the copy follow, batch norm's statistics at once."""
        self.copy.follow(buffers=True)

    def layers(self) -> Mapping[str, nn.Module]:
        """Return at each probed step the encoder's output and blocks, and the decoder's: "step50", "step50_up1"."""
        found: dict[str, nn.Module] = {}
        for step in self.config.probed:
            network = AtStep(self.encoder, self.decoder, self.config.schedule, step, self.config.steps)
            found |= {f"step{step}": network}
            found |= {f"step{step}_{name}": Block(network, name) for name in network.blocks()}
        return found

    def figures(self, batch: Batch) -> Mapping[str, Figure]:
        """Return noised pictures and what is taken for the clean ones; and how pictures come of noise."""
        encoder, decoder = cast(tuple[Encoder, Decoder], tuple(cast(nn.ModuleList, self.copy.twin)))
        x_0 = 2.0 * F.interpolate(batch.views[0], self.shape[1:], mode="bilinear", antialias=True) - 1.0
        left, noise = self.left(x_0), batch.draws.normal("noise", *self.shape).to(x_0.dtype)
        count, steps, denoised = self.config.sample_steps, self.config.steps, {"picture": x_0}

        def guess(x_t: Tensor, step: int) -> Tensor:
            share_B = x_t.new_full((len(x_t),), step / steps)
            told = decoder(encoder.maps((1.0 + x_t) / 2.0).grid, x_t, share_B)
            return clean(x_t, left[step].expand(len(x_t)), told).clamp(-1.0, 1.0)

        for step in (max(1, steps * percent // 100) for percent in (10, 30, 60)):
            x_t = diffuse(x_0, left[step].expand(len(x_0)), noise)
            denoised |= {f"step {step}": x_t, f"denoised from {step}": guess(x_t, step)}
        way = [steps * number // count for number in range(count, -1, -1)]
        painted = dict(zip(way, sample(guess, noise, way, left, batch.draws), strict=True))
        shown = {f"step {way[count * quarter // 4]}": painted[way[count * quarter // 4]] for quarter in range(5)}
        columns = ({title: (1.0 + x) / 2.0 for title, x in each.items()} for each in (denoised, shown))
        return dict(zip(("denoised", "samples"), map(Figure, columns), strict=True))
