"""The gated layers of :mod:`pixelcnn`, in two stacks: van den Oord et al. (2016), arXiv:1606.05328, figure 2 and eq. 5.

    y = tanh(W_f * x + V_f * s) sigmoid(W_g * x + V_g * s)

Shapes: B images, C channels, H a picture's side, L levels, W width, of which each channel has a C-th, S a map's.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class GatedStacks(nn.Module):
    """Tell the levels of each number from the numbers before it and from a map that says more.

    Attributes:
        reach: rows above a number's own that it is told from.
    """

    def __init__(self, channels: int, levels: int, told: int, width: int, depth: int, kernel_px: int) -> None:
        super().__init__()
        self.channels, self.levels, self.reach = channels, levels, depth * (kernel_px // 2) + 1
        self.layers = nn.ModuleList(
            Gated(channels, width, told, kernel_px, is_first=number == 0, is_last=number == depth - 1)
            for number in range(depth)
        )
        self.hidden = MaskedConv(width, width, 1, channels=channels, base=(width, width))
        self.tell = MaskedConv(width, channels * levels, 1, channels=channels, base=(width, channels * levels))

    def forward(self, x: Tensor, told: Tensor, *, last_row: bool = False) -> Tensor:
        """Return logits [B, L, C, H, H] of pictures [B, C, H, H], or those of the last row alone.

        What is told beside is [B, S, H, H], or where it is the same everywhere [B, S, 1, 1].
        """
        vertical = horizontal = x
        for layer in self.layers:
            vertical, horizontal = layer(vertical, horizontal, told)
        if last_row:
            horizontal = horizontal[:, :, -1:]
        logits: Tensor = self.tell(self.hidden(horizontal.relu()).relu())
        return logits.view(len(x), self.channels, self.levels, *logits.shape[2:]).transpose(1, 2)


class Gated(nn.Module):
    """One layer of both stacks. The first sees pictures, and no number itself; the last hands no vertical map on."""

    def __init__(self, channels: int, width: int, told: int, kernel_px: int, *, is_first: bool, is_last: bool) -> None:
        super().__init__()
        before, self.pad = channels if is_first else width, kernel_px // 2
        self.is_first, self.is_last = is_first, is_last
        self.vertical = nn.Conv2d(before, 2 * width, (self.pad + 1, kernel_px))
        self.down = nn.Conv2d(2 * width, 2 * width, 1, bias=False)
        bases = (before, width)
        self.horizontal = MaskedConv(
            before, 2 * width, self.pad + 1, channels=channels, base=bases, sees_itself=not is_first
        )
        self.out = MaskedConv(width, width, 1, channels=channels, base=(width, width))
        self.told = nn.Conv2d(told, 2 * width if is_last else 4 * width, 1, bias=False)  # V

    def forward(self, vertical: Tensor, horizontal: Tensor, told: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the stacks make of their maps, [B, W, H, H] each."""
        told = self.told(told)
        rows = self.vertical(F.pad(vertical, (self.pad, self.pad, self.pad, 0)))  # down to a pixel's own row
        above = F.pad(rows, (0, 0, 1, 0))[:, :, :-1]  # the rows above it
        so_far = self.horizontal(F.pad(horizontal, (self.pad, 0))) + self.down(above)
        for_rows, for_row = told.tensor_split([told.shape[1] - so_far.shape[1]], dim=1)
        made = self.out(gate(so_far + for_row))
        return rows if self.is_last else gate(rows + for_rows), made if self.is_first else made + horizontal


class MaskedConv(nn.Conv1d):
    """A convolution along rows, whose last column sees, of a number's own pixel, the channels before, and maybe itself.

    It sees pictures, by weights of one dimension less, [after, before, columns].

    Args:
        before: channels that come in.
        after: that go out.
        columns: of its kernel.
        channels: of pictures, which share the maps' channels one after another.
        base: of what comes in and goes out, how many there are until the first picture channel's come again.
        sees_itself: whether a channel sees what was made of itself.
    """

    mask: Tensor

    def __init__(
        self,
        before: int,
        after: int,
        columns: int,
        *,
        channels: int,
        base: tuple[int, int],
        sees_itself: bool = True,
    ) -> None:
        super().__init__(before, after, columns)
        coming, going = (
            torch.arange(count) % period // (period // channels)
            for count, period in zip((before, after), base, strict=True)
        )
        mask = torch.ones_like(self.weight, dtype=torch.bool)
        mask[:, :, -1] = (coming <= going[:, None]) if sees_itself else (coming < going[:, None])
        self.register_buffer("mask", mask)

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolution of maps by what of the weight is not masked."""
        return F.conv2d(x, (self.weight * self.mask)[:, :, None], self.bias)


def gate(x: Tensor) -> Tensor:
    """Return tanh of the first half of the channels times the sigmoid of the others: eq. 2."""
    flow, share = x.chunk(2, dim=1)
    return flow.tanh() * share.sigmoid()
