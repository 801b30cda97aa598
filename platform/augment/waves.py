"""Augmentations of sounds: float32 [B, C, S] in [-1, 1], all channels alike. Which part is heard, a moment says.

Such operations on the waveform are what Kharitonov et al. (2020), arXiv:2007.00991, add to CPC.
"""

from abc import ABC
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from unlabeled.platform.augment.op import Augmentation, Extent, FractionRange, Range, between, span
from unlabeled.platform.draws import Draws
from unlabeled.platform.settings import Variant


class WaveOp(Augmentation, Variant, ABC):
    """One augmentation of sounds. Abstract."""

    group = "unlabeled.wave_ops"


class Gain(WaveOp):
    """Make louder or softer; what gets beyond -1 or 1 is clipped."""

    name: ClassVar[str] = "gain"

    decibels: Range = (-12.0, 0.0)

    def parameters(self, extent: Extent, draws: Draws) -> tuple[Tensor]:
        """Draw factors of the amplitude: float32 [B], uniform in decibels."""
        return (torch.pow(10.0, between(draws.uniform("decibels"), self.decibels) / 20.0),)

    def apply(self, items: Tensor, *parameters: Tensor) -> Tensor:
        """Multiply every sound by its factor."""
        (factor_B,) = parameters
        return (items * factor_B[:, None, None]).clamp_(-1.0, 1.0)

    def details(self) -> tuple[str, ...]:
        """Return the range."""
        return (f"{span(self.decibels)} dB",)


class WaveNoise(WaveOp):
    """Add white noise, so much weaker than the sound (its mean square) as the ratio says; silence stays silent."""

    name: ClassVar[str] = "wave-noise"

    decibels: Range = (10.0, 30.0)  # signal to noise

    def parameters(self, extent: Extent, draws: Draws) -> tuple[Tensor, Tensor]:
        """Draw the noise's amplitude beside the sound's, float32 [B], and standard normal noise, float32 [B, C, S]."""
        (samples,) = extent.size
        assert isinstance(samples, int), "sounds of a batch are equally long"
        ratio_B = torch.pow(10.0, -between(draws.uniform("decibels"), self.decibels) / 20.0)
        return ratio_B, draws.normal("noise", extent.channels, samples)

    def apply(self, items: Tensor, *parameters: Tensor) -> Tensor:
        """Add the given noise, and clip to [-1, 1]."""
        ratio_B, noise = parameters
        loudness_B = items.square().mean(dim=(1, 2)).sqrt()
        return (items + noise * (ratio_B * loudness_B)[:, None, None]).clamp_(-1.0, 1.0)

    def details(self) -> tuple[str, ...]:
        """Return the range."""
        return (f"{span(self.decibels)} dB",)


class Polarity(WaveOp):
    """Change the sign, which nobody hears."""

    name: ClassVar[str] = "polarity"

    p: float = Field(default=0.5, ge=0.0, le=1.0)

    def parameters(self, extent: Extent, draws: Draws) -> tuple[Tensor, ...]:
        """Draw nothing: whether to change it is all there is."""
        return ()

    def apply(self, items: Tensor, *parameters: Tensor) -> Tensor:
        """Change every sound's sign."""
        return -items


class Reverse(WaveOp):
    """Play backwards."""

    name: ClassVar[str] = "reverse"

    p: float = Field(default=0.5, ge=0.0, le=1.0)

    def parameters(self, extent: Extent, draws: Draws) -> tuple[Tensor, ...]:
        """Draw nothing: whether to turn it round is all there is."""
        return ()

    def apply(self, items: Tensor, *parameters: Tensor) -> Tensor:
        """Turn every sound round in time."""
        return items.flip(-1)


class TimeMask(WaveOp):
    """Silence one stretch: SpecAugment's mask of time (Park et al. 2019, arXiv:1904.08779), on the waveform."""

    name: ClassVar[str] = "time-mask"

    length: FractionRange = (0.05, 0.2)  # of the stretch, as a fraction of the sound's

    def parameters(self, extent: Extent, draws: Draws) -> tuple[Tensor]:
        """Draw stretches: int64 [B, 2] of the first sample and how many; each lies in the sound."""
        samples_B = extent.sizes(draws.rows.device)[:, -1]
        length_B = (between(draws.uniform("length"), self.length).double() * samples_B).round().long()
        start_B = (draws.uniform("start").double() * (samples_B - length_B + 1)).long()
        return (torch.stack((start_B, length_B), dim=1),)

    def apply(self, items: Tensor, *parameters: Tensor) -> Tensor:
        """Silence the given stretches."""
        start_B, length_B = parameters[0].unbind(1)
        place_BS = torch.arange(items.shape[-1], device=items.device) - start_B[:, None]
        return items.masked_fill(((place_BS >= 0) & (place_BS < length_B[:, None]))[:, None], 0.0)

    def details(self) -> tuple[str, ...]:
        """Return the range of the length."""
        return (span(self.length),)
