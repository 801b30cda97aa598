"""In what unit people read a metric, which its name tells: ``top1``, ``_mb``, ``seconds``, ``per_second``.

Fractions are read as percentages and compared in points; all else is read as logged.
"""

import math
import re
from dataclasses import dataclass

from unlabeled.dashboards.wording import ABSENT, number, percent, points


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

        >>> unit_of("test/knn/top1").value(0.8461), unit_of("system/training_memory_mb").value(812.4)
        ('84.6 %', '812 MB')
        """
        text = percent(value) if self.is_fraction else number(value)
        return text if self.is_fraction or text == ABSENT else f"{text} {self.word}".strip()

    def signed(self, difference: float) -> str:
        """Write a difference with its sign, without the unit.

        >>> unit_of("test/knn/top1").signed(0.025), unit_of("train/seconds").signed(-3.216)
        ('+2.5', '−3.22')
        """
        if self.is_fraction or not math.isfinite(difference):
            return points(difference)
        text = number(abs(difference))
        sign = "" if float(text.replace(",", "")) == 0 else "+" if difference > 0 else "−"
        return sign + text

    def difference(self, difference: float) -> str:
        """Write a difference with its sign and unit.

        >>> unit_of("test/knn/top1").difference(0.025), unit_of("health/rankme").difference(12.0)
        ('+2.5 points', '+12')
        """
        text = self.signed(difference)
        return text if text == ABSENT else f"{text} {self.difference_word}".strip()

    def axis(self, value: float, _position: int | None = None) -> str:
        """Write a tick of an axis, as matplotlib asks for it."""
        return f"{100 * value:.4g} %" if self.is_fraction else f"{value:,.6g}".replace("-", "−")


FRACTION = Unit("%", "points", is_fraction=True)
PLAIN = Unit()
_ENDINGS = {
    r"(^|/)(top\d+|accuracy)$": FRACTION,
    r"_mb$": Unit("MB", "MB"),
    r"_per_second$": Unit("/s", "/s"),
    r"seconds$": Unit("s", "s"),
    r"(entropy|information_bound)$": Unit("nats", "nats"),
}


def unit_of(metric: str) -> Unit:
    """Return the unit that a metric's name tells."""
    return next((unit for ending, unit in _ENDINGS.items() if re.search(ending, metric)), PLAIN)
