"""How the report writes what is not a measured number: probabilities, parameters, counts."""

import math
from typing import Any

from unlabeled.platform.metrics import ABSENT


def probability(p: float) -> str:
    """Write a p value as a relation.

    >>> probability(0.0421), probability(0.0002)
    ('p = 0.042', 'p < 0.001')
    """
    if not math.isfinite(p):
        return "no p value"
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def plain(value: Any) -> str:
    """Write a parameter's value; a float without the digits that binary adds.

    >>> plain(0.2), plain(None), plain(2.0)
    ('0.2', '—', '2')
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ABSENT
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def count(number_of: int, one: str, several: str = "") -> str:
    """Write a number with its noun.

    >>> count(1, "seed"), count(3, "seed")
    ('1 seed', '3 seeds')
    """
    return f"{number_of} {one if number_of == 1 else several or one + 's'}"


def quoted(name: str) -> str:
    """Write a row's name in a sentence: in quotes where a comma or a number in it would be taken for the sentence's.

    >>> quoted("none"), quoted("unit, 0.1")
    ('none', '“unit, 0.1”')
    """
    return f"“{name}”" if "," in name or ";" in name or ":" in name else name
