"""What a contrastive loss says of one step: the value to minimise, and two that people can read."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Contrast(NamedTuple):
    """A contrastive loss, how often it is already satisfied, and what it proves about the views.

    Attributes:
        loss: scalar to minimise.
        top1: scalar in [0, 1], detached: the share of this worker's anchors with a positive more similar than every
            negative. A tie counts against it, so a collapsed encoder gets 0.
        entropy: scalar in nats, detached: the mean entropy of the choice among positive and negatives.
        information_bound: scalar in nats, detached: log n - L of n independent candidates, which in expectation is at
            most the mutual information of anchor and positive. At most log n, however much they share, and below 0
            where the loss is above log n.
    """

    loss: Tensor
    top1: Tensor
    entropy: Tensor
    information_bound: Tensor

    @classmethod
    def among(cls, num_independent: int, loss: Tensor, top1: Tensor, entropy: Tensor) -> "Contrast":
        """Add the bound I >= log n - L, for a cross-entropy of one positive among n candidates or more.

        Van den Oord, Li, Vinyals (2018), "Representation Learning with Contrastive Predictive Coding",
        arXiv:1807.03748, sec. 2.3. It holds on average, where the n - 1 negatives are drawn like the positive, and
        independently of each other and of the anchor. So n counts the positive and, on all workers, one negative an
        image: a second view of an image is no second draw, and can only raise the loss. An epoch draws its images
        without replacement, which matters where the candidates are much of the data.
        """
        return cls(loss, top1.detach(), entropy.detach(), math.log(num_independent) - loss.detach())

    @classmethod
    def mean_of(cls, several: Sequence["Contrast"]) -> "Contrast":
        """Return the mean of several, number by number."""
        return cls(*(torch.stack(each).mean() for each in zip(*several, strict=True)))

    def logs(self) -> dict[str, Tensor]:
        """Return what to follow, by its key."""
        return {
            "contrast/top1": self.top1,
            "contrast/entropy": self.entropy,
            "contrast/mutual_information_bound": self.information_bound,
        }
