"""CIE Lab: colours to it and back, its ab plane in bins, and encoders that look at some of its channels only.

What Zhang, Isola, Efros use in "Colorful Image Colorization" (2016), arXiv:1603.08511 (its sec. 2, eq. 2-5 below), and
in "Split-Brain Autoencoders" (2017), arXiv:1611.09842.

Shapes: B pictures, Q bins of the ab plane, K neighbours in it.

Differs from the authors' code: K is 5, as in the paper, where their training layer takes 10. How their smoothing of
frequencies treats the gamut's edge is not published: here no bin's count is lost over it.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.methods.losses.numerics import in_full_precision
from unlabeled.platform.data import Format, PictureFormat, Source
from unlabeled.platform.data.format import taken
from unlabeled.platform.encoder import ConvNetConfig, Encoder, EncoderConfig, Maps, ViTConfig
from unlabeled.platform.errors import UserError

GRID = 10  # side of a bin of the ab plane
NEIGHBORS = 5  # K: bins that a colour is spread over, by a Gaussian
SIGMA = 5.0  # of that Gaussian, and of the one that smooths how frequent colours are
TEMPERATURE = 0.38  # T in eq. 5
SAMPLE = 2_000  # pictures whose colours are counted

CHANNELS = {"lightness": slice(0, 1), "color": slice(1, 3)}  # of Lab
STATISTICS = {"lightness": ((50.0,), (50.0,)), "color": ((0.0, 0.0), (110.0, 110.0))}  # brings each to about -1 to 1

_REACH = 11  # the grid goes from -110 to 110, and sRGB from -86 to 98 in a and from -108 to 95 in b
_KNEE = 6 / 29  # where Lab's cube root begins; below, it is linear
_XYZ = np.array(  # of sRGB's red, green and blue under D65, in columns
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_TO_XYZ = (_XYZ / _XYZ.sum(axis=1, keepdims=True)).tolist()  # relative to white, so that no grey has a or b
_FROM_XYZ = np.linalg.inv(_TO_XYZ).tolist()


@in_full_precision
def rgb_to_lab(rgb: Tensor) -> Tensor:
    """Turn sRGB [B, 3, H, W] in [0, 1] to Lab (IEC 61966-2-1, CIE 15): L from 0 to 100, a and b about as far from 0."""
    linear = torch.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055).pow(2.4))
    xyz = _mixed(linear, _TO_XYZ)
    x, y, z = torch.where(xyz > _KNEE**3, xyz.pow(1 / 3), xyz / (3 * _KNEE**2) + 4 / 29).unbind(1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=1)


@in_full_precision
def lab_to_rgb(lab: Tensor) -> Tensor:
    """Turn Lab [B, 3, H, W] to sRGB in [0, 1]; what sRGB can't show is clipped in linear light."""
    lightness, a, b = lab.unbind(1)
    y = (lightness + 16) / 116
    root = torch.stack([y + a / 500, y, y - b / 200], dim=1)
    xyz = torch.where(root > _KNEE, root.pow(3), 3 * _KNEE**2 * (root - 4 / 29))
    linear = _mixed(xyz, _FROM_XYZ).clamp(0.0, 1.0)
    return torch.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear.pow(1 / 2.4) - 0.055)


def _mixed(x: Tensor, matrix: Sequence[Sequence[float]]) -> Tensor:
    first, second, third = x.unbind(1)
    return torch.stack([first * u + second * v + third * w for u, v, w in matrix], dim=1)


class ColorBins(nn.Module):
    """The ab plane cut into squares of side 10, those that hold an 8-bit colour of sRGB: Q = 261.

    The paper counts 313 in its gamut; its list, which also has squares beside the gamut, is not rebuilt here.

    Attributes:
        centers: int64 [Q, 2], a and b.
        nearby: int64 [529, n], for each square of the whole grid the bins among which are the K nearest to any colour
            in the square: looking at n of Q bins instead of all is what makes the encoding quick.
    """

    centers: Tensor
    nearby: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name, table in zip(("centers", "nearby"), _bins(), strict=True):
            self.register_buffer(name, table.clone())

    def __len__(self) -> int:
        return len(self.centers)

    @in_full_precision
    def encode(self, ab: Tensor) -> tuple[Tensor, Tensor]:
        """Spread each colour over its K nearest bins by a Gaussian of their distances (sec. 2.1).

        Args:
            ab: [B, 2, h, w], each within 115 of zero, as all of sRGB is.

        Returns:
            The bins, int64 [B, K, h, w], the nearest first, and their shares, [B, K, h, w], which sum to 1.
        """
        at = ab.movedim(1, -1)
        square = (at / GRID).round().long().clamp(-_REACH, _REACH) + _REACH
        nearby = self.nearby[square[..., 0] * (2 * _REACH + 1) + square[..., 1]]
        distance = (at[..., None, :] - self.centers[nearby]).square().sum(dim=-1)
        nearest, place = distance.topk(NEIGHBORS, dim=-1, largest=False)
        shares = (-nearest / (2 * SIGMA**2)).softmax(dim=-1)
        return nearby.gather(-1, place).movedim(-1, 1), shares.movedim(-1, 1)

    @in_full_precision
    def annealed_mean(self, logits: Tensor, temperature: float = TEMPERATURE) -> Tensor:
        """Return one colour [B, 2, h, w] of the distributions that logits [B, Q, h, w] stand for: eq. 5."""
        return torch.einsum("bqhw,qc->bchw", (logits / temperature).softmax(dim=1), self.centers.to(logits.dtype))

    @in_full_precision
    def rebalancing(self, counts: Tensor, uniform: float) -> Tensor:
        """Return a weight [Q] for each bin, the larger the rarer its colours are: eq. 4.

        Args:
            counts: floating [Q], how often each bin was seen; smoothed here, a Gaussian spreading each bin's count.
            uniform: lambda, the share of the uniform distribution that is mixed in; 1 weighs all bins alike.
        """
        kernel = self.centers[:, None].sub(self.centers).square().sum(dim=2).to(counts.dtype).div(-2 * SIGMA**2)
        frequency = counts / counts.sum() @ kernel.softmax(dim=1)
        weights = 1 / ((1 - uniform) * frequency + uniform / len(frequency))
        return weights / (frequency @ weights)


@in_full_precision
def soft_cross_entropy(logits: Tensor, bins: Tensor, shares: Tensor) -> Tensor:
    """Return the cross-entropy [B, h, w] of logits [B, Q, h, w] with what :meth:`ColorBins.encode` made: eq. 2."""
    return -(logits.log_softmax(dim=1).gather(1, bins) * shares).sum(dim=1)


@functools.cache
def _bins() -> tuple[Tensor, Tensor]:
    """Return ColorBins' centers and nearby.

    The colours of equal a and b are a line that leaves the cube of sRGB through its faces: so they have every a and b.
    """
    with torch.device("cpu"):
        level = torch.linspace(0, 1, 256, dtype=torch.float64)
        side, other = torch.cartesian_prod(level, level).unbind(1)
        face = [torch.stack([torch.full_like(side, end), side, other]) for end in (0.0, 1.0)]
        faces = torch.stack([colors.roll(turn, dims=0) for colors in face for turn in range(3)])
        ab = rgb_to_lab(faces[..., None])[:, 1:].movedim(1, -1).reshape(-1, 2)
        centers = GRID * (ab / GRID).round().long().unique(dim=0)  # type: ignore[no-untyped-call]
        steps = GRID * torch.arange(-_REACH, _REACH + 1)
        distance = torch.cdist(torch.cartesian_prod(steps, steps).double(), centers.double())
        nearest, order = distance.sort(dim=1, stable=True)
        # From a square's centre to a colour in it is half a diagonal at most, to its K-th bin and back one more.
        needed = (nearest <= nearest[:, NEIGHBORS - 1 : NEIGHBORS] + GRID * 2**0.5 + 1e-6).sum(dim=1).max()
        return centers, order[:, : int(needed)].contiguous()


@functools.lru_cache(maxsize=4)
def color_counts(source: Source, side: int) -> Tensor:
    """Count how often each bin is the nearest to a colour of the first 2,000 pictures at side x side: int64 [Q]."""
    with torch.device("cpu"):
        bins, counts = ColorBins(), []
        for rows in torch.split(source.rows[:SAMPLE], 64):
            ab = F.adaptive_avg_pool2d(rgb_to_lab(source.tensor(rows, "image").float() / 255.0)[:, 1:], side)
            counts.append(bins.encode(ab)[0][:, 0].flatten().bincount(minlength=len(bins)))
        return torch.stack(counts).sum(dim=0)


def check_colored(method: str, channels: int, data: str) -> None:
    """Raise UserError where ``data`` has no colours for ``method`` to learn from."""
    if channels != 3:
        raise UserError(f"{method} needs colour pictures, and {data} is grey; choose another, such as emoji")


class LabEncoder(Encoder):
    """Looks at pictures in Lab: one encoder at L, or one at L and another at ab, whose features are concatenated.

    Args:
        config: of the parts.
        image_px: side of the pictures.
        parts: what they look at, of "lightness" and "color".

    Attributes:
        parts: by what they look at; they get L and ab as they are, and standardise them to L / 50 - 1 and ab / 110.
    """

    def __init__(self, config: EncoderConfig, image_px: int, *parts: str) -> None:
        formats = {name: PictureFormat(len(STATISTICS[name][0]), image_px, *STATISTICS[name]) for name in parts}
        built = {name: config.build(pictures) for name, pictures in formats.items()}
        super().__init__(*(sum(getattr(part, width) for part in built.values()) for width in ("dim", "channels")))
        self.parts = nn.ModuleDict(built)

    def seen(self, lab: Tensor) -> dict[str, tuple[Encoder, Tensor]]:
        """Return each part with what it gets of pictures in Lab."""
        return {name: (cast(Encoder, part), lab[:, CHANNELS[name]]) for name, part in self.parts.items()}

    def maps(self, x: Tensor) -> Maps:
        """Return the parts' features, grids and tokens, lightness first in their channels."""
        made = zip(*(part.maps(view) for part, view in self.seen(rgb_to_lab(x)).values()), strict=True)
        pooled, grid, tokens = (torch.cat(each, dim=dim) for each, dim in zip(made, (1, 1, 2), strict=True))
        return Maps(pooled, grid, tokens)

    def blocks(self) -> Mapping[str, nn.Module]:
        """Return a lone part's stages, or each part's under its name: "lightness_block1" and so on."""
        stages = {name: cast(Encoder, part).blocks() for name, part in self.parts.items()}
        if len(stages) == 1:
            return next(iter(stages.values()))
        return {f"{name}_{block}": stage for name, part in stages.items() for block, stage in part.items()}

    def channels_first(self, made: Tensor) -> Tensor:
        """Turn what a part's block made round, as the part does."""
        return cast(Encoder, next(iter(self.parts.values()))).channels_first(made)

    def check_size(self, image_px: int) -> None:
        """Raise UserError where a part can't see pictures of another size."""
        for part in self.parts.values():
            cast(Encoder, part).check_size(image_px)


def halves(config: EncoderConfig, shown: Format, method: str) -> LabEncoder:
    """Make an encoder for L and one for ab, each of half the configured width where it comes in widths.

    Raises:
        UserError: what is shown are no pictures in colour, or half the width is too little.
    """
    pictures = taken(shown, PictureFormat, method)
    check_colored(method, pictures.channels, "this data set")
    if isinstance(config, ConvNetConfig | ViTConfig):
        if config.width < 8:
            raise UserError(f"{method} halves encoder.width, and a half is 4 at least; got {config.width}, use 8")
        config = config.with_field("width", config.width // 2)
    return LabEncoder(config, pictures.image_px, "lightness", "color")
