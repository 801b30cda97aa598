"""Which frames of a film are shown: drawn by how much moves there.

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
