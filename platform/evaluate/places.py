"""Features in their places, between their grid and the pixels of the picture."""

import functools

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.platform.evaluate.features import Features


def flat_frames(features: Features) -> tuple[Tensor, Tensor]:
    """Return grids [N, D, h, w] and what is told of them [N, ...]; each frame of clips [N, T, D, h, w] is a picture."""
    x, told = features.x, features.labels
    assert told is not None
    return (x.flatten(0, 1), told.flatten(0, 1)) if x.ndim == 5 else (x, told)


def upsampled(grid: Tensor, size: tuple[int, ...]) -> Tensor:
    """Interpolate [N, D, h, w] bilinearly to [N, D, *size]: as torch's does without aligned corners.

    By two products with matrices, whose gradient is the same on every run on a GPU too.
    """
    down, across = (_weights(had, wanted).to(grid) for had, wanted in zip(grid.shape[2:], size, strict=True))
    return down @ grid @ across.T


@functools.cache
def _weights(had: int, wanted: int) -> Tensor:
    """Return how much of each of ``had`` places goes into each of ``wanted``, [wanted, had]."""
    return F.interpolate(torch.eye(had)[None], size=wanted, mode="linear")[0].T.contiguous()
