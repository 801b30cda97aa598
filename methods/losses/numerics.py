"""What every loss needs to be safe: checked arguments, full precision, unit vectors, sums and means under a mask.

Shapes: B rows of this worker, N rows of all workers, D width.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor

from unlabeled.platform.collective import sum_over_workers, world_size

P = ParamSpec("P")
R = TypeVar("R")

_SHORTEST = 1e-12  # a shorter vector has no direction; torch.nn.functional.normalize's own bound


def in_full_precision(loss: Callable[P, R]) -> Callable[P, R]:
    """Make ``loss`` see float32 instead of float16 or bfloat16, with autocast off; float64 stays float64."""

    def widen(value: Any) -> Any:
        if isinstance(value, Tensor) and value.dtype in (torch.float16, torch.bfloat16):
            return value.float()
        return value

    @functools.wraps(loss)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        device_types = [value.device.type for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
        with torch.autocast(device_types[0] if device_types else "cpu", enabled=False):
            return loss(*map(widen, args), **{name: widen(value) for name, value in kwargs.items()})

    return wrapped


def constants(like: Tensor, numbers: Sequence[float]) -> Tensor:
    """Make a few numbers on a tensor's device and in its type, [n]: each is filled in there.

    ``torch.tensor`` with a device makes them on the host, and copies them once the GPU is done with all before.
    """
    return torch.stack([like.new_full((), number) for number in numbers])


def unit(x: Tensor) -> Tensor:
    """Scale the vectors in the last dimension of [..., D] to length 1.

    A vector shorter than 1e-12 has no direction: it becomes 0 and gets no gradient, where dividing by the bound would
    make the gradient 1e12 times too large. NaN stays NaN.
    """
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return x / torch.where(length < _SHORTEST, torch.inf, length)


exact_unit = in_full_precision(unit)
"""The same of what may be half-precise, for who is in no loss."""


def pairwise_distance(x_BD: Tensor, y_ND: Tensor) -> Tensor:
    """Return the Euclidean distances [B, N]; identical vectors get distance 0 and, there, gradient 0.

    From differences, not from |x|^2 + |y|^2 - 2xy, which loses every digit of a small distance in float32.
    """
    return torch.cdist(x_BD, y_ND, compute_mode="donot_use_mm_for_euclid_dist")


def log_sum_exp(value_BN: Tensor, mask_BN: Tensor) -> Tensor:
    """Return log sum exp over the true columns of each row, [B].

    A row without any is summed over all its columns, so that value and gradient stay finite: the caller leaves it out.
    """
    summed_BN = mask_BN | ~mask_BN.any(dim=1, keepdim=True)
    return value_BN.masked_fill(~summed_BN, -torch.inf).logsumexp(dim=1)


def mean_where(term: Tensor, valid: Tensor) -> Tensor:
    """Return the mean of ``term`` over the true places of ``valid``, of the same shape, on all workers.

    Workers may hold different numbers of them: each returns its own sum times W over the global count, so that the mean
    over workers, which is what DistributedDataParallel takes, is the global mean. Nowhere true: a differentiable 0.
    """
    count = sum_over_workers(valid.sum()).clamp(min=1)
    return torch.where(valid, term, 0.0).sum() * world_size() / count


def check_vectors(**vectors: Tensor) -> None:
    """Raise ValueError unless all are floating [B, D] of one shape, B and D at least 1."""
    names = " and ".join(vectors)
    shapes = {tuple(x.shape) for x in vectors.values()}
    if len(shapes) > 1 or any(x.dim() != 2 or x.numel() == 0 or not x.is_floating_point() for x in vectors.values()):
        got = ", ".join(f"{name} {describe(x)}" for name, x in vectors.items())
        raise ValueError(f"{names} must be floating [B, D]{' of one shape' if len(vectors) > 1 else ''}; got {got}")


def check_negatives(negatives: Tensor, batch: int, width: int) -> None:
    """Raise ValueError unless negatives are floating [K, D], or [B, K, D], with K at least 1."""
    fits = negatives.dim() == 2 or (negatives.dim() == 3 and len(negatives) == batch)
    if not fits or negatives.shape[-1] != width or negatives.numel() == 0 or not negatives.is_floating_point():
        raise ValueError(
            f"negatives must be floating [K, {width}], or [{batch}, K, {width}], with K >= 1; got {describe(negatives)}"
        )


def check_integers(batch: int, **values: Tensor) -> None:
    """Raise ValueError unless each is an integer or boolean [B]."""
    for name, x in values.items():
        if x.shape != (batch,) or x.is_floating_point():
            raise ValueError(f"{name} must be integer or boolean [{batch}]; got {describe(x)}")


def check_above_zero(**values: float) -> None:
    """Raise ValueError unless each is a finite number above 0."""
    for name, value in values.items():
        if not 0.0 < value < math.inf:
            raise ValueError(f"{name} must be a finite number above 0; got {value}")


def check_not_negative(**values: float) -> None:
    """Raise ValueError unless each is a finite number, 0 or above."""
    for name, value in values.items():
        if not 0.0 <= value < math.inf:
            raise ValueError(f"{name} must be a finite number, 0 or above; got {value}")


def describe(x: Tensor) -> str:
    """Return a tensor's shape and type, for messages: "[4, 8] float32"."""
    return f"{list(x.shape)} {str(x.dtype).removeprefix('torch.')}"
