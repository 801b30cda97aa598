"""What Optuna's figures need to be the house's: its style while they are drawn, and their labels, marks and legend."""

import contextlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib import pyplot, rc_context
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.category import StrCategoryFormatter
from matplotlib.collections import Collection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogFormatter, LogLocator, MaxNLocator, NullLocator, ScalarFormatter
from optuna.exceptions import ExperimentalWarning

from unlabeled.dashboards.drawing import GRID, MUTED, PAPER, SERIES, STYLE, TIGHT, Svg, as_svg, short, told
from unlabeled.dashboards.search_trials import Parameter
from unlabeled.dashboards.titles import axis_title
from unlabeled.platform.metrics import unit_of

BLUE, ORANGE, GREEN = SERIES[:3]
MARKERS = {"pruned": "x", "failed": "^"}
VALUES = ("value", "second")  # columns of the objectives
UNSCORED: dict[str, Any] = {"markersize": 4.5, "color": MUTED, "mew": 1.2, "linewidth": 0, "zorder": 2}


@contextlib.contextmanager
def canvas() -> Iterator[None]:
    """Let Optuna draw in the house's style, and leave nothing of it: no setting, no figure, no warning, no window.

    Its figures ask for the style that is called ggplot, so for as long that is the name of the house's.
    """
    backend, known = matplotlib.get_backend(), set(pyplot.get_fignums())
    library = matplotlib.style.library
    ggplot = library["ggplot"]
    with rc_context(STYLE | {"figure.constrained_layout.use": True}), warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        pyplot.switch_backend("agg")
        library["ggplot"] = matplotlib.RcParams(STYLE)
        try:
            yield
        finally:
            library["ggplot"] = ggplot
            for number in set(pyplot.get_fignums()) - known:
                pyplot.close(number)
            pyplot.switch_backend(backend)


def finish(axes: Axes, size: tuple[float, float], handles: Sequence[Line2D], title: str, words: Sequence[str]) -> Svg:
    """Give Optuna's figure the house's size and legend, take its title away, and write it as SVG."""
    figure = axes.figure
    assert isinstance(figure, Figure)
    figure.set_layout_engine("constrained", wspace=0.05)
    figure.set_size_inches(size)
    if figure.get_suptitle():
        figure.suptitle("")
    for each in figure.axes:
        if legend := each.get_legend():
            legend.remove()
    if handles:
        figure.legend(handles=handles, loc="outside lower left", ncols=5, fontsize=8.5, labelcolor=MUTED, **TIGHT)
    return as_svg(figure, title, "; ".join(words))


def bare(axes: Axes) -> None:
    """Take a figure's colour bars and the titles of its axes away."""
    for place in ("left", "center"):
        axes.set_title("", loc=place)
    for bar in [each for each in axes.figure.axes if each.get_label() == "<colorbar>"]:
        bar.remove()


def words_of(
    table: pd.DataFrame, points: pd.DataFrame, space: Sequence[Parameter], metrics: Sequence[str]
) -> dict[int, str]:
    """Return what the marks of each finished trial say: its number, its objectives, and the point that was tried."""
    words = {}
    for number in finished(table).index:
        values = (unit_of(metric).value(table[column][number]) for metric, column in zip(metrics, VALUES, strict=False))
        point = (f"{one.short_name} {one.shown(points[one.name][number])}" for one in space)
        words[number] = "; ".join(filter(None, (f"trial {number}: {', '.join(values)}", ", ".join(point))))
    return words


def tell(dots: Collection, at: pd.DataFrame, words: Mapping[int, str]) -> None:
    """Let each dot say the words of the trial that lies there, the first where several do.

    Args:
        dots: a scatter plot.
        at: trial -> where it lies across and up.
        words: trial -> what it says; nothing is said where there are none.
    """
    if not words:
        return
    first = at[~at.duplicated()].reset_index().to_numpy()
    where = {(float(across), float(up)): words[int(number)] for number, across, up in first}
    if len(places := np.asarray(dots.get_offsets())):
        dots.set_gid(told(where[float(across), float(up)] for across, up in places))


def finished(table: pd.DataFrame) -> pd.DataFrame:
    """Return the trials that have an objective."""
    return table[(table["state"] == "finished") & table["value"].notna()]


def mark(axes: Axes, table: pd.DataFrame, at: Mapping[Any, Any], chosen: int | None) -> None:
    """Mark the chosen trial, and along the foot of the axes those without an objective; ``at`` is where they lie."""
    if chosen is not None and chosen in at and chosen in finished(table).index:
        choose(axes, at[chosen], table["value"][chosen])
    for state, marker in MARKERS.items():
        where = [at[number] for number in table.index[table["state"] == state] if number in at]
        axes.plot(where, [0.035] * len(where), marker, **UNSCORED, transform=axes.get_xaxis_transform())


def choose(axes: Axes, across: Any, up: float) -> None:
    """Draw the chosen trial's dot."""
    axes.plot([across], [up], "o", markersize=8.5, mfc=ORANGE, mec=PAPER, mew=1, zorder=5)


def dot(colour: str, label: str, size: float = 5.5) -> Line2D:
    """Return a dot for a legend."""
    return Line2D([], [], color=colour, marker="o", markersize=size, linewidth=0, label=label)


def chosen_dot(done: pd.DataFrame, chosen: int | None) -> list[Line2D]:
    """Return the legend of the chosen trial, where it has an objective."""
    return [dot(ORANGE, "chosen", 8)] if chosen in done.index else []


def stroke(colour: str, label: str, width: float = 1.4) -> Line2D:
    """Return a line for a legend."""
    return Line2D([], [], color=colour, linewidth=width, label=label)


def unscored(table: pd.DataFrame) -> list[Line2D]:
    """Return the legend of the trials without an objective."""
    seen = [state for state in MARKERS if (table["state"] == state).any()]
    return [Line2D([], [], marker=MARKERS[state], **UNSCORED, label=state) for state in seen]


def value_axis(axes: Axes, metric: str) -> None:
    """Set the upright axis out for a metric's values."""
    axes.set_ylabel(axis_title(metric))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(unit_of(metric).axis))
    axes.tick_params(axis="both", labelcolor=MUTED)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)


def plain_ticks(axis: Axis) -> None:
    """Write an axis' numbers without powers of ten, and its words without quotation marks; None is out."""
    inner = axis.get_major_formatter()
    if isinstance(inner, LogFormatter):
        low, high = sorted(axis.get_view_interval())
        axis.set_major_locator(LogLocator(subs=(1.0,) if high / low > 30 else (1.0, 2.0, 5.0)))
        axis.set_minor_locator(NullLocator())
    if isinstance(inner, LogFormatter | ScalarFormatter):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.6g}".replace("-", "−")))
    elif isinstance(inner, StrCategoryFormatter):
        axis.set_major_formatter(FuncFormatter(lambda at, place: _plain(inner(at, place))))
    else:
        axis.set_ticks(axis.get_ticklocs(), [_plain(label.get_text()) for label in axis.get_ticklabels()])


def _plain(text: str) -> str:
    with contextlib.suppress(ValueError):
        return f"{float(text):.3g}".replace("-", "−")
    return "out" if text == "None" else short(text.strip("'"), 14)
