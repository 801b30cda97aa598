"""What an augmentation is: a value that turns a batch of images into another, by draws of its own for every sample.

Each kind is in two parts: ``parameters`` draws one set of numbers per sample; ``apply`` is a pure function of images
and given numbers, which the tests hold against torchvision's.

Shape suffixes, here and in the kinds: B batch, C channels (1 or 3), H height, W width, K taps of a kernel, N pixels of
an input along one axis, M pixels of an output along it.
"""

from abc import ABC, abstractmethod
from typing import Annotated

from pydantic import AfterValidator, Field
from torch import Tensor

from unlabeled.platform.draws import Draws
from unlabeled.platform.settings import Variant


def _rising(bounds: tuple[float, float]) -> tuple[float, float]:
    low, high = bounds
    if low > high:
        raise ValueError(f"a range goes from low to high; write ({high:g}, {low:g})")
    return bounds


_Fraction = Annotated[float, Field(gt=0.0, le=1.0)]
_Positive = Annotated[float, Field(gt=0.0)]
FractionRange = Annotated[tuple[_Fraction, _Fraction], AfterValidator(_rising)]
PositiveRange = Annotated[tuple[_Positive, _Positive], AfterValidator(_rising)]


class Op(Variant, ABC):
    """One augmentation of a batch. A frozen value: its fields say how strong it is, ``p`` how often it fires."""

    group = "unlabeled.ops"
    p: float = Field(default=1.0, ge=0.0, le=1.0)

    def __call__(self, images: Tensor, draws: Draws, *, overwrite: bool = False) -> Tensor:
        """Augment each image with probability ``p``; the others come back as they were.

        Args:
            images: float32 [B, C, H, W] in [0, 1], C 1 or 3.
            draws: the draws of these B rows, on the images' device, for this one use of the operation.
            overwrite: whether the result may take the images' memory. A policy allows it for what it made itself: on a
                CPU the page faults of a fresh batch cost about as much as the arithmetic.

        Returns:
            float32 [B, C, H, W] in [0, 1].
        """
        parameters = self.parameters(images, draws)
        if self.p == 1.0:
            return self.apply(images, *parameters)
        rows = draws.fires(self.p).nonzero().squeeze(1)
        changed = self.apply(*(values.index_select(0, rows) for values in (images, *parameters)))
        return (images if overwrite else images.clone()).index_copy_(0, rows, changed)

    @property
    def summary(self) -> str:
        """The kind, its settings and, unless it always fires, how often: ``GaussianBlur(0.1-2, p=0.5)``."""
        inside = [*self.details(), *([] if self.p == 1.0 else [f"p={self.p:g}"])]
        return type(self).__name__ + (f"({', '.join(inside)})" if inside else "")

    def details(self) -> tuple[str, ...]:
        """Return the settings that the summary names, apart from ``p``."""
        return ()

    def output_px(self, image_px: int) -> int:
        """Return the side of what it makes of a square image."""
        return image_px

    @abstractmethod
    def parameters(self, images: Tensor, draws: Draws) -> tuple[Tensor, ...]:
        """Draw what ``apply`` needs: tensors with one row per sample. The images tell shape and device."""

    @abstractmethod
    def apply(self, images: Tensor, *parameters: Tensor) -> Tensor:
        """Augment every image with its given parameters; nothing is left to chance."""


def between(uniform: Tensor, bounds: tuple[float, float]) -> Tensor:
    """Stretch draws from [0, 1) to a range."""
    low, high = bounds
    return uniform * (high - low) + low


def span(bounds: tuple[float, float]) -> str:
    """Write a range for a summary.

    >>> span((0.2, 1.0))
    '0.2-1'
    """
    return f"{bounds[0]:g}-{bounds[1]:g}"


def per_image(values_B: Tensor) -> Tensor:
    """Shape one value per sample to multiply images with: [B, 1, 1, 1]."""
    return values_B.view(-1, 1, 1, 1)
