"""Pixels are the same to the last bit on every processor: held to whole-number arithmetic, and to recorded digests.

Run under ``ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41`` too, which makes a machine compute like an older one.
"""

import hashlib
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from media import JPEG
from PIL import Image

from unlabeled.platform.data import ArrayImages, DataConfig, FileImages, load
from unlabeled.platform.data.channels import in_channels
from unlabeled.platform.data.resize import resized

BITS = 22  # of Pillow's weights


def pattern(*shape: int) -> np.ndarray:
    """Return pixels without neighbours that are alike, by a rule of whole numbers alone."""
    n = np.arange(np.prod(shape), dtype=np.uint64)
    return ((n * np.uint64(2654435761) + n * n // np.uint64(7)) >> np.uint64(9)).astype(np.uint8).reshape(shape)


def exact_weights(size_in: int, size_out: int) -> list[list[Fraction]]:
    """The triangle filter in fractions, pixel by pixel: its height is measured in halves of an output pixel's share."""
    rows = []
    for out in range(size_out):
        distances = [abs((2 * n + 1) * size_out - (2 * out + 1) * size_in) for n in range(size_in)]
        heights = [max(0, 2 * max(size_in, size_out) - distance) for distance in distances]
        rows.append([Fraction(height, sum(heights)) for height in heights])
    return rows


def resized_exactly(pixels: np.ndarray, px: int) -> np.ndarray:
    """Resize uint8 [..., H, W] along rows, then along columns, in whole numbers alone."""
    for axis in (-1, -2):
        fixed = [
            [(2 ** (BITS + 1) * w.numerator + w.denominator) // (2 * w.denominator) for w in row]
            for row in exact_weights(pixels.shape[axis], px)
        ]
        sums = np.moveaxis(pixels.astype(np.int64), axis, -1) @ np.array(fixed, dtype=np.int64).T
        pixels = np.moveaxis(((sums + 2 ** (BITS - 1)) >> BITS).clip(0, 255), -1, axis)
    return pixels.astype(np.uint8)


@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 32), (3, 21)])
@pytest.mark.parametrize("px", [1, 9, 14, 28, 32, 45])
def test_arrays_are_resized_in_whole_numbers(channels: int, size: int, px: int) -> None:
    array = pattern(5, channels, size, size)
    found = ArrayImages(array, image_px=px).read(torch.tensor([4, 0, 2]), "image")
    assert np.array_equal(found.numpy(), resized_exactly(array[[4, 0, 2]], px))


def test_many_pictures_are_resized_as_each_one_is() -> None:
    pixels = torch.from_numpy(pattern(150, 3, 12, 12))
    one_by_one = [
        np.asarray(Image.fromarray(plane).resize((9, 9), Image.Resampling.BILINEAR))
        for plane in pixels.view(-1, 12, 12).numpy()
    ]
    assert np.array_equal(resized(pixels, 9).view(-1, 9, 9).numpy(), np.stack(one_by_one))
    assert resized(pixels[:0], 9).shape == (0, 3, 9, 9)


def test_no_weight_is_so_near_a_tie_that_the_last_bit_of_a_double_decides() -> None:
    # Pillow works the weights out in float64, whose error, 22 bits up, stays below 1e-8; what remains is whole numbers.
    for size_in, size_out in ((28, 32), (32, 28), (96, 64), (64, 96), (375, 224), (33, 32), (127, 128)):
        different = {weight for row in exact_weights(size_in, size_out) for weight in row}
        assert min(abs((weight * 2**BITS) % 1 - Fraction(1, 2)) for weight in different) > Fraction(1, 10**7)


@pytest.mark.parametrize("px", [1, 20, 224])
def test_a_plain_colour_stays_as_it_is(px: int) -> None:
    plain = np.arange(256, dtype=np.uint8)[:, None, None, None] * np.ones((1, 1, 28, 28), np.uint8)
    assert np.array_equal(ArrayImages(plain, image_px=px).read(torch.arange(256), "image")[:, 0, 0, 0], np.arange(256))


def test_luminance_is_rounded_half_upwards_in_whole_numbers() -> None:
    colours = pattern(4, 3, 50, 50)
    red, green, blue = colours.astype(np.int64).transpose(1, 0, 2, 3)
    expected = (2989 * red + 5870 * green + 1140 * blue + 5000) // 10_000
    assert np.array_equal(in_channels(torch.from_numpy(colours), 1)[:, 0].numpy(), expected)
    tie = torch.tensor([5, 25, 70], dtype=torch.uint8).view(1, 3, 1, 1)
    assert 2989 * 5 + 5870 * 25 + 1140 * 70 == 241_495
    assert in_channels(tie, 1).item() == 24


def digest(pixels: torch.Tensor) -> str:
    assert pixels.dtype == torch.uint8
    return hashlib.sha256(str(tuple(pixels.shape)).encode() + pixels.numpy().tobytes()).hexdigest()[:16]


def test_arrays_have_the_recorded_pixels() -> None:
    every = torch.arange(6)
    grey, colour = pattern(6, 1, 28, 28), pattern(6, 3, 32, 32)
    found = {
        f"{len(array[0])} x {px}": digest(ArrayImages(array, image_px=px).read(every, "image"))
        for array in (grey, colour)
        for px in (14, 28, 32, 64)
    }
    found["grey"] = digest(in_channels(ArrayImages(colour, image_px=28).read(every, "image"), 1))
    assert found == {
        "1 x 14": "c209536baa6cda9e",
        "1 x 28": "fe78084d07d52ee5",
        "1 x 32": "a7c25a979de1856f",
        "1 x 64": "d91eec90143589b1",
        "3 x 14": "79db7030752ea319",
        "3 x 28": "94453ca95d291629",
        "3 x 32": "92e51d6c95460c23",
        "3 x 64": "dd369fbd9b9ec272",
        "grey": "ab3a5b8d70c00aae",
    }


def test_files_have_the_recorded_pixels(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(JPEG)
    Image.fromarray(pattern(37, 50, 3)).save(tmp_path / "colour.png")
    Image.fromarray(pattern(50, 37, 4)).save(tmp_path / "alpha.png")
    Image.fromarray(pattern(30, 41)).save(tmp_path / "grey.bmp")
    Image.fromarray(pattern(30, 41).astype(np.uint16) * 257).save(tmp_path / "deep.png")
    found = {
        f"{path.name} {px}": digest(FileImages(tmp_path, [path.name], px).read(torch.tensor([0]), "image"))
        for path in sorted(tmp_path.iterdir())
        for px in (8, 32)  # of the JPEG: decoded at half its size, and whole
    }
    assert found == {
        "alpha.png 8": "1f96c2c7ede67d0a",
        "alpha.png 32": "b8212f1532fe5bfa",
        "colour.png 8": "92768fea8865f93a",
        "colour.png 32": "b1eb08a2a0bb84e8",
        "deep.png 8": "4ace137522ebbba4",
        "deep.png 32": "ea8dd7532c33c51c",
        "grey.bmp 8": "4ace137522ebbba4",
        "grey.bmp 32": "ea8dd7532c33c51c",
        "photo.jpg 8": "d19b8c490ccb6a9b",
        "photo.jpg 32": "b79318f43743ce40",
    }


@pytest.mark.parametrize(
    ("name", "px", "recorded"),
    [
        ("fashion-mnist-12k", None, "328b89abea84fd9d"),
        ("emoji", None, "cc8886b304e3ed56"),
        ("emoji", 28, "5fbdbfa7c71e523f"),
    ],
)
def test_shipped_sets_have_the_recorded_pixels(name: str, px: int | None, recorded: str) -> None:
    assert digest(load(DataConfig(name=name, image_px=px)).test.read(torch.arange(500), "image")) == recorded
