"""Names beside points of a figure, so that none covers another: where they have no room, numbers stand for them."""

import textwrap
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

from unlabeled.dashboards.drawing import MUTED, short

_AROUND = (
    (7, 5, "left"),
    (7, -12, "left"),
    (-7, 5, "right"),
    (-7, -12, "right"),
    (0, 10, "center"),
    (0, -17, "center"),
)
_SIZE, _POINT = 9, 6  # of text, and of a mark's half, in points


def label_apart(axes: Axes, names: Sequence[str], points: Sequence[tuple[float, float]]) -> None:
    """Write names beside points, or numbers, and below what they stand for. To be called when all is drawn."""
    if _place(axes, [short(name, 24) for name in names], points):
        return
    _place(axes, [str(number) for number in range(1, len(names) + 1)], points)
    figure = axes.figure
    said = ", ".join(f"{number} {short(name, 34)}" for number, name in enumerate(names, start=1))
    lines = textwrap.wrap(said, 66)
    figure.set_figheight(figure.get_figheight() + 0.17 * len(lines))  # type: ignore[union-attr]
    figure.supxlabel("\n".join(lines), fontsize=8.5, color=MUTED, x=0.01, ha="left")


def _place(axes: Axes, names: Sequence[str], points: Sequence[tuple[float, float]]) -> bool:
    """Write the names where they cover nothing, and say whether there was room; where there was none, write nothing."""
    figure = axes.figure
    FigureCanvasSVG(figure)  # type: ignore[arg-type]
    figure.draw_without_rendering()  # type: ignore[union-attr]
    unit = figure.dpi / 72
    taken = [
        Bbox.from_bounds(x - _POINT * unit, y - _POINT * unit, 2 * _POINT * unit, 2 * _POINT * unit)
        for x, y in (axes.transData.transform(point) for point in points)
    ]
    written: list[Annotation] = []
    for name, point in zip(names, points, strict=True):
        for right, up, side in _AROUND:
            text = axes.annotate(name, point, xytext=(right, up), textcoords="offset points", fontsize=_SIZE, ha=side)
            box = text.get_window_extent()
            if axes.bbox.containsx(box.x0) and axes.bbox.containsx(box.x1) and not any(map(box.overlaps, taken)):
                written.append(text)
                taken.append(box)
                break
            text.remove()
        else:
            for text in written:
                text.remove()
            return len(names) == 0
    return True
