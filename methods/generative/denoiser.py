"""The network that tells noise, of an encoder and a decoder; for :mod:`ddpm`.

Shapes: B images, C channels, H a picture's side, W width of a block.
"""

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.methods.generative.diffusion import Schedule, diffuse, signal_left
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import Encoder, Maps
from unlabeled.platform.evaluate.features import in_eval_mode

_NARROWEST, _GROUPS = 8, 4  # channels of a block, and groups that they are normalised in


class Decoder(nn.Module):
    """The way up from an encoder's grid to the noise of a picture, size by size."""

    def __init__(self, encoder: Encoder, channels: int, px: int, width: int) -> None:
        super().__init__()
        with torch.no_grad(), in_eval_mode(encoder):  # only to see the grid's shape
            side = encoder.maps(next(encoder.parameters()).new_zeros(1, channels, px, px)).grid.shape[-1]
        self.sizes = [px]
        while self.sizes[0] > 2 * side:
            self.sizes.insert(0, -(-self.sizes[0] // 2))
        self.of_step, blocks, before = Steps(width), [], encoder.channels
        for size in self.sizes:
            blocks.append(Up(before + channels if size == px else before, width))
            before, width = width, max(width // 2, _NARROWEST)
            self.of_step.tell(before)
        self.blocks = nn.ModuleList(blocks)
        self.noise = nn.Conv2d(before, channels, 3, padding=1)

    def forward(self, grid: Tensor, x_t: Tensor, share_B: Tensor) -> Tensor:
        """Return what the noise in x_t [B, C, H, H] is taken for, by an encoder's grid and the step's share of T."""
        x = grid
        for size, block, shift in zip(self.sizes, self.blocks, self.of_step(share_B), strict=True):
            x = F.interpolate(x, 2 * [size], mode="nearest")
            x = block(torch.cat([x, x_t.to(x.dtype)], dim=1) if block is self.blocks[-1] else x, shift)
        noise: Tensor = self.noise(x)
        return noise


class Steps(nn.Module):
    """Tell blocks the step: sines and cosines of it, two layers, and one for each block."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.hidden = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU())
        self.shifts = nn.ModuleList()

    def tell(self, channels: int) -> None:
        """Add a block of so many channels."""
        self.shifts.append(nn.Linear(self.width, channels))

    def forward(self, share_B: Tensor) -> list[Tensor]:
        """Return what to add to each block's channels, [B, W]."""
        half = torch.arange(self.width // 2, device=share_B.device)
        angle = 1000.0 * share_B[:, None] * torch.exp(-math.log(10_000.0) * half / (self.width // 2 - 1))
        hidden = self.hidden(torch.cat([angle.sin(), angle.cos()], dim=1))
        return [shift(hidden) for shift in self.shifts]


class Up(nn.Module):
    """Two convolutions, the second of what the first makes at a step, and is added to it."""

    def __init__(self, before: int, width: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(before, width, 3, padding=1)
        self.norm, self.again = nn.GroupNorm(_GROUPS, width), nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor, shift: Tensor) -> Tensor:
        """Return [B, W, h, h] of a map and what tells the step, [B, W]."""
        x = self.mix(x)
        out: Tensor = x + self.again(F.silu(self.norm(x) + shift[:, :, None, None]))
        return out


class AtStep(Encoder):
    """What the network makes of clean pictures at one step: their noise is the same for all of them and each time."""

    def __init__(self, encoder: Encoder, decoder: Decoder, schedule: Schedule, step: int, steps: int) -> None:
        super().__init__(encoder.dim)
        self.encoder, self.decoder = encoder, decoder
        self.schedule, self.step, self.steps = schedule, step, steps

    def maps(self, x: Tensor) -> Maps:
        """Return the encoder's maps of noised pictures; the decoder's blocks see them, too."""
        row, ones = torch.zeros(1, dtype=torch.int64, device=x.device), x.new_ones(len(x))
        noise = Draws(row, "ddpm", "probed").normal("noise", *x.shape[1:]).to(x.dtype)
        left = signal_left(self.schedule, self.steps, x.device)[self.step]
        x_t, share_B = diffuse(2.0 * x - 1.0, left * ones, noise), ones * (self.step / self.steps)
        made = self.encoder.maps((1.0 + x_t) / 2.0)
        self.decoder(made.grid, x_t, share_B)
        return made

    def blocks(self) -> Mapping[str, nn.Module]:
        """Return the encoder's blocks and the decoder's, "up1" and so on."""
        ups = {f"up{number}": block for number, block in enumerate(self.decoder.blocks, start=1)}
        return {**self.encoder.blocks(), **ups}

    def channels_first(self, made: Tensor) -> Tensor:
        """Turn tokens round; maps are as they should be."""
        return made if made.ndim == 4 else self.encoder.channels_first(made)
