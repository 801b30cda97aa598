"""The cepstrum against numpy's Fourier and scipy's cosine transform, and triangles that are drawn one by one."""

import numpy as np
import numpy.typing as npt
import pytest
import scipy.fft
import scipy.signal
import torch

from unlabeled.platform.data import WaveFormat
from unlabeled.platform.encoder import MFCC, MFCCConfig
from unlabeled.platform.errors import UserError

Array = npt.NDArray[np.float64]


def sounds(num_samples: int = 2000, channels: int = 1, rate: float = 16_000.0) -> WaveFormat:
    return WaveFormat(channels, num_samples, rate, (0.1, -0.2)[:channels], (0.5, 0.25)[:channels])


def by_hand(x: Array, rate: float, bands: int, coefficients: int) -> Array:
    """Return the coefficients [t, k] of one channel: 25 ms each 10 ms, padded to a power of two."""
    window, hop = round(0.025 * rate), round(0.01 * rate)
    length = 1 << (window - 1).bit_length()
    hann = scipy.signal.get_window("hann", window)
    power = [np.abs(np.fft.rfft(x[a : a + window] * hann, length)) ** 2 for a in range(0, len(x) - window + 1, hop)]
    corners = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + rate / 1400), bands + 2) / 2595) - 1)
    energy = np.zeros((len(power), bands))
    for moment, spectrum in enumerate(power):
        for number, amount in enumerate(spectrum):
            frequency = number * rate / length
            for band in range(bands):
                low, centre, high = corners[band : band + 3]
                if low < frequency <= centre:
                    energy[moment, band] += amount * (frequency - low) / (centre - low)
                elif centre < frequency < high:
                    energy[moment, band] += amount * (high - frequency) / (high - centre)
    made: Array = scipy.fft.dct(np.log(energy), type=2, norm="ortho", axis=1)[:, :coefficients]
    return made


@pytest.mark.parametrize(("rate", "bands", "coefficients"), [(16_000.0, 40, 13), (8_000.0, 20, 20)])
def test_coefficients_are_those_of_the_definition(rate: float, bands: int, coefficients: int) -> None:
    seconds = np.arange(2000) / rate
    waves = 0.4 * np.sin(2 * np.pi * 440 * seconds) + 0.1 * np.random.default_rng(0).standard_normal((2, 2000))
    encoder = MFCCConfig(bands=bands, coefficients=coefficients).build(sounds(rate=rate))
    made = encoder.maps(torch.from_numpy(waves[:, None].astype(np.float32)))
    assert made.grid.shape == (2, coefficients, 1 + (2000 - encoder.window) // encoder.stride)
    for number, wave in enumerate(waves):
        expected = by_hand((wave - 0.1) / 0.5, rate, bands, coefficients)
        np.testing.assert_allclose(made.grid[number].T.numpy(), expected, rtol=1e-3, atol=2e-3)
    torch.testing.assert_close(made.pooled, made.grid.mean(dim=2))
    torch.testing.assert_close(made.tokens, made.grid.transpose(1, 2))


def test_nothing_is_trained_and_silence_is_finite() -> None:
    encoder = MFCCConfig().build(sounds())
    assert isinstance(encoder, MFCC)
    assert not list(encoder.parameters())
    assert encoder(torch.full((1, 1, 2000), 0.1)).isfinite().all(), "which is 0 when it is standardised"


def test_twice_as_loud_moves_the_first_coefficient_alone() -> None:
    encoder = MFCCConfig().build(WaveFormat(1, 2000, 16_000.0, (0.0,), (1.0,)))
    x = torch.rand(1, 1, 2000, generator=torch.Generator().manual_seed(0)) - 0.5
    change = encoder(2 * x) - encoder(x)
    assert change[0, 0].item() == pytest.approx(np.log(4) * np.sqrt(40), rel=1e-4), "a constant, in every band"
    torch.testing.assert_close(change[0, 1:], torch.zeros(12), rtol=0.0, atol=1e-4)


def test_channels_are_mixed_and_bf16_is_not_used() -> None:
    encoder = MFCCConfig().build(sounds(channels=2))
    x = torch.rand(2, 2, 2000) - 0.5
    mixed = MFCCConfig().build(WaveFormat(1, 2000, 16_000.0, (0.0,), (1.0,)))
    expected = mixed(encoder.standardise(x).mean(dim=1, keepdim=True))
    torch.testing.assert_close(encoder(x), expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert encoder(x).dtype == torch.float32


@pytest.mark.parametrize(
    ("config", "shown", "message"),
    [
        (MFCCConfig(), sounds(399), "^the encoder mfcc looks at 400 samples at a time, and sounds here have 399; take"),
        (MFCCConfig(bands=200), sounds(), r"^\d+ of encoder.bands 200 fall between the frequencies of 512 samples at"),
    ],
)
def test_what_it_cannot_hear_is_one_clear_line(config: MFCCConfig, shown: WaveFormat, message: str) -> None:
    with pytest.raises(UserError, match=message):
        config.build(shown)


def test_more_coefficients_than_bands_are_one_clear_line() -> None:
    with pytest.raises(UserError, match="12 bands give at most as many coefficients, got 13"):
        MFCCConfig.checked(bands=12)
