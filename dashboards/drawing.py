"""What all figures share: colours, fonts, and the way from a matplotlib figure to SVG text in a page.

Drawn with matplotlib's objects on its SVG backend, without pyplot's global figures. Text stays text, so that it can be
read out, searched and set in the page's font. A figure by itself is drawn on white; :func:`inline` hands its colours to
the page, which has a light and a dark set of them. The series colours follow Okabe and Ito (2008), which people with
any colour vision can tell apart, darkened where they were too pale on white.
"""

import html
import io
import itertools
import re
import textwrap
import urllib.parse
import warnings
from collections.abc import Iterable
from typing import Any

from matplotlib.figure import Figure

INK, MUTED, GRID, PAPER = "#1b1f24", "#5b6470", "#dde1e6", "#ffffff"
SERIES = ("#0072b2", "#d55e00", "#009e73", "#c76fa0", "#b98300", "#3b9ad9", "#4b4f58", "#8a5fbf")
DASHES = ("-", (0, (5, 1.5)), (0, (2, 1)), (0, (5, 1.5, 1.2, 1.5)))
VARIABLES = {INK: "ink", MUTED: "muted", GRID: "rule", PAPER: "paper"} | {
    colour: f"series-{index}" for index, colour in enumerate(SERIES)
}
"""Colour -> the page's variable for it."""

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "unlabeled",
    "text.parse_math": False,  # a dollar sign in a row's name is a dollar sign
    "font.family": "DejaVu Sans",  # ships with matplotlib: text is measured alike everywhere
    "font.size": 9.5,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": GRID,
    "axes.facecolor": PAPER,
    "figure.facecolor": PAPER,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "legend.frameon": False,
}
TIGHT = {"handlelength": 1.3, "handletextpad": 0.5, "columnspacing": 1.3}
FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', Arial, sans-serif"


class Svg(str):
    """A figure as SVG text.

    Attributes:
        figure: the same as matplotlib has it, to be changed, shown in a notebook, or saved as PDF.
    """

    __slots__ = ("figure",)

    figure: Figure


_MARK, _TOLD, _LEGEND = "mark|", "told|", "legend-of-"

Drawn = tuple[str, Svg, str]
"""A figure: its name, its SVG, its caption."""


def inline(svg: str, name: str) -> str:
    """Prepare a figure for a page: colours and font become the page's, identifiers are kept apart by ``name``."""
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", svg, count=1, flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'href="#', f'href="#{name}-', svg)
    svg = svg.replace("url(#", f"url(#{name}-")
    for colour, variable in VARIABLES.items():
        svg = svg.replace(f": {colour}", f": var(--{variable})")
    return svg.replace(f"font-family: {FONTS}", "font-family: inherit")


def mark(row: int, words: str) -> str:
    """Return the ``gid`` that makes an artist one of a row's, which may be hidden, and says ``words``."""
    return f"{_MARK}{row}|{words}"


def told(words: Iterable[str]) -> str:
    """Return the ``gid`` of an artist whose marks, in their order, each say their own words."""
    return _TOLD + "|".join(map(urllib.parse.quote, words))


def bare(svg: str) -> str:
    """Take the legend out of a figure, and the room that it has, where the page has one for several figures."""
    found = re.search(rf'<g id="{_LEGEND}(\d+)">', svg)
    if found is None:
        return svg
    svg = svg[: found.start()] + svg[_end_of_group(svg, found.start()) :]
    width, height = (float(part) for part in re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg).groups())  # type: ignore[union-attr]
    less = f"{height - int(found[1]):g}"
    svg = re.sub(r'viewBox="0 0 [^"]*"', f'viewBox="0 0 {width:g} {less}"', svg, count=1)
    return re.sub(r' height="[^"]*pt"', f' height="{less}pt"', svg, count=1)


def name_legend(figure: Figure) -> None:
    """Make the figure's legend, at its bottom, one that :func:`bare` takes out. To be called when all is drawn."""
    figure.draw_without_rendering()
    legend = figure.legends[0]
    legend.set_gid(f"{_LEGEND}{round(legend.get_window_extent().height * 72 / figure.dpi)}")


def short(name: str, most: int = 38) -> str:
    """Cut a long name in its middle: in a grid, names differ at both ends."""
    half = (most - 1) // 2
    return name if len(name) <= most else f"{name[:half].rstrip()}…{name[-half:].lstrip()}"


def wrapped(name: str) -> str:
    """Break a row's name into lines that fit beside an axis."""
    return "\n".join(textwrap.wrap(short(name, 44), 24))


def as_svg(figure: Figure, title: str, description: str) -> Svg:
    """Write a figure as SVG with its title and what it shows in words, and nothing that changes from day to day."""
    text = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with warnings.catch_warnings():
        # The measuring font lacks some scripts; the reader's browser draws the text and has them.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(text, format="svg", metadata=nothing)
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"font-family: 'DejaVu Sans'[^;\"]*", f"font-family: {FONTS}", svg)
    svg = _with_words(
        re.sub(rf'<g id="{re.escape(_MARK)}(\d+)\|([^"]*)">', r'<g class="row-\1"><title>\2</title>', svg)
    )
    label = html.escape(f"{title}: {description}" if description else title)
    opening = f'<svg role="img" aria-label="{label}"'
    head, rest = svg.removeprefix("<svg").split(">", 1)
    drawn = Svg(f"{opening}{head}>\n <title>{html.escape(title)}</title>{rest}")
    drawn.figure = figure
    return drawn


def _with_words(svg: str) -> str:
    """Give each mark of artists that are :func:`told` its words."""
    while found := re.search(rf'<g id="{re.escape(_TOLD)}([^"]*)">', svg):
        words = [html.escape(urllib.parse.unquote(each)) for each in found[1].split("|")]
        end = _end_of_group(svg, found.start())
        parts = re.split(r"(<defs>.*?</defs>)", svg[found.end() : end], flags=re.DOTALL)
        shapes, drawn = "".join(parts[1::2]), "".join(parts[::2])
        form = r"<use\b[^>]*/>" if "<use " in drawn else r"<path\b[^>]*/>"  # a shape is defined once, and used
        if len(marks := re.findall(form, drawn)) != len(words):
            raise ValueError(f"{len(marks)} marks are drawn, and {len(words)} are told")
        first, *rest = re.split(form, drawn)
        told_marks = (f"<g><title>{said}</title>{mark}</g>" for said, mark in zip(words, marks, strict=True))
        drawn = first + "".join(itertools.chain(*zip(told_marks, rest, strict=True)))
        svg = f"{svg[: found.start()]}<g>{shapes}{drawn}{svg[end:]}"
    return svg


def _end_of_group(svg: str, start: int) -> int:
    """Return where the group that begins at ``start`` is over."""
    depth = 0
    for tag in re.finditer(r"<(/?)g\b[^>]*?(/?)>", svg[start:]):
        depth += 0 if tag[2] else -1 if tag[1] else 1
        if not depth:
            return start + tag.end()
    raise ValueError("a group is never closed")
