"""An anchor whose positives and negatives are given with it: pairs, triplets, and one positive among many negatives.

Nothing is gathered: a worker sees the rows that it was given.

Shapes: B anchors of this worker, K negatives, D width.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from unlabeled.methods.losses.chunked import choose_positive
from unlabeled.methods.losses.contrast import Contrast
from unlabeled.methods.losses.numerics import (
    check_above_zero,
    check_integers,
    check_negatives,
    check_not_negative,
    check_vectors,
    describe,
    in_full_precision,
    unit,
)


@in_full_precision
def contrastive_pair(x_BD: Tensor, y_BD: Tensor, same_B: Tensor, margin: float) -> Tensor:
    """Return the contrastive loss of pairs, mean over anchors: the B pairs.

    The squared Euclidean distance where ``same_B`` (boolean, or 0 and 1), else max(0, margin - distance)^2. Identical
    vectors of a pair that isn't the same have no direction to part in: loss margin^2, gradient 0.

    Chopra, Hadsell, LeCun (2005), "Learning a Similarity Metric Discriminatively, with Application to Face
    Verification"; in the form of Hadsell, Chopra, LeCun (2006), "Dimensionality Reduction by Learning an Invariant
    Mapping", eq. 4, without its halves.

    Raises:
        ValueError: the margin is negative, or the shapes aren't [B, D] twice and [B].
    """
    check_not_negative(margin=margin)
    check_vectors(x=x_BD, y=y_BD)
    check_integers(len(x_BD), same=same_B)
    difference_BD = x_BD - y_BD
    distance_B = torch.linalg.vector_norm(
        difference_BD, dim=1
    )  # its gradient at 0 is 0, not the square root's infinity
    return torch.where(same_B.bool(), difference_BD.square().sum(dim=1), F.relu(margin - distance_B).square()).mean()


@in_full_precision
def triplet(anchor_BD: Tensor, positive_BD: Tensor, negative_BD: Tensor, margin: float) -> Tensor:
    """Return the triplet loss max(0, |a - p|^2 - |a - n|^2 + margin), mean over the B anchors.

    Vectors are taken as they are; FaceNet's have length 1.

    Schroff, Kalenichenko, Philbin (2015), "FaceNet: A Unified Embedding for Face Recognition and Clustering",
    arXiv:1503.03832, sec. 3.1.

    Raises:
        ValueError: the margin is negative, or the shapes aren't three times the same [B, D].
    """
    check_not_negative(margin=margin)
    check_vectors(anchor=anchor_BD, positive=positive_BD, negative=negative_BD)
    to_positive_B = (anchor_BD - positive_BD).square().sum(dim=1)
    to_negative_B = (anchor_BD - negative_BD).square().sum(dim=1)
    return F.relu(to_positive_B - to_negative_B + margin).mean()


@in_full_precision
def n_pair(anchor_BD: Tensor, positive_BD: Tensor, negatives: Tensor) -> Tensor:
    """Return the (N+1)-tuplet loss log(1 + sum over negatives of exp(a.n - a.p)), mean over the B anchors.

    ``negatives`` are [B, K, D], each anchor's own, or [K, D], shared by all. Plain dot products: vectors are taken as
    they are. Without the paper's penalty on their length.

    Sohn (2016), "Improved Deep Metric Learning with Multi-class N-pair Loss Objective", eq. 6.

    Raises:
        ValueError: the shapes differ from these, or there is no negative.
    """
    check_vectors(anchor=anchor_BD, positive=positive_BD)
    check_negatives(negatives, *anchor_BD.shape)
    return _one_among(*_scores(anchor_BD, positive_BD, negatives)).mean()


@in_full_precision
def info_nce(
    query_BD: Tensor, positive_BD: Tensor, negatives: Tensor, temperature: float, *, cosine: bool = True
) -> Tensor:
    """Return InfoNCE, the cross-entropy of the positive among the negatives, mean over the B queries.

    ``negatives`` are [K, D], shared by all queries (MoCo's queue), or [B, K, D], each query's own. Vectors are compared
    by their cosine; with ``cosine`` false by their dot product (for CPC's free scores, and where the caller has
    normalised them all). A zero vector is equally similar to everything and, under ``cosine``, gets no gradient. With
    shared negatives, a few million similarities are in memory at a time.

    He et al. (2020), "Momentum Contrast for Unsupervised Visual Representation Learning", arXiv:1911.05722, eq. 1;
    after van den Oord, Li, Vinyals (2018), "Representation Learning with Contrastive Predictive Coding",
    arXiv:1807.03748, eq. 4.

    Raises:
        ValueError: the temperature isn't above 0, the shapes differ from these, or there is no negative.
    """
    return info_nce_with_top1(query_BD, positive_BD, negatives, temperature, cosine=cosine).loss


@in_full_precision
def info_nce_with_top1(
    query_BD: Tensor, positive_BD: Tensor, negatives: Tensor, temperature: float, *, cosine: bool = True
) -> Contrast:
    """Return :func:`info_nce`, the share of queries more similar to their positive than to any negative, and the bound.

    Each query chooses among 1 + K candidates. The bound takes them for independent draws of one distribution.

    Raises:
        ValueError: as :func:`info_nce`.
    """
    check_above_zero(temperature=temperature)
    check_vectors(query=query_BD, positive=positive_BD)
    check_negatives(negatives, *query_BD.shape)
    if cosine:
        query_BD, positive_BD, negatives = unit(query_BD), unit(positive_BD), unit(negatives)
    query_BD, num_candidates = query_BD / temperature, 1 + negatives.shape[-2]
    if negatives.dim() == 2:
        return Contrast.among(num_candidates, *choose_positive(query_BD, positive_BD, negatives))
    positive_B, negative_BK = _scores(query_BD, positive_BD, negatives)
    top1 = (positive_B.detach() > negative_BK.detach().amax(dim=1)).to(positive_B.dtype).mean()
    score_BN = torch.cat([positive_B[:, None], negative_BK], dim=1).detach()
    entropy = torch.special.entr(score_BN.softmax(dim=1)).sum(dim=1).mean()
    return Contrast.among(num_candidates, _one_among(positive_B, negative_BK).mean(), top1, entropy)


@in_full_precision
def nce(data_log_ratio_B: Tensor, noise_log_ratio: Tensor) -> Tensor:
    """Return the noise-contrastive loss, mean over anchors: the B data.

    Takes the log-ratio G = log p_model - log p_noise at each datum, [B], and at its noise samples, [B, K] (or [B], for
    K = 1). Noise is K times as frequent as data, so the probability that u is data is h(u) = sigmoid(G(u) - log K). The
    loss of a datum x with noise y_1 .. y_K is -log h(x) - sum over k of log(1 - h(y_k)). At the true model, with noise
    like the data, it is log(1 + K) + K log(1 + 1 / K).

    Gutmann, Hyvärinen (2010), "Noise-contrastive estimation: A new estimation principle for unnormalized statistical
    models", eq. 3, times -2; several noise samples per datum as in their paper of 2012 in JMLR 13.

    Raises:
        ValueError: the shapes differ from these, or K is 0.
    """
    batch = len(data_log_ratio_B) if data_log_ratio_B.dim() == 1 else 0
    noise_BK = noise_log_ratio[:, None] if noise_log_ratio.dim() == 1 else noise_log_ratio
    if batch == 0 or noise_BK.dim() != 2 or len(noise_BK) != batch or noise_BK.numel() == 0:
        got = f"{describe(data_log_ratio_B)} and {describe(noise_log_ratio)}"
        raise ValueError(f"log-ratios must be [B] for the data and [B] or [B, K] for the noise, K >= 1; got {got}")
    log_frequency = math.log(noise_BK.shape[1])
    is_data_B = F.logsigmoid(data_log_ratio_B - log_frequency)
    is_noise_BK = F.logsigmoid(log_frequency - noise_BK)
    return -(is_data_B + is_noise_BK.sum(dim=1)).mean()


def _scores(anchor_BD: Tensor, positive_BD: Tensor, negatives: Tensor) -> tuple[Tensor, Tensor]:
    """Return dot products with the positive, [B], and with the negatives, [B, K]."""
    positive_B = (anchor_BD * positive_BD).sum(dim=1)
    if negatives.dim() == 2:
        return positive_B, anchor_BD @ negatives.T
    return positive_B, torch.bmm(negatives, anchor_BD[:, :, None])[:, :, 0]


def _one_among(positive_B: Tensor, negative_BK: Tensor) -> Tensor:
    """Return -log(exp(p) / (exp(p) + sum exp(n))), [B], without building the row of all logits."""
    return -F.logsigmoid(positive_B - negative_BK.logsumexp(dim=1))
