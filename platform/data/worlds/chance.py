"""Whole numbers drawn between bounds, without a rounding that could differ between processors."""

import numpy as np
import numpy.typing as npt

from unlabeled.platform.draws import Draws

Whole = npt.NDArray[np.int64]
_BITS = 24  # of a uniform draw


def between(draws: Draws, purpose: str, low: int | Whole, high: int | Whole, *shape: int) -> Whole:
    """Draw int64 [B, \\*shape], uniform in low .. high, both included; bounds broadcast, and high - low < 2**24."""
    bits: Whole = (draws.uniform(purpose, *shape).double() * 2.0**_BITS).long().numpy()
    choices: Whole = np.asarray(high, np.int64) - low + 1
    drawn: Whole = low + ((bits * choices) >> _BITS)
    return drawn
