"""How the report writes its values: percentages, differences in points, probabilities, durations."""

import math
from typing import Any

from unlabeled.platform.drive import display

ABSENT = "—"


def percent(fraction: float) -> str:
    """Write a fraction as a percentage.

    >>> percent(0.8461)
    '84.6 %'
    """
    return f"{100 * fraction:.1f} %" if math.isfinite(fraction) else ABSENT


def points(difference: float) -> str:
    """Write a difference of two fractions in points, with its sign; below a tenth of a point with one digit more.

    >>> points(0.025), points(-0.0004), points(0.0)
    ('+2.5', '−0.04', '0.0')
    """
    if not math.isfinite(difference):
        return ABSENT
    size = abs(100 * difference)
    text = f"{size:.2f}" if 0 < size < 0.1 else f"{size:.1f}"
    sign = "" if float(text) == 0 else "+" if difference > 0 else "−"
    return sign + text


def number(value: float) -> str:
    """Write a plain number with three significant digits, large ones in whole thousands groups.

    >>> number(0.03214), number(12345.6), number(float("nan"))
    ('0.0321', '12,346', '—')
    """
    if not math.isfinite(value):
        return ABSENT
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def probability(p: float) -> str:
    """Write a p value as a relation.

    >>> probability(0.0421), probability(0.0002)
    ('p = 0.042', 'p < 0.001')
    """
    if not math.isfinite(p):
        return "no p value"
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def duration(seconds: float) -> str:
    """Write a length of time in the unit that people would use.

    >>> duration(41.2), duration(412), duration(7300)
    ('41 s', '6 min 52 s', '2 h 1 min')
    """
    return display.duration(seconds) if math.isfinite(seconds) else ABSENT


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
