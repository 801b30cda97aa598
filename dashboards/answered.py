"""Each claim's difference as a strip in a page, all of one unit on one axis: what a reader sees before any words.

Strips are made by hand, a kilobyte each, in the page's colours; hovering a mark says its numbers. As a figure for a
paper ``forest`` draws the same.
"""

import html
import math
from collections.abc import Sequence

from markupsafe import Markup

from unlabeled.dashboards.forest import covered
from unlabeled.dashboards.verdicts import Verdict
from unlabeled.platform.metrics import Unit, unit_of

WIDTH, HEIGHT, EDGE = 320.0, 30.0, 16.0
_COLOURS = {"held": "held", "no difference": "link", "not decided": "open", "contradicted": "contradicted"}
_OTHERWISE = "open"
_STEPS = (1.0, 2.0, 5.0, 10.0)


def strips(judged: Sequence[Verdict]) -> list[Markup]:
    """Return a drawing for each verdict; nothing for one that nothing was measured for."""
    axes = {unit: _Axis(claims) for unit, claims in _by_unit(judged).items()}
    return [axes[_unit(one)].strip(one) if math.isfinite(one.difference.mean) else Markup("") for one in judged]


def scales(judged: Sequence[Verdict]) -> list[Markup]:
    """Return the axis below the last strip of each unit, and nothing below the others."""
    last = {
        _unit(one): place for place, one in enumerate(judged) if math.isfinite(one.difference.mean)
    }  # the last wins
    axes = {unit: _Axis(claims) for unit, claims in _by_unit(judged).items()}
    return [
        axes[_unit(one)].scale() if last.get(_unit(one)) == place else Markup("") for place, one in enumerate(judged)
    ]


def _unit(one: Verdict) -> str:
    return unit_of(one.claim["measure"]).difference_word or str(one.claim["measure"])


def _by_unit(judged: Sequence[Verdict]) -> dict[str, list[Verdict]]:
    found: dict[str, list[Verdict]] = {}
    for one in judged:
        if math.isfinite(one.difference.mean):
            found.setdefault(_unit(one), []).append(one)
    return found


class _Axis:
    """An axis that claims of one unit share."""

    def __init__(self, claims: Sequence[Verdict]) -> None:
        self.low, self.high = covered(claims)
        self.unit: Unit = unit_of(claims[0].claim["measure"])
        self.words = _unit(claims[0])

    def at(self, value: float) -> float:
        """Return where a value stands; what is beyond the axis stands at its end."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return EDGE + (WIDTH - 2 * EDGE) * share

    def strip(self, one: Verdict) -> Markup:
        """Draw a claim: zero, what is negligible, its interval, the one that decides, what was published."""
        colour, y, unit = f"var(--{_COLOURS.get(one.decision, _OTHERWISE)})", HEIGHT / 2, self.unit
        limit, zero = float(one.claim.get("negligible") or 0.0), self.at(0.0)
        marks = []
        if limit:
            left, right = self.at(-limit), self.at(limit)
            marks.append(
                f'<rect x="{left:.1f}" width="{right - left:.1f}" y="0" height="{HEIGHT:g}" fill="var(--rule)"/>'
            )
        marks.append(f'<path d="M{zero:.1f} 0V{HEIGHT:g}" stroke="var(--ink)" fill="none"/>')
        for interval, wide in ((one.deciding, 1.3), (one.difference, 4.5)):
            if math.isfinite(interval.low) or math.isfinite(interval.high):
                ends = f"M{self.at(interval.low):.1f} {y:g}H{self.at(interval.high):.1f}"
                marks.append(f'<path d="{ends}" stroke="{colour}" stroke-width="{wide}" fill="none"/>')
        published = one.claim.get("published_difference")
        if published is not None:
            x = self.at(published)
            diamond = f"M{x:.1f} {y - 6:g}l6 6l-6 6l-6 -6z"
            marks.append(f'<path d="{diamond}" fill="var(--paper)" stroke="var(--ink)" stroke-width="1.4"/>')
        x, inside = self.at(one.difference.mean), "var(--paper)" if one.decision == "not decided" else colour
        marks.append(f'<circle cx="{x:.1f}" cy="{y:g}" r="5" fill="{inside}" stroke="{colour}" stroke-width="2"/>')
        words = f"{unit.difference(one.difference.mean)}"
        if math.isfinite(one.difference.low):
            words += f", 95 % interval {unit.signed(one.difference.low)} to {unit.signed(one.difference.high)}"
        if math.isfinite(one.deciding.low) and math.isfinite(one.deciding.high):
            words += f"; the interval that decides {unit.signed(one.deciding.low)} to {unit.signed(one.deciding.high)}"
        if published is not None:
            words += f"; published {unit.difference(published)}"
        return self._drawing(f"{one.claim['statement']} {words}", marks, HEIGHT)

    def scale(self) -> Markup:
        """Draw the axis with its numbers."""
        factor = 100.0 if self.unit.is_fraction else 1.0
        low, high = self.low * factor, self.high * factor
        step = next(
            size
            for power in range(-12, 15)
            for size in (one * 10.0**power for one in _STEPS)
            if (high - low) / size <= 6
        )
        ticks = [step * place for place in range(math.ceil(low / step), math.floor(high / step) + 1)]
        marks = [f'<path d="M{EDGE:g} 0.5H{WIDTH - EDGE:g}" stroke="var(--rule)" fill="none"/>']
        for tick in ticks:
            x = self.at(tick / factor)
            marks.append(f'<path d="M{x:.1f} 0V4" stroke="var(--muted)" fill="none"/>')
            marks.append(_text(x, 16, f"{tick:+.6g}".replace("-", "−") if tick else "0"))
        marks.append(_text(WIDTH / 2, 30, f"difference, {self.words}"))
        return self._drawing(f"The axis of the differences, in {self.words}", marks, 34.0)

    def _drawing(self, words: str, marks: Sequence[str], height: float) -> Markup:
        words = html.escape(words)
        head = f'<svg role="img" aria-label="{words}" viewBox="0 0 {WIDTH:g} {height:g}"><title>{words}</title>'
        return Markup(head + "".join(marks) + "</svg>")


def _text(x: float, y: float, words: str) -> str:
    place = f'x="{x:.1f}" y="{y:g}" text-anchor="middle"'
    return f'<text {place} font-size="11" fill="var(--muted)">{html.escape(words)}</text>'
