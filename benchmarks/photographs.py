"""JPEGs to measure with that cost what photographs cost, made by a rule: nothing need be downloaded."""

from pathlib import Path

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 500, 375  # what most pictures of ImageNet have
QUALITY = 90  # with colours at half the size: 90 KB a picture here, 110 KB on average in ImageNet


def photographs(folder: Path, count: int) -> list[str]:
    """Write ``count`` pictures with a photograph's spectrum and a few hard edges; return their names."""
    names = []
    for number in range(count):
        chance = np.random.default_rng(number)
        light, *colours = (_clouds(chance) for _ in range(3))
        pixels = np.stack([light + 0.3 * colours[0], light, light + 0.3 * colours[1]], axis=2) * 50 + 120
        for _ in range(12):
            top, left = chance.integers(HEIGHT), chance.integers(WIDTH)
            height, width = chance.integers(10, 120, 2)
            pixels[top : top + height, left : left + width] += chance.normal(size=3) * 40
        names.append(f"{number:05}.jpg")
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / names[-1], quality=QUALITY)
    return names


def _clouds(chance: np.random.Generator) -> np.ndarray:
    """Return noise whose amplitude falls with frequency as in photographs, float64 [H, W], mean 0 and deviation 1."""
    vertical, horizontal = np.fft.fftfreq(HEIGHT)[:, None], np.fft.rfftfreq(WIDTH)[None]
    amplitude = 1 / np.maximum(np.hypot(vertical, horizontal), 1 / WIDTH) ** 1.2
    noise = np.fft.irfft2(np.fft.rfft2(chance.normal(size=(HEIGHT, WIDTH))) * amplitude, s=(HEIGHT, WIDTH))
    return np.asarray((noise - noise.mean()) / noise.std())
