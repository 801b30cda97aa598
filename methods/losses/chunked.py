"""Telling a positive from many negatives, without ever holding the matrix of all similarities.

That matrix, and others of its size on the way to the gradient, are what a contrastive loss needs memory for: 268 MB
each at 4,096 images of two views, 67 MB each for 256 queries and 65,536 keys. Here a chunk of anchors at a time is
compared with all candidates, and gives its part of the loss and of the gradient before the next one comes.

Shapes: V anchors of this worker, B of them in a chunk, N candidates, D width.
"""

from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK = 2**22
"""Similarities in memory at a time. Up to 1,024 images of two views are one chunk."""


def choose_positive(
    anchor_VD: Tensor, positive_VD: Tensor, candidate_ND: Tensor, known_V2: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the mean cross-entropy of the positive among the negatives, and what to follow of the choice.

    Scores are dot products. The gradient is exact, and the same bits every time. It can't be differentiated again.

    Args:
        anchor_VD: what chooses.
        positive_VD: what is right, for each anchor.
        candidate_ND: the negatives of all anchors.
        known_V2: int64, where the anchor itself and its positive stand among the candidates, being no negatives; None
            where they are not there.

    Returns:
        The mean of -log(exp(positive) / (exp(positive) + sum exp(negatives))); and without gradient the share of
        anchors that score their positive higher than every negative (a tie counts against it) and the mean entropy of
        the choice, in nats.
    """
    return cast(tuple[Tensor, Tensor, Tensor], _ChoosePositive.apply(anchor_VD, positive_VD, candidate_ND, known_V2))


class _ChoosePositive(torch.autograd.Function):
    """Makes the gradient along with the loss, while a chunk's probabilities are at hand."""

    @staticmethod
    def forward(
        ctx: Any, anchor_VD: Tensor, positive_VD: Tensor, candidate_ND: Tensor, known_V2: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        loss_V1, won_V1, entropy_V1 = anchor_VD.new_empty(3, len(anchor_VD), 1)
        to_anchor_VD, to_positive_VD = torch.empty_like(anchor_VD), torch.empty_like(anchor_VD)
        to_candidate_ND = torch.zeros_like(candidate_ND) if ctx.needs_input_grad[2] else None
        num_rows = max(1, CHUNK // len(candidate_ND))
        for start in range(0, len(anchor_VD), num_rows):
            chunk = slice(start, start + num_rows)
            anchor_BD, positive_BD = anchor_VD[chunk], positive_VD[chunk]
            negative_BN = anchor_BD @ candidate_ND.T
            if known_V2 is None:
                positive_B1 = (anchor_BD * positive_BD).sum(dim=1, keepdim=True)
            else:
                positive_B1 = negative_BN.gather(1, known_V2[chunk, 1:])  # rounded like the negatives, so that ties tie
                negative_BN.scatter_(1, known_V2[chunk], -torch.inf)
            nearest_B1 = negative_BN.amax(dim=1, keepdim=True)
            won_V1[chunk] = positive_B1 > nearest_B1
            shift_B1 = torch.maximum(positive_B1, nearest_B1)  # no overflow, and not -infinity where an image is alone
            sum_B1 = negative_BN.sub_(shift_B1).exp_().sum(dim=1, keepdim=True)
            log_odds_B1 = positive_B1 - shift_B1 - sum_B1.log()
            loss_V1[chunk] = -F.logsigmoid(log_odds_B1)
            wrong_B1 = torch.sigmoid(-log_odds_B1)  # the probability of all negatives together
            weight_BN = negative_BN.mul_(wrong_B1 / sum_B1.clamp_min(torch.finfo(sum_B1.dtype).tiny))
            torch.mm(weight_BN, candidate_ND, out=to_anchor_VD[chunk])
            # log Z less the mean score; that of the negatives is their weighted sum's, which the gradient has anyway.
            mean_B1 = (anchor_BD * to_anchor_VD[chunk]).sum(dim=1, keepdim=True) + (1.0 - wrong_B1) * positive_B1
            entropy_V1[chunk] = (loss_V1[chunk] + positive_B1 - mean_B1).clamp_min(0.0)
            if any(ctx.needs_input_grad):
                to_anchor_VD[chunk].addcmul_(positive_BD, wrong_B1, value=-1)
                torch.mul(anchor_BD, -wrong_B1, out=to_positive_VD[chunk])
                if to_candidate_ND is not None:
                    to_candidate_ND.addmm_(weight_BN.T, anchor_BD)
        made = [to_anchor_VD, to_positive_VD, to_candidate_ND]
        ctx.save_for_backward(*(None if each is None else each.div_(len(anchor_VD)) for each in made))
        top1, entropy = won_V1.mean(), entropy_V1.mean()
        ctx.mark_non_differentiable(top1, entropy)
        return loss_V1.mean(), top1, entropy

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        return *(None if each is None else gradient * each for each in ctx.saved_tensors), None
