"""Mel-frequency cepstral coefficients: what speech was recognised by before features were learned; nothing to train.

Davis, Mermelstein (1980), "Comparison of Parametric Representations for Monosyllabic Word Recognition in Continuously
Spoken Sentences", IEEE Transactions on Acoustics, Speech, and Signal Processing 28(4). Of each short frame: the power
of its spectrum, in bands that are equally wide in mel; their logarithms; and the first coefficients of the cosine
transform of these. No emphasis of high frequencies before, no lifter behind, no differences in time.

Shapes: B sounds, C channels, S samples, t frames, n samples of a frame, m bands, k coefficients.
"""

import math

import torch
from pydantic import Field, model_validator
from torch import Tensor

from unlabeled.platform.data import Format, WaveFormat
from unlabeled.platform.data.format import taken
from unlabeled.platform.encoder.config import EncoderConfig
from unlabeled.platform.encoder.encoder import Maps, StandardisingEncoder
from unlabeled.platform.errors import UserError

_FLOOR = 1e-8  # of a band's energy, before its logarithm: silence stays finite


class MFCCConfig(EncoderConfig):
    """An :class:`MFCC`.

    Attributes:
        coefficients: k, of which the first is the loudness.
        bands: m, triangles from 0 to half the rate.
        window_seconds: length of a frame.
        hop_seconds: from one frame to the next.
    """

    name = "mfcc"
    coefficients: int = Field(default=13, ge=1)
    bands: int = Field(default=40, ge=2)
    window_seconds: float = Field(default=0.025, gt=0.0)
    hop_seconds: float = Field(default=0.01, gt=0.0)

    @model_validator(mode="after")
    def _no_more_coefficients_than_bands(self) -> "MFCCConfig":
        if self.coefficients > self.bands:
            raise ValueError(f"{self.bands} bands give at most as many coefficients, got {self.coefficients}")
        return self

    def build(self, shown: Format) -> "MFCC":
        """Make it; UserError where a sound is shorter than a frame, or a frame too short for so many bands."""
        return MFCC(taken(shown, WaveFormat, self.called), self)


class MFCC(StandardisingEncoder):
    """Mel-frequency cepstral coefficients of the mean of a sound's channels; it has no parameters.

    Attributes:
        window: how many samples a frame has.
        stride: samples from one frame to the next.
    """

    hann_n: Tensor
    bands_fm: Tensor
    cosines_mk: Tensor

    def __init__(self, sounds: WaveFormat, config: MFCCConfig) -> None:
        super().__init__(sounds, dim=config.coefficients)
        self.window = max(2, round(config.window_seconds * sounds.rate))
        self.stride = max(1, round(config.hop_seconds * sounds.rate))
        if sounds.num_samples < self.window:
            raise UserError(
                f"the encoder {config.name} looks at {self.window} samples at a time, and sounds here have "
                f"{sounds.num_samples}; take longer ones, or a smaller encoder.window_seconds"
            )
        self.length = 2 ** math.ceil(math.log2(self.window))
        bands_fm = mel_bands(config.bands, self.length, sounds.rate)
        if empty := int((bands_fm.sum(dim=0) == 0.0).sum()):
            raise UserError(
                f"{empty} of encoder.bands {config.bands} fall between the frequencies of {self.length} samples at "
                f"{sounds.rate:g} Hz; use fewer, or a larger encoder.window_seconds"
            )
        self.register_buffer("hann_n", torch.hann_window(self.window))
        self.register_buffer("bands_fm", bands_fm)
        self.register_buffer("cosines_mk", cosines(config.bands)[:, : config.coefficients])

    def maps(self, x: Tensor) -> Maps:
        """Return the coefficients of each frame, [B, k, t], and their mean as the features."""
        with torch.autocast("cpu" if x.is_meta else x.device.type, enabled=False):
            frames_Btn = self.standardise(x).mean(dim=1).unfold(1, self.window, self.stride) * self.hann_n
            power_Btf = torch.fft.rfft(frames_Btn, n=self.length).abs().square()
            grid = ((power_Btf @ self.bands_fm).clamp_min(_FLOOR).log() @ self.cosines_mk).transpose(1, 2)
        return Maps.of_grid(grid.mean(dim=2), grid)


def mel_bands(bands: int, length: int, rate: float) -> Tensor:
    """Return how much of each frequency each band gets, [length // 2 + 1, bands]: triangles of height 1.

    Their corners are equally far in mel, 2595 log10(1 + f / 700), from 0 to half the rate (O'Shaughnessy 1987).
    """
    highest = 2595.0 * math.log10(1.0 + rate / 2.0 / 700.0)
    mel = torch.linspace(0.0, highest, bands + 2, dtype=torch.float64, device="cpu")  # in a build on meta too
    corner = 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
    frequency_f1 = (torch.arange(length // 2 + 1, dtype=torch.float64, device="cpu") * rate / length)[:, None]
    low, centre, high = corner[:-2], corner[1:-1], corner[2:]
    up, down = (frequency_f1 - low) / (centre - low), (high - frequency_f1) / (high - centre)
    return torch.minimum(up, down).clamp_min(0.0).float()


def cosines(count: int) -> Tensor:
    """Return the orthonormal matrix [count, count] of the cosine transform of the second kind, for rows."""
    place_m1 = torch.arange(count, dtype=torch.float64)[:, None] + 0.5
    made = torch.cos(math.pi / count * place_m1 * torch.arange(count)) * math.sqrt(2.0 / count)
    made[:, 0] /= math.sqrt(2.0)
    return made.float()
