"""What is marked in pictures, brought to the squares or windows that the pictures are brought to: masks and boxes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import final

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from unlabeled.platform.data.pictures import picture_named, squares_of
from unlabeled.platform.data.source import IGNORED, Field, Source, Window
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

    def read_windows(self, index: Tensor, field: str, windows: Sequence[Window]) -> list[Tensor]:
        """Decode windows of masks ``index`` of pictures, uint8 [B, height, width] each.

        Raises:
            UserError: one can't be read; it is named.
        """
        self.check_has(field)
        made = [torch.full((len(index), *window.size), IGNORED, dtype=torch.uint8) for window in windows]
        marked = [(row, *self._files[item]) for row, item in enumerate(index.tolist()) if self._files[item]]

        def cut(place: tuple[int, str]) -> None:
            row, file = place
            with picture_named(self._folder / file), Image.open(self._folder / file) as mask:
                for window, found in zip(windows, made, strict=True):
                    found[row] = torch.from_numpy(self._told(mask_in(mask, window.boxes[row].tolist(), window.size)))

        for _ in in_threads(cut, marked):
            pass
        return made

    def take(self, rows: Tensor) -> "FileMasks":
        """Return the masks ``rows`` in that order."""
        part = object.__new__(FileMasks)
        part.fields, part._folder, part._px = self.fields, self._folder, self._px
        part._files = tuple(self._files[row] for row in rows.tolist())
        return part

    def _decode(self, file: Path) -> npt.NDArray[np.uint8]:
        with picture_named(file), Image.open(file) as mask:
            (square,) = squares_of(torch.tensor([[mask.height, mask.width]])).tolist()
            return self._told(mask_in(mask, square, (self._px, self._px)))

    def _told(self, numbers: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        return np.where(numbers < len(self.fields["mask"].classes), numbers, np.uint8(IGNORED))


@final
class Boxed(Source):
    """Boxes, in memory: the field ``boxes``; some items may have none told."""

    def __init__(
        self, boxes: Sequence[Boxes | None], sizes: Tensor, px: int, classes: Sequence[str], most: int
    ) -> None:
        """Take the boxes of each picture.

        Args:
            boxes: float32 [k, 5] of each, k up to ``most``, in pixels as stored; None where nothing is told.
            sizes: int64 [N, 2], height and width of each picture as stored.
            px: height and width that the pictures are brought to.
            classes: names by number.
            most: rows that are read of each.
        """
        self._boxes = torch.full((len(boxes), most, 5), torch.nan)
        for row, each in enumerate(boxes):
            if each is not None and len(each):
                self._boxes[row, : len(each)] = torch.from_numpy(each)
        self._squares = boxes_in(self._boxes, squares_of(sizes), (px, px))
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
        """Return the boxes of items ``index`` as they lie in the squares, float32 [B, K, 5]."""
        self.check_has(field)
        return self._squares[index]

    def read_windows(self, index: Tensor, field: str, windows: Sequence[Window]) -> list[Tensor]:
        """Return the boxes of items ``index`` as they lie in windows, float32 [B, K, 5] each."""
        self.check_has(field)
        return [boxes_in(self._boxes[index], window.boxes, window.size) for window in windows]

    def take(self, rows: Tensor) -> "Boxed":
        """Return the items ``rows`` in that order."""
        part = object.__new__(Boxed)
        part.fields, part._boxes = self.fields, self._boxes[rows]
        part._squares, part._known = self._squares[rows], self._known[rows]
        return part


def mask_in(mask: Image.Image, box: Sequence[float], size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Return the numbers in a box of a mask, each the nearest one, as uint8 [height, width].

    Args:
        mask: with a number for each pixel.
        box: top, left, height and width.
        size: height and width of what comes back.

    Raises:
        ValueError: it has colours rather than numbers.
    """
    if mask.mode not in ("P", "L"):
        raise ValueError(f"a mask has a number for each pixel (a palette, or 8 bits of grey), and this is {mask.mode}")
    top, left, height, width = box
    numbers = Image.fromarray(np.asarray(mask))
    edges = (left, top, left + width, top + height)
    return np.array(numbers.resize((size[1], size[0]), Image.Resampling.NEAREST, box=edges))


def boxes_in(boxes: Tensor, windows: Tensor, size: tuple[int, int]) -> Tensor:
    """Return boxes as they lie in windows of their pictures; what sticks out is cut off, what is outside left out.

    Args:
        boxes: float32 [B, K, 5], edges in pixels as stored, and class; NaN rows are none.
        windows: [B, 4], top, left, height and width.
        size: height and width that the windows are brought to.

    Returns:
        float32 [B, K, 5]; rows of NaN come after the boxes.
    """
    corner_B2, sides_B2 = torch.split(windows.double(), 2, dim=1)
    scale_B2 = torch.tensor(size) / sides_B2
    shift_B14, scale_B14 = (each.flip(1).repeat(1, 2)[:, None] for each in (corner_B2, scale_B2))
    most = torch.tensor([size[1], size[0]] * 2)
    edges = ((boxes[..., :4].double() - shift_B14) * scale_B14).clamp(min=torch.zeros(4), max=most)
    is_left = (edges[..., 2:] > edges[..., :2]).all(dim=2)  # of NaN it does not hold
    moved = torch.cat((edges.float(), boxes[..., 4:]), dim=2).masked_fill(~is_left[..., None], torch.nan)
    order = (~is_left).byte().argsort(dim=1, stable=True)
    return moved.gather(1, order[..., None].expand_as(moved))
