"""A small discrete VAE whose codes are visual tokens; for :mod:`beit`.

Ramesh, Pavlov, Goh, Gray, Voss, Radford, Chen, Sutskever (2021), "Zero-Shot Text-to-Image Generation" (DALL-E),
arXiv:2102.12092, sec. 2.1; Bao et al. (2021), arXiv:2106.08254, sec. 2.1.

Shapes: B images, C channels, h x w patches of each, T = h w, V tokens that there are.
"""

import math

import torch
from torch import Tensor, nn

from unlabeled.methods.losses.numerics import in_full_precision
from unlabeled.platform.collective import mean_over_workers
from unlabeled.platform.draws import Draws


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
