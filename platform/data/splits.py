"""Who is in which split: fixed for a data set, whatever a run's seed, on every machine.

Rows are cut class by class, so that each split has the classes' shares, and group by group, so that rows that show one
thing are never parted. The shuffles are :mod:`unlabeled.platform.draws`, which depend on nothing but their purpose.
"""

import numpy as np
import torch
from torch import Tensor

from unlabeled.platform.draws import Draws


def shuffled(count: int, purpose: str) -> Tensor:
    """Return the one permutation of 0 .. count - 1 for this purpose, int64 [count]."""
    return Draws(torch.arange(count), "data", purpose).uniform("order").argsort(stable=True)


def carve(rows: Tensor, labels: Tensor, groups: Tensor, fraction: float, purpose: str) -> tuple[Tensor, Tensor]:
    """Cut a fraction out of each class.

    Args:
        rows: int64 [M], the rows to be cut; both results keep their order.
        labels: int64 [N], the class of every row of the set, not -1 for ``rows``; a group of several classes counts as
            of the one with the lowest number.
        groups: int64 [N], rows of equal group stay together.
        fraction: of each class's groups, rounded; at least one group and never all. A class of one group is not cut.
        purpose: names the cut; another purpose cuts elsewhere.

    Returns:
        the rows that are kept, and those that are carved out.
    """
    units, inverse = np.unique(groups[rows].numpy(), return_inverse=True)
    unit_of_row = torch.from_numpy(inverse)
    unit_labels = torch.zeros(len(units), dtype=torch.int64)
    unit_labels.scatter_reduce_(0, unit_of_row, labels[rows], "amin", include_self=False)

    order = shuffled(len(units), purpose)
    rank, size = torch.empty_like(order), torch.empty_like(order)
    rank[order], size[order] = _rank_in_class(unit_labels[order])
    taken = (size.double() * fraction + 0.5).floor().to(torch.int64).clamp(min=1)
    carved = (rank < torch.minimum(taken, size - 1))[unit_of_row]
    return rows[~carved], rows[carved]


def balanced(rows: Tensor, labels: Tensor, count: int) -> Tensor:
    """Choose ``count`` of the rows, equally many of each class while each has enough; they keep their order.

    A smaller count's choice is part of a larger count's: rows are taken in turn, the first of each class, the second of
    each class, and so on.
    """
    rank, _ = _rank_in_class(labels[rows])
    by_class = labels[rows].argsort(stable=True)
    in_turn = by_class[rank[by_class].argsort(stable=True)]
    return rows[in_turn[:count].sort().values]


def _rank_in_class(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return for each of some rows how many of its class come before it, and how many its class has."""
    sizes = labels.bincount()
    order = labels.argsort(stable=True)
    starts = sizes.cumsum(0) - sizes
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(labels)) - starts.repeat_interleave(sizes)
    return rank, sizes[labels]
