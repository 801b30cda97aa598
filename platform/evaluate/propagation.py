"""Labels of a clip's first frame carried to its other frames, by which places look alike.

Jabri, Owens, Efros (2020), "Space-Time Correspondence as a Contrastive Random Walk", arXiv:2006.14613, sec. 4.1: each
place of a frame takes the labels of the most similar places of the first frame and of some frames before it, weighted
by a softmax of cosine similarity, out of a window around it. DINO (Caron et al. 2021, arXiv:2104.14294, sec. 4.2.2)
measures the same way. Nothing is fitted.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Propagation:
    """How labels are carried.

    Attributes:
        neighbors: how many of the most similar places are asked; all of them where there are fewer.
        context: how many of the frames before are looked at, besides the first.
        radius: how far, in places of the grid and along each side, what is asked may lie away.
        temperature: smaller gives the most similar more weight.
    """

    neighbors: int
    context: int
    radius: int
    temperature: float

    @torch.no_grad()
    def __call__(self, x_TDhw: Tensor, first_Khw: Tensor) -> Tensor:
        """Carry the labels of the first frame through one clip.

        Args:
            x_TDhw: features of each frame.
            first_Khw: how much of each of K labels each place of the first frame has.

        Returns:
            the same of every frame, float32 [T, K, h, w]; the first is as given.
        """
        frames, _, height, width = x_TDhw.shape
        unit_TDP = F.normalize(x_TDhw.float(), dim=1).flatten(2)
        near_PP = self._near(height, width).to(x_TDhw.device)
        labels = [first_Khw.flatten(1).float()]
        for frame in range(1, frames):
            seen = [0, *range(max(1, frame - self.context), frame)]
            alike_PS = torch.cat(
                [(unit_TDP[frame].T @ unit_TDP[other]).masked_fill(~near_PP, -torch.inf) for other in seen], dim=1
            )
            known_KS = torch.cat([labels[other] for other in seen], dim=1)
            best_PN, place_PN = alike_PS.topk(min(self.neighbors, alike_PS.shape[1]), dim=1)
            weight_PN = (best_PN / self.temperature).softmax(dim=1)
            labels.append((known_KS[:, place_PN] * weight_PN).sum(dim=2))
        return torch.stack(labels).view(frames, -1, height, width)

    def _near(self, height: int, width: int) -> Tensor:
        """Tell which places are near each other, bool [P, P]."""
        down, across = (
            place.flatten() for place in torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        )
        return ((down[:, None] - down).abs() <= self.radius) & ((across[:, None] - across).abs() <= self.radius)
