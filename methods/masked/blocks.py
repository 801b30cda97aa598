"""Blocks of patches that are hidden together, as BEiT and iBOT hide them.

Shapes: B images, T patches of each, row by row.
"""

import math

import torch
from torch import Tensor

from unlabeled.platform.draws import Draws

_ATTEMPTS = 16  # to lay a block: most grids have their share by then
_ASPECT = 0.3  # of a block, at least; its inverse at most


def blockwise_masks(draws: Draws, side: int, ratio_B: Tensor, smallest: int) -> Tensor:
    """Hide blocks of patches until a share of them is hidden, or nearly so: bool [B, T], at least one patch.

    Bao et al. (2021), arXiv:2106.08254, algorithm 1: a block has from ``smallest`` patches to what is still to hide, an
    aspect from 0.3 to its inverse, and any place. One that would hide too much is left out, but never the first.

    Args:
        draws: of these rows.
        side: patches across the picture, which is square.
        ratio_B: the share of each picture, in (0, 1).
        smallest: patches of a block, at least.
    """
    wanted_B = (ratio_B * side**2).round().clamp_min(1.0)
    place = torch.arange(side, device=wanted_B.device)
    hidden = torch.zeros(len(wanted_B), side, side, dtype=torch.bool, device=wanted_B.device)
    for attempt in range(_ATTEMPTS):
        size, shape, top, left = draws.uniform(f"block {attempt}", 4).unbind(1)
        missing_B = wanted_B - hidden.sum(dim=(1, 2))
        least_B = missing_B.clamp_max(smallest)
        area = least_B + size * (missing_B - least_B)
        aspect = (math.log(_ASPECT) * (1.0 - 2.0 * shape)).exp()
        height = torch.minimum((area * aspect).sqrt().round().clamp(1, side), wanted_B)
        width = torch.minimum((area / aspect).sqrt().round().clamp(1, side), (wanted_B / height).floor())
        spans = []
        for share, length in ((top, height), (left, width)):
            begin = (share * (side - length + 1)).floor()[:, None]
            spans.append((place >= begin) & (place < begin + length[:, None]))
        more = hidden | (spans[0][:, :, None] & spans[1][:, None, :])
        fits_B = more.sum(dim=(1, 2)) <= wanted_B
        hidden = torch.where(fits_B[:, None, None], more, hidden)
    return hidden.flatten(1)
