"""Parts that several methods need."""

from itertools import pairwise

from torch import nn


def projection_head(in_features: int, widths: tuple[int, ...]) -> nn.Module:
    """Make a head on [B, in_features]: linear, batch norm and ReLU for each width but the last, which stays linear.

    No width is no head (the identity), one is a linear head, two are SimCLR's non-linear head (sec. 4.2).

    >>> projection_head(512, ())
    Identity()
    >>> len(projection_head(512, (2048, 128)))
    4
    """
    if not widths:
        return nn.Identity()
    dims = (in_features, *widths)
    layers: list[nn.Module] = []
    for before, after in pairwise(dims[:-1]):
        layers += [nn.Linear(before, after, bias=False), nn.BatchNorm1d(after), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.Linear(dims[-2], dims[-1]))
