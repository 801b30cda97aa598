"""Filters that treat rows and columns apart, resampling and blur: two products with matrices of each sample's own.

On small images a product with a dense matrix costs less than gathering the few pixels that matter, and it is exact: to
cut out a box and resize it with antialiasing is one such matrix along each axis. On a CPU large images are worth the
gathering: with the few pixels that matter the numbers are the same up to rounding.
"""

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.platform.augment.op import as_float

_SAMPLES_AT_ONCE = 64  # bounds what lies between the two products, so that it stays in a CPU's cache
_LARGE_PX = 128  # a side that is longer makes an image large
_TILE_PX = 32  # of a large image, along one axis, that a product makes
_FAR = 1e9  # from every centre, in pixels: the triangle gives such a pixel no weight


def is_large(images: Tensor, *sides: int) -> bool:
    """Tell whether images [..., H, W], or these sides, are so large that a CPU better gathers the pixels that matter.

    Sounds are not.
    """
    return images.device.type == "cpu" and images.ndim > 3 and max(*images.shape[-2:], *sides) > _LARGE_PX


def separable(images: Tensor, vertical_BMN: Tensor, horizontal_BMN: Tensor) -> Tensor:
    """Multiply each image's columns with one matrix and its rows with another.

    Args:
        images: float32 [B, C, H, W].
        vertical_BMN: float32 [B, new H, H].
        horizontal_BMN: float32 [B, new W, W].

    Returns:
        float32 [B, C, new H, new W].
    """
    batch, channels, height, width = images.shape
    new_height, new_width = vertical_BMN.shape[1], horizontal_BMN.shape[1]
    result = images.new_empty(batch, channels, new_height, new_width)
    at_once = batch if images.device.type != "cpu" else _SAMPLES_AT_ONCE
    for start in range(0, batch, at_once):
        part = slice(start, start + at_once)
        rows = torch.bmm(images[part].reshape(-1, channels * height, width), horizontal_BMN[part].mT)
        vertical = vertical_BMN[part].repeat_interleave(channels, dim=0)
        torch.bmm(vertical, rows.view(-1, height, new_width), out=result[part].view(-1, new_height, new_width))
    return result


def resampling(start_B: Tensor, length_B: Tensor, size_in: int, size_out: int) -> Tensor:
    """Make the matrices that resize the pixels start .. start + length - 1 to ``size_out`` pixels.

    A triangle filter, as wide as an input pixel or, where that is wider, an output pixel: the bilinear interpolation
    with antialiasing of Pillow and torchvision. Each output's weights sum to one; pixels outside the box count nothing.

    Args:
        start_B: int64 [B], the first pixel of the box.
        length_B: int64 [B], at least 1, with start + length at most ``size_in``.
        size_in: pixels of the input along this axis.
        size_out: pixels of the output along it.

    Returns:
        float32 [B, size_out, size_in].
    """
    scale_B1 = length_B[:, None] / size_out
    filter_B1 = scale_B1.clamp(min=1.0)
    centre_BM = (torch.arange(size_out, device=start_B.device) + 0.5) * (scale_B1 / filter_B1)
    pixel_BN = torch.arange(size_in, device=start_B.device) - start_B[:, None]
    in_box_BN = (pixel_BN >= 0) & (pixel_BN < length_B[:, None])
    pixel_BN = torch.where(in_box_BN, (pixel_BN + 0.5) / filter_B1, _FAR)
    weights_BMN = (pixel_BN[:, None, :] - centre_BM[:, :, None]).abs_().clamp_(max=1.0).neg_().add_(1.0)
    return weights_BMN.div_(weights_BMN.sum(dim=2, keepdim=True))


def gaussian(sigma_B: Tensor, size: int, kernel: int) -> Tensor:
    """Make the matrices that blur ``size`` pixels with a Gaussian cut to ``kernel`` pixels, reflecting at both ends.

    Args:
        sigma_B: float32 [B], standard deviations in pixels, above 0.
        size: pixels along this axis, more than half the kernel.
        kernel: pixels of the Gaussian, odd.

    Returns:
        float32 [B, size, size].
    """
    taps = _reflecting_taps(size, kernel, sigma_B.device)
    return (gaussian_taps(sigma_B, kernel) @ taps.view(kernel, -1)).view(-1, size, size)


def gaussian_taps(sigma_B: Tensor, kernel: int) -> Tensor:
    """Return the weights, float32 [B, kernel], of Gaussians cut to ``kernel`` pixels, which is odd."""
    offset_K = torch.arange(kernel, device=sigma_B.device) - kernel // 2
    return torch.softmax(-0.5 * (offset_K / sigma_B[:, None]).square(), dim=1)


def convolve(images: Tensor, taps_BK: Tensor) -> Tensor:
    """Weigh the pixels about each one, along columns and along rows, reflecting at the borders: for large images.

    A band of a matrix makes a tile of pixels; as one such band goes for all tiles, it is a small one.

    Args:
        images: float32 [B, C, H, W], both sides longer than half of K.
        taps_BK: float32 [B, K], each image's own weights; K is odd.
    """
    batch, channels, height, width = images.shape
    reach = taps_BK.shape[1] - 1
    padded = F.pad(images, (reach // 2,) * 4, mode="reflect")
    band = taps_BK.new_zeros(batch, _TILE_PX, _TILE_PX + reach + 1)
    band[:, :, : reach + 1] = taps_BK[:, None]
    band = band.flatten(1)[:, :-_TILE_PX]  # as rows again, each is a step further to the right
    band = band.view(batch, _TILE_PX, _TILE_PX + reach)
    rows = padded.view(batch, channels * (height + reach), width + reach)
    across = images.new_empty(batch, channels * (height + reach), width)
    for start, size in _tiles(width):
        part = band[:, :size, : size + reach].mT
        torch.bmm(rows[..., start : start + size + reach], part, out=across[..., start : start + size])
    columns = across.view(-1, height + reach, width)
    result = torch.empty_like(images, memory_format=torch.contiguous_format)
    band = band.repeat_interleave(channels, dim=0)
    for start, size in _tiles(height):
        part = band[:, :size, : size + reach]
        made = result.view(-1, height, width)[:, start : start + size]
        torch.bmm(part, columns[:, start : start + size + reach], out=made)
    return result


def _tiles(length: int) -> list[tuple[int, int]]:
    return [(start, min(_TILE_PX, length - start)) for start in range(0, length, _TILE_PX)]


def cut_one_by_one(images: Tensor, box_B4: Tensor, height: int, width: int) -> Tensor:
    """Cut a box out of each image and resize it, bilinear with antialiasing: ``crop`` of large images on a CPU."""
    result = torch.empty(*images.shape[:2], height, width, dtype=torch.float32)
    for number, (top, left, box_height, box_width) in enumerate(box_B4.tolist()):
        box = as_float(images[number : number + 1, :, top : top + box_height, left : left + box_width])
        result[number] = F.interpolate(box, (height, width), mode="bilinear", antialias=True)[0]
    return result


@lru_cache(maxsize=16)
def _reflecting_taps(size: int, kernel: int, device: torch.device) -> Tensor:
    """Return float32 [kernel, size, size]: how much tap k of output m reads from input n, one or nothing."""
    half = kernel // 2
    padded = F.pad(torch.eye(size, device=device)[None], (half, half), mode="reflect")[0]  # [input, place in the row]
    return padded.unfold(1, kernel, 1).permute(2, 1, 0).contiguous()
