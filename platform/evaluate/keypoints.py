"""Points followed through a clip by frozen features: where they are in the first frame is all that is told.

As JHMDB's body parts are used to probe features (Jabri et al. 2020, arXiv:2006.14613, sec. 4.2): each point is carried
on by :mod:`~unlabeled.platform.evaluate.propagation`, lies where the five places with most of it have their centre, and
is right within a tenth of a size: PCK, the percentage of correct keypoints (Yang, Ramanan 2013).

Differs from it: the size is the longer side of the picture, because points here need not be of one body; and a point
enters the grid by bilinear weights of the places around it instead of as a Gaussian.
"""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from unlabeled.platform.evaluate.features import Features
from unlabeled.platform.evaluate.probe import FeatureProbe, Score
from unlabeled.platform.evaluate.propagation import Propagation
from unlabeled.platform.metrics import Metric, scores_of

_PLACES = 5  # that say where a point is


class Keypoints(FeatureProbe):
    """Points carried from the first frame; ``pck`` is the share that lands near enough, of all frames after it.

    Points that are not seen, in the first frame or in that one, are not counted.

    Attributes:
        neighbors: how many of the most similar places are asked.
        context: how many of the frames before are looked at, besides the first.
        radius: how far in the grid what is asked may lie away.
        temperature: smaller gives the most similar more weight.
        near: how near is near enough, in longer sides of the picture.
    """

    name = "keypoints"
    reads: ClassVar[Literal["pooled", "grid", "method"]] = "grid"
    target: ClassVar[str] = "points"
    sees: ClassVar[tuple[str, ...]] = ("clip",)
    scores: ClassVar[Mapping[str, Metric]] = scores_of("keypoints", "pck")
    neighbors: int = Field(default=5, ge=1)
    context: int = Field(default=7, ge=0)
    radius: int = Field(default=12, ge=0)
    temperature: float = Field(default=0.1, gt=0.0)
    near: float = Field(default=0.1, gt=0.0)

    def learn(self, train: Features) -> Score:
        """Learn nothing."""
        return self._score

    def _score(self, test: Features) -> Mapping[str, float]:
        assert test.labels is not None
        carry = Propagation(self.neighbors, self.context, self.radius, self.temperature)
        right = seen = 0
        for x_TDhw, points_TK2 in zip(test.x, test.labels, strict=True):
            known_TK2 = points_TK2[:, points_TK2[0].isfinite().all(dim=1)]
            if not known_TK2.shape[1]:
                continue
            place_TK2 = located(carry(x_TDhw, on_grid(known_TK2[0], x_TDhw.shape[2:], test.size)), test.size)
            away = (place_TK2 - known_TK2)[1:].norm(dim=2)  # NaN where it is not seen
            right += int((away <= self.near * max(test.size)).sum())
            seen += int(away.isfinite().sum())
        if not seen:
            raise ValueError("no point is seen in the first frame of a clip and in another")
        return {"pck": right / seen}


def on_grid(points_K2: Tensor, grid: tuple[int, ...], size: tuple[int, ...]) -> Tensor:
    """Return how much of each point each place has, [K, h, w]: the places around it by their bilinear weights.

    Args:
        points_K2: x and y in pixels.
        grid: its height and width.
        size: those of the picture.
    """
    shares = []
    for along, (places, pixels) in zip((1, 0), zip(grid, size, strict=True), strict=True):
        at = (points_K2[:, along] / pixels * places - 0.5).clamp(0.0, places - 1.0)
        shares.append((1.0 - (at[:, None] - torch.arange(places, device=at.device)).abs()).clamp_min(0.0))
    down_Kh, across_Kw = shares
    return down_Kh[:, :, None] * across_Kw[:, None, :]


def located(shares_TKhw: Tensor, size: tuple[int, ...]) -> Tensor:
    """Return where each point is in pixels, [T, K, 2]: the centre of the places that have most of it."""
    height, width = shares_TKhw.shape[2:]
    flat = shares_TKhw.flatten(2)
    most, place = flat.topk(min(_PLACES, flat.shape[2]), dim=2)
    most = most / most.sum(dim=2, keepdim=True).clamp_min(1e-12)
    y = ((place // width).float() + 0.5) / height * size[0]
    x = ((place % width).float() + 0.5) / width * size[1]
    return torch.stack([(most * x).sum(dim=2), (most * y).sum(dim=2)], dim=2)
