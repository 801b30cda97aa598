"""Fields drawn as small pictures: what is seen, what lies in it, and what is heard."""

import colorsys
import itertools
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from unlabeled.platform.data.source import IGNORED, Field

if TYPE_CHECKING:  # Pillow is loaded by what draws
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

Colour = tuple[int, int, int]
Pixels = npt.NDArray[np.uint8]
FONT_PX = 12

_COLOURS: tuple[Colour, ...] = (
    (230, 25, 75), (60, 180, 75), (255, 225, 25), (67, 99, 216), (245, 130, 49), (145, 30, 180),
    (70, 240, 240), (240, 50, 230), (170, 110, 40), (210, 245, 60), (250, 190, 212), (0, 128, 128),
)  # fmt: skip
_GREY: Colour = (110, 110, 110)
_SIDE = {"image": 256, "clip": 128}  # pixels of the page that a picture or a frame gets at most, if enlarged or shrunk
_GAP = 2
_WAVE_PX = (512, 96)  # width and height of each of the two pictures of a sound
_STFT, _STEP = 256, 64  # samples of a window of the spectrogram, and between two


def colour_of(number: int) -> Colour:
    """Return a colour for a class or a point: twelve that differ, and then each hue a golden section further."""
    if number < len(_COLOURS):
        return _COLOURS[number]
    red, green, blue = colorsys.hsv_to_rgb(number * 0.618034 % 1.0, 0.85 - 0.25 * (number // 8 % 2), 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def class_colour(field: Field, number: int) -> Colour:
    """Return a class's colour, the same in masks and boxes; grey for a mask's first where no box could have it."""
    if field.kind != "mask":
        return colour_of(number)
    return _GREY if number == 0 else colour_of(number - 1)


def tile(pixels: Tensor, kind: str) -> "Image":
    """Enlarge a picture, uint8 [C, H, W], by a whole number without smoothing, or shrink one that is too large."""
    from PIL import Image

    height, width = pixels.shape[-2:]
    made = Image.fromarray(np.ascontiguousarray(pixels.expand(3, -1, -1).permute(1, 2, 0).numpy()))
    by = scale_of(height, width, kind)
    size = max(1, round(width * by)), max(1, round(height * by))
    return made.resize(size, Image.Resampling.NEAREST if by >= 1 else Image.Resampling.BILINEAR)


def scale_of(height: int, width: int, kind: str) -> float:
    """Return how many pixels of the page a pixel gets: a whole number, or less than one."""
    by = _SIDE[kind] / max(height, width)
    return max(1, int(by)) if by >= 0.75 else by


def with_mask(pixels: Tensor, mask: Tensor, field: Field) -> Tensor:
    """Lay a mask's colours, uint8 [H, W], half over a picture, uint8 [C, H, W]; where nothing is told it is white."""
    colours = torch.full((IGNORED + 1, 3), 255, dtype=torch.int32)
    for number in range(min(len(field.classes), IGNORED)):
        colours[number] = torch.tensor(class_colour(field, number), dtype=torch.int32)
    painted = colours[mask.long()].permute(2, 0, 1)
    return ((pixels.expand(3, -1, -1).to(torch.int32) + 2 * painted) // 3).to(torch.uint8)


def draw_boxes(picture: "Image", boxes: Tensor, field: Field, by: float, *, named: bool) -> None:
    """Draw boxes [K, 5] on an enlarged picture; their edges lie on the outermost pixels that belong to them."""
    from PIL.ImageDraw import Draw

    pen = Draw(picture)
    for left, top, right, bottom, number in boxes[~boxes.isnan().any(dim=1)].tolist():
        colour = class_colour(field, int(number))
        edges = (round(left * by), round(top * by), round(right * by) - 1, round(bottom * by) - 1)
        pen.rectangle(edges, outline=colour, width=2)
        if named and int(number) < len(field.classes):
            _label(pen, field.classes[int(number)], (edges[0], edges[1]), colour, picture.size)


def draw_points(picture: "Image", points: Tensor, by: float) -> None:
    """Draw points [K, 2] on an enlarged picture, each in a colour of its own."""
    from PIL.ImageDraw import Draw

    pen = Draw(picture)
    radius = 3 if by >= 3 else 2
    for number, (x, y) in enumerate(points.tolist()):
        if x == x and y == y:  # not NaN: it is seen
            place = (x * by - radius, y * by - radius, x * by + radius, y * by + radius)
            pen.ellipse(place, fill=colour_of(number), outline="black")


def strip(pictures: Sequence["Image"]) -> "Image":
    """Put pictures beside each other."""
    from PIL import Image

    width = sum(picture.width + _GAP for picture in pictures) - _GAP
    made = Image.new("RGB", (width, max(picture.height for picture in pictures)), "white")
    left = 0
    for picture in pictures:
        made.paste(picture, (left, 0))
        left += picture.width + _GAP
    return made


def sound(wave: Tensor) -> "Image":
    """Draw a sound [C, S]: its wave, and beside it how loud which pitch is when, up to half its rate."""
    from PIL import Image

    mono = wave.mean(dim=0)
    return strip([Image.fromarray(_outline(mono)), Image.fromarray(_spectrogram(mono))])


def _outline(mono: Tensor) -> Pixels:
    width, height = _WAVE_PX
    edges = np.linspace(0, len(mono), width + 1).astype(np.int64)
    page = np.full((height, width, 3), 245, np.uint8)
    middle = (height - 1) / 2
    for column, (start, end) in enumerate(itertools.pairwise(edges.tolist())):
        part = mono[start : max(end, start + 1)]
        top, bottom = (int(middle - middle * float(edge)) for edge in (part.max(), part.min()))
        page[max(top, 0) : bottom + 1, column] = (40, 70, 160)
    return page


def _spectrogram(mono: Tensor) -> Pixels:
    from matplotlib import colormaps
    from PIL import Image

    window = min(_STFT, len(mono))
    power = torch.stft(mono, window, min(_STEP, window), window=torch.hann_window(window), return_complex=True).abs()
    loud = (20 * (power + 1e-5).log10()).clamp(min=-60)
    level = (loud - loud.min()) / (loud.max() - loud.min()).clamp(min=1e-6)
    pixels = np.uint8(255 * colormaps["magma"](level.flip(0).numpy())[..., :3])
    return np.asarray(Image.fromarray(pixels).resize(_WAVE_PX, Image.Resampling.BILINEAR))


def _label(pen: "ImageDraw", text: str, place: tuple[int, int], colour: Colour, within: tuple[int, int]) -> None:
    """Write a name into the upper left corner of a box, on its colour, and inside the picture."""
    font = font_of(10)
    left, _, right, bottom = pen.textbbox((0, 0), text, font=font)
    x, y = min(place[0], within[0] - int(right - left) - 4), min(place[1], within[1] - int(bottom) - 3)
    pen.rectangle((max(x, 0), y, max(x, 0) + right - left + 3, y + bottom + 2), fill=colour)
    ink = "black" if sum(colour) > 3 * _GREY[0] else "white"
    pen.text((max(x, 0) + 2, y), text, fill=ink, font=font)


def font_of(px: int) -> "FreeTypeFont":
    """Return a font that knows Greek and Cyrillic, too: matplotlib's, as Pillow's own knows Latin alone."""
    from PIL import ImageFont

    spec = find_spec("matplotlib")
    assert spec is not None
    assert spec.origin is not None
    return ImageFont.truetype(Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf", px)
