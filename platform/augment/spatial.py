"""Augmentations that move pixels or hide them: cropping, flipping, rotation and cutout, of SimCLR's figure 4."""

import math
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from unlabeled.platform.augment.op import FractionRange, Op, PositiveRange, between, span
from unlabeled.platform.augment.separable import resampling, separable
from unlabeled.platform.draws import Draws
from unlabeled.platform.errors import UserError

_TRIES = 10  # as many as torchvision's; with SimCLR's ranges on square images one in seven does not fit


class Crop(Op):
    """Cut a random box out of each image and resize it. An image for which it does not fire is resized whole.

    The Inception crop of Szegedy et al. (2014), arXiv:1409.4842, as torchvision's RandomResizedCrop draws and resizes
    it: bilinear, with antialiasing. The code of SimCLR, DINO and MAE resizes with a bicubic filter.
    """

    name: ClassVar[str] = "crop"

    area: FractionRange = (0.08, 1.0)  # of the box, as a fraction of the image's
    aspect: PositiveRange = (3 / 4, 4 / 3)  # of the box, width / height, uniform in its logarithm
    size: int | None = Field(default=None, ge=1)  # pixels of the output's sides; None keeps the input's

    def __call__(self, images: Tensor, draws: Draws, *, overwrite: bool = False) -> Tensor:
        """Crop each image with probability ``p`` and resize every one: float32 [B, C, size, size]."""
        (box_B4,) = self.parameters(images, draws)
        if self.p < 1.0:
            whole_4 = torch.tensor([0, 0, *images.shape[-2:]], device=images.device)
            box_B4 = torch.where(draws.fires(self.p)[:, None], box_B4, whole_4)
        return self.apply(images, box_B4)

    def parameters(self, images: Tensor, draws: Draws) -> tuple[Tensor]:
        """Draw boxes in whole pixels: int64 [B, 4] of top, left, height, width.

        The first of ten candidates that fits the image is taken; where none does, the largest centred box with an
        aspect in the range. In float64, so that the last bit of a device's exponential practically never moves a box.
        """
        height, width = images.shape[-2:]
        area, log_aspect = draws.uniform("candidates", 2, _TRIES).double().unbind(1)
        area = between(area, self.area) * (height * width)
        aspect = between(log_aspect, (math.log(self.aspect[0]), math.log(self.aspect[1]))).exp()
        box_width = (area * aspect).sqrt().round()
        box_height = (area / aspect).sqrt().round()
        fits = (box_width > 0) & (box_width <= width) & (box_height > 0) & (box_height <= height)
        first_B1 = fits.to(torch.int8).argmax(dim=1, keepdim=True)
        fallback = torch.tensor(_largest_centred(height, width, self.aspect), device=images.device)
        size_B2 = torch.stack((box_height, box_width), dim=2).gather(1, first_B1[:, :, None].expand(-1, -1, 2))[:, 0]
        room_B2 = torch.tensor((height, width), device=images.device) - size_B2 + 1
        corner_B2 = (draws.uniform("corner", 2) * room_B2).floor()
        found_B4 = torch.cat((corner_B2, size_B2), dim=1).to(torch.int64)
        return (torch.where(fits.any(dim=1, keepdim=True), found_B4, fallback),)

    def apply(self, images: Tensor, *parameters: Tensor) -> Tensor:
        """Cut out and resize the given boxes."""
        (box_B4,) = parameters
        height, width = images.shape[-2:]
        return crop(images, box_B4, self.size or height, self.size or width)

    def output_px(self, image_px: int) -> int:
        """Return the size, or the image's where there is none."""
        return self.size or image_px

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

    p: float = Field(default=0.5, ge=0.0, le=1.0)

    def parameters(self, images: Tensor, draws: Draws) -> tuple[Tensor, ...]:
        """Draw nothing: whether to flip is all there is."""
        return ()

    def apply(self, images: Tensor, *parameters: Tensor) -> Tensor:
        """Flip every image."""
        return images.flip(-1)


class Rotate90(Op):
    """Turn by 90, 180 or 270 degrees; with the default ``p`` all four orientations are equally likely."""

    name: ClassVar[str] = "rotate90"

    p: float = Field(default=0.75, ge=0.0, le=1.0)

    def parameters(self, images: Tensor, draws: Draws) -> tuple[Tensor]:
        """Draw how many quarter turns: int64 [B] in 1 .. 3."""
        return (draws.integers("turns", 3) + 1,)

    def apply(self, images: Tensor, *parameters: Tensor) -> Tensor:
        """Turn each image by its number of quarters."""
        return rotate90(images, *parameters)


class Cutout(Op):
    """Paint a square grey: DeVries and Taylor (2017), arXiv:1708.04552.

    The centre may be any pixel, so that the square can stick out of the image. The paper fills with zero after
    normalisation, which is the data's mean; mid-grey stands for it here.
    """

    name: ClassVar[str] = "cutout"

    side: float = Field(default=0.5, gt=0.0, le=1.0)  # as a fraction of the image's height; the paper's 16 of 32 pixels
    fill: float = Field(default=0.5, ge=0.0, le=1.0)

    def parameters(self, images: Tensor, draws: Draws) -> tuple[Tensor]:
        """Draw boxes: int64 [B, 4] of top, left, height, width, partly outside the image perhaps."""
        height, width = images.shape[-2:]
        length = max(1, round(self.side * height))
        corner_B2 = torch.stack((draws.integers("row", height), draws.integers("column", width)), dim=1) - length // 2
        return (torch.cat((corner_B2, torch.full_like(corner_B2, length)), dim=1),)

    def apply(self, images: Tensor, *parameters: Tensor) -> Tensor:
        """Paint the given boxes."""
        (box_B4,) = parameters
        return cutout(images, box_B4, self.fill)

    def details(self) -> tuple[str, ...]:
        """Return the side, and the fill where it is not mid-grey."""
        return (f"{self.side:g}", *([] if self.fill == 0.5 else [f"fill={self.fill:g}"]))


def crop(images: Tensor, box_B4: Tensor, height: int, width: int) -> Tensor:
    """Cut a box out of each image and resize it, as torchvision's ``resized_crop`` does with antialiasing.

    Args:
        images: float32 [B, C, H, W].
        box_B4: int64 [B, 4], top, left, height, width in pixels, inside the image.
        height: pixels of the output.
        width: pixels of the output.

    Returns:
        float32 [B, C, height, width].
    """
    top_B, left_B, box_height_B, box_width_B = box_B4.unbind(1)
    vertical = resampling(top_B, box_height_B, images.shape[-2], height)
    horizontal = resampling(left_B, box_width_B, images.shape[-1], width)
    return separable(images, vertical, horizontal)


def rotate90(images: Tensor, turns_B: Tensor) -> Tensor:
    """Turn each image counter-clockwise by its number of quarter turns, int64 [B] in 0 .. 3.

    Raises:
        UserError: the images are not square, so that a turned one would have another shape.
    """
    if images.shape[-2] != images.shape[-1]:
        raise UserError(
            f"Rotate90 needs square images, got {images.shape[-2]} x {images.shape[-1]} pixels; crop them first"
        )
    result = images.clone()
    for turns in (1, 2, 3):
        rows = (turns_B == turns).nonzero().squeeze(1)
        result.index_copy_(0, rows, images.index_select(0, rows).rot90(turns, dims=(-2, -1)))
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


def _largest_centred(height: int, width: int, aspect: tuple[float, float]) -> tuple[int, int, int, int]:
    """Return top, left, height, width of the largest centred box with an aspect in the range."""
    low, high = aspect
    box_height, box_width = height, width
    if width / height < low:
        box_height = round(width / low)
    elif width / height > high:
        box_width = round(height * high)
    return (height - box_height) // 2, (width - box_width) // 2, box_height, box_width
