"""Pictures as uint8, fetched by index. Normalising and augmenting happen later, on the batch's own device.

What is read is the same to the last bit on every processor: arrays and files are resized by Pillow, in whole numbers
(:mod:`unlabeled.platform.data.resize`), and JPEGs are decoded by the whole-number method that libjpeg has by default.
"""

import io
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from unlabeled.platform.data.digests import shown, unreadable
from unlabeled.platform.data.resize import resized
from unlabeled.platform.data.source import CHUNK, Field, Source, in_threads
from unlabeled.platform.errors import UserError


@final
class ArrayImages(Source):
    """Pictures in memory, as the field ``image``. Parts share one array, also when they are pickled together."""

    def __init__(self, array: npt.NDArray[Any], image_px: int | None = None) -> None:
        """Take uint8 [N, C, H, H]; what is read is resized to ``image_px`` when it is given.

        Raises:
            ValueError: the array is no such pictures.
        """
        if (
            array.dtype != np.uint8
            or array.ndim != 4
            or array.shape[1] not in (1, 3)
            or array.shape[2] != array.shape[3]
        ):
            raise ValueError(f"pictures must be uint8 [N, 1 or 3, H, H], not {array.dtype} {list(array.shape)}")
        self._px = image_px or int(array.shape[2])
        self.fields = _images_of(int(array.shape[1]), self._px)
        self._array = array  # stays numpy: Ray's object store shares it between processes without a copy
        self._index = torch.arange(len(array))

    def __len__(self) -> int:
        return len(self._index)

    def is_in_memory(self, field: str) -> bool:
        """Tell that pictures are read at the cost of a copy, unless they are resized."""
        self.check_has(field)
        return bool(self._px == self._array.shape[2])

    def read(self, index: Tensor, field: str) -> Tensor:
        """Return pictures ``index`` as uint8 [B, C, image_px, image_px], resized with antialiasing if need be."""
        self.check_has(field)
        return resized(self._pixels(index), self._px)

    def take(self, rows: Tensor) -> "ArrayImages":
        """Return the pictures ``rows`` in that order, on the same array."""
        part = object.__new__(ArrayImages)
        part.fields, part._px, part._array, part._index = self.fields, self._px, self._array, self._index[rows]
        return part

    def sample(self, field: str) -> Iterator[Tensor]:
        """Yield all pictures at their own size."""
        self.check_has(field)
        return (self._pixels(index) for index in torch.split(self.rows, CHUNK))

    def _pixels(self, index: Tensor) -> Tensor:
        return torch.from_numpy(self._array.take(self._index[index].numpy(), axis=0))


@final
class FileImages(Source):
    """Picture files, decoded when they are read, always as three channels: the field ``image``.

    A picture's shorter side is resized to ``image_px`` and the centre square cut out; random crops are then drawn
    within that square, not within the whole picture. Grey becomes three equal channels, what is transparent becomes
    white, 16 bits become 8, and of an animation the first frame is taken. EXIF orientation is ignored, as torchvision
    does.

    Attributes:
        folder: that they lie in.
        paths: of each, below it.
    """

    def __init__(self, folder: Path, paths: Sequence[str], image_px: int) -> None:
        """Take files by their paths below ``folder``."""
        self.folder, self.paths, self._px = folder, tuple(paths), image_px
        self.fields = _images_of(3, image_px)

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, index: Tensor, field: str) -> Tensor:
        """Decode pictures ``index`` to uint8 [B, 3, image_px, image_px], on as many threads as torch may use.

        Raises:
            UserError: a picture can't be read; it is named.
        """
        self.check_has(field)
        files = [self.folder / self.paths[i] for i in index.tolist()]
        x = torch.empty(len(files), 3, self._px, self._px, dtype=torch.uint8)
        for row, pixels in enumerate(in_threads(self._decode, files)):
            x[row] = torch.from_numpy(pixels)
        return x

    def take(self, rows: Tensor) -> "FileImages":
        """Return the pictures ``rows`` in that order."""
        return FileImages(self.folder, [self.paths[i] for i in rows.tolist()], self._px)

    def _decode(self, file: Path) -> npt.NDArray[np.uint8]:
        with picture_named(file), Image.open(file) as picture:
            # A JPEG is decoded at a fraction of its size where that leaves twice what is needed, the gap that
            # Pillow's own thumbnail() takes by default.
            picture.draft(None, (2 * self._px, 2 * self._px))
            return np.ascontiguousarray(centre_square(three_channels(picture), self._px).transpose(2, 0, 1))


def _images_of(channels: int, px: int) -> dict[str, Field]:
    return {"image": Field(kind="image", shape=(channels, px, px))}


def check_picture(file: Path, content: bytes) -> None:
    """Refuse what is no picture, or was cut off, before anything is trained on it.

    A whole JPEG or PNG is known by its end; only what has none is decoded here. Of other formats the head is read.

    Raises:
        UserError: it can't be read; it is named.
    """
    with picture_named(file), Image.open(io.BytesIO(content)) as picture:
        end = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}.get(picture.format or "")
        if end is not None and end not in content[-64:]:
            picture.load()


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


def centre_square(picture: Image.Image, px: int) -> npt.NDArray[np.uint8]:
    """Return a picture's centre square, resized to uint8 [px, px, 3], or [px, px] of a grey one."""
    box = centre_box(*picture.size)  # resizing this alone is resizing all and cutting, at less work
    return np.asarray(picture.resize((px, px), Image.Resampling.BILINEAR, box=box))
