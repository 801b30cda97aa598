"""Losses of a batch of items with classes: which pairs of it should be near, and how far the others.

Of an anchor a, its positives p (the other samples of its class) and its negatives n (all of other classes), on all
workers, with Euclidean distances D:

    contrastive            D_ap^2, and max(0, margin - D_an)^2
    triplet                max(0, D_ap^2 - D_an^2 + margin), of a p that is drawn and the n that is mined
    lifted-structured      max(0, D_ap + log(sum_n exp(margin - D_an) + sum_n exp(margin - D_pn)))^2 / 2
    n-pair                 log(1 + sum_n exp(a.n - a.p)), a mean over p
    info-nce               -log exp(a.p / tau) / (exp(a.p / tau) + sum_n exp(a.n / tau)), a mean over p
    nce                    -log h(p) - sum_n log(1 - h(n)), a mean over p, where h(x) = sigmoid(a.x / tau - log K)
    soft-nearest-neighbor  -log(sum_p exp(-D_ap^2 / T) / (sum_p exp(-D_ap^2 / T) + sum_n exp(-D_an^2 / T)))

:mod:`unlabeled.methods.losses` says whose they are, and has them for a p and n that are given. An anchor without a p is
left out; one without an n has nothing to be held apart from.

Shapes: B samples of this worker, N samples on all workers, D width.
"""

from abc import abstractmethod
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from unlabeled.methods.losses import (
    Mining,
    hardest_negatives,
    lifted_structured,
    semi_hard_negatives,
    soft_nearest_neighbor,
)
from unlabeled.methods.losses.labelled import class_pairs
from unlabeled.methods.losses.numerics import log_sum_exp, mean_where, pairwise_distance
from unlabeled.platform.collective import gather
from unlabeled.platform.settings import Variant


class ClassLoss(Variant):
    """A loss of samples and their classes. Abstract.

    Attributes:
        on_sphere: whether it is of vectors of length 1.
    """

    on_sphere: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, x_BD: Tensor, labels_B: Tensor, chance_B: Tensor) -> Tensor:
        """Return the mean over anchors; what is drawn for an anchor goes by its number in [0, 1)."""


class Contrastive(ClassLoss):
    """Pairs of one class come together, others go ``margin`` apart; each kind of pair weighs half, however many.

    Attributes:
        margin: from where on pairs of different classes are left alone.
    """

    name = "contrastive"
    margin: float = Field(default=1.0, ge=0.0)

    def __call__(self, x_BD: Tensor, labels_B: Tensor, chance_B: Tensor) -> Tensor:
        """Return half the mean of each kind of pair."""
        positive_BN, negative_BN = positives_and_negatives(x_BD, labels_B)
        distance_BN = pairwise_distance(x_BD, gather(x_BD))
        together = mean_where(distance_BN.square(), positive_BN)
        return (together + mean_where(F.relu(self.margin - distance_BN).square(), negative_BN)) / 2


class Triplet(ClassLoss):
    """A negative should be farther than a positive, by squared distances of unit vectors; the positive is drawn.

    Attributes:
        margin: by how much.
        mining: which negative, or "none": a mean over all of them.
    """

    name = "triplet"
    on_sphere = True
    margin: float = Field(default=0.2, ge=0.0)
    mining: Mining = "semi-hard"

    def __call__(self, x_BD: Tensor, labels_B: Tensor, chance_B: Tensor) -> Tensor:
        """Return the mean over anchors of the hinge."""
        positive_BN, negative_BN = positives_and_negatives(x_BD, labels_B)
        distance_BN = pairwise_distance(x_BD, gather(x_BD)).square()
        to_positive_B1 = distance_BN.gather(1, drawn(positive_BN, chance_B)[:, None])
        hinge_BN = F.relu(to_positive_B1 - distance_BN + self.margin)
        if self.mining == "none":
            return over(negative_BN, hinge_BN, positive_BN.any(dim=1))
        if self.mining == "hardest":
            mined = hardest_negatives(distance_BN.detach(), negative_BN)
        else:
            mined = semi_hard_negatives(distance_BN.detach(), to_positive_B1.detach()[:, 0], negative_BN, self.margin)
        hinge_B = hinge_BN.gather(1, mined.column[:, None])[:, 0]
        return mean_where(hinge_B, positive_BN.any(dim=1) & negative_BN.any(dim=1))


class LiftedStructured(ClassLoss):
    """Each pair of a class against all negatives of both at once.

    Attributes:
        margin: alpha in eq. 4.
        half_square: half of the squared hinge, as in eq. 4; else the hinge.
    """

    name = "lifted-structured"
    margin: float = Field(default=1.0, ge=0.0)
    half_square: bool = True

    def __call__(self, x_BD: Tensor, labels_B: Tensor, chance_B: Tensor) -> Tensor:
        """Return the mean over pairs."""
        return lifted_structured(x_BD, labels_B, self.margin, half_square=self.half_square)


class NPair(ClassLoss):
    """A positive against all negatives at once, by dot products.

    Attributes:
        penalty: of the mean squared length, so that lengths do not do it alone (sec. 3.2.2, which gives no number;
            that of TensorFlow 1.10, ``npairs_loss``, comes to this one).
    """

    name = "n-pair"
    penalty: float = Field(default=0.001, ge=0.0)

    def __call__(self, x_BD: Tensor, labels_B: Tensor, chance_B: Tensor) -> Tensor:
        """Return the mean over anchors of the mean over positives, and the penalty."""
        return among_negatives(x_BD, labels_B, 1.0) + self.penalty * x_BD.square().sum(dim=1).mean()


class InfoNCE(ClassLoss):
    """A positive against all negatives at once, by cosines over a temperature.

    SupCon's has the anchor's other positives among them.

    Attributes:
        temperature: tau.
    """

    name = "info-nce"
    on_sphere = True
    temperature: float = Field(default=0.1, gt=0.0)

    def __call__(self, x_BD: Tensor, labels_B: Tensor, chance_B: Tensor) -> Tensor:
        """Return the mean over anchors of the mean over positives."""
        return among_negatives(x_BD, labels_B, self.temperature)


class NCE(ClassLoss):
    """Each pair by itself, is it of one class or not: an anchor's K negatives are the noise beside one positive.

    Attributes:
        temperature: what cosines are divided by to be the log of how much likelier a sample is than noise.
    """

    name = "nce"
    on_sphere = True
    temperature: float = Field(default=0.1, gt=0.0)

    def __call__(self, x_BD: Tensor, labels_B: Tensor, chance_B: Tensor) -> Tensor:
        """Return the mean over anchors."""
        positive_BN, negative_BN = positives_and_negatives(x_BD, labels_B)
        times_B1 = negative_BN.sum(dim=1, keepdim=True, dtype=x_BD.dtype)  # K
        logit_BN = x_BD @ gather(x_BD).T / self.temperature - times_B1.clamp(min=1).log()
        noise_B1 = torch.where(negative_BN, F.softplus(logit_BN), 0.0).sum(dim=1, keepdim=True)
        return over(positive_BN, F.softplus(-logit_BN) + noise_B1, times_B1[:, 0] > 0)


class SoftNearestNeighbor(ClassLoss):
    """The anchor's class against all others, by squared distances.

    Attributes:
        temperature: T, which stays; the paper has it learned, too.
    """

    name = "soft-nearest-neighbor"
    temperature: float = Field(default=1.0, gt=0.0)

    def __call__(self, x_BD: Tensor, labels_B: Tensor, chance_B: Tensor) -> Tensor:
        """Return the mean over anchors."""
        return soft_nearest_neighbor(x_BD, labels_B, self.temperature)


def positives_and_negatives(x_BD: Tensor, labels_B: Tensor) -> tuple[Tensor, Tensor]:
    """Return which of all samples are the anchor's positives, and which its negatives: two masks [B, N]."""
    positive_BN, other_BN = class_pairs(x_BD, labels_B)
    return positive_BN, other_BN & ~positive_BN


def among_negatives(x_BD: Tensor, labels_B: Tensor, temperature: float) -> Tensor:
    """Return the cross-entropy of a positive among the anchor's negatives, a mean over positives, then over anchors."""
    positive_BN, negative_BN = positives_and_negatives(x_BD, labels_B)
    score_BN = x_BD @ gather(x_BD).T / temperature
    against_B1 = log_sum_exp(score_BN, negative_BN)[:, None]
    return over(positive_BN, F.softplus(against_B1 - score_BN), negative_BN.any(dim=1))


def over(mask_BN: Tensor, term_BN: Tensor, counts_B: Tensor) -> Tensor:
    """Return the mean over each anchor's true columns, then over the anchors that count and have any."""
    number_B = mask_BN.sum(dim=1)
    mean_B = torch.where(mask_BN, term_BN, 0.0).sum(dim=1) / number_B.clamp(min=1)
    return mean_where(mean_B, counts_B & (number_B > 0))


def drawn(mask_BN: Tensor, chance_B: Tensor) -> Tensor:
    """Return one of the true columns of each row, int64 [B], by a number in [0, 1); 0 where there is none."""
    number_B = mask_BN.sum(dim=1)
    place_B = (chance_B * number_B).long().clamp(max=(number_B - 1).clamp(min=0))
    return (mask_BN & (mask_BN.cumsum(dim=1) - 1 == place_B[:, None])).int().argmax(dim=1)


@torch.no_grad()
def nearest_is_of_its_class(x_BD: Tensor, labels_B: Tensor) -> Tensor:
    """Return how often an anchor that has a positive is nearer to one than to every negative; a tie is not."""
    positive_BN, negative_BN = positives_and_negatives(x_BD, labels_B)
    distance_BN = pairwise_distance(x_BD, gather(x_BD))
    own_B, other_B = (distance_BN.masked_fill(~mask, torch.inf).amin(dim=1) for mask in (positive_BN, negative_BN))
    return mean_where((own_B < other_B).to(x_BD.dtype), positive_BN.any(dim=1))
