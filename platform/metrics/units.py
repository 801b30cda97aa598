"""How numbers, and differences of them, are written: in percent and points, in units, as lengths of time."""

import math
from dataclasses import dataclass

ABSENT = "—"


@dataclass(frozen=True)
class Unit:
    """How values of a metric, and differences of them, are written.

    Attributes:
        word: behind a value: "MB"; empty for plain numbers.
        difference_word: behind a difference: "points".
        is_fraction: values lie between 0 and 1 and are read as percentages.
    """

    word: str = ""
    difference_word: str = ""
    is_fraction: bool = False

    def value(self, value: float) -> str:
        """Write a value.

        >>> FRACTION.value(0.8461), MEGABYTES.value(812.4)
        ('84.6 %', '812 MB')
        """
        text = percent(value) if self.is_fraction else number(value)
        return text if self.is_fraction or text == ABSENT else f"{text} {self.word}".strip()

    def signed(self, difference: float) -> str:
        """Write a difference with its sign, without the unit.

        >>> FRACTION.signed(0.025), SECONDS.signed(-3.216)
        ('+2.5', '−3.22')
        """
        if self.is_fraction or not math.isfinite(difference):
            return points(difference)
        text = number(abs(difference))
        sign = "" if float(text.replace(",", "")) == 0 else "+" if difference > 0 else "−"
        return sign + text

    def difference(self, difference: float) -> str:
        """Write a difference with its sign and unit.

        >>> FRACTION.difference(0.025), PLAIN.difference(12.0)
        ('+2.5 points', '+12')
        """
        text = self.signed(difference)
        return text if text == ABSENT else f"{text} {self.difference_word}".strip()

    def axis(self, value: float, _position: int | None = None) -> str:
        """Write a tick of an axis, as matplotlib asks for it."""
        return f"{100 * value:.4g} %" if self.is_fraction else f"{value:,.6g}".replace("-", "−")


FRACTION = Unit("%", "points", is_fraction=True)
PLAIN = Unit()
SECONDS, MEGABYTES, PER_SECOND, NATS, BITS = (Unit(word, word) for word in ("s", "MB", "/s", "nats", "bits"))


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


def duration(seconds: float) -> str:
    """Write a length of time in the unit that people would use.

    >>> duration(41.2), duration(412), duration(7300), duration(float("nan"))
    ('41 s', '6 min 52 s', '2 h 1 min', '—')
    """
    if not math.isfinite(seconds):
        return ABSENT
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
