"""Two views of each image: the losses of SimCLR, and the alternatives it was compared with.

Chen, Kornblith, Norouzi, Hinton (2020), "A Simple Framework for Contrastive Learning of Visual Representations",
arXiv:2002.05709: eq. 1 and sec. 5.1, table 2 (there as objectives to maximise, here as losses).

Every view is an anchor. Its positive is the image's other view, its negatives are the views of all other images on all
workers. Views are compared by cosine similarity. Every worker must bring the same number of images.

Shapes: B images of this worker, V = 2B their views, N views on all workers, D width.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.methods.losses.chunked import choose_positive
from unlabeled.methods.losses.contrast import Contrast
from unlabeled.methods.losses.mining import Mining, check_mining, hardest_negatives, semi_hard_negatives
from unlabeled.methods.losses.numerics import (
    check_above_zero,
    check_not_negative,
    check_vectors,
    in_full_precision,
    unit,
)
from unlabeled.platform.collective import gather, row_ids


@in_full_precision
def nt_xent(z1_BD: Tensor, z2_BD: Tensor, temperature: float, *, cosine: bool = True) -> Tensor:
    """Return the normalised temperature-scaled cross-entropy: SimCLR's eq. 1, mean over all 2B views.

    At most log(N - 1) + 2 / temperature, and 0 where an image is alone (there is nothing to tell it from). A zero
    vector is equally similar to everything and gets no gradient. Symmetric in the views. In memory are a few million
    similarities at a time, however large the batch. With ``cosine`` false, views are compared by their dot product, as
    in table 5's lines without l2 norm; then the loss has no upper limit.

    Raises:
        ValueError: the temperature isn't above 0, or the views aren't [B, D] of one shape.
    """
    return nt_xent_with_top1(z1_BD, z2_BD, temperature, cosine=cosine).loss


@in_full_precision
def nt_xent_with_top1(z1_BD: Tensor, z2_BD: Tensor, temperature: float, *, cosine: bool = True) -> Contrast:
    """Return :func:`nt_xent`, the share of views that have their partner as nearest neighbour, and what else to follow.

    Each view chooses among all views on all workers but itself, 2 * images - 1 candidates; but only as many of them are
    independent as there are images, so the bound on the views' information is log(images) - loss.

    Raises:
        ValueError: as :func:`nt_xent`.
    """
    check_above_zero(temperature=temperature)
    z_VD, own_V, partner_V = _views(z1_BD, z2_BD, cosine)
    z_ND, known_V2 = gather(z_VD), torch.stack([own_V, partner_V], dim=1)
    chosen = choose_positive(z_VD / temperature, z_VD.roll(len(z1_BD), dims=0), z_ND, known_V2)
    return Contrast.among(len(z_ND) // 2, *chosen)


@in_full_precision
def nt_logistic(z1_BD: Tensor, z2_BD: Tensor, temperature: float, mining: Mining = "none") -> Tensor:
    """Return SimCLR's NT-Logistic loss, a yes or no to "is this my other view?" for each pair; mean over all 2B views.

    For a view u: -log sigmoid(u.v+ / tau) - log sigmoid(-u.v- / tau), with the mean over all negatives v-, or with one:
    the "semi-hard" (the most similar that is less similar than the positive; else the least similar of all) or the
    "hardest" (the most similar). Only the first part is left where an image is alone.

    Raises:
        ValueError: the temperature isn't above 0, the mining is unknown, or the views aren't [B, D] of one shape.
    """
    check_mining(mining)
    views = _compare(z1_BD, z2_BD, temperature)
    attraction_V = -F.logsigmoid(views.positive_V1()[:, 0])
    repulsion_VN = -F.logsigmoid(-views.similarity_VN)
    return (attraction_V + _over_negatives(repulsion_VN, views, mining, margin=math.inf)).mean()


@in_full_precision
def margin_triplet(z1_BD: Tensor, z2_BD: Tensor, margin: float, mining: Mining = "none") -> Tensor:
    """Return SimCLR's margin triplet loss: max(0, u.v- - u.v+ + margin), mean over all 2B views u.

    Mean over all negatives v- too, or for one: the "semi-hard" (within the margin and the most similar there, but less
    similar than the positive, after FaceNet; else the least similar of all) or the "hardest" (the most similar). Cosine
    similarities lie in [-1, 1], so a margin above 2 is never met. 0 where an image is alone.

    Raises:
        ValueError: the margin is negative, the mining is unknown, or the views aren't [B, D] of one shape.
    """
    check_not_negative(margin=margin)
    check_mining(mining)
    views = _compare(z1_BD, z2_BD, temperature=1.0)
    return _over_negatives(F.relu(views.similarity_VN - views.positive_V1() + margin), views, mining, margin).mean()


class _Views(NamedTuple):
    similarity_VN: Tensor  # cosine over temperature
    own_V: Tensor  # the column of the anchor itself
    partner_V: Tensor  # the column of its positive

    def positive_V1(self) -> Tensor:
        return self.similarity_VN.gather(1, self.partner_V[:, None])

    def negative_VN(self) -> Tensor:
        mask_VN = torch.ones_like(self.similarity_VN, dtype=torch.bool)
        return mask_VN.scatter_(1, torch.stack([self.own_V, self.partner_V], dim=1), False)


def _compare(z1_BD: Tensor, z2_BD: Tensor, temperature: float) -> _Views:
    check_above_zero(temperature=temperature)
    z_VD, own_V, partner_V = _views(z1_BD, z2_BD, cosine=True)
    return _Views((z_VD / temperature) @ gather(z_VD).T, own_V, partner_V)


def _views(z1_BD: Tensor, z2_BD: Tensor, cosine: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Return this worker's views, first ones first, and the columns of each and of its partner among all N."""
    check_vectors(z1=z1_BD, z2=z2_BD)
    z_VD = torch.cat([z1_BD, z2_BD])
    z_VD = unit(z_VD) if cosine else z_VD
    own_V = row_ids(len(z_VD), z_VD.device)
    return z_VD, own_V, own_V.roll(len(z1_BD))


def _over_negatives(term_VN: Tensor, views: _Views, mining: Mining, margin: float) -> Tensor:
    """Reduce one term per anchor and view to one per anchor, [V]: the mean over negatives, or the mined one's."""
    negative_VN = views.negative_VN()
    if mining == "none":
        return torch.where(negative_VN, term_VN, 0.0).sum(dim=1) / max(1, term_VN.shape[1] - 2)
    distance_VN = -views.similarity_VN.detach()
    if mining == "hardest":
        mined = hardest_negatives(distance_VN, negative_VN)
    else:
        mined = semi_hard_negatives(distance_VN, -views.positive_V1().detach()[:, 0], negative_VN, margin)
    return torch.where(negative_VN.any(dim=1), term_VN.gather(1, mined.column[:, None])[:, 0], 0.0)
