"""What a method shows of itself: values, from which the engine draws a page; and how to make pictures of other things.

Shapes: B items, C channels (1 or 3), T frames, S samples, K places. Pixels are floats in [0, 1].
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

_HEAT = ((0.0, 0.0, 0.1), (0.4, 0.05, 0.45), (0.85, 0.25, 0.2), (1.0, 0.65, 0.1), (1.0, 1.0, 0.7))  # dark to light
_SPECTROGRAM_PX = 112
_SPECTROGRAM_DB = 80.0  # from black to white


@dataclass(frozen=True, slots=True)
class Figure:
    """Columns of pictures, a row for each item; with lines, if wanted, from the first column to the second.

    Attributes:
        columns: in order: title -> float [B, C, h, w], which may differ in C, h and w; what lies outside [0, 1] is
            clipped.
        lines: float [B, K, 4]: x and y in the first column's picture, x and y in the second's, in their pixels (pixel
            centres at .5); NaN draws none.
    """

    columns: Mapping[str, Tensor]
    lines: Tensor | None = None


def matches(first: Tensor, second: Tensor, here: Tensor, there: Tensor, titles: tuple[str, str]) -> Figure:
    """Join places of one picture by lines with places of another.

    Args:
        first: [B, C, h, w].
        second: likewise, of any size.
        here: x, y in the first, float [B, K, 2].
        there: x, y in the second; NaN in either draws no line.
        titles: of the two columns.
    """
    return Figure(dict(zip(titles, (first, second), strict=True)), torch.cat([here, there], dim=2))


def filmstrip(clips: Tensor, num_frames: int = 6, title: str = "frame") -> dict[str, Tensor]:
    """Return columns for some frames of clips [B, T, C, H, W], the first, the last and others evenly between.

    >>> list(filmstrip(torch.zeros(2, 16, 3, 8, 8), 4))
    ['frame 1', 'frame 6', 'frame 11', 'frame 16']
    """
    count = min(num_frames, clips.shape[1])
    chosen = torch.linspace(0, clips.shape[1] - 1, count).round().int().tolist()
    return {f"{title} {number + 1}": clips[:, number] for number in chosen}


@torch.no_grad()
def spectrogram(waves: Tensor) -> Tensor:
    """Return pictures [B, 1, h, w] of sounds [B, C, S]: time goes right, frequency up to half the rate, loud is white.

    The channels' mean power, in decibels below the sound's loudest: black from 80 down. Silence is black.
    """
    samples = waves.shape[2]
    window = min(2 * _SPECTROGRAM_PX, samples)
    flat = waves.float().flatten(0, 1)
    transformed = torch.stft(
        flat,
        n_fft=window,
        hop_length=max(1, -(-samples // (_SPECTROGRAM_PX - 1))),
        window=torch.hann_window(window, device=waves.device),
        pad_mode="constant",
        return_complex=True,
    )
    power = transformed.abs().square().view(*waves.shape[:2], *transformed.shape[1:]).mean(dim=1)[:, :_SPECTROGRAM_PX]
    loudest = power.amax(dim=(1, 2), keepdim=True).clamp_min(1e-30)
    decibels = 10.0 * (power / loudest).clamp_min(1e-30).log10()
    return (1.0 + decibels / _SPECTROGRAM_DB).clamp(0.0, 1.0).flip(1)[:, None]


def heat(pictures: Tensor, maps: Tensor, share: float = 0.65) -> Tensor:
    """Lay maps over pictures, as colours from dark to light: [B, 3, H, W].

    Args:
        pictures: [B, C, H, W], of which the lightness stays.
        maps: [B, h, w], which is brought to the picture's size; 0 or less is dark, an item's largest value light.
        share: of the colours, in (0, 1]; the rest is the picture.
    """
    size = pictures.shape[2:]
    maps = F.interpolate(maps[:, None].float(), size, mode="nearest-exact")
    level = (maps / maps.amax(dim=(1, 2, 3), keepdim=True).clamp_min(1e-30)).clamp(0.0, 1.0) * (len(_HEAT) - 1)
    colors = torch.tensor(_HEAT, device=pictures.device)
    below = level.long().clamp(max=len(_HEAT) - 2)[:, 0]
    mixed = torch.lerp(colors[below], colors[below + 1], (level[:, 0] - below)[..., None]).movedim(-1, 1)
    return share * mixed + (1.0 - share) * pictures.float().mean(dim=1, keepdim=True)
