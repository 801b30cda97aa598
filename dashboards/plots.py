"""The report's figures as matplotlib has them, for notebooks and papers.

```python
from unlabeled.dashboards import plots
figure = plots.measured("projection-head")  # a notebook shows it
figure.axes[0].set_title("Mine")
figure.savefig("head.pdf")
```
"""

import sys
from pathlib import Path

from matplotlib.figure import Figure

from unlabeled.dashboards import figures, forest, frames
from unlabeled.dashboards import measured as measuring
from unlabeled.dashboards.counted import counted
from unlabeled.dashboards.drawing import Svg
from unlabeled.dashboards.looking import looked
from unlabeled.dashboards.reading import read_report
from unlabeled.dashboards.strokes import strokes_of
from unlabeled.platform.errors import UserError, unknown


def measured(study: str, home: str | Path | None = None, *, measure: str = "", base: str = "") -> Figure:
    """Draw one metric of a study as its page does: a line over a number, a heat map of two fields, or a list of rows.

    Args:
        study: the study's name.
        home: a folder, or a server's address, as for :mod:`unlabeled.dashboards.frames`.
        measure: the metric; by default the one that answers the study's question.
        base: which of its bases.

    Raises:
        UserError: there is nothing to draw, or the rows were measured by different protocols.
    """
    logged = _read(study, home, base)
    measure = measure or str(logged.record.get("measure", ""))
    found = measuring.measured(logged.record, logged.runs, measure)
    if not found.is_measured:
        raise UserError(f"no finished run of {study!r} has measured {measure!r}; {_measures(logged)}")
    return found.figures[0][1].figure


def published(study: str, home: str | Path | None = None, *, measure: str = "", base: str = "") -> Figure:
    """Draw what was measured of each row against what was published; arguments and errors as in :func:`measured`."""
    logged = _read(study, home, base)
    measure = measure or str(logged.record.get("measure", ""))
    found = measuring.measured(logged.record, logged.runs, measure)
    drawn = [svg for name, svg, _ in found.figures if name.startswith("published")]
    if not drawn:
        raise UserError(
            f"fewer than three rows of {study!r} have {measure!r} both measured and published; {_measures(logged)}"
        )
    return drawn[0].figure


def epochs(study: str, metric: str, home: str | Path | None = None, *, base: str = "") -> Figure:
    """Draw a metric over epochs: each row's mean, and the range of its seeds; errors as in :func:`measured`."""
    logged = _read(study, home, base)
    curves = logged.epochs[logged.epochs["run_id"].isin(counted(logged.runs)["run_id"])]
    curve = curves[curves["metric"] == metric]
    if curve.empty:
        raise unknown(f"metric over epochs of {study}", metric, set(curves["metric"]))
    rows = dict.fromkeys([*logged.record.get("rows", ()), *curve["row"]])
    strokes, _ = strokes_of({"rows": logged.record.get("rows", {})}, logged.runs, list(rows))
    return figures.epochs_figure(curve, metric, strokes).figure


def claims(study: str, home: str | Path | None = None, *, base: str = "") -> Figure:
    """Draw each claim's difference with its interval, against zero and what was published: a look, which is recorded.

    Claims in another unit than the first one's are left out. Errors as in :func:`measured`.
    """
    logged = _read(study, home, base)
    with frames.opened(home) as store:
        looks, problem = looked(store, study, logged.record, logged.runs)
    if problem:
        print(problem, file=sys.stderr)
    report = read_report(logged.record, logged.runs, logged.epochs, {}, study, looks)
    drawn: list[Svg] = [svg for _, svg, _ in forest.forests(report.judged)]
    if not drawn:
        raise UserError(
            f"no claim of {study!r} has anything measured; `unlabeled study run {study}` runs what is missing"
        )
    return drawn[0].figure


def _read(study: str, home: str | Path | None, base: str) -> frames.Logged:
    logged = frames.read(study, home, base=base)
    if logged is None:
        raise UserError(f"no run of {study!r} has begun; `unlabeled study run {study}` makes some, if it is a study")
    return logged


def _measures(logged: frames.Logged) -> str:
    names = sorted(name for name in logged.runs.columns if name.startswith(("test/", "validation/")))
    return f"give one with measure=, of: {', '.join(names) or 'none yet'}"
