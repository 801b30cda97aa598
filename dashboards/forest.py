"""The answer of a study as one figure: each claim's contrast with its interval, against zero and what was published."""

import math
import textwrap
from collections.abc import Sequence

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from unlabeled.dashboards.drawing import GRID, INK, MUTED, PAPER, SERIES, STYLE, TIGHT, Drawn, Svg, as_svg
from unlabeled.dashboards.verdicts import Verdict
from unlabeled.dashboards.wording import count
from unlabeled.platform.metrics import unit_of

MARKS = {"held": "o", "no difference": "s", "smaller than claimed": "v", "contradicted": "X", "not decided": "o"}
"""Decision -> the mark of its estimate; what is not decided is hollow."""
WIDE = 44  # characters of a statement in a line


def forests(judged: Sequence[Verdict]) -> list[Drawn]:
    """Return a figure for each unit in which claims were measured, claims in the study's order.

    Claims that nothing was measured for are left out; they are in the list of verdicts.
    """
    of_unit: dict[str, list[tuple[int, Verdict]]] = {}
    for place, one in enumerate(judged, start=1):
        if math.isfinite(one.difference.mean):
            words = unit_of(one.claim["measure"]).difference_word or str(one.claim["measure"])
            of_unit.setdefault(words, []).append((place, one))
    found = []
    for place, (unit, claims) in enumerate(of_unit.items()):
        suffix = f"-{place + 1}" if place else ""
        found.append((f"forest{suffix}", forest(claims, unit), _caption(claims)))
    return found


def forest(claims: Sequence[tuple[int, Verdict]], unit: str) -> Svg:
    """Draw claims of one unit, a line each.

    Thick is the 95 % interval of a claim by itself, thin the one that decides, in view of the study's other claims and
    looks. A diamond is the published size.

    Args:
        claims: each with its number in the study.
        unit: of the differences.
    """
    texts = [_words(one) for _, one in claims]
    tops, at = [], 0.0
    for text in texts:
        at += 0.75 * text.count("\n") + 2.1
        tops.append(at)
    with rc_context(STYLE):
        figure = Figure(figsize=(4.4, 0.8 + 0.2 * at), layout="constrained")
        axes = figure.add_subplot()
        scale = unit_of(claims[0][1].claim["measure"])
        factor = 100 if scale.is_fraction else 1
        low, high = covered([one for _, one in claims])
        axes.axvline(0, color=INK, linewidth=1.1, zorder=1)
        limits = {float(one.claim.get("negligible") or 0.0) for _, one in claims} - {0.0}
        if has_band := len(limits) == 1 and max(limits) < max(abs(low), abs(high)):
            limit = max(limits) * factor
            axes.axvspan(-limit, limit, color=GRID, alpha=0.55, linewidth=0, zorder=0)
        for (_, one), text, top in zip(claims, texts, tops, strict=True):
            _draw(axes, one, top, factor, (low * factor, high * factor))
            where = axes.get_yaxis_transform()
            axes.text(0.0, top - 0.5, text, transform=where, va="bottom", fontsize=9, linespacing=1.15, zorder=2)
            height = 0.75 * text.count("\n") + 0.95
            axes.axhspan(top - 0.5 - height, top - 0.45, color=PAPER, linewidth=0, zorder=1.5)  # no line behind words
        margin = 0.04 * (high - low) * factor
        axes.set_xlim(low * factor - margin, high * factor + margin)
        axes.set_ylim(at + 0.8, 0.65)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x", color=GRID, linewidth=0.7)
        axes.set_axisbelow(True)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=7, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(
            FuncFormatter(lambda value, _: f"{value:+,.6g}".replace("-", "−") if value else "0")
        )
        axes.set_xlabel(f"difference, {unit}")
        handles = _legend([one for _, one in claims], has_band)
        figure.legend(handles=handles, loc="outside lower left", ncols=2, fontsize=8.5, labelcolor=MUTED, **TIGHT)
        said = [f"{one.claim['statement']} {one.label}. {one.sizes}" for _, one in claims]
        return as_svg(figure, "Claims: measured differences against zero and the published ones", " ".join(said))


def _words(one: Verdict) -> str:
    statement = "\n".join(textwrap.wrap(one.claim["statement"], WIDE))
    last = statement.rsplit("\n", 1)[-1]
    verdict = f"{one.decision}, {count(one.n, 'seed')}"
    return f"{statement} ({verdict})" if len(last) + len(verdict) < WIDE + 12 else f"{statement}\n({verdict})"


def _colour(one: Verdict) -> str:
    return {"held": SERIES[0], "no difference": SERIES[2], "not decided": MUTED}.get(one.decision, SERIES[1])


def _draw(axes: Axes, one: Verdict, top: float, factor: float, edges: tuple[float, float]) -> None:
    colour = _colour(one)
    if not math.isnan(one.deciding.low):
        bounds = [max(edges[0], one.deciding.low * factor), min(edges[1], one.deciding.high * factor)]
        axes.plot(bounds, [top, top], color=colour, linewidth=1.1, zorder=3)
    if math.isfinite(one.difference.low):
        bounds = [max(edges[0], one.difference.low * factor), min(edges[1], one.difference.high * factor)]
        axes.plot(bounds, [top, top], color=colour, linewidth=3.4, solid_capstyle="butt", zorder=3)
    inside = PAPER if one.decision == "not decided" else colour
    size = 7.5 if MARKS[one.decision] != "X" else 8.5
    mark = dict(marker=MARKS[one.decision], markersize=size, mfc=inside, mec=colour, mew=1.3)
    axes.plot([one.difference.mean * factor], [top], linestyle="", zorder=5, **mark)  # type: ignore[arg-type]
    published = one.claim.get("published_difference")
    if published is not None:
        axes.plot([published * factor], [top], "D", markersize=6.5, mfc=PAPER, mec=INK, mew=1.2, zorder=4)


def covered(claims: Sequence[Verdict]) -> tuple[float, float]:
    """Return what the axis covers: zero, estimates, published sizes, and what of intervals leaves those legible."""
    points = [0.0, *(one.difference.mean for one in claims)]
    points += [one.claim["published_difference"] for one in claims if one.claim.get("published_difference") is not None]
    span = max(points) - min(points) or 1e-3
    ends = [end for one in claims for end in _ends(one) if math.isfinite(end)]
    low = max(min([*ends, *points]), min(points) - span)
    high = min(max([*ends, *points]), max(points) + span)
    return (low, high) if high > low else (low - span, high + span)


def _ends(one: Verdict) -> tuple[float, ...]:
    return one.difference.low, one.difference.high, one.deciding.low, one.deciding.high


def _legend(claims: Sequence[Verdict], has_band: bool) -> list[Line2D]:
    handles = [
        Line2D([], [], color=MUTED, linewidth=3.4, solid_capstyle="butt", label="95 % by itself"),
        Line2D([], [], color=MUTED, linewidth=1.1, label="that decides"),
    ]
    if any(one.claim.get("published_difference") is not None for one in claims):
        handles.append(Line2D([], [], linestyle="", marker="D", mfc=PAPER, mec=INK, mew=1.2, label="published"))
    if has_band:
        handles.append(Line2D([], [], color=GRID, linewidth=8, solid_capstyle="butt", label="negligible"))
    return handles


def _caption(claims: Sequence[tuple[int, Verdict]]) -> str:
    low, high = covered([one for _, one in claims])
    is_cut = any(end < low or end > high for _, one in claims for end in _ends(one))
    cut = " An interval that ends at the edge goes on." if is_cut else ""
    return (
        "Each claim's difference: thick its 95 % interval by itself, thin the one that decides, in view of the study's "
        f"other claims and of looks at more seeds. A hollow mark is not decided, a diamond is published.{cut}"
    )
