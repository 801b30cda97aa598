"""Multinomial logistic regression on many rows, solved to its optimum in memory that does not grow with them.

Newton's method runs from zero. Each step is solved by conjugate gradients, the nearer the end the better (Nocedal,
Wright 2006, "Numerical Optimization", alg. 7.1), preconditioned by what the Hessian would be if how uncertain a picture
is had nothing to do with its features: a Kronecker product of two small covariances.

Rows are walked in blocks, each standardised as it comes; sums over them are float64. Products inside a block are
float32 where more is not seen: for the Hessian, which only says where to go, and for the gradient while it is large.
The gradient that decides where it ends is float64, so the optimum is that of float64 whatever the way to it.
"""

import functools
from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

KEPT = 2**26  # numbers: so many standardised features, and so many probabilities, are kept, 256 MiB each; others anew
_BLOCK = 2**19  # features at a time, 2 MiB, so that a block stays in a processor's cache
_MIN_ROWS, _GPU_ROWS = 1024, 16_384
_COARSE = 1e-4  # largest gradient entry under which float32 is too coarse: its own rounding is some 1e-6
_MAX_PRODUCTS = 500  # with the Hessian, in one Newton step
_MAX_HALVINGS = 30  # of a Newton step
_SAMPLE = 16  # rows a dimension that the preconditioner's covariance is taken of


class Solution(NamedTuple):
    """Where the solver ended.

    Attributes:
        weight: float64 [K, D], of standardised features.
        bias: float64 [K].
        steepest: the largest entry of the gradient there.
    """

    weight: Tensor
    bias: Tensor
    steepest: float


class Moments(NamedTuple):
    """Mean and deviation of each dimension, float64 [D]."""

    mean: Tensor
    deviation: Tensor

    @classmethod
    def of(cls, x_ND: Tensor, device: torch.device) -> "Moments":
        """Measure rows, in two walks over them; a deviation is at least 1e-6, so that what never changes is 0."""
        total = squares = torch.zeros(x_ND.shape[1], dtype=torch.float64, device=device)
        for block in torch.split(x_ND, _MIN_ROWS):
            total = total + block.to(device).double().sum(dim=0)
        mean = total / len(x_ND)
        for block in torch.split(x_ND, _MIN_ROWS):
            squares = squares + (block.to(device).double() - mean).square_().sum(dim=0)
        return cls(mean, (squares / (len(x_ND) - 1)).sqrt_().clamp_min_(1e-6))

    def standardised(self, x: Tensor) -> Tensor:
        """Return rows with these moments taken off, float64."""
        return x.to(self.mean.device).sub(self.mean).div_(self.deviation)


class _Point(NamedTuple):
    """The objective at some weights [K, D + 1], the last column the biases.

    Attributes:
        value: of the objective.
        gradient: float64, like the weights.
        uncertainty: covariance of the classes, given the features: mean of diag(p) - p p^T, float64 [K, K].
    """

    weights: Tensor
    value: Tensor
    gradient: Tensor
    uncertainty: Tensor

    @property
    def steepest(self) -> float:
        return float(self.gradient.abs().max())


class Regression:
    """The mean cross-entropy of rows plus l2 / 2 times the squared weights; biases are free. K classes.

    Attributes:
        x: float32 or float64 [N, D], on any device, in memory or mapped from a file; read block by block.
        labels: int64 [N], on the device that computes.
        moments: what rows are standardised by.
        l2: strength of the penalty.
    """

    def __init__(self, x: Tensor, labels: Tensor, moments: Moments, l2: float) -> None:
        self.x, self.labels, self.moments, self.l2 = x, labels, moments, l2
        self.num_classes = int(labels.max()) + 1
        self._rows = _GPU_ROWS if labels.is_cuda else max(_MIN_ROWS, _BLOCK // x.shape[1])
        self._kept: dict[int, Tensor] = {}
        # Probabilities of each block, [K, rows]: a softmax over few neighbouring numbers takes seven times as long.
        self._p: dict[int, Tensor] | None = {} if is_exact(len(x), self.num_classes) else None

    @torch.no_grad()
    def solve(self, tolerance: float, max_iterations: int) -> Solution:
        """Go down until no entry of the gradient is above the tolerance, or so many Newton steps are done."""
        dtype = torch.float32
        point = self._start()
        for _ in range(max_iterations):
            if dtype == torch.float32 and point.steepest <= _COARSE and tolerance < _COARSE and self._p is not None:
                dtype = torch.float64
                point = self._at(point.weights, dtype)
            if point.steepest <= tolerance:
                break
            further = self._further(point, self._newton_step(point, tolerance), dtype)
            if further is None and dtype == torch.float32 and self._p is not None:
                dtype = torch.float64
                further = self._at(point.weights, dtype)
            elif further is None:
                break
            point = further
        return Solution(point.weights[:, :-1].contiguous(), point.weights[:, -1].clone(), point.steepest)

    def _further(self, point: _Point, step: Tensor, dtype: torch.dtype) -> _Point | None:
        """Go along a step, half as far until the objective falls enough; None where it never does."""
        slope = (point.gradient * step).sum()
        # Near the optimum the value is as flat as the number format can tell.
        rounding = (1e-14 if dtype == torch.float64 else 3e-7) * point.value.abs()
        for halvings in range(_MAX_HALVINGS):
            share = 0.5**halvings
            further = self._at(point.weights + share * step, dtype)
            if further.value <= point.value + 1e-4 * share * slope + rounding:
                return further
        return None

    def _start(self) -> _Point:
        """Return the point of no weights, where all classes are as probable: it takes sums of their rows, no more."""
        count, classes = len(self.x), self.num_classes
        even = 1.0 / classes
        w_KD = self.moments.mean.new_zeros(classes, self.x.shape[1] + 1)
        sums_KD = torch.zeros_like(w_KD)
        for start, x in self._blocks(torch.float32):
            labels = self.labels[start : start + len(x)]
            sums_KD[:, :-1] += x.new_zeros(classes, x.shape[1]).index_add_(0, labels, x)
            if self._p is not None:
                self._p[start] = x.new_full((classes, len(x)), even)
        sums_KD[:, -1] = torch.bincount(self.labels, minlength=classes)
        uncertainty = torch.diag(w_KD.new_full((classes,), even)) - even * even
        gradient = (even * sums_KD.sum(dim=0) - sums_KD) / count
        return _Point(w_KD, w_KD.new_tensor(classes).log(), gradient, uncertainty)

    def _at(self, w_KD: Tensor, dtype: torch.dtype) -> _Point:
        value, total_K = w_KD.new_zeros(()), w_KD.new_zeros(self.num_classes)
        gradient, pairs_KK = torch.zeros_like(w_KD), w_KD.new_zeros(self.num_classes, self.num_classes)
        weight, bias = w_KD[:, :-1].to(dtype), w_KD[:, -1].to(dtype)
        for start, x in self._blocks(dtype):
            labels = self.labels[None, start : start + len(x)]
            p = torch.addmm(bias[:, None], weight, x.T).log_softmax(dim=0)
            value -= p.gather(0, labels).sum(dtype=torch.float64)
            p.exp_()
            if self._p is not None:
                self._p[start] = p.float() if dtype == torch.float64 else p.clone()
            total_K += p.sum(dim=1)
            pairs_KK += p @ p.T
            p.scatter_add_(0, labels, p.new_full((1, 1), -1.0).expand_as(labels))
            gradient[:, :-1] += p @ x
            gradient[:, -1] += p.sum(dim=1)
        count = len(self.x)
        gradient /= count
        gradient[:, :-1] += self.l2 * w_KD[:, :-1]
        value = value / count + self.l2 / 2.0 * w_KD[:, :-1].square().sum()
        return _Point(w_KD, value, gradient, torch.diag(total_K / count) - pairs_KK / count)

    def _newton_step(self, point: _Point, tolerance: float) -> Tensor:
        """Solve Hessian @ step = -gradient by preconditioned conjugate gradients."""
        scale_K, mix_KK = torch.linalg.eigh(point.uncertainty)
        spread_D, directions_DD = self._covariance
        scale_KD = (scale_K.clamp_min(0.0)[:, None] * spread_D + self.l2).clamp_min(1e-12)

        def precondition(residual_KD: Tensor) -> Tensor:
            rotated_KD = mix_KK.T @ residual_KD @ directions_DD
            made_KD: Tensor = mix_KK @ (rotated_KD / scale_KD) @ directions_DD.T
            return made_KD

        step, residual = torch.zeros_like(point.gradient), -point.gradient
        length = float(residual.norm())
        enough = length * min(0.25, length**0.5)
        direction = preconditioned = precondition(residual)
        product = (residual * preconditioned).sum()
        for _ in range(_MAX_PRODUCTS):
            curved = self._hessian_times(direction, point.weights)
            curvature = (direction * curved).sum()
            if curvature <= 0.0:  # by rounding
                break
            step, residual = step + product / curvature * direction, residual - product / curvature * curved
            if residual.norm() <= enough or residual.abs().max() <= 0.3 * tolerance:
                break
            preconditioned = precondition(residual)
            before, product = product, (residual * preconditioned).sum()
            direction = preconditioned + product / before * direction
        return step

    def _hessian_times(self, v_KD: Tensor, w_KD: Tensor) -> Tensor:
        made = torch.zeros_like(v_KD)
        largest = v_KD.abs().max()  # so that what is left of a gradient near the optimum has room in float32
        v, w = (v_KD / largest).float(), w_KD.float()
        for start, x in self._blocks(torch.float32):
            p = torch.addmm(w[:, -1:], w[:, :-1], x.T).softmax(dim=0) if self._p is None else self._p[start]
            moved = torch.addmm(v[:, -1:], v[:, :-1], x.T).mul_(p)
            moved.addcmul_(p, moved.sum(dim=0), value=-1.0)
            made[:, :-1] += moved @ x
            made[:, -1] += moved.sum(dim=1)
        made *= largest / len(self.x)
        made[:, :-1] += self.l2 * v_KD[:, :-1]
        return made

    @functools.cached_property
    def _covariance(self) -> tuple[Tensor, Tensor]:
        """Eigenvalues [D + 1] and eigenvectors of the mean product of features with a 1, of enough of the rows."""
        dim = self.x.shape[1] + 1
        starts = range(0, len(self.x), self._rows)
        every = max(1, len(self.x) // max(_SAMPLE * dim, self._rows))
        products, count = self.moments.mean.new_zeros(dim, dim), 0
        for start in starts[::every]:
            x = F.pad(self._block(start, torch.float32), (0, 1), value=1.0)
            products += x.T @ x
            count += len(x)
        spread, directions = torch.linalg.eigh(products / count)
        return spread.clamp_min_(0.0), directions

    def _blocks(self, dtype: torch.dtype) -> Iterator[tuple[int, Tensor]]:
        """Yield where each block begins, and its standardised features."""
        for start in range(0, len(self.x), self._rows):
            yield start, self._block(start, dtype)

    def _block(self, start: int, dtype: torch.dtype) -> Tensor:
        if dtype == torch.float32 and start in self._kept:
            return self._kept[start]
        made = self.moments.standardised(self.x[start : start + self._rows]).to(dtype)
        if dtype == torch.float32 and self.x.numel() <= KEPT:
            self._kept[start] = made
        return made


def is_exact(rows: int, classes: int) -> bool:
    """Tell whether so many rows are solved in float64 in the end: as long as their probabilities are kept."""
    return rows * classes <= KEPT
