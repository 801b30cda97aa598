"""Windows of picture files: a box of a picture as it is stored, decoded at the scale that suffices, and resized.

JPEGs are decoded by libjpeg-turbo through simplejpeg, which lets other threads run meanwhile; at a half, a quarter or
an eighth of their size where that leaves what the window needs; and only down to its last row. Their bits are those of
Pillow, which decodes all else. Most of the time goes into Huffman's code, which has to be read from the first row on,
whatever the scale: at an eighth, decoding still takes two thirds of the time, as it does in grey.

What is read is the same to the last bit on every processor: the method of decoding is libjpeg's default, in whole
numbers, whose SIMD code gives what its plain code does; boxes of whole pixels are resized by PyTorch's fixed-point
code for uint8 (weights of 16 bits, at most two levels from Pillow's), others by Pillow. Neither looks beyond the box.
"""

import functools
import io
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from unlabeled.platform.data.pictures import picture_named, three_channels
from unlabeled.platform.data.source import Window
from unlabeled.platform.data.threads import in_threads

WINDOWED = 2
"""The version of how pictures are read that can be read in windows; before it, crops were of the centre square."""

Box = tuple[float, float, float, float]
"""Top, left, height and width in pixels as stored."""

_SCALES = (8, 4, 2)  # that libjpeg-turbo decodes at faster than whole; the others it has are slower
_DIRECT = (0xC0, 0xC1, 0xC2)  # marker of a frame: baseline, extended or progressive, by Huffman's code
_MOST_PIXELS = 2**27  # what is larger is left to Pillow, which has a limit of its own
_MOST_KEPT = 2**25  # bytes, of a decoded picture, that a thread keeps
_kept = threading.local()


class _Frame(NamedTuple):
    """What a JPEG's head says.

    Attributes:
        place: where in the file its height stands.
        height: of the picture, in pixels.
        width: likewise.
        sampling: rows of pixels for a row of the coarsest channel.
    """

    place: int
    height: int
    width: int
    sampling: int


def each_cut(
    load: Callable[[int], tuple[Path, bytes]], items: Sequence[int], windows: Sequence[Window]
) -> list[Tensor]:
    """Return windows of some pictures, as :meth:`~unlabeled.platform.data.source.Source.read_windows` does.

    Args:
        load: returns an item's file, for errors, and that file's content.
        items: which.
        windows: of as many boxes each as there are items.
    """
    made = [torch.empty(len(items), 3, *window.size, dtype=torch.uint8) for window in windows]
    boxes = [window.boxes.tolist() for window in windows]

    def one(row: int) -> None:
        file, content = load(items[row])
        found = cut(file, content, [of[row] for of in boxes], [window.size for window in windows])
        for pixels, window in zip(found, made, strict=True):
            window[row] = torch.from_numpy(pixels)

    for _ in in_threads(one, range(len(items))):
        pass
    return made


def cut(file: Path, content: bytes, boxes: Sequence[Box], sizes: Sequence[tuple[int, int]]) -> list[npt.NDArray[Any]]:
    """Return windows of one picture; it is decoded once, at the scale that the most demanding of them leaves.

    Args:
        file: that it is, for errors.
        content: of the file.
        boxes: inside the picture.
        sizes: height and width of each window.

    Returns:
        For each box uint8 [3, height, width].

    Raises:
        UserError: it is no whole picture.
    """
    pixels, scale = decoded(file, content, boxes, sizes)
    return [_resized(pixels, box, scale, size) for box, size in zip(boxes, sizes, strict=True)]


def decoded(
    file: Path, content: bytes, boxes: Sequence[Box], sizes: Sequence[tuple[int, int]]
) -> tuple[npt.NDArray[np.uint8], int]:
    """Return the picture's rows down to the last that a box needs, uint8 [H, W, 3], and what they were divided by.

    What comes back may lie where the next picture that this thread decodes will lie.
    """
    scale = min(map(_scale, boxes, sizes))
    frame = _frame(content)
    if frame is not None and (decode := _fast_decoder()) is not None:
        bottom = max(top + height for top, _, height, _ in boxes)
        found = _rows(decode, content, frame, bottom, scale)
        if found is not None:
            return found, scale
    with picture_named(file), Image.open(io.BytesIO(content)) as picture:
        width, height = picture.size
        if picture.format in ("JPEG", "MPO"):
            picture.draft(None, (width // scale, height // scale))
        else:
            scale = 1
        pixels = np.array(three_channels(picture))  # a copy, which PyTorch may take for writable
        assert pixels.shape[:2] == (-(-height // scale), -(-width // scale))
        return pixels, scale


def _scale(box: Box, size: tuple[int, int]) -> int:
    """Return the largest number that a box's sides can be divided by without being smaller than its window."""
    _, _, height, width = box
    return next((each for each in _SCALES if height >= each * size[0] and width >= each * size[1]), 1)


def _rows(
    decode: Callable[..., npt.NDArray[np.uint8]], content: bytes, frame: _Frame, bottom: float, scale: int
) -> npt.NDArray[np.uint8] | None:
    """Decode the rows above ``bottom``; None where the file is not whole, or not as it should be."""
    block = 8 * frame.sampling
    # One more row of the coarsest channel: what lies between two of them is interpolated.
    rows = -(-int(bottom + 1 + frame.sampling * scale) // block) * block
    if rows < frame.height:
        # A decoder stops at the height that the head says, and passes over what is left.
        content = content[: frame.place] + rows.to_bytes(2, "big") + content[frame.place + 2 :]
    shape = (-(-min(rows, frame.height) // scale), -(-frame.width // scale))
    least = {} if scale == 1 else {"min_height": shape[0], "min_width": shape[1], "min_factor": scale}
    try:
        pixels = decode(content, "RGB", strict=False, buffer=_memory(3 * shape[0] * shape[1]), **least)
    except ValueError:
        return None
    return pixels if pixels.shape[:2] == shape else None


def _memory(size: int) -> npt.NDArray[np.uint8]:
    """Return uint8 [size] to decode to, on a thread always the same: fresh pages cost a quarter of decoding."""
    if size > _MOST_KEPT:
        return np.empty(size, np.uint8)
    if len(getattr(_kept, "memory", ())) < size:
        _kept.memory = np.empty(size, np.uint8)
    found: npt.NDArray[np.uint8] = _kept.memory[:size]
    return found


def _resized(pixels: npt.NDArray[np.uint8], box: Box, scale: int, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Resize a box of a picture that is there at ``1 / scale`` of its size: uint8 [3, height, width]."""
    top, left, height, width = (side / scale for side in box)
    bottom, right = min(top + height, pixels.shape[0]), min(left + width, pixels.shape[1])
    first, start = int(top), int(left)
    part = pixels[first : -int(-bottom // 1), start : -int(-right // 1)]
    if all(float(edge).is_integer() for edge in (top, left, bottom, right)):
        planes = torch.from_numpy(part).permute(2, 0, 1)[None]
        found = F.interpolate(planes, size, mode="bilinear", antialias=True)
        return np.ascontiguousarray(found[0].numpy())
    edges = (left - start, top - first, right - start, bottom - first)
    picture = Image.fromarray(part).resize((size[1], size[0]), Image.Resampling.BILINEAR, box=edges)
    return np.ascontiguousarray(np.asarray(picture).transpose(2, 0, 1))


def _frame(content: bytes) -> _Frame | None:
    """Find the frame of a whole JPEG of one or three channels; None of others, and of all that is not as usual."""
    if content[:2] != b"\xff\xd8" or b"\xff\xd9" not in content[-64:]:
        return None
    place = 2
    while place + 10 < len(content) and content[place] == 0xFF:
        marker = content[place + 1]
        if marker in _DIRECT:
            height, width = (int.from_bytes(content[place + at : place + at + 2], "big") for at in (5, 7))
            channels = content[place + 9]
            samplings = [content[place + 11 + 3 * number] & 15 for number in range(channels)]
            is_usual = content[place + 4] == 8 and channels in (1, 3) and 0 < height * width <= _MOST_PIXELS
            # The rows of one channel are in blocks of eight, whatever it says of its sampling.
            sampling = max(samplings) if channels == 3 else 1
            return _Frame(place + 5, height, width, sampling) if is_usual and sampling else None
        if not 0xC4 <= marker < 0xFF or marker == 0xDA:
            return None
        place += 2 + int.from_bytes(content[place + 2 : place + 4], "big")
    return None


@functools.cache
def _fast_decoder() -> Callable[..., npt.NDArray[np.uint8]] | None:
    """Return simplejpeg's decoder; None where it is not installed, and Pillow gives the same pixels more slowly."""
    try:
        from simplejpeg import decode_jpeg
    except ImportError:
        return None
    found: Callable[..., npt.NDArray[np.uint8]] = decode_jpeg
    return found
