"""How pictures become noise and what telling the way back costs; the method is :mod:`ddpm`.

Ho, Jain, Abbeel (2020), arXiv:2006.11239, sec. 2 and 3; Nichol, Dhariwal (2021), arXiv:2102.09672, sec. 3.2 and 4.

Shapes: B pictures of any further dimensions, d numbers each, T steps: 1 to T, where step 0 is the clean picture.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from unlabeled.methods.losses.numerics import in_full_precision
from unlabeled.platform.draws import Draws

LEVELS = 256
_OFFSET = 0.008  # s of the cosine schedule
_LARGEST_BETA = 0.999
Schedule = Literal["linear", "cosine"]


def signal_left(schedule: Schedule, steps: int, device: torch.device) -> Tensor:
    """Return alpha-bar of steps 0 to T, float64 [T + 1]: the share of a picture's variance that is left.

    Made there anew, for it is no weight. "linear": beta rises from 1e-4 to 0.02 in 1,000 steps (Ho et al., sec. 4), in
    fewer as much steeper, as in openai/improved-diffusion. "cosine": eq. 17 of Nichol and Dhariwal.
    """
    if schedule == "linear":
        betas = torch.linspace(1e-4, 0.02, steps, dtype=torch.float64, device=device) * (1000 / steps)
    else:
        share = torch.arange(steps + 1, dtype=torch.float64, device=device) / steps
        left = torch.cos((share + _OFFSET) / (1 + _OFFSET) * (math.pi / 2)).square()
        betas = 1.0 - left[1:] / left[:-1]
    kept = (1.0 - betas.clamp_max(_LARGEST_BETA)).cumprod(dim=0)
    return torch.cat([torch.ones_like(kept[:1]), kept])


def diffuse(x_0: Tensor, left_B: Tensor, noise: Tensor) -> Tensor:
    """Return x_t ~ q(x_t|x_0): eq. 4 of Ho et al."""
    left = _beside(left_B, x_0)
    return left.sqrt() * x_0 + (1.0 - left).sqrt() * noise


def clean(x_t: Tensor, left_B: Tensor, noise: Tensor) -> Tensor:
    """Return what x_0 was, were this its noise: eq. 15."""
    left = _beside(left_B, x_t)
    return (x_t - (1.0 - left).sqrt() * noise) / left.sqrt()


def posterior(x_0: Tensor, x_t: Tensor, before_B: Tensor, left_B: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean, [B, ...], and the variance, [B], of q(x_s|x_t, x_0) for a step s before t: eq. 7.

    Args:
        x_0: clean pictures.
        x_t: the same at step t.
        before_B: alpha-bar of step s.
        left_B: alpha-bar of step t.
    """
    alpha_B = left_B / before_B
    of_clean = _beside(before_B.sqrt() * (1.0 - alpha_B) / (1.0 - left_B), x_0)
    of_noised = _beside(alpha_B.sqrt() * (1.0 - before_B) / (1.0 - left_B), x_0)
    return of_clean * x_0 + of_noised * x_t, (1.0 - alpha_B) * (1.0 - before_B) / (1.0 - left_B)


def sample(
    guess: Callable[[Tensor, int], Tensor], noise: Tensor, way: Sequence[int], left: Tensor, draws: Draws
) -> Iterator[Tensor]:
    """Yield pictures of noise, and of each further step: algorithm 2, in fewer steps (Nichol and Dhariwal, sec. 4).

    Args:
        guess: says what x_0 a picture at a step comes of.
        noise: x_T.
        way: steps, from T down to 0.
        left: alpha-bar of all steps.
        draws: of these rows.
    """
    x = noise
    yield x
    for step, before in pairwise(way):
        mean, variance_B = posterior(guess(x, step), x, left[before].expand(len(x)), left[step].expand(len(x)))
        fresh = draws.normal(f"sample {before}", *x.shape[1:]).to(x.dtype)
        x = mean + _beside(variance_B.sqrt(), x) * fresh
        yield x


@torch.no_grad()
@in_full_precision
def bits_per_dim(x_0: Tensor, x_t: Tensor, noise: Tensor, predicted: Tensor, step_B: Tensor, left: Tensor) -> Tensor:
    """Return the bound on the likelihood as a step of each picture estimates it, in bits of a number: eq. 5.

    With the posterior's variance a step costs its squared error, by the weight of eq. 12; the first one, of which no
    noise may be left, is told in levels of 256 (eq. 13), by the second's variance, as in the authors' code.

    Args:
        x_0: clean pictures [B, ...] in [-1, 1].
        x_t: the same at their steps.
        noise: what was mixed in.
        predicted: what is taken for it.
        step_B: t of each, drawn uniformly from 1 .. T.
        left: alpha-bar of all steps, float64 [T + 1].
    """
    before_B, left_B = left[step_B - 1], left[step_B]
    weight_B = (before_B / left_B - 1.0) / (2.0 * (1.0 - before_B).clamp_min(1e-12))
    error_B = (predicted - noise).square().flatten(1).mean(dim=1)
    variance = (1.0 - left[2] / left[1]) * (1.0 - left[1]) / (1.0 - left[2])
    levels = _nats_of_levels(x_0, clean(x_t, left_B, predicted), variance.sqrt().to(x_0.dtype))
    steps_B = torch.where(step_B == 1, levels.flatten(1).mean(dim=1), weight_B.to(error_B.dtype) * error_B)
    kept = left[-1].to(x_0.dtype)
    end = 0.5 * (kept * x_0.square().mean() - kept - torch.log1p(-kept))  # from N(0, 1)
    return ((len(left) - 1) * steps_B.mean() + end) / math.log(2)


def _nats_of_levels(x: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    """Return -log of what a Gaussian gives to the level of 256 that each x in [-1, 1] is: eq. 13."""
    half = 1.0 / (LEVELS - 1)
    above, below = ((x - mean + way * half) / deviation for way in (1.0, -1.0))
    above = torch.where(x > 1.0 - half, torch.inf, above)
    below = torch.where(x < half - 1.0, -torch.inf, below)
    is_right = below > 0.0  # where both are near 1, the other tail has the digits
    low, high = torch.where(is_right, -above, below), torch.where(is_right, -below, above)
    chance: Tensor = torch.special.ndtr(high) - torch.special.ndtr(low)
    return -chance.clamp_min(1e-12).log()


def _beside(number_B: Tensor, x: Tensor) -> Tensor:
    return number_B.to(x.dtype).view(-1, *[1] * (x.ndim - 1))
