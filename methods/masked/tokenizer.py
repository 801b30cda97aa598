"""A small discrete VAE whose codes are visual tokens, and masks of blocks; for :mod:`beit`.

Ramesh, Pavlov, Goh, Gray, Voss, Radford, Chen, Sutskever (2021), "Zero-Shot Text-to-Image Generation" (DALL-E),
arXiv:2102.12092, sec. 2.1; Bao et al. (2021), arXiv:2106.08254, sec. 2.1 and 2.3.

Shapes: B images, C channels, h x w patches of each, T = h w, V tokens that there are.
"""

import math

import torch
from torch import Tensor, nn

from unlabeled.methods.losses.numerics import in_full_precision
from unlabeled.platform.collective import mean_over_workers
from unlabeled.platform.draws import Draws

_ASPECTS = (0.3, 1 / 0.3)  # of blocks, from wide to high
_ATTEMPTS = 16  # to lay a block: most grids have their share by then


class Tokenizer(nn.Module):
    """A convolutional encoder to one of V tokens for each patch, and a decoder from their codes back to pixels.

    Args:
        channels: C.
        patch_px: side of a patch.
        tokens: V.
        width: channels of both.
        temperature: of the Gumbel-softmax: the lower, the more one token alone is mixed into a code.
    """

    def __init__(self, channels: int, patch_px: int, tokens: int, width: int, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature
        self.encode = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, patch_px, stride=patch_px),
            nn.ReLU(),
        )
        self.choose = nn.Conv2d(2 * width, tokens, 1)
        self.codes = nn.Conv2d(tokens, 2 * width, 1, bias=False)
        self.decode = nn.Sequential(
            nn.ReLU(),
            nn.ConvTranspose2d(2 * width, width, patch_px, stride=patch_px),
            nn.ReLU(),
            nn.Conv2d(width, channels, 3, padding=1),
        )

    def logits(self, x: Tensor) -> Tensor:
        """Return q(z|x) of standardised pictures, as logits [B, V, h, w]."""
        out: Tensor = self.choose(self.encode(x))
        return out

    def tokens(self, x: Tensor) -> Tensor:
        """Return the likeliest token of each patch, int64 [B, T]."""
        return self.logits(x).argmax(dim=1).flatten(1)

    def forward(self, x: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        """Return pictures as they come back from drawn tokens, and logits; codes are mixed as by a Gumbel-softmax."""
        logits = self.logits(x)
        chance = draws.uniform("gumbel", *logits.shape[1:]).clamp_min(2.0**-25).to(logits.dtype)  # above 0
        share = ((logits - (-chance.log()).log()) / self.temperature).softmax(dim=1)
        return self.decode(self.codes(share)), logits

    def restore(self, index_BT: Tensor, side: int) -> Tensor:
        """Return pictures of tokens, standardised."""
        one_hot = nn.functional.one_hot(index_BT, self.choose.out_channels).to(self.codes.weight.dtype)
        out: Tensor = self.decode(self.codes(one_hot.transpose(1, 2).unflatten(2, (side, -1))))  # type: ignore[no-untyped-call]
        return out


@in_full_precision
def divergence(logits: Tensor) -> Tensor:
    """Return KL(q(z|x) || uniform) of each patch, a mean; nats."""
    log_q = logits.log_softmax(dim=1)
    return (log_q.exp() * log_q).sum(dim=1).mean() + math.log(logits.shape[1])


@torch.no_grad()
@in_full_precision
def perplexity(logits: Tensor) -> Tensor:
    """Return how many tokens are in use, of all workers' patches: 1 to V."""
    share = mean_over_workers(logits.softmax(dim=1).mean(dim=(0, 2, 3)))
    entropy: Tensor = -torch.special.xlogy(share, share).sum()
    return entropy.exp()


def blockwise_masks(draws: Draws, side: int, ratio: float, smallest: int) -> Tensor:
    """Hide blocks of patches, until a share of them is hidden or nearly so: algorithm 1; bool [B, T].

    A block has from ``smallest`` patches to what is still to hide, an aspect from 0.3 to 1 / 0.3 and any place. One
    that would hide more is left out, as in the authors' code; the first one always fits.
    """
    wanted = max(1, round(ratio * side**2))
    place = torch.arange(side, device=draws.rows.device)
    hidden = torch.zeros(len(draws.rows), side, side, dtype=torch.bool, device=place.device)
    low, high = (math.log(aspect) for aspect in _ASPECTS)
    for attempt in range(_ATTEMPTS):
        size, shape, top, left = draws.uniform(f"block {attempt}", 4).unbind(1)
        missing = wanted - hidden.sum(dim=(1, 2))
        least = missing.clamp_max(min(smallest, wanted))
        area, aspect = least + size * (missing - least), (low + shape * (high - low)).exp()
        height = (area * aspect).sqrt().round().clamp(1, min(side, wanted))
        width = torch.minimum((area / aspect).sqrt().round().clamp(1, side), (wanted / height).floor())
        (from_top, from_left) = (
            (share * (side - length + 1)).floor() for share, length in ((top, height), (left, width))
        )
        rows, columns = (
            (place >= start[:, None]) & (place < (start + length)[:, None])
            for start, length in ((from_top, height), (from_left, width))
        )
        more = hidden | (rows[:, :, None] & columns[:, None, :])
        fits = more.sum(dim=(1, 2)) <= wanted
        hidden = torch.where(fits[:, None, None], more, hidden)
    return hidden.flatten(1)
