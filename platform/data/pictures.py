"""What all who open picture files share: errors that name the file, three channels, the centre square."""

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from unlabeled.platform.data.digests import shown, unreadable
from unlabeled.platform.errors import UserError


def check_picture(file: Path, content: bytes) -> tuple[int, int]:
    """Refuse what is no picture, or was cut off, before anything is trained on it.

    A whole JPEG or PNG is known by its end; only what has none is decoded here. Of other formats the head is read.

    Returns:
        Its height and width.

    Raises:
        UserError: it can't be read; it is named.
    """
    with picture_named(file), Image.open(io.BytesIO(content)) as picture:
        height_width = picture.height, picture.width
        end = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}.get(picture.format or "")
        if end is not None and end not in content[-64:]:
            picture.load()
        return height_width


@contextmanager
def picture_named(file: Path) -> Iterator[None]:
    """Turn what Pillow raises on a file that is no whole picture into one line that names it."""
    try:
        yield
    except (OSError, ValueError, EOFError, SyntaxError, struct.error, Image.DecompressionBombError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise unreadable(file, error) from error
        if isinstance(error, UnidentifiedImageError):  # whose own message names an object in memory
            is_empty = file.is_file() and file.stat().st_size == 0
            reason = "it is empty" if is_empty else "it is none, or of a kind that Pillow does not know"
        else:
            reason = (str(error).replace(str(file), "the file").splitlines() or [type(error).__name__])[0]
        raise UserError(f"can't read the picture {shown(file)}: {reason}; repair it or take it out") from error


def three_channels(picture: Image.Image) -> Image.Image:
    """Return a picture of any mode as RGB.

    Raises:
        ValueError: its pixels are floating-point numbers.
    """
    if picture.mode == "F":
        raise ValueError("its pixels are floating-point numbers of unknown range; save it with 8 or 16 bits")
    if picture.mode.startswith("I"):  # 16 bits, which convert() would clip at 255
        high_byte = np.asarray(picture).astype(np.int64) >> 8
        return Image.fromarray(high_byte.clip(0, 255).astype(np.uint8)).convert("RGB")
    if "A" in picture.mode or "a" in picture.mode or "transparency" in picture.info:
        return on_white(picture)
    return picture.convert("RGB")


def on_white(picture: Image.Image) -> Image.Image:
    """Return the picture as RGB, pasted on white where it is transparent."""
    white = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(white, picture.convert("RGBA")).convert("RGB")


def centre_box(width: int, height: int) -> tuple[float, float, float, float]:
    """Return the left, top, right and bottom edge of a picture's centre square, in its pixels."""
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


def squares_of(sizes: Tensor) -> Tensor:
    """Return the centre squares of pictures of these heights and widths [N, 2]: top, left, height, width, float64."""
    side = sizes.amin(dim=1, keepdim=True).double()
    return torch.cat(((sizes - side) / 2, side, side), dim=1)


def centre_square(picture: Image.Image, px: int) -> npt.NDArray[np.uint8]:
    """Return a picture's centre square, resized to uint8 [px, px, 3], or [px, px] of a grey one."""
    box = centre_box(*picture.size)  # resizing this alone is resizing all and cutting, at less work
    return np.asarray(picture.resize((px, px), Image.Resampling.BILINEAR, box=box))


def square(file: Path, opened: Path | io.BytesIO, px: int) -> npt.NDArray[np.uint8]:
    """Decode a picture's centre square, resized to uint8 [3, px, px].

    Args:
        file: that it is, for errors.
        opened: what it is read from.
        px: of the square.

    Raises:
        UserError: it can't be read.
    """
    with picture_named(file), Image.open(opened) as picture:
        # A JPEG is decoded at a fraction of its size where that leaves twice what is needed, the gap that
        # Pillow's own thumbnail() takes by default.
        picture.draft(None, (2 * px, 2 * px))
        return np.ascontiguousarray(centre_square(three_channels(picture), px).transpose(2, 0, 1))
