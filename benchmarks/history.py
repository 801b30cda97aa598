"""Draw how speeds beside peers changed: ``python -m benchmarks.history [--out speed.svg]``, from ``history.jsonl``.

A panel for each processor, method and size: at each measurement, the ratio of our pictures a second to each peer's, and
what is asked of it.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.peers import HISTORY
from unlabeled.dashboards.drawing import DASHES, GRID, MUTED, PAPER, SERIES, STYLE, TIGHT, as_svg

COLUMNS = 3


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.history", description=__doc__)
    parser.add_argument("--out", type=Path, default=HISTORY.with_name("speed.svg"))
    out = parser.parse_args().out
    rows = [json.loads(line) for line in HISTORY.read_text().splitlines()]
    out.write_text(drawn(rows))
    print(f"{len(rows)} measurements: {out}")


def drawn(rows: Sequence[Mapping[str, Any]]) -> str:
    """Draw rows of the history as SVG."""
    panels: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        panels[f"{row['what']}\n{row['processor']}, {row['cores']} cores"].append(row)
    peers = sorted({peer_of(row) for row in rows})
    with rc_context(STYLE):
        deep = -(-len(panels) // COLUMNS)
        figure = Figure(figsize=(8.4, 0.6 + 2.1 * deep), layout="constrained")
        grid = figure.subplots(deep, COLUMNS, squeeze=False)
        for axes in grid.flat[len(panels) :]:
            axes.set_visible(False)
        for axes, (title, of_panel) in zip(grid.flat, panels.items(), strict=False):
            _panel(axes, title, of_panel, peers)
        handles, names = grid.flat[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower left", ncols=4, labelcolor=MUTED, **TIGHT)
        newest = [f"{row['what']}: {row['ratio']:.2f} of {peer_of(row)}, {row['date']}" for row in rows]
        return as_svg(figure, "Speed beside peers", "; ".join(newest))


def peer_of(row: Mapping[str, Any]) -> str:
    """Return the name of whom a row is measured beside: ``501 images/s, lightly``."""
    return str(row["reference"]).rpartition(", ")[2]


def _panel(axes: Axes, title: str, rows: Sequence[Mapping[str, Any]], peers: Sequence[str]) -> None:
    times = list(dict.fromkeys((row["date"], row["commit"]) for row in rows))
    for place, peer in enumerate(peers):
        colour, dash = SERIES[place], DASHES[place]
        of_peer = [row for row in rows if peer_of(row) == peer]
        at = [times.index((row["date"], row["commit"])) for row in of_peer]
        ratios = [row["ratio"] for row in of_peer]
        axes.plot(at, ratios, marker="o", color=colour, linestyle=dash, mec=PAPER, label=f"ours over {peer}'s")
        asked = [float(row["target"].rpartition(" ")[2]) for row in of_peer if row["target"]]
        if asked:
            axes.axhline(asked[-1], linewidth=0.9, color=colour, linestyle=dash, alpha=0.6, label="what is asked of it")
    axes.axhline(1.0, color=GRID, zorder=0)
    axes.set_title(title, fontsize=8.5, color=MUTED, loc="left")
    axes.set_xticks(range(len(times)), ["\n".join(time) for time in times], fontsize=7.5)
    axes.set_xlim(-0.5, len(times) - 0.5)
    axes.set_ylim(0.0, 1.15 * axes.get_ylim()[1])


if __name__ == "__main__":
    main()
