"""Augmentations of colour: jitter, colour drop and solarisation, with the meaning that torchvision gives them.

A grey image (one channel) has no saturation and no hue: these and the colour drop leave it as it is; brightness and
contrast work. Arithmetic stands where a choice between two values would be expected because ``torch.where`` and
comparisons cost a CPU ten times as much.
"""

from typing import ClassVar, Self

import torch
from pydantic import Field
from torch import Tensor

from unlabeled.platform.augment.devices import change_chosen, constant
from unlabeled.platform.augment.op import Drawn, Extent, Op, per_image
from unlabeled.platform.augment.separable import is_large
from unlabeled.platform.draws import Draws
from unlabeled.platform.errors import UserError

_BRIGHTNESS, _CONTRAST, _SATURATION, _HUE = range(4)
_SAMPLES_AT_ONCE = 64  # whose hue is turned: bounds the planes that this needs, so that they stay in a CPU's cache


class ColorJitter(Op):
    """Change brightness, contrast, saturation and hue by random amounts, in a random order: torchvision's ColorJitter.

    Brightness, contrast and saturation are multiplied by a factor in [max(0, 1 - x), 1 + x], the hue is turned by a
    fraction of the colour circle in [-x, x]. Amounts and order are drawn for every sample. Contrast goes about the
    image's mean grey; in TensorFlow, and so in SimCLR's code, about each channel's mean.
    """

    name: ClassVar[str] = "color-jitter"

    brightness: float = Field(default=0.8, ge=0.0)
    contrast: float = Field(default=0.8, ge=0.0)
    saturation: float = Field(default=0.8, ge=0.0)
    hue: float = Field(default=0.2, ge=0.0, le=0.5)
    p: float = Field(default=0.8, ge=0.0, le=1.0)

    @classmethod
    def of_strength(cls, strength: float, p: float = 0.8) -> Self:
        """Make the jitter of SimCLR's colour distortion with strength s (arXiv:2002.05709, appendix A).

        Raises:
            UserError: the strength is negative, or so large that the hue would turn by more than half the circle.
        """
        if not 0.0 <= strength <= 2.5:
            raise UserError(f"the strength of a colour jitter is from 0 to 2.5, got {strength:g}")
        return cls(
            brightness=0.8 * strength, contrast=0.8 * strength, saturation=0.8 * strength, hue=0.2 * strength, p=p
        )

    def parameters(self, extent: Extent, draws: Draws) -> tuple[Tensor, Tensor]:
        """Draw float32 [B, 4], three factors and the turn of the hue, and int64 [B, 4], the order to apply them in."""
        low = [
            max(0.0, 1.0 - self.brightness),
            max(0.0, 1.0 - self.contrast),
            max(0.0, 1.0 - self.saturation),
            -self.hue,
        ]
        high = [1.0 + self.brightness, 1.0 + self.contrast, 1.0 + self.saturation, self.hue]
        low_4, high_4 = (
            constant(tuple(bounds), draws.rows.device, torch.get_default_dtype()) for bounds in (low, high)
        )
        return low_4 + draws.uniform("amounts", 4) * (high_4 - low_4), draws.permutation("order", 4)

    def apply(self, items: Tensor, *parameters: Tensor) -> Tensor:
        """Change every image by its amounts in its order."""
        return color_jitter(items, *parameters)

    def details(self) -> tuple[str, ...]:
        """Return the four amounts."""
        return (f"{self.brightness:g}/{self.contrast:g}/{self.saturation:g}/{self.hue:g}",)


class ColorDrop(Op):
    """Turn to grey, keeping the channels: torchvision's RandomGrayscale. Nothing happens to images of one channel."""

    name: ClassVar[str] = "color-drop"

    p: float = Field(default=0.2, ge=0.0, le=1.0)

    def change(self, items: Tensor, drawn: Drawn, *, overwrite: bool = False) -> Tensor:
        """Drop the colour of those that were drawn; one channel comes back as it is, not as a copy."""
        return items if items.shape[-3] == 1 else super().change(items, drawn, overwrite=overwrite)

    def parameters(self, extent: Extent, draws: Draws) -> tuple[Tensor, ...]:
        """Draw nothing: whether to drop the colour is all there is."""
        return ()

    def apply(self, items: Tensor, *parameters: Tensor) -> Tensor:
        """Turn every image to grey."""
        return luminance(items).expand_as(items).contiguous()


class Solarize(Op):
    """Invert the pixels that are at least as bright as a threshold; on one of BYOL's two views (arXiv:2006.07733)."""

    name: ClassVar[str] = "solarize"

    threshold: float = Field(default=0.5, ge=0.0, le=1.0)
    p: float = Field(default=0.2, ge=0.0, le=1.0)

    def parameters(self, extent: Extent, draws: Draws) -> tuple[Tensor, ...]:
        """Draw nothing: the threshold is fixed."""
        return ()

    def apply(self, items: Tensor, *parameters: Tensor) -> Tensor:
        """Solarise every image."""
        return torch.where(items >= self.threshold, 1.0 - items, items)

    def details(self) -> tuple[str, ...]:
        """Return the threshold."""
        return (f"{self.threshold:g}",)


def luminance(images: Tensor) -> Tensor:
    """Return the grey version, float32 [B, 1, H, W], with the weights of ITU-R BT.601; of one channel, that channel."""
    if images.shape[1] == 1:
        return images.clone()
    red, green, blue = images.unbind(1)
    return red.mul(0.2989).add_(green, alpha=0.587).add_(blue, alpha=0.114)[:, None]


def color_jitter(images: Tensor, amounts_B4: Tensor, order_B4: Tensor) -> Tensor:
    """Change brightness, contrast, saturation and hue of each image in the order given for it.

    Brightness, contrast and saturation are one formula, so that each of their three steps runs on the whole batch
    whatever the samples' orders are. The hue's turn comes before the first of them, or the second, the third, or last.

    Args:
        images: float32 [B, C, H, W] in [0, 1]; with C = 1 saturation and hue do nothing.
        amounts_B4: float32 [B, 4], factors of brightness, contrast and saturation, and the hue's turn in [-0.5, 0.5].
        order_B4: int64 [B, 4], for each sample a permutation of 0 brightness, 1 contrast, 2 saturation, 3 hue.

    Returns:
        float32 [B, C, H, W] in [0, 1].
    """
    result = images.clone()
    if images.shape[1] == 1:
        place_B4 = order_B4.argsort(dim=1)  # of each kind, in the order
        first_B = (place_B4[:, _BRIGHTNESS] > place_B4[:, _CONTRAST]).long()  # contrast's number is one
        for kind_B in (first_B, 1 - first_B):
            _blend_(result, kind_B, amounts_B4)
        return result
    before_B4 = (order_B4 == _HUE).cumsum(dim=1)  # how often the hue's turn has come
    blends_B3 = torch.where(before_B4[:, :3] > 0, order_B4[:, 1:], order_B4[:, :3])
    for place in range(4):
        turns_B = order_B4[:, place] == _HUE
        change_chosen(result, turns_B, turn_hue, amounts_B4[:, _HUE], at_once=_SAMPLES_AT_ONCE, overwrite=True)
        if place < 3:
            _blend_(result, blends_B3[:, place], amounts_B4)
    return result


def _blend_(images: Tensor, kind_B: Tensor, amounts_B4: Tensor) -> None:
    """Blend each image, in place, with black (brightness), its mean grey (contrast) or its own grey (saturation)."""
    factor_B = amounts_B4.gather(1, kind_B[:, None])[:, 0]
    grey = luminance(images)
    if is_large(images):  # row by row, so that it is the same on any number of threads
        mean = grey.mean(dim=3, keepdim=True).mean(dim=2, keepdim=True)
    else:
        mean = grey.mean(dim=(1, 2, 3), keepdim=True)
    rest_B = 1.0 - factor_B
    images.mul_(per_image(factor_B))
    grey.mul_(per_image(rest_B * (kind_B == _SATURATION))).add_(mean * per_image(rest_B * (kind_B == _CONTRAST)))
    images.add_(grey).clamp_(0.0, 1.0)


def turn_hue(images: Tensor, turn_B: Tensor) -> Tensor:
    """Turn each image's hue by a fraction of the colour circle, in HSV, as torchvision's ``adjust_hue`` does.

    In HSV's hexagon (Smith 1978) a colour is its smallest channel plus its chroma times a weight per channel, and the
    weight falls from one to zero between 60 and 120 degrees away from the channel's own hue. The distance from red, in
    units of 60 degrees, is one and the same sum of the channels in all six sectors; green - blue tells the side.

    Args:
        images: float32 [B, 3, H, W] in [0, 1].
        turn_B: float32 [B] in [-0.5, 0.5].

    Returns:
        float32 [B, 3, H, W] in [0, 1].
    """
    red, green, blue = images.unbind(1)
    high = torch.maximum(red, green)
    high = torch.maximum(high, blue, out=high)
    low = torch.minimum(red, green)
    low = torch.minimum(low, blue, out=low)
    chroma = torch.sub(high, low).clamp_(min=1e-12)  # a grey pixel has no hue, but must not divide by zero
    hue = high.sub_(low, alpha=2.0).add_(green).add_(blue).sub_(red).div_(chroma)  # 0 .. 3, the distance from red
    hue.copysign_(green - blue).add_(turn_B.view(-1, 1, 1), alpha=6.0)
    hue.sub_(hue.div(6.0).floor_(), alpha=6.0)  # 0 .. 6; red at 0 and 6, green at 2, blue at 4
    result = torch.empty_like(images)
    for channel, angle in enumerate((3.0, 2.0, 4.0)):
        distance = torch.sub(hue, angle).abs_().clamp_(1.0, 2.0)
        weight = distance.sub_(1.0) if channel == 0 else distance.neg_().add_(2.0)  # red is measured from its opposite
        torch.addcmul(low, chroma, weight, out=result[:, channel])
    return result
