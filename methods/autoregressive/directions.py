"""What CPC v2 predicts by in one direction: a masked network down the rows, and a prediction for each step.

Hénaff et al. (2019), "Data-Efficient Image Recognition with Contrastive Predictive Coding", arXiv:1905.09272, code in
its appendix.

Shapes: B images per worker, R rows and L columns of patches, D features of a patch, T width of what is compared.
"""

from collections.abc import Mapping, Sequence

import torch.nn.functional as F
from torch import Tensor, nn

SCALE = 0.1  # of predictions


class MaskedBlock(nn.Module):
    """Adds to each place [B, D, R, L] what it makes of its row and the one above it."""

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.row = nn.Sequential(nn.Conv2d(dim, width, 1), nn.ReLU(), nn.Conv2d(width, width, (1, 3), padding=(0, 1)))
        self.above = nn.Sequential(nn.Conv2d(width, width, (2, 1)), nn.ReLU(), nn.Conv2d(width, dim, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, D, R, L]."""
        made: Tensor = self.above(F.pad(self.row(x), (0, 0, 1, 0)))
        return x + made


class Direction(nn.Module):
    """A context network g, what is predicted, W z, and a linear prediction for each of some steps, V_k and b_k."""

    def __init__(self, dim: int, steps: Sequence[int], width: int, blocks: int, target: int) -> None:
        super().__init__()
        self.steps = tuple(steps)
        self.context = nn.Sequential(*(MaskedBlock(dim, width) for _ in range(blocks)), nn.ReLU())
        self.target = nn.Linear(dim, target, bias=False)
        self.predict = nn.ModuleList(nn.Linear(dim, target) for _ in steps)

    def forward(self, z_BDRL: Tensor) -> tuple[Mapping[int, Tensor], Tensor]:
        """Return what is predicted so many rows ahead, k -> [B, R - k, L, T], and what there is, [B, R, L, T]."""
        c_BRLD = self.context(z_BDRL).permute(0, 2, 3, 1)
        steps = zip(self.steps, self.predict, strict=True)
        return {k: SCALE * linear(c_BRLD[:, :-k]) for k, linear in steps}, self.target(z_BDRL.permute(0, 2, 3, 1))
