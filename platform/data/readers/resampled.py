"""Sounds at another rate, a window at a time, as if the whole sound had been resampled.

The filter is SciPy's for ``resample_poly``: a low-pass of both rates' lower Nyquist frequency, windowed by Kaiser's
with beta 5, ten zero crossings to each side. Between processors the last digit of its coefficients may differ.
"""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]
_ZEROS = 10  # of the filter to each side, at the lower rate


def length_at(frames: int, rate: int, to: int) -> int:
    """Return how many samples ``frames`` samples at ``rate`` are at the rate ``to``, rounded up."""
    return -(-frames * to // rate)


def resampled(read: Callable[[int, int], Samples], frames: int, rate: int, to: int, start: int, count: int) -> Samples:
    """Return samples ``start`` to ``start + count`` of a sound at another rate; silence beyond its end.

    Args:
        read: is told a first sample and a number of samples, all of them within the sound, and returns them.
        frames: how many samples the sound has.
        rate: of the sound, in samples per second.
        to: the rate of what is returned.
        start: the first sample, at the new rate.
        count: how many, at the new rate.
    """
    from scipy.signal import resample_poly

    common = math.gcd(rate, to)
    up, down = to // common, rate // common
    margin = 0 if up == down else -(-_ZEROS * max(up, down) // up) + 1
    block = max(0, start // up - -(-margin // down))  # up new samples are down old ones
    first, end = block * down, min(frames, -(-(start + count) * down // up) + margin)
    made = np.zeros(0, np.float32)
    if first < end:
        old = read(first, end - first)
        made = old if up == down else resample_poly(old, up, down).astype(np.float32)
    made = made[start - block * up :][:count]
    made = made[: max(0, length_at(frames, rate, to) - start)]
    return np.pad(made, (0, count - len(made)))
