"""A memory of what a network made of every item when it last saw it, and telling items apart by that.

Wu, Xiong, Yu, Lin (2018), "Unsupervised Feature Learning via Non-Parametric Instance Discrimination", arXiv:1805.01978:
softmax over all items, eq. 2, and memory bank, sec. 3.1; noise-contrastive estimation, sec. 3.2.

Shapes: V items in all, B rows on each worker, N of them on all workers, K noise samples, D width.
"""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unlabeled.methods.losses import nce
from unlabeled.methods.losses.chunked import choose_positive
from unlabeled.methods.losses.numerics import in_full_precision
from unlabeled.platform.collective import gather, mean_over_workers
from unlabeled.platform.draws import Draws
from unlabeled.platform.errors import UserError

_choose = in_full_precision(choose_positive)

FEW_ITEMS_OFTEN = {"data.train_images": 512, "epochs": 32, "method.negatives": None, "method.temperature": 0.1}
"""How examples learn by a bank, which an item enters once an epoch. From noise they would learn too late: Z is a random
bank's, and a few steps fill that with vectors that are much alike, before the network has learned to spread them."""


class MemoryBank(nn.Module):
    """A unit vector for every item that trains, by its index; the same on all workers.

    Starts with random directions from torch's global generator. It is a buffer, so that a run that resumes has it.

    Args:
        length: V, how many items there are.
        width: D.
        momentum: how much of an item's vector stays when it is seen again.

    Attributes:
        vectors: float32 [V, D].
    """

    vectors: Tensor

    def __init__(self, length: int, width: int, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("vectors", F.normalize(torch.randn(length, width), dim=1))

    @torch.no_grad()
    def write(self, index_B: Tensor, vector_BD: Tensor) -> None:
        """Let the vectors of all workers' rows follow what their items are now; each item at most once.

        Args:
            index_B: int64, which items.
            vector_BD: of length 1.
        """
        index_N, vector_ND = gather(index_B), gather(vector_BD.detach().to(self.vectors.dtype))
        before_ND = self.vectors.index_select(0, index_N)
        self.vectors.index_copy_(0, index_N, F.normalize(before_ND.lerp(vector_ND, 1.0 - self.momentum), dim=1))

    def _load_from_state_dict(self, state: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        kept = state.get(f"{prefix}vectors")
        if kept is not None and len(kept) != len(self.vectors):
            raise UserError(
                f"the memory bank was kept for {len(kept)} items, and there are {len(self.vectors)} to train on; train "
                "anew on this data, or measure on what it was trained on"
            )
        super()._load_from_state_dict(state, prefix, *rest)


class BankContrast(nn.Module):
    """Tells whose vector it is, from all items of a bank or from noise: items drawn evenly from all.

    From all, it is the cross-entropy of P(i|v) = exp(v v_i / tau) / Z, with Z = sum_j exp(v v_j / tau). From noise, it
    is noise-contrastive estimation, and as in the authors' code Z is one constant for all v: V times the mean of
    exp(v v_j / tau) over the first batch's items and noise, on all workers.

    Args:
        temperature: tau.
        negatives: K, how many noise samples each item gets, which may be the item itself, and one twice; None takes all
            items.

    Attributes:
        z: Z, a scalar; 0 until the first batch; only where there is noise.
    """

    z: Tensor

    def __init__(self, temperature: float, negatives: int | None) -> None:
        super().__init__()
        self.temperature, self.negatives = temperature, negatives
        if negatives is not None:
            self.register_buffer("z", torch.zeros(()))

    def forward(self, vector_BD: Tensor, bank_VD: Tensor, index_B: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        """Return the loss, a mean over the rows, and how often the item is nearer than all others, detached.

        Args:
            vector_BD: v, unit vectors.
            bank_VD: unit vectors of all items.
            index_B: int64, which item each vector is of.
            draws: for these rows.
        """
        if self.negatives is None:
            own_B2 = torch.stack([index_B, index_B], dim=1)
            loss, top1, _ = _choose(vector_BD / self.temperature, bank_VD[index_B], bank_VD, own_B2)
            return loss, top1
        noise_BK = draws.integers("noise", len(bank_VD), self.negatives)
        positive_B, noise_score_BK = scores(vector_BD, bank_VD, index_B, noise_BK, self.temperature)
        with torch.no_grad():
            mean = mean_over_workers(torch.cat([positive_B[:, None], noise_score_BK], dim=1).exp().mean())
            self.z.copy_(torch.where(self.z > 0.0, self.z, len(bank_VD) * mean))
            rival_BK = noise_score_BK.masked_fill(noise_BK == index_B[:, None], -torch.inf)
            top1 = (positive_B > rival_BK.amax(dim=1)).to(positive_B.dtype).mean()
        log_ratio = (self.z / len(bank_VD)).log()  # log (Z / V): of P(i|v) to the noise's 1 / V
        return nce(positive_B - log_ratio, noise_score_BK - log_ratio), top1


@in_full_precision
def scores(
    vector_BD: Tensor, bank_VD: Tensor, index_B: Tensor, noise_BK: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """Return v v_i / tau of vectors with their own items, [B], and with their noise, [B, K]."""
    vector_BD = vector_BD / temperature
    noise_BKD = bank_VD.index_select(0, noise_BK.flatten()).view(*noise_BK.shape, -1)
    return (vector_BD * bank_VD[index_B]).sum(dim=1), torch.bmm(noise_BKD, vector_BD[:, :, None])[:, :, 0]


def retrieved(vector_BD: Tensor, pictures: Tensor, count: int = 3) -> dict[str, Tensor]:
    """Return columns of a figure: pictures, and beside each the others whose vectors are nearest, the nearest first.

    Args:
        vector_BD: unit vectors of the B pictures.
        pictures: [B, C, H, W].
        count: how many others; fewer where there are not so many.
    """
    near_BB = (vector_BD @ vector_BD.T).fill_diagonal_(-torch.inf)
    order = near_BB.argsort(dim=1, descending=True, stable=True)[:, : min(count, len(pictures) - 1)]
    columns = {f"nearest {place}": pictures[own] for place, own in enumerate(order.unbind(1), start=1)}
    return {"picture": pictures, **columns}
