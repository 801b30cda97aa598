"""Augmentations that filter or disturb the picture: blur, edges and noise, of SimCLR's figure 4."""

from typing import ClassVar

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from unlabeled.platform.augment.op import Extent, Op, PositiveRange, between, span
from unlabeled.platform.augment.separable import convolve, gaussian, gaussian_taps, is_large, separable
from unlabeled.platform.draws import Draws
from unlabeled.platform.errors import UserError


class GaussianBlur(Op):
    """Blur with a Gaussian of random width, on a kernel of a tenth of the image: SimCLR, arXiv:2002.05709, appendix A.

    MoCo v2 draws the same widths, but does not cut its kernel (Pillow's GaussianBlur). Pixels beyond the border are
    reflected, as torchvision does; SimCLR's code takes zeros.
    """

    name: ClassVar[str] = "gaussian-blur"

    sigma: PositiveRange = (0.1, 2.0)  # pixels
    p: float = Field(default=0.5, ge=0.0, le=1.0)

    def parameters(self, extent: Extent, draws: Draws) -> tuple[Tensor]:
        """Draw standard deviations: float32 [B], in pixels."""
        return (between(draws.uniform("sigma"), self.sigma),)

    def apply(self, items: Tensor, *parameters: Tensor) -> Tensor:
        """Blur every image by its own width."""
        (sigma_B,) = parameters
        return blur(items, sigma_B, kernel_px(items.shape[-2]))

    def details(self) -> tuple[str, ...]:
        """Return the range of the width."""
        return (span(self.sigma),)


class Sobel(Op):
    """Show edges: the length of the Sobel gradient in each channel."""

    name: ClassVar[str] = "sobel"

    def parameters(self, extent: Extent, draws: Draws) -> tuple[Tensor, ...]:
        """Draw nothing."""
        return ()

    def apply(self, items: Tensor, *parameters: Tensor) -> Tensor:
        """Filter every image."""
        return sobel(items)


class GaussianNoise(Op):
    """Add independent normal noise to every channel of every pixel, and clip to [0, 1]."""

    name: ClassVar[str] = "gaussian-noise"

    sigma: float = Field(default=0.1, gt=0.0)

    def parameters(self, extent: Extent, draws: Draws) -> tuple[Tensor]:
        """Draw standard normal noise: float32 [B, C, H, W]; a clip's frames all get the same.

        Raises:
            UserError: the pictures differ in size.
        """
        height, width = extent.size
        if isinstance(height, Tensor) or isinstance(width, Tensor):
            raise UserError("GaussianNoise needs pictures of one size; crop them to one first")
        return (draws.normal("noise", extent.channels, height, width),)

    def apply(self, items: Tensor, *parameters: Tensor) -> Tensor:
        """Add the given noise."""
        (noise,) = parameters
        return items.add(noise, alpha=self.sigma).clamp_(0.0, 1.0)

    def details(self) -> tuple[str, ...]:
        """Return the standard deviation."""
        return (f"{self.sigma:g}",)


def kernel_px(side: int) -> int:
    """Return the blur's kernel for an image of ``side`` pixels: a tenth of it, odd, at least 3.

    >>> kernel_px(28), kernel_px(32), kernel_px(224)
    (3, 3, 23)
    """
    return max(3, side // 10 // 2 * 2 + 1)


def blur(images: Tensor, sigma_B: Tensor, kernel: int) -> Tensor:
    """Blur each image with a Gaussian of its own width, reflecting at the borders: torchvision's ``gaussian_blur``.

    Args:
        images: float32 [B, C, H, W], both sides longer than half the kernel.
        sigma_B: float32 [B], standard deviations in pixels, above 0.
        kernel: pixels that the Gaussian is cut to, odd.

    Returns:
        float32 [B, C, H, W], in the images' range up to rounding.
    """
    height, width = images.shape[-2:]
    if is_large(images):
        return convolve(images, gaussian_taps(sigma_B, kernel))
    horizontal = gaussian(sigma_B, width, kernel)
    vertical = horizontal if height == width else gaussian(sigma_B, height, kernel)
    return separable(images, vertical, horizontal)


def sobel(images: Tensor) -> Tensor:
    """Return the length of each channel's gradient, repeating the border: float32 [B, C, H, W] in [0, 1].

    A step from black to white along one axis has length one; longer gradients, on steep diagonals, are cut to one.
    """
    padded = F.pad(images, (1, 1, 1, 1), mode="replicate")
    rows = padded[:, :, :-2].add(padded[:, :, 1:-1], alpha=2.0).add_(padded[:, :, 2:])
    columns = padded[..., :-2].add(padded[..., 1:-1], alpha=2.0).add_(padded[..., 2:])
    across = (rows[..., 2:] - rows[..., :-2]).div_(4.0)
    down = (columns[:, :, 2:] - columns[:, :, :-2]).div_(4.0)
    return across.hypot_(down).clamp_(max=1.0)
