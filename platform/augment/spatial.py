"""Augmentations that move pixels or hide them: cropping, flipping, rotation and cutout, of SimCLR's figure 4."""

import math
from functools import lru_cache, partial
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from unlabeled.platform.augment.devices import change_chosen, constant
from unlabeled.platform.augment.geometry import affine, framing, scaling
from unlabeled.platform.augment.op import Drawn, Extent, FractionRange, Op, PositiveRange, as_float, between, span
from unlabeled.platform.augment.separable import cut_one_by_one, is_large, resampling, separable
from unlabeled.platform.draws import Draws
from unlabeled.platform.errors import UserError

_TRIES = 10  # as many as torchvision's; with SimCLR's ranges on square images one in seven does not fit


class Crop(Op):
    """Cut a random box out of each image and resize it. An image for which it does not fire is resized whole.

    The Inception crop of Szegedy et al. (2014), arXiv:1409.4842, as torchvision's RandomResizedCrop draws and resizes
    it: bilinear, with antialiasing. The code of SimCLR, DINO and MAE resizes with a bicubic filter.
    """

    name: ClassVar[str] = "crop"
    moves: ClassVar[bool] = True
    takes_bytes: ClassVar[bool] = True

    area: FractionRange = (0.08, 1.0)  # of the box, as a fraction of the image's
    aspect: PositiveRange = (3 / 4, 4 / 3)  # of the box, width / height, uniform in its logarithm
    size: int | None = Field(default=None, ge=1)  # pixels of the output's sides; None keeps the input's

    def draw(self, extent: Extent, draws: Draws) -> Drawn:
        """Draw a box for each image: the whole of it, where the crop does not fire, so that every one is resized."""
        (box_B4,) = self.parameters(extent, draws)
        if self.p < 1.0:
            size = extent.sizes(box_B4.device)
            box_B4 = torch.where(
                draws.bernoulli(self.p)[:, None], box_B4, torch.cat((torch.zeros_like(size), size), dim=1)
            )
        return Drawn(None, (box_B4,))

    def parameters(self, extent: Extent, draws: Draws) -> tuple[Tensor]:
        """Draw boxes in whole pixels: int64 [B, 4] of top, left, height, width.

        The first of ten candidates that fits the image is taken; where none does, the largest centred box with an
        aspect in the range. In float64, so that the last bit of a device's exponential practically never moves a box.
        """
        size = extent.sizes(draws.rows.device)  # [1 or B, 2]
        height, width = (side if isinstance(side, int) else side[:, None] for side in extent.size)
        area, log_aspect = draws.uniform("candidates", 2, _TRIES).double().unbind(1)
        area = between(area, self.area) * (height * width)
        aspect = between(log_aspect, (math.log(self.aspect[0]), math.log(self.aspect[1]))).exp()
        box_width = (area * aspect).sqrt().round()
        box_height = (area / aspect).sqrt().round()
        fits = (box_width > 0) & (box_width <= width) & (box_height > 0) & (box_height <= height)
        first_B1 = fits.to(torch.int8).argmax(dim=1, keepdim=True)
        size_B2 = torch.stack((box_height, box_width), dim=2).gather(1, first_B1[:, :, None].expand(-1, -1, 2))[:, 0]
        corner_B2 = (draws.uniform("corner", 2) * (size - size_B2 + 1)).floor()
        found_B4 = torch.cat((corner_B2, size_B2), dim=1).to(torch.int64)
        return (torch.where(fits.any(dim=1, keepdim=True), found_B4, self._fallback(extent, size)),)

    def _fallback(self, extent: Extent, size: Tensor) -> Tensor:
        if any(isinstance(side, Tensor) for side in extent.size):
            return _largest_centred(size, self.aspect)
        return _largest_centred_of_all(extent.size, self.aspect, size.device)

    def apply(self, items: Tensor, *parameters: Tensor) -> Tensor:
        """Cut out and resize the given boxes."""
        (box_B4,) = parameters
        height, width = items.shape[-2:]
        return crop(items, box_B4, self.size or height, self.size or width)

    def matrix(self, extent: Extent, device: torch.device, *parameters: Tensor) -> Tensor:
        """Shift the box's corner to (0, 0) and stretch its sides to the output's."""
        return framing(parameters[0], self.output(extent).sizes(parameters[0].device))

    @property
    def leads(self) -> bool:
        """Whether every picture is cut. Whole ones of many shapes would be squeezed into one."""
        return self.p == 1.0

    def window(self, extent: Extent, drawn: Drawn) -> Tensor:
        """Return the drawn boxes."""
        return drawn.parameters[0]

    def output(self, extent: Extent) -> Extent:
        """Return the size, or the images' where there is none."""
        return extent if self.size is None else Extent(extent.channels, (self.size, self.size))

    def details(self) -> tuple[str, ...]:
        """Return area, aspect where it is not the usual one, and size."""
        usual = type(self).model_fields["aspect"].default
        return (
            span(self.area),
            *([] if self.aspect == usual else [f"aspect={span(self.aspect)}"]),
            *([] if self.size is None else [f"size={self.size}"]),
        )


class Flip(Op):
    """Mirror left and right."""

    name: ClassVar[str] = "flip"
    moves: ClassVar[bool] = True

    p: float = Field(default=0.5, ge=0.0, le=1.0)

    def parameters(self, extent: Extent, draws: Draws) -> tuple[Tensor, ...]:
        """Draw nothing: whether to flip is all there is."""
        return ()

    def apply(self, items: Tensor, *parameters: Tensor) -> Tensor:
        """Flip every image."""
        return items.flip(-1)

    def matrix(self, extent: Extent, device: torch.device, *parameters: Tensor) -> Tensor:
        """Count x from the other side: x becomes width - x."""
        width_B = extent.sizes(device)[:, 1].double()
        shift_B2 = torch.stack((width_B, torch.zeros_like(width_B)), dim=1)
        return scaling(constant((-1.0, 1.0), device)[None], shift_B2)


class Rotate90(Op):
    """Turn by 90, 180 or 270 degrees; with the default ``p`` all four orientations are equally likely."""

    name: ClassVar[str] = "rotate90"
    moves: ClassVar[bool] = True

    p: float = Field(default=0.75, ge=0.0, le=1.0)

    def parameters(self, extent: Extent, draws: Draws) -> tuple[Tensor]:
        """Draw how many quarter turns: int64 [B] in 1 .. 3."""
        return (draws.integers("turns", 3) + 1,)

    def apply(self, items: Tensor, *parameters: Tensor) -> Tensor:
        """Turn each image by its number of quarters."""
        return rotate90(items, *parameters)

    def matrix(self, extent: Extent, device: torch.device, *parameters: Tensor) -> Tensor:
        """Turn about the centre: by a quarter (x, y) becomes (y, side - x)."""
        (turns_B,) = parameters
        angle_B = turns_B * (math.pi / 2)
        cos_B, sin_B = angle_B.cos().round().double(), angle_B.sin().round().double()  # -1, 0 or 1
        side_B = extent.sizes(device)[:, 0].double()
        linear_B22 = torch.stack((torch.stack((cos_B, sin_B), dim=1), torch.stack((-sin_B, cos_B), dim=1)), dim=1)
        shift_B2 = torch.stack((1.0 - cos_B - sin_B, 1.0 - cos_B + sin_B), dim=1) * (side_B / 2)[:, None]
        return affine(linear_B22, shift_B2)

    def output(self, extent: Extent) -> Extent:
        """Return the same extent.

        Raises:
            UserError: the images are not square.
        """
        _check_square(extent.height, extent.width)
        return extent


class Cutout(Op):
    """Paint a square grey: DeVries and Taylor (2017), arXiv:1708.04552.

    The centre may be any pixel, so that the square can stick out of the image. The paper fills with zero after
    normalisation, which is the data's mean; mid-grey stands for it here.
    """

    name: ClassVar[str] = "cutout"

    side: float = Field(default=0.5, gt=0.0, le=1.0)  # as a fraction of the image's height; the paper's 16 of 32 pixels
    fill: float = Field(default=0.5, ge=0.0, le=1.0)

    def parameters(self, extent: Extent, draws: Draws) -> tuple[Tensor]:
        """Draw boxes: int64 [B, 4] of top, left, height, width, partly outside the image perhaps."""
        height, width = extent.sizes(draws.rows.device).unbind(1)
        length = (height.double() * self.side).round().clamp(min=1.0).long()[:, None]
        corner_B2 = torch.stack((draws.integers("row", height), draws.integers("column", width)), dim=1) - length // 2
        return (torch.cat((corner_B2, length.expand_as(corner_B2)), dim=1),)

    def apply(self, items: Tensor, *parameters: Tensor) -> Tensor:
        """Paint the given boxes."""
        (box_B4,) = parameters
        return cutout(items, box_B4, self.fill)

    def details(self) -> tuple[str, ...]:
        """Return the side, and the fill where it is not mid-grey."""
        return (f"{self.side:g}", *([] if self.fill == 0.5 else [f"fill={self.fill:g}"]))


def crop(images: Tensor, box_B4: Tensor, height: int, width: int) -> Tensor:
    """Cut a box out of each image and resize it, as torchvision's ``resized_crop`` does with antialiasing.

    Args:
        images: float32 [B, C, H, W] in [0, 1], or uint8.
        box_B4: int64 [B, 4], top, left, height, width in pixels, inside the image.
        height: pixels of the output.
        width: pixels of the output.

    Returns:
        float32 [B, C, height, width].
    """
    if is_large(images, height, width):
        return cut_one_by_one(images, box_B4, height, width)
    images = as_float(images)
    top_B, left_B, box_height_B, box_width_B = box_B4.unbind(1)
    vertical = resampling(top_B, box_height_B, images.shape[-2], height)
    horizontal = resampling(left_B, box_width_B, images.shape[-1], width)
    return separable(images, vertical, horizontal)


def rotate90(images: Tensor, turns_B: Tensor) -> Tensor:
    """Turn each image counter-clockwise by its number of quarter turns, int64 [B] in 0 .. 3.

    Raises:
        UserError: the images are not square, so that a turned one would have another shape.
    """
    _check_square(*images.shape[-2:])
    result = images.clone()
    for turns in (1, 2, 3):
        turned = partial(torch.rot90, k=turns, dims=(-2, -1))
        change_chosen(result, turns_B == turns, turned, overwrite=True)
    return result


def cutout(images: Tensor, box_B4: Tensor, fill: float) -> Tensor:
    """Paint the part of each box, int64 [B, 4] of top, left, height, width, that lies in its image."""
    top_B, left_B, height_B, width_B = box_B4.unbind(1)
    rows_BH = _within(top_B, height_B, images.shape[-2])
    columns_BW = _within(left_B, width_B, images.shape[-1])
    return images.masked_fill((rows_BH[:, :, None] & columns_BW[:, None, :])[:, None], fill)


def _within(start_B: Tensor, length_B: Tensor, size: int) -> Tensor:
    place_BN = torch.arange(size, device=start_B.device) - start_B[:, None]
    return (place_BN >= 0) & (place_BN < length_B[:, None])


def _check_square(height: int | Tensor, width: int | Tensor) -> None:
    if isinstance(height, Tensor) or isinstance(width, Tensor):
        raise UserError("Rotate90 needs square images of one size; crop them first")
    if height != width:
        raise UserError(f"Rotate90 needs square images, got {height} x {width} pixels; crop them first")


@lru_cache(maxsize=64)
def _largest_centred_of_all(size: tuple[int, ...], aspect: tuple[float, float], device: torch.device) -> Tensor:
    """Return it for a batch of one size, where it is the same step after step: int64 [1, 4]."""
    return _largest_centred(constant(size, device, torch.int64)[None], aspect)


def _largest_centred(size: Tensor, aspect: tuple[float, float]) -> Tensor:
    """Return top, left, height, width of the largest centred box with an aspect in the range, for each height, width.

    int64 [n, 4] of int64 [n, 2].
    """
    low, high = aspect
    height, width = size.double().unbind(1)
    box_height = torch.where(width / height < low, (width / low).round(), height)
    box_width = torch.where(width / height > high, (height * high).round(), width)
    box = torch.stack((box_height, box_width), dim=1).long()
    return torch.cat(((size - box) // 2, box), dim=1)
