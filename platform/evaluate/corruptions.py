"""Pictures as they come from the world: noisy, blurred, pale, over-lit, coarse. How much does a measurement suffer?

Hendrycks, Dietterich (2019), "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations",
arXiv:1903.12261: kinds of corruption in five severities, with the numbers of the ImageNet-C that its authors published
(github.com/hendrycks/robustness, make_imagenet_c.py).

Differs from it: five of its kinds, none of which needs files of frost or an encoder of JPEGs. A blur is as wide as in
the same authors' CIFAR-10-C, in 32nds of the picture's height, because ImageNet-C's is none that one sees at 32 px.
Pixels count by their area when a picture is made small, where Pillow counts those whose centre is inside. Noise is
drawn by an item's place in its split, so that it is the same on every machine and whatever is scored beside it. As
there, what comes out is in steps of 1/255, like pictures in files; so what another processor rounds hardly shows.
"""

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator
from torch import Tensor

from unlabeled.platform.draws import Draws
from unlabeled.platform.settings import Settings

Kind = Literal["noise", "blur", "contrast", "brightness", "pixelate"]


class Corruption(Settings):
    """One kind of corruption in one severity; ``noise-3`` for short, and so it is written.

    Attributes:
        kind: noise: Gaussian noise is added. blur: a Gaussian blur. contrast: differences to each channel's mean
            shrink. brightness: the HSV value of each pixel grows. pixelate: the picture is made small by averaging, and
            large again.
        severity: 1 is mild, 5 severe.
    """

    opens: ClassVar[bool] = False

    kind: Kind
    severity: int = Field(ge=1, le=5)

    @model_validator(mode="before")
    @classmethod
    def _by_its_short_name(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        kind, _, severity = value.rpartition("-")
        return {"kind": kind, "severity": severity}

    @model_serializer(mode="wrap")
    def _as_its_short_name(self, _: SerializerFunctionWrapHandler) -> str:
        return self.key

    @property
    def key(self) -> str:
        """Its name in metrics: ``noise-3``."""
        return f"{self.kind}-{self.severity}"

    @classmethod
    def all(cls) -> tuple[Self, ...]:
        """Return every kind in every severity."""
        return tuple(cls(kind=kind, severity=severity) for kind in _KINDS for severity in range(1, 6))

    def __call__(self, images: Tensor, rows: Tensor) -> Tensor:
        """Corrupt pictures.

        Args:
            images: float32 [B, C, H, W] in [0, 1]; they are not changed.
            rows: int64 [B], which items of their source they are: what is drawn depends on these alone.

        Returns:
            float32 [B, C, H, W] in [0, 1], in steps of 1/255.
        """
        draws = Draws(rows.to(images.device), "corruption", self.kind)
        made = _KINDS[self.kind](images.float(), draws, self.severity - 1)
        return made.clamp(0.0, 1.0).mul_(255.0).round_().div_(255.0)


def _noise(images: Tensor, draws: Draws, place: int) -> Tensor:
    """Add c times a standard normal number to each value."""
    deviation = (0.08, 0.12, 0.18, 0.26, 0.38)[place]
    return images + deviation * draws.normal("noise", *images.shape[1:])


def _blur(images: Tensor, _: Draws, place: int) -> Tensor:
    """Average by a Gaussian of deviation c px at 32 px, out to four deviations; edges are repeated."""
    height = images.shape[-2]
    deviation = (0.4, 0.6, 0.7, 0.8, 1.0)[place] * height / 32.0
    reach = max(1, math.ceil(4.0 * deviation))
    at = torch.arange(-reach, reach + 1, device=images.device, dtype=torch.float32)
    weights = (-at.square() / (2.0 * deviation**2)).exp()
    weights = (weights / weights.sum()).view(1, 1, 1, -1)
    planes = images.flatten(0, 1)[:, None]
    planes = F.conv2d(F.pad(planes, (reach, reach, 0, 0), mode="replicate"), weights)
    planes = F.conv2d(F.pad(planes, (0, 0, reach, reach), mode="replicate"), weights.transpose(2, 3))
    return planes.view_as(images)


def _contrast(images: Tensor, _: Draws, place: int) -> Tensor:
    """Return (x - mean) c + mean, with the mean of each channel of each picture."""
    share = (0.4, 0.3, 0.2, 0.1, 0.05)[place]
    mean = images.mean(dim=(2, 3), keepdim=True)
    return (images - mean) * share + mean


def _brightness(images: Tensor, _: Draws, place: int) -> Tensor:
    """Add c to the value of HSV, which is the largest channel, and keep hue and saturation: all channels scale."""
    more = (0.1, 0.2, 0.3, 0.4, 0.5)[place]
    value = images.amax(dim=1, keepdim=True)
    brighter = (value + more).clamp(max=1.0)
    return torch.where(value > 0.0, images * (brighter / value.clamp_min(1e-12)), brighter)


def _pixelate(images: Tensor, _: Draws, place: int) -> Tensor:
    """Average areas down to c of the side, and repeat the nearest back."""
    share = (0.6, 0.5, 0.4, 0.3, 0.25)[place]
    size = [max(1, int(side * share)) for side in images.shape[-2:]]
    return F.interpolate(_area_mean(images, size), size=images.shape[-2:], mode="nearest-exact")


def _area_mean(images: Tensor, size: list[int]) -> Tensor:
    """Return the mean over the area of each of ``size`` boxes that tile the picture; pixels count by their share."""
    for dim, count in zip((-2, -1), size, strict=True):
        shares = _shares(images.shape[dim], count).to(images.device)
        images = torch.movedim(torch.movedim(images, dim, -1) @ shares, -1, dim)
    return images


@functools.cache
def _shares(length: int, count: int) -> Tensor:
    """Return how much of each of ``length`` pixels is in each of ``count`` boxes, [length, count]; columns sum to 1."""
    edges = torch.arange(count + 1, dtype=torch.float64) * length / count
    pixel = torch.arange(length, dtype=torch.float64)[:, None]
    inside = torch.minimum(pixel + 1, edges[1:]) - torch.maximum(pixel, edges[:-1])
    return (inside.clamp_min(0.0) * count / length).float()


_KINDS: Mapping[str, Callable[[Tensor, Draws, int], Tensor]] = {
    "noise": _noise,
    "blur": _blur,
    "contrast": _contrast,
    "brightness": _brightness,
    "pixelate": _pixelate,
}
