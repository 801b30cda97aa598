"""KoLeo: images spread out, each kept away from its nearest neighbour.

Sablayrolles, Douze, Schmid, Jégou (2018), "Spreading vectors for similarity search", arXiv:1806.03198, eq. 2, after the
Kozachenko-Leonenko estimate of entropy.

Shapes: B rows of this worker, N of all workers, D width.
"""

import torch
from torch import Tensor

from unlabeled.methods.losses.numerics import in_full_precision, unit
from unlabeled.platform.collective import gather, row_ids


@in_full_precision
def log_distance(x_BD: Tensor) -> Tensor:
    """Return the mean logarithm of how far rows, scaled to length 1, are from the nearest among all others.

    Those of other workers are among them, so that there have to be two at least. Rows that are equal count as 1e-8
    apart, and have no gradient.
    """
    x_BD = unit(x_BD)
    every_ND, own_B1 = gather(x_BD), row_ids(len(x_BD), x_BD.device)[:, None]
    nearest_B = (x_BD @ every_ND.T).detach().scatter(1, own_B1, -torch.inf).argmax(dim=1)
    return ((x_BD - every_ND[nearest_B]).square().sum(dim=1) + 1e-16).sqrt().log().mean()
