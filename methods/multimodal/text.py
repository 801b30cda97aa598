"""Texts as bytes, and a small transformer that reads them.

Radford et al. (2021), arXiv:2103.00020, sec. 2.4: lower-cased text between a begin and an end token; a transformer with
masked self-attention, as GPT-2's with the norms before the blocks; its last layer at the end token, layer-normalised,
is the text's feature.

Shapes: B texts, T tokens, D width.

Differs from the paper: tokens are UTF-8 bytes, 256 of them, where the paper learns 49,152 byte pairs.
Differs from the authors' code: GELU, of which the paper says nothing; theirs is x sigmoid(1.702 x). Weights start as
PyTorch's do, embeddings with a deviation of 0.1.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BEGIN, END, PAD = 256, 257, 258  # after the bytes
VOCABULARY = 259


def tokenize(texts: Sequence[str], context: int) -> Tensor:
    """Write texts as int64 [B, T]: begin, the lower-cased text's bytes, end, and padding up to the longest of them.

    Args:
        texts: any Unicode; an empty one is begin and end.
        context: the longest that T may be; a longer text loses its last bytes, never its end token.

    >>> tokenize(["Hi", ""], context=76)
    tensor([[256, 104, 105, 257],
            [256, 257, 258, 258]])
    """
    rows = [[BEGIN, *text.lower().encode()[: context - 2], END] for text in texts]
    longest = max(map(len, rows))
    return torch.tensor([row + [PAD] * (longest - len(row)) for row in rows], device="cpu")


class TextTower(nn.Module):
    """A transformer on bytes.

    A token looks at those before it only; so what comes after the end token, padding, never reaches the feature.
    """

    def __init__(self, context: int, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.context = context
        self.bytes = nn.Embedding(VOCABULARY, width)
        self.places = nn.Parameter(torch.empty(context, width))
        nn.init.normal_(self.bytes.weight, std=0.1)
        nn.init.normal_(self.places, std=0.1)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """Return the features of what :func:`tokenize` wrote, [B, D]; T is ``context`` at most."""
        x_BTD = self.blocks(self.bytes(tokens_BT) + self.places[: tokens_BT.shape[1]])
        at_end_B = tokens_BT.eq(END).int().argmax(dim=1)
        features: Tensor = self.norm(x_BTD[torch.arange(len(x_BTD), device=x_BTD.device), at_end_B])
        return features


class Block(nn.Module):
    """Masked self-attention and a perceptron four times as wide, each added to its input."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention_norm, self.perceptron_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query_key_value, self.mix = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.perceptron = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x_BTD: Tensor) -> Tensor:
        """Return the tokens of the next layer, [B, T, D]."""
        in_heads = self.query_key_value(self.attention_norm(x_BTD)).unflatten(2, (3, self.heads, -1))
        query, key, value = in_heads.permute(2, 0, 3, 1, 4)  # each [B, heads, T, D / heads]
        read = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        x_BTD = x_BTD + self.mix(read.transpose(1, 2).flatten(2))
        out: Tensor = x_BTD + self.perceptron(self.perceptron_norm(x_BTD))
        return out
