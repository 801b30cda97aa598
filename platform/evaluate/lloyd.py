"""k-means of many unit vectors: Lloyd's algorithm in blocks, in memory that does not grow with how many they are.

From each start, centres are drawn as k-means++ does (Arthur, Vassilvitskii 2007, "k-means++: The Advantages of Careful
Seeding", SODA): each from the rows by their squared distance to the nearest so far. Starts are compared on a sample;
the tightest goes on over all rows. Where there are no more than the sample holds, that is plain k-means.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.platform.draws import Draws

SAMPLE, SAMPLE_OF_EACH = 2**15, 32  # rows that starts are compared on: so many, or so many a cluster if that is more
_MAX_PASSES = 100  # over the sample from each start, and over all rows from the best
_TOLERANCE = 1e-4  # of the mean variance: what all centres together may still move, squared, when they count as still
_BLOCK, _GPU_BLOCK = 2**20, 2**25  # numbers of a block, or of its distances
_FLOAT64 = 2**24  # rows times clusters up to which it is computed in float64, so that rounding decides nothing


class Lloyd:
    """Rows to be clustered.

    Attributes:
        x: features [N, D], on any device, in memory or mapped from a file; read block by block, scaled to length 1.
        num_clusters: K, at most N.
        device: that computes.
        is_unit: whether they are of length 1, on the device, in the format that is computed in.
    """

    def __init__(self, x: Tensor, num_clusters: int, device: torch.device, *, is_unit: bool = False) -> None:
        self.x, self.num_clusters, self.device, self.is_unit = x, num_clusters, device, is_unit
        small = len(x) * num_clusters <= _FLOAT64
        self.dtype = x.dtype if is_unit else torch.float64 if small else torch.float32

    @torch.no_grad()
    def solve(self, num_starts: int) -> Tensor:
        """Return the centres, [K, D]."""
        rows = sample_of(len(self.x), self.num_clusters)
        is_all = len(rows) == len(self.x)
        unit = self._unit(self.x if is_all else self.x[rows.to(self.x.device)])
        sample = Lloyd(unit, self.num_clusters, self.device, is_unit=True)
        found = [sample.refined(centres) for centres in sample.starts(num_starts)]
        _, centres = min(found, key=lambda each: each[0])
        return centres if is_all else self.refined(centres.to(self.dtype))[1]

    def starts(self, num_starts: int) -> Iterator[Tensor]:
        """Yield the centres to start from, [K, D]; those of all starts are drawn in the same walks over the rows."""
        chosen = torch.empty(num_starts, self.num_clusters, dtype=torch.int64)
        away_NS = torch.full((len(self.x), num_starts), 1.0, dtype=torch.float64, device=self.device)
        for number in range(self.num_clusters):
            share = Draws(torch.arange(num_starts), "kmeans", number).uniform("centre").double().to(self.device)
            reach = away_NS.cumsum(dim=0).T.contiguous()
            wanted = share[:, None] * reach[:, -1:]
            picked = torch.searchsorted(reach, wanted, right=True)[:, 0].clamp_max(len(self.x) - 1)
            chosen[:, number] = picked.cpu()
            centres = self._unit(self.x[picked.to(self.x.device)])
            for rows, unit in self._blocks():
                further = (2.0 - 2.0 * (unit @ centres.T).double()).clamp_min_(0.0)
                away_NS[rows] = further if number == 0 else torch.minimum(away_NS[rows], further)
        for own in chosen:
            yield self._unit(self.x[own.to(self.x.device)])

    def refined(self, centres: Tensor) -> tuple[float, Tensor]:
        """Return the sum of squared distances to the nearest centre, and the centres, when they stand still."""
        spread = self._variance()
        for _ in range(_MAX_PASSES):
            total, sums, counts = 0.0, torch.zeros_like(centres, dtype=torch.float64), centres.new_zeros(len(centres))
            for _, unit in self._blocks():
                nearness, own = nearness_of(unit, centres).max(dim=1)
                total += float(1.0 * len(unit) - 2.0 * nearness.sum(dtype=torch.float64))
                sums.index_add_(0, own, unit.double())
                counts.index_add_(0, own, counts.new_ones(len(own)))
            means = sums / counts.clamp_min(1.0)[:, None]
            moved = torch.where(counts[:, None] > 0, means.to(centres), centres)  # who has nobody stays
            shift = float((moved - centres).square().sum())
            centres = moved
            if shift <= _TOLERANCE * spread:
                break
        return total, centres

    @torch.no_grad()
    def nearest(self, centres: Tensor) -> Tensor:
        """Return which of the centres is nearest to each row, int64 [N]."""
        return torch.cat([nearness_of(unit, centres).argmax(dim=1) for _, unit in self._blocks()])

    def _variance(self) -> float:
        """Return the mean variance of the dimensions."""
        sums = torch.zeros(self.x.shape[1], dtype=torch.float64, device=self.device)
        for _, unit in self._blocks():
            sums += unit.sum(dim=0, dtype=torch.float64)
        return float(1.0 - (sums / len(self.x)).square().sum()) / self.x.shape[1]

    def _blocks(self) -> Iterator[tuple[slice, Tensor]]:
        numbers = _GPU_BLOCK if self.device.type == "cuda" else _BLOCK
        size = max(1, numbers // max(self.x.shape[1], self.num_clusters))
        for start in range(0, len(self.x), size):
            rows = slice(start, min(start + size, len(self.x)))
            yield rows, self._unit(self.x[rows])

    def _unit(self, x: Tensor) -> Tensor:
        return x if self.is_unit else F.normalize(x.to(self.device, self.dtype), dim=1)


def nearness_of(unit_ND: Tensor, centres_KD: Tensor) -> Tensor:
    """Return x c - c c / 2 of rows and centres, [N, K]: the larger, the nearer."""
    return torch.addmm(centres_KD.square().sum(dim=1) / -2.0, unit_ND, centres_KD.T)


def sample_of(count: int, num_clusters: int) -> Tensor:
    """Return the rows that starts are compared on, int64, evenly spaced; all where there are no more."""
    size = max(SAMPLE, SAMPLE_OF_EACH * num_clusters)
    return torch.arange(count) if count <= size else torch.arange(size) * count // size
