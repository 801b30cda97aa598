"""Pictures as uint8, fetched by index. Normalising and augmenting happen later, on the batch's own device.

What is read is the same to the last bit on every processor: arrays and files are resized by Pillow, in whole numbers
(:mod:`unlabeled.platform.data.resize`), and JPEGs are decoded by the whole-number method that libjpeg has by default.
"""

import io
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from unlabeled.platform.data.pictures import picture_named, square
from unlabeled.platform.data.resize import resized
from unlabeled.platform.data.source import CHUNK, Field, Source, Window
from unlabeled.platform.data.threads import in_threads
from unlabeled.platform.data.windows import each_cut


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


class StoredImages(Source):
    """Pictures in files, decoded when they are read, always as three channels: the field ``image``. Abstract.

    Read whole, a picture's shorter side is resized to ``image_px`` and the centre square cut out. Windows are of all of
    it. Grey becomes three equal channels, what is transparent becomes white, 16 bits become 8, and of an animation the
    first frame is taken. EXIF orientation is ignored, as torchvision does.
    """

    def __init__(self, image_px: int) -> None:
        """Take the height and width that they are read at."""
        self.fields = _images_of(3, image_px)

    @abstractmethod
    def stored(self, item: int) -> tuple[Path, Path | io.BytesIO]:
        """Return what a picture is called, for errors, and what it is opened from; called on several threads.

        Args:
            item: one of what :meth:`items` gives.

        Raises:
            UserError: it can't be read.
        """

    def items(self, index: Tensor) -> list[int]:
        """Return what :meth:`stored` is asked for; called before that, on one thread."""
        return index.tolist()

    def read(self, index: Tensor, field: str) -> Tensor:
        """Decode pictures ``index`` to uint8 [B, 3, image_px, image_px], on as many threads as torch may use.

        Raises:
            UserError: a picture can't be read; it is named.
        """
        self.check_has(field)
        x = torch.empty(len(index), *self.fields[field].shape, dtype=torch.uint8)
        for row, pixels in enumerate(in_threads(self._square, self.items(index))):
            x[row] = torch.from_numpy(pixels)
        return x

    def read_windows(self, index: Tensor, field: str, windows: Sequence[Window]) -> list[Tensor]:
        """Decode and resize windows of pictures ``index``, uint8 [B, 3, height, width] each; in threads, as ``read``.

        Raises:
            UserError: a picture can't be read; it is named.
        """
        self.check_has(field)
        return each_cut(self._content, self.items(index), windows)

    def _square(self, item: int) -> npt.NDArray[np.uint8]:
        return square(*self.stored(item), self.fields["image"].shape[-1])

    def _content(self, item: int) -> tuple[Path, bytes]:
        file, opened = self.stored(item)
        with picture_named(file):
            return file, opened.read_bytes() if isinstance(opened, Path) else opened.getvalue()


@final
class FileImages(StoredImages):
    """Picture files; windows of them are read where their sizes are given.

    Attributes:
        folder: that they lie in.
        paths: of each, below it.
    """

    def __init__(self, folder: Path, paths: Sequence[str], image_px: int, sizes: Tensor | None = None) -> None:
        """Take files by their paths below ``folder``.

        Args:
            folder: that they lie in.
            paths: below it.
            image_px: height and width that they are read at.
            sizes: int64 [N, 2], their height and width as stored; None where only whole squares are read.
        """
        super().__init__(image_px)
        self.folder, self.paths, self._px, self._sizes = folder, tuple(paths), image_px, sizes

    def __len__(self) -> int:
        return len(self.paths)

    def extents(self, index: Tensor, field: str) -> Tensor | None:
        """Return the pictures' height and width as stored, int64 [B, 2]; None where no sizes were given."""
        self.check_has(field)
        return None if self._sizes is None else self._sizes[index]

    def files(self, index: Tensor, field: str) -> list[str]:
        """Return the pictures' paths."""
        self.check_has(field)
        return [str(self.folder / self.paths[item]) for item in index.tolist()]

    def stored(self, item: int) -> tuple[Path, Path]:
        """Return a picture's file."""
        file = self.folder / self.paths[item]
        return file, file

    def take(self, rows: Tensor) -> "FileImages":
        """Return the pictures ``rows`` in that order."""
        sizes = None if self._sizes is None else self._sizes[rows]
        return FileImages(self.folder, [self.paths[i] for i in rows.tolist()], self._px, sizes)


def _images_of(channels: int, px: int) -> Mapping[str, Field]:
    return {"image": Field(kind="image", shape=(channels, px, px))}
