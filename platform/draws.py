"""Random numbers that depend on what they are for, and on nothing else.

Every number is a hash of (seed, step, purpose, row of the global batch, column). So two workers draw for their rows
what one worker would draw for all, a run that resumes needs no generator state, a batch may be cut into micro-batches,
and a GPU draws what a CPU draws. The hash is SplitMix64's finaliser (Steele, Lea, Flood 2014, "Fast splittable
pseudorandom number generators"), applied to the row and then to the column.
"""

import hashlib
import math

import torch
from torch import Tensor

_GOLDEN = 0x9E3779B97F4A7C15 - 2**64  # SplitMix64's increment and multipliers, as signed 64-bit numbers
_MIX_1 = 0xBF58476D1CE4E5B9 - 2**64
_MIX_2 = 0x94D049BB133111EB - 2**64


def key(*parts: int | str) -> int:
    """Hash any numbers and words to a signed 64-bit key; equal parts give equal keys on every machine.

    >>> key(0, "crop") == key(0, "crop"), key(0, "crop") == key(1, "crop")
    (True, False)
    """
    text = "\x1f".join(str(part) for part in parts).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little", signed=True)


class Draws:
    """Draws for some rows of a global batch.

    Attributes:
        rows: int64 [B], which rows of the global batch these are; the draws live on its device.
    """

    def __init__(self, rows: Tensor, *scope: int | str) -> None:
        self.rows = rows
        self._scope = scope

    def fold_in(self, *scope: int | str) -> "Draws":
        """Return draws for the same rows that are independent of these: a view's, an operation's."""
        return Draws(self.rows, *self._scope, *scope)

    def of_parts(self, count: int) -> "Draws":
        """Return draws for so many parts of each row, [B * count]: a picture's patches, one picture after another."""
        parts = torch.arange(count, device=self.rows.device)
        return Draws((self.rows[:, None] * count + parts).flatten(), *self._scope, "parts", count)

    def to(self, device: torch.device) -> "Draws":
        """Return the same draws on a device."""
        return Draws(self.rows.to(device, non_blocking=True), *self._scope)

    def uniform(self, purpose: str, *shape: int) -> Tensor:
        """Draw float32 [B, \\*shape], uniform in [0, 1), on a grid of 2**-24."""
        bits = self._bits(purpose, math.prod(shape))
        return (bits >> 40).bitwise_and_(0xFFFFFF).to(torch.float32).mul_(2.0**-24).view(len(self.rows), *shape)

    def normal(self, purpose: str, *shape: int) -> Tensor:
        """Draw float32 [B, \\*shape], standard normal, by the Box-Muller transform (so within 5.8 of zero)."""
        radius = (-2.0 * torch.log1p(-self.uniform(purpose + "/radius", *shape))).sqrt_()
        return radius * torch.cos(2.0 * math.pi * self.uniform(purpose + "/angle", *shape))

    def integers(self, purpose: str, high: int | Tensor, *shape: int) -> Tensor:
        """Draw int64 [B, \\*shape], uniform in 0 .. high - 1; ``high`` may be a tensor, at most 2**24."""
        return (self.uniform(purpose, *shape) * high).to(torch.int64)

    def below(self, purpose: str, high: int | Tensor) -> Tensor:
        """Draw int64 [B], uniform in 0 .. high - 1, however large; ``high`` is one number or int64 [B]."""
        return (self._bits(purpose, 1)[:, 0] & (2**63 - 1)) % high

    def other(self, purpose: str, high: int, than: Tensor) -> Tensor:
        """Draw another number than each row's own: int64 [B], uniform over 0 .. high - 1 less ``than``.

        Args:
            purpose: what it is for.
            high: at least 2.
            than: int64 [B], each in 0 .. high - 1, on the draws' device.
        """
        drawn = self.below(purpose, high - 1)
        return drawn + (drawn >= than)

    def permutation(self, purpose: str, length: int) -> Tensor:
        """Draw int64 [B, length]: a permutation of 0 .. length - 1 for each row."""
        return self.uniform(purpose, length).argsort(dim=1, stable=True)

    def bernoulli(self, p: float, purpose: str = "fires") -> Tensor:
        """Draw bool [B]: true with probability ``p``."""
        return self.uniform(purpose) < p

    def _bits(self, purpose: str, columns: int) -> Tensor:
        state = _mix((self.rows * _GOLDEN).add_(key(*self._scope, purpose)))
        if columns == 1:
            return _mix(state[:, None] + _GOLDEN)
        return _mix(state[:, None] + torch.arange(1, columns + 1, device=self.rows.device) * _GOLDEN)


def _mix(z: Tensor) -> Tensor:
    # z = (z ^ (z >> 30)) * _MIX_1 and so on, in place; the masks make torch's arithmetic shift a logical one.
    z = (z >> 30).bitwise_and_(2**34 - 1).bitwise_xor_(z).mul_(_MIX_1)
    z = (z >> 27).bitwise_and_(2**37 - 1).bitwise_xor_(z).mul_(_MIX_2)
    return (z >> 31).bitwise_and_(2**33 - 1).bitwise_xor_(z)
