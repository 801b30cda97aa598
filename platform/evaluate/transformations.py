"""What a layer still knows of how a picture was changed: SimCLR's table 3 (arXiv:2002.05709, sec. 4.2).

Each picture is shown in one of a transformation's ways, all ways equally often, and a probe has to tell which from the
layer's features. (The paper shows grey pictures one time in five; here it is one in two, so guessing gets a half.)
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from unlabeled.platform.augment import ColorDrop, GaussianNoise, Sobel
from unlabeled.platform.augment.spatial import rotate90
from unlabeled.platform.draws import Draws


@dataclass(frozen=True)
class Transformation:
    """A change that comes in several ways; way 0 leaves pictures as they are.

    Attributes:
        ways: how many.
        apply: changes float32 images [B, C, H, W] in [0, 1], by the draws of their rows, in ways int64 [B].
    """

    ways: int
    apply: Callable[[Tensor, Draws, Tensor], Tensor]

    def __call__(self, images: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the images changed, and in which ways; the rows decide both. All frames of a clip change alike."""
        if images.ndim == 5:
            changed, ways = self(images.flatten(0, 1), rows.repeat_interleave(images.shape[1]))
            return changed.view_as(images), ways[:: images.shape[1]]
        draws = Draws(rows.to(images.device), "transformation")
        ways = draws.integers("way", self.ways)
        return self.apply(images, draws, ways), ways


def _either(op: ColorDrop | GaussianNoise | Sobel) -> Callable[[Tensor, Draws, Tensor], Tensor]:
    """Make the two ways of an operation: as it is, and changed."""

    def apply(images: Tensor, draws: Draws, ways: Tensor) -> Tensor:
        return torch.where(ways.view(-1, 1, 1, 1) == 1, op(images, draws), images)

    return apply


TRANSFORMATIONS: Mapping[str, Transformation] = {
    "grey": Transformation(2, _either(ColorDrop(p=1.0))),
    "rotation": Transformation(4, lambda images, _draws, ways: rotate90(images, ways)),
    "noise": Transformation(2, _either(GaussianNoise())),
    "sobel": Transformation(2, _either(Sobel())),
}
