"""Resizing of uint8 pictures, bit for bit the same on every processor.

PyTorch and torchvision resize uint8 in fixed point on one processor and in floating point on another, and their pixels
differ by a level or two. Pillow has one way, in whole numbers, whatever the processor: a triangle filter as wide as an
input pixel or, where that is wider, an output pixel; weights rounded to 22 bits; first along rows, then along columns,
each time rounded half upwards to 8 bits. No weight lies so near the middle between two of 22 bits that a last bit of
the floating-point number that it is rounded from could decide.
"""

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

_PLANES_AT_ONCE = 256  # bounds what lies between the two directions


def resized(pixels: Tensor, px: int) -> Tensor:
    """Resize pictures to squares, bilinearly, with antialiasing where that shrinks them, as Pillow resizes each.

    Args:
        pixels: uint8 [B, C, H, W], on the CPU.
        px: height and width to resize to.

    Returns:
        uint8 [B, C, px, px]; ``pixels`` itself where they are of that size.
    """
    batch, channels, height, width = pixels.shape
    if (height, width) == (px, px):
        return pixels
    planes = pixels.reshape(-1, height, width).numpy()
    result = np.empty((len(planes), px, px), np.uint8)
    for start in range(0, len(planes), _PLANES_AT_ONCE):
        result[start : start + _PLANES_AT_ONCE] = _planes_resized(planes[start : start + _PLANES_AT_ONCE], px)
    return torch.from_numpy(result).view(batch, channels, px, px)


def _planes_resized(planes: npt.NDArray[np.uint8], px: int) -> npt.NDArray[np.uint8]:
    """Resize uint8 [N, H, W] to [N, px, px] in two calls: all rows one below the other, then all columns in a row.

    Resized in one direction only, neighbours in the other stay apart.
    """
    count, height, width = planes.shape
    rows = _resized(planes.reshape(count * height, width), (px, count * height)).reshape(count, height, px)
    columns = rows.transpose(1, 0, 2).reshape(height, count * px)
    return _resized(columns, (count * px, px)).reshape(px, count, px).transpose(1, 0, 2)


def _resized(grey: npt.NDArray[np.uint8], size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    return np.asarray(Image.fromarray(grey).resize(size, Image.Resampling.BILINEAR))
