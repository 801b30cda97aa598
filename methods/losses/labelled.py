"""Classes instead of pairs: every sample of the anchor's class is a positive, every other one a negative.

Positives and negatives come from all workers. A label may be any integer: a class, or the number of an image several
views of which are in the batch. Every worker must bring the same number of samples.

Shapes: B samples of this worker, N samples on all workers, D width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.methods.losses.numerics import (
    check_above_zero,
    check_integers,
    check_not_negative,
    check_vectors,
    in_full_precision,
    log_sum_exp,
    mean_where,
    pairwise_distance,
    unit,
)
from unlabeled.platform.collective import gather, row_ids


@in_full_precision
def sup_con(z_BD: Tensor, labels_B: Tensor, temperature: float) -> Tensor:
    """Return the supervised contrastive loss in the form L_out, mean over anchors: samples that have a positive.

    For anchor i: the mean over its positives p of -log(exp(z_i.z_p / tau) / sum over all a but i of
    exp(z_i.z_a / tau)), on unit vectors. With one positive each this is NT-Xent. 0 if no sample has a positive. A zero
    vector is equally similar to everything and gets no gradient.

    Khosla et al. (2020), "Supervised Contrastive Learning", arXiv:2004.11362, eq. 2; without the factor tau / 0.07 of
    the authors' code.

    Raises:
        ValueError: the temperature isn't above 0, or the shapes aren't [B, D] and integer [B].
    """
    return sup_con_with_top1(z_BD, labels_B, temperature)[0]


@in_full_precision
def sup_con_with_top1(z_BD: Tensor, labels_B: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Return :func:`sup_con`, and the share of its anchors that are nearest to a sample of their class, detached.

    A tie with another class counts against it, so a collapsed encoder gets 0.

    Raises:
        ValueError: as :func:`sup_con`.
    """
    check_above_zero(temperature=temperature)
    positive_BN, other_BN = class_pairs(z_BD, labels_B)
    z_BD = unit(z_BD)
    logits_BN = (z_BD / temperature) @ gather(z_BD).T
    num_positives_B = positive_BN.sum(dim=1)
    mean_positive_B = torch.where(positive_BN, logits_BN, 0.0).sum(dim=1) / num_positives_B.clamp(min=1)
    loss = mean_where(log_sum_exp(logits_BN, other_BN) - mean_positive_B, num_positives_B > 0)
    nearest_own_B = logits_BN.detach().masked_fill(~positive_BN, -torch.inf).amax(dim=1)
    nearest_other_B = logits_BN.detach().masked_fill(positive_BN | ~other_BN, -torch.inf).amax(dim=1)
    return loss, mean_where((nearest_own_B > nearest_other_B).to(loss.dtype), num_positives_B > 0)


@in_full_precision
def soft_nearest_neighbor(x_BD: Tensor, labels_B: Tensor, temperature: float) -> Tensor:
    """Return the soft nearest neighbour loss, mean over anchors: samples that have a positive.

    For anchor i: -log of the share that its class has in the sum over all j but i of exp(-|x_i - x_j|^2 / T). Vectors
    are taken as they are, not normalised. 0 if no sample has a positive, and if there is but one class.

    Frosst, Papernot, Hinton (2019), "Analyzing and Improving Representations with the Soft Nearest Neighbor Loss",
    arXiv:1902.01889, eq. 1.

    Raises:
        ValueError: the temperature isn't above 0, or the shapes aren't [B, D] and integer [B].
    """
    check_above_zero(temperature=temperature)
    positive_BN, other_BN = class_pairs(x_BD, labels_B)
    logits_BN = -pairwise_distance(x_BD, gather(x_BD)).square() / temperature
    loss_B = log_sum_exp(logits_BN, other_BN) - log_sum_exp(logits_BN, positive_BN)
    return mean_where(loss_B, positive_BN.any(dim=1))


@in_full_precision
def lifted_structured(x_BD: Tensor, labels_B: Tensor, margin: float, *, half_square: bool = False) -> Tensor:
    """Return the lifted structured loss, mean over anchors: pairs (i, j) of one class.

    For a pair: max(0, L_ij), where with Euclidean distances D, and k over the negatives that the two share,
    L_ij = D_ij + log(sum_k exp(margin - D_ik) + sum_k exp(margin - D_jk)). ``half_square`` gives the paper's
    max(0, L_ij)^2 / 2. Vectors are taken as they are. 0 if there is no pair of one class, and if there is but one
    class. Identical vectors get no gradient from the distance between them.

    Song, Xiang, Jegelka, Savarese (2015), "Deep Metric Learning via Lifted Structured Feature Embedding",
    arXiv:1511.06452, eq. 4.

    Raises:
        ValueError: the margin is negative, or the shapes aren't [B, D] and integer [B].
    """
    check_not_negative(margin=margin)
    positive_BN, other_BN = class_pairs(x_BD, labels_B)
    negative_BN = other_BN & ~positive_BN
    distance_BN = pairwise_distance(x_BD, gather(x_BD))
    repulsion_B = log_sum_exp(margin - distance_BN, negative_BN)
    hinge_BN = F.relu(distance_BN + torch.logaddexp(repulsion_B[:, None], gather(repulsion_B)[None]))
    hinge_BN = torch.where(negative_BN.any(dim=1, keepdim=True), hinge_BN, 0.0)  # log of an empty sum: -infinity
    return mean_where(hinge_BN.square() / 2 if half_square else hinge_BN, positive_BN)


def class_pairs(x_BD: Tensor, labels_B: Tensor) -> tuple[Tensor, Tensor]:
    """Return two masks [B, N]: the other samples of the anchor's class, and all samples but the anchor."""
    check_vectors(embeddings=x_BD)
    check_integers(len(x_BD), labels=labels_B)
    labels_N = gather(labels_B)
    own_B1 = row_ids(len(labels_B), labels_B.device)[:, None]
    other_BN = torch.ones(len(labels_B), len(labels_N), dtype=torch.bool, device=labels_B.device)
    other_BN.scatter_(1, own_B1, False)
    return other_BN & (labels_B[:, None] == labels_N), other_BN
