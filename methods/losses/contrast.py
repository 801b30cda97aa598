"""What a contrastive loss says of one step: the value to minimise, and two that people can read."""

import math
from typing import NamedTuple

from torch import Tensor


class Contrast(NamedTuple):
    """A contrastive loss, how often it is already satisfied, and what it proves about the views.

    Attributes:
        loss: scalar to minimise.
        top1: scalar in [0, 1], detached: the share of this worker's anchors with a positive more similar than every
            negative. A tie counts against it, so a collapsed encoder gets 0.
        entropy: scalar in nats, detached: the mean entropy of the choice among positive and negatives.
        information_bound: scalar in nats, detached: the mutual information of anchor and positive is at least this. It
            can't exceed log N, however much they share, and is below 0 where the loss is worse than chance.
    """

    loss: Tensor
    top1: Tensor
    entropy: Tensor
    information_bound: Tensor

    @classmethod
    def among(cls, num_candidates: int, loss: Tensor, top1: Tensor, entropy: Tensor) -> "Contrast":
        """Add the bound I >= log N - L, for a loss that is the cross-entropy of one positive among N candidates.

        N counts the positive and its negatives on all workers. Van den Oord, Li, Vinyals (2018), "Representation
        Learning with Contrastive Predictive Coding", arXiv:1807.03748, sec. 2.3.
        """
        return cls(loss, top1.detach(), entropy.detach(), math.log(num_candidates) - loss.detach())

    def logs(self) -> dict[str, Tensor]:
        """Return what to follow, by its key."""
        return {
            "contrast/top1": self.top1,
            "contrast/entropy": self.entropy,
            "contrast/mutual_information_bound": self.information_bound,
        }
