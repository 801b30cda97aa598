"""What is marked in pictures, brought to the centre square that the pictures are brought to: masks and boxes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import final

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from unlabeled.platform.data.pictures import centre_box, picture_named
from unlabeled.platform.data.source import IGNORED, Field, Source
from unlabeled.platform.data.threads import in_threads

Boxes = npt.NDArray[np.float32]


@final
class FileMasks(Source):
    """Masks in picture files, decoded when they are read: the field ``mask``, of a picture or of a clip's frames."""

    def __init__(
        self, folder: Path, files: Sequence[Sequence[str]], px: int, classes: Sequence[str], frames: int | None = None
    ) -> None:
        """Take files.

        Args:
            folder: that they lie in.
            files: of each item the paths below ``folder``: of a picture one, of a clip one for each frame; none where
                it has no mask.
            px: height and width that the pictures are brought to.
            classes: names by number; of other numbers nothing is told.
            frames: of a clip; None for masks of pictures.
        """
        self._folder, self._files, self._px = folder, tuple(map(tuple, files)), px
        shape, of = ((px, px), "image") if frames is None else ((frames, px, px), "clip")
        self.fields: Mapping[str, Field] = {"mask": Field(kind="mask", shape=shape, classes=tuple(classes), of=of)}

    def __len__(self) -> int:
        return len(self._files)

    def known(self, field: str) -> Tensor:
        """Return which items have a mask, bool [N]."""
        self.check_has(field)
        return torch.tensor([bool(files) for files in self._files], dtype=torch.bool)

    def read(self, index: Tensor, field: str) -> Tensor:
        """Decode masks ``index`` to uint8 [B, H, W], or [B, T, H, W] of clips.

        Raises:
            UserError: one can't be read; it is named.
        """
        self.check_has(field)
        shape = self.fields[field].shape
        flat = [self._folder / file for item in index.tolist() for file in self._files[item]]
        x = torch.full((len(index), *shape), IGNORED, dtype=torch.uint8)
        masks = list(in_threads(self._decode, flat))
        done = 0
        for row, item in enumerate(index.tolist()):
            count = len(self._files[item])
            if count:
                x[row] = torch.from_numpy(np.stack(masks[done : done + count])).view(shape)
            done += count
        return x

    def take(self, rows: Tensor) -> "FileMasks":
        """Return the masks ``rows`` in that order."""
        part = object.__new__(FileMasks)
        part.fields, part._folder, part._px = self.fields, self._folder, self._px
        part._files = tuple(self._files[row] for row in rows.tolist())
        return part

    def _decode(self, file: Path) -> npt.NDArray[np.uint8]:
        with picture_named(file), Image.open(file) as mask:
            numbers = mask_square(mask, self._px)
        return np.where(numbers < len(self.fields["mask"].classes), numbers, np.uint8(IGNORED))


@final
class Boxed(Source):
    """Boxes, in memory: the field ``boxes``; some items may have none told."""

    def __init__(self, boxes: Sequence[Boxes | None], classes: Sequence[str], most: int) -> None:
        """Take float32 [k, 5] of each item, k up to ``most``, in pixels as read; None where nothing is told."""
        self._boxes = torch.full((len(boxes), most, 5), torch.nan)
        for row, each in enumerate(boxes):
            if each is not None and len(each):
                self._boxes[row, : len(each)] = torch.from_numpy(each)
        self._known = torch.tensor([each is not None for each in boxes], dtype=torch.bool)
        shape = tuple(self._boxes.shape[1:])
        self.fields: Mapping[str, Field] = {
            "boxes": Field(kind="boxes", shape=shape, classes=tuple(classes), of="image")
        }

    def __len__(self) -> int:
        return len(self._boxes)

    def known(self, field: str) -> Tensor:
        """Return of which items boxes are told, bool [N]; there may be none in them."""
        self.check_has(field)
        return self._known.clone()

    def read(self, index: Tensor, field: str) -> Tensor:
        """Return the boxes of items ``index``, float32 [B, K, 5]."""
        self.check_has(field)
        return self._boxes[index]

    def take(self, rows: Tensor) -> "Boxed":
        """Return the items ``rows`` in that order."""
        part = object.__new__(Boxed)
        part.fields, part._boxes, part._known = self.fields, self._boxes[rows], self._known[rows]
        return part


def mask_square(mask: Image.Image, px: int) -> npt.NDArray[np.uint8]:
    """Return the numbers in a mask's centre square, each the nearest one, as uint8 [px, px].

    Raises:
        ValueError: it has colours rather than numbers.
    """
    if mask.mode not in ("P", "L"):
        raise ValueError(f"a mask has a number for each pixel (a palette, or 8 bits of grey), and this is {mask.mode}")
    numbers = Image.fromarray(np.asarray(mask))
    return np.array(numbers.resize((px, px), Image.Resampling.NEAREST, box=centre_box(*mask.size)))


def boxes_square(boxes: Boxes, width: int, height: int, px: int) -> Boxes:
    """Return boxes of a picture as they lie in its centre square of ``px`` pixels; those outside it are left out.

    Args:
        boxes: float32 [K, 5], edges and class; what reaches out of the square is cut off.
        width: of the picture.
        height: of the picture.
        px: of the square.
    """
    left, top, right, _ = centre_box(width, height)
    scale = px / (right - left)
    moved = boxes.copy()
    moved[:, :4] = ((boxes[:, :4] - np.array([left, top, left, top], np.float32)) * np.float32(scale)).clip(0, px)
    return moved[(moved[:, 2] > moved[:, 0]) & (moved[:, 3] > moved[:, 1])]
