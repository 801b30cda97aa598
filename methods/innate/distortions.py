"""Squares of pictures where much is to be seen, turned, and in other colours: what exemplar networks are shown.

Shapes: B pictures, C channels, p pixels of a patch's side.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.methods.losses.numerics import constants
from unlabeled.platform.augment.color import turn_hue
from unlabeled.platform.draws import Draws

CANDIDATES = 8  # squares of each picture that the seed is chosen from
_AXES = (3**-0.5,) * 3 + (2**-0.5, 0.0, -(2**-0.5)) + (6**-0.5, -2 * 6**-0.5, 6**-0.5)


def seeds(images: Tensor, index: Tensor, patch_px: int) -> Tensor:
    """Choose a square of each picture: [B, 3], the y and x of its middle and its side, in pixels.

    Of eight, drawn by the picture's number, that with the largest mean squared gradient.
    """
    height = images.shape[2]
    grey = images.mean(dim=1)
    here, down, right = grey[:, :-1, :-1], grey[:, 1:, :-1], grey[:, :-1, 1:]
    gradient = F.pad((down - here).square() + (right - here).square(), (1, 0, 1, 0))
    summed = gradient.cumsum(dim=1).cumsum(dim=2).flatten(1)  # of all above and left of each pixel
    drawn = Draws(index, "exemplar").uniform("seed", 3, CANDIDATES).to(images.dtype)
    side = (patch_px + drawn[:, 2] * (min(height, 2 * patch_px) - patch_px)).floor()
    top, left = ((drawn[:, axis] * (height - side + 1)).floor() for axis in (0, 1))

    def up_to(y: Tensor, x: Tensor) -> Tensor:
        return summed.gather(1, (y * height + x).long())

    y, x = top + side - 1, left + side - 1
    energy = (up_to(y, x) - up_to(top, x) - up_to(y, left) + up_to(top, left)) / side.square()
    best = energy.argmax(dim=1, keepdim=True)
    return torch.cat([each.gather(1, best) for each in (top + side / 2, left + side / 2, side)], dim=1)


def sample(images: Tensor, square_B3: Tensor, turn_B: Tensor, patch_px: int) -> Tensor:
    """Cut squares of middle y, x and side out of pictures, turned by an angle, at p x p pixels; edges are mirrored."""
    y, x, side = (2.0 * square_B3 / images.shape[2]).unbind(dim=1)  # in halves of the picture
    cosine, sine = turn_B.cos() * side / 2, turn_B.sin() * side / 2
    rows = torch.stack([cosine, -sine, x - 1.0, sine, cosine, y - 1.0], dim=1).view(-1, 2, 3)
    grid = F.affine_grid(rows, [len(images), images.shape[1], patch_px, patch_px], align_corners=False)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def recolored(images: Tensor, draws: Draws) -> Tensor:
    """Change contrast along the axes of colour, then saturation and value by a power each, then turn the hue.

    Sec. 2.1's list: factors of 1/2 to 2 about the patch's middle grey; powers of 1/4 to 4, factors of 0.7 to 1.4 and
    additions within 0.1; turns within 0.1 of the circle. Of a grey picture there are contrast and value alone.
    """
    channels = images.shape[1]
    axes = constants(images, _AXES).view(3, 3) if channels == 3 else images.new_ones(1, 1)
    factor_BC = (draws.uniform("contrast", channels).to(images.dtype) * 2.0 - 1.0).exp2()
    mixed_BCC = axes.T @ (factor_BC[:, :, None] * axes)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    x = (torch.einsum("bcd,bdhw->bchw", mixed_BCC, images - mean) + mean).clamp(0.0, 1.0)
    value, low = x.amax(dim=1, keepdim=True), x.amin(dim=1, keepdim=True)
    share = (value - x) / (value - low).clamp_min(1e-12)  # of what saturation takes from each channel
    amount = draws.uniform("saturation and value", 6).to(images.dtype).view(-1, 6, 1, 1, 1).unbind(1)
    saturation, value = (
        (each.clamp_min(1e-12).pow(4.0 ** (2 * power - 1)) * (0.7 + 0.7 * factor) + 0.2 * more - 0.1).clamp(0.0, 1.0)
        for each, power, factor, more in (
            ((value - low) / value.clamp_min(1e-12), *amount[:3]),
            (value, *amount[3:]),
        )
    )
    x = value * (1.0 - saturation * share)
    return x if channels == 1 else turn_hue(x, 0.2 * draws.uniform("hue").to(images.dtype) - 0.1)
