"""Measures that differ in one name, such as a probe of each layer, side by side: one table and one figure of them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from unlabeled.dashboards import counted
from unlabeled.dashboards.drawing import GRID, INK, MUTED, PAPER, STYLE, Drawn, Svg, as_svg, mark, short
from unlabeled.dashboards.measured import Measured, slug
from unlabeled.dashboards.strokes import Stroke
from unlabeled.dashboards.titles import title_of
from unlabeled.dashboards.wording import count, quoted
from unlabeled.platform.metrics import Unit, unit_of

FEWEST = 4  # measures that are put together
MANY = 8  # whose figure takes the whole width


@dataclass(frozen=True)
class SideBySide:
    """Some measures of the same rows.

    Attributes:
        parts: the measures, in the order in which the study names them.
        seeds: how many of each row that has values; the same of all measures.
        protocol: how they were measured, but for the name in which they differ.
        figure: of all of them.
    """

    parts: list[Measured]
    seeds: dict[str, int]
    protocol: str
    figure: Drawn

    @property
    def rows(self) -> list[str]:
        """Those that have values."""
        return list(self.seeds)

    @property
    def others(self) -> list[str]:
        """The study's rows that have none."""
        return [str(row) for row in self.parts[0].table.index if row not in self.seeds]

    @property
    def apart(self) -> list[str]:
        """Which seeds lie apart from their row's others, in sentences."""
        return [f"{_own(part.metric)}, {sentence}" for part in self.parts for sentence in part.apart]

    @property
    def metric(self) -> str:
        """What all of them measure."""
        return _whole(self.parts[0].metric)

    @property
    def unit(self) -> Unit:
        """How their values are read."""
        return self.parts[0].unit

    @property
    def lines(self) -> list[tuple[str, list[Mapping[Any, Any]]]]:
        """Each measure's own name, and its values by row."""
        return [
            (_own(part.metric), [{"row": row, **part.table.loc[row].to_dict()} for row in self.rows])
            for part in self.parts
        ]


def together(record: Mapping[str, Any], runs: pd.DataFrame, measures: Iterable[str]) -> list[list[str]]:
    """Return which measures are put side by side: no answer to the question, and nothing published.

    Those of a group were measured in the same way, but for one name, and of the same rows with as many seeds.
    """
    apart = {record["measure"], *(each["measure"] for each in record["published"])}
    found: dict[tuple[str, str, tuple[tuple[str, int], ...]], list[str]] = {}
    for measure in measures:
        if measure not in apart and measure.startswith("test/") and measure.count("/") == 3:
            seeds = counted.scores(runs, measure).notna().sum()
            key = _whole(measure), _protocol(counted.protocol_of(runs, measure), measure)
            found.setdefault((*key, tuple((str(row), int(n)) for row, n in seeds.items() if n)), []).append(measure)
    return [metrics for (*_, seeds), metrics in found.items() if seeds and len(metrics) >= FEWEST]


def side_by_side(parts: Sequence[Measured], strokes: Mapping[str, Stroke]) -> SideBySide:
    """Put measures of the same rows side by side."""
    parts, first = list(parts), parts[0]
    seeds = {str(row): int(n) for row, n in first.table["n"].items() if n}
    metric = _whole(first.metric)
    caption = f"{title_of(metric)} of {count(len(parts), 'layer or task', 'layers or tasks')}, with 95 % intervals"
    caption += (
        " of the means; thin is the same encoder untrained." if any(part.has_untrained for part in parts) else "."
    )
    figure = _figure(parts, list(seeds), strokes, metric)
    name = f"{'grid-' if len(parts) > MANY else ''}beside-{slug(first.metric)}"
    return SideBySide(parts, seeds, _protocol(first.protocol, first.metric), (name, figure, caption))


def _whole(metric: str) -> str:
    """Take the name in which measures differ out of a metric: that of a layer, an encoder, a task or a data set."""
    split, _, *rest = metric.split("/")
    return "/".join((split, *rest))


def _own(metric: str) -> str:
    return metric.split("/")[1]


def _protocol(said: str, metric: str) -> str:
    """Take that name out of what is said of how it was measured."""
    return re.sub(rf"\b{re.escape(_own(metric))}\b", "…", said)


def _figure(parts: Sequence[Measured], rows: Sequence[str], strokes: Mapping[str, Stroke], metric: str) -> Svg:
    """Draw each row's means from measure to measure, with their intervals, and its untrained encoder's."""
    unit, names, sentences = unit_of(metric), [_own(part.metric) for part in parts], []
    with rc_context(STYLE):
        figure = Figure(figsize=(max(5.2, 1.4 + 0.5 * len(parts)), 3.6), layout="constrained")
        axes = figure.add_subplot()
        for row in rows:
            stroke, place = strokes[row], list(strokes).index(row)
            lines = pd.DataFrame([part.table.loc[row] for part in parts])
            says = f"{quoted(row)}: " + ", ".join(
                f"{name} {unit.value(mean)}" for name, mean in zip(names, lines["mean"], strict=True)
            )
            sentences.append(says)
            for at, (_, one) in enumerate(lines.iterrows()):
                if np.isfinite(one["low"]):
                    axes.plot([at, at], [one["low"], one["high"]], color=stroke.colour, linewidth=1.6, alpha=0.6)
            axes.plot(range(len(parts)), lines["untrained"], color=stroke.colour, linewidth=0.8, alpha=0.7)
            line: dict[str, Any] = {"color": stroke.colour, "linestyle": stroke.line, "linewidth": 1.8}
            dots: dict[str, Any] = {"marker": "o", "markersize": 5, "mec": PAPER, "mew": 0.8}
            axes.plot(range(len(parts)), lines["mean"], label=short(row), gid=mark(place, says), **line, **dots)
        axes.set_xticks(range(len(parts)), [short(name, 22) for name in names], rotation=35, ha="right", fontsize=8.5)
        axes.tick_params(axis="x", labelcolor=INK)
        axes.tick_params(axis="y", labelcolor=MUTED)
        axes.set_title(title_of(metric), loc="left", fontsize=10, color=INK)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_formatter(FuncFormatter(unit.axis))
        axes.grid(axis="y", color=GRID, linewidth=0.8)
        figure.legend(loc="outside lower left", ncols=4, fontsize=8.5, labelcolor=INK, handlelength=2.6)
        return as_svg(figure, f"{title_of(metric)}, side by side", "; ".join(sentences))
