"""iBOT: of two crops of each image one has blocks of patches hidden, and the teacher says what they are.

Zhou, Wei, Wang, Shen, Xie, Yuille, Kong (2021), "iBOT: Image BERT Pre-Training with Online Tokenizer",
arXiv:2111.07832, eq. 2, as DINOv2 has it.

Shapes: B images per worker, T patches of a crop, M of them hidden at most, C channels of a token, K prototypes.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from unlabeled.methods.losses.numerics import in_full_precision
from unlabeled.methods.masked.blocks import blockwise_masks
from unlabeled.platform.draws import Draws


class Hidden(NamedTuple):
    """Which patches are hidden: as many numbers for each image, whatever is drawn, so that no shape depends on it.

    Attributes:
        patches: bool [B, T], of one crop.
        crop: int64 [B], of which: 0 or 1.
        places: int64 [B, M], the hidden ones, then others.
        counts: bool [B, M], which of these are hidden; one at least.
    """

    patches: Tensor
    crop: Tensor
    places: Tensor
    counts: Tensor

    @classmethod
    def draw(cls, draws: Draws, side: int, ratio: tuple[float, float]) -> "Hidden":
        """Hide blocks in one crop of each image, a share of its patches within these two, evenly drawn."""
        share_B = ratio[0] + (ratio[1] - ratio[0]) * draws.uniform("share")
        patches = blockwise_masks(draws, side, share_B, smallest=4)
        places = patches.to(torch.int8).argsort(dim=1, descending=True, stable=True)
        places = places[:, : max(1, round(ratio[1] * side**2))]
        return cls(patches, draws.integers("crop", 2), places, patches.gather(1, places))

    def of_crops(self) -> Tensor:
        """Return which patches are hidden of all first crops, then of all second ones: bool [2B, T]."""
        return torch.cat([self.patches & (self.crop == number)[:, None] for number in (0, 1)])

    def of(self, tokens: Tensor) -> Tensor:
        """Return the tokens in the places of each image's crop, [B, M, C], of patches' tokens [2B, T, C]."""
        one, other = tokens.chunk(2)
        own = torch.where(self.crop.view(-1, 1, 1) == 0, one, other)
        return own.gather(1, self.places[..., None].expand(-1, -1, own.shape[2]))

    @in_full_precision
    def nats(self, p_BMK: Tensor, logits: Tensor) -> Tensor:
        """Return the cross-entropy of softmaxes of logits [B, M, K], a mean over images of that over hidden patches."""
        nats_BM = -(p_BMK * logits.log_softmax(dim=2)).sum(dim=2)
        return ((nats_BM * self.counts).sum(dim=1) / self.counts.sum(dim=1)).mean()
