"""Which frames of a film are shown: drawn by how much moves there, in their order or another; and their differences.

Shapes: B clips per worker, T frames, K of them that are drawn.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.platform.draws import Draws


def motion(clip: Tensor) -> Tensor:
    """Return how much of a clip [B, T, C, H, W] changes from the frame before and to the next one, [B, T]."""
    change = clip.diff(dim=1).abs().mean(dim=(2, 3, 4))
    return F.pad(change, (1, 0)) + F.pad(change, (0, 1))


def drawn(weight_BT: Tensor, count: int, draws: Draws, purpose: str) -> Tensor:
    """Draw ``count`` of T frames, one after the other in proportion to their weights, and return them in order.

    The frames with the largest log(weight) - log(-log(uniform)) are such a draw (Gumbel; Efraimidis, Spirakis 2006).
    """
    luck = draws.uniform(purpose, weight_BT.shape[1]).clamp_min(2.0**-25).to(weight_BT.dtype)
    return (weight_BT.clamp_min(1e-6).log() - (-luck.log()).log()).topk(count, dim=1).indices.sort(dim=1).values


def pick(clip: Tensor, frames_BK: Tensor) -> Tensor:
    """Take frames of clips [B, T, C, H, W]: [B, K, C, H, W]."""
    return clip[torch.arange(len(clip), device=clip.device)[:, None], frames_BK]


def shuffled(draws: Draws, length: int) -> Tensor:
    """Draw an order of so many frames that is not theirs, int64 [B, length]."""
    order, theirs = draws.permutation("shuffled", length), torch.arange(length, device=draws.rows.device)
    return torch.where((order == theirs).all(dim=1, keepdim=True), order.roll(1, dims=1), order)


def with_one_shuffled(frames_BNK: Tensor, odd_B: Tensor, draws: Draws) -> Tensor:
    """Shuffle the frames of one of N parts of each film, that which ``odd_B`` names: [B, N, K]."""
    wrong = frames_BNK.gather(2, shuffled(draws, frames_BNK.shape[2])[:, None].expand_as(frames_BNK))
    is_odd = torch.arange(frames_BNK.shape[1], device=odd_B.device) == odd_B[:, None]
    return torch.where(is_odd[..., None], wrong, frames_BNK)


def differences(x: Tensor) -> Tensor:
    """Sum x_j - x_i of [B, n, ...] over all i < j: [B, ...]."""
    count = x.shape[1]
    weight = 2.0 * torch.arange(count, device=x.device, dtype=x.dtype) - (count - 1)
    return torch.einsum("bn...,n->b...", x, weight)
