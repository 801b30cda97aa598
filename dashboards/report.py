"""The report of a study: one self-contained page, its figures, and its numbers as CSV.

The page puts measured rows, with their uncertainty over seeds, beside the published ones and says which published
claims held. It needs no JavaScript and fetches nothing; equal runs give equal bytes.
"""

import base64
import math
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

from unlabeled.dashboards import counted, figures, sections, wording
from unlabeled.dashboards.inference import LEVEL, MOST_SEEDS, Verdict, verdicts
from unlabeled.dashboards.measured import Drawn, Measured, measured, slug
from unlabeled.dashboards.units import unit_of

TEMPLATES = Path(__file__).parent / "templates"
SYMBOLS = {"held": "✓", "contradicted": "✗", "not decided": "?"}
PICTURES = {"views": "the views that the method saw", "tsne": "t-SNE of the encoder's features on test images"}
EPOCH_COLUMNS = ("run_id", "row", "seed", "epoch", "metric", "value")

Artifacts = Mapping[str, Mapping[str, Path | None]]


def write_report(
    record: Mapping[str, Any], runs: pd.DataFrame, epochs: pd.DataFrame, artifacts: Artifacts, out: Path
) -> Path:
    """Write a study's report into a folder and return its page.

    Args:
        record: from ``Study.record``.
        runs: one row per run, finished or not.
        epochs: long frame of metrics over epochs.
        artifacts: row -> its ``views`` and ``tsne`` pictures (PNG), as far as there are any.
        out: folder for ``index.html``, ``table.csv``, ``runs.csv``, ``verdicts.csv`` and the figures; made if needed.

    Raises:
        UserError: the rows were measured by different protocols; nothing is written then.
    """
    runs = counted.with_core(runs)
    epochs = epochs.reindex(columns=list(EPOCH_COLUMNS)) if epochs.empty else epochs
    parts = [measured(record, runs, measure) for measure in (record["measure"], *record["also"])]
    judged = verdicts(record["claims"], runs)
    curves = _curves(runs, epochs, [str(row) for row in parts[0].table.index])
    page = _page(record, runs, epochs, artifacts, parts, judged, curves)
    drawn = [*(figure for one in parts for figure in one.figures), *curves]
    out.mkdir(parents=True, exist_ok=True)
    for stale in out.glob("*.svg"):
        if stale.stem not in {name for name, _, _ in drawn}:
            stale.unlink(missing_ok=True)
    for name, svg, _ in drawn:
        _write(out / f"{name}.svg", svg)
    _write(out / "table.csv", pd.concat({one.metric: one.table for one in parts}, names=["measure"]).to_csv())
    _write(out / "runs.csv", runs.to_csv(index=False))
    _write(out / "verdicts.csv", _verdict_frame(judged).to_csv(index=False))
    _write(out / "index.html", page)
    return out / "index.html"


def _curves(runs: pd.DataFrame, epochs: pd.DataFrame, rows: list[str]) -> list[Drawn]:
    """Return name, SVG and caption of a figure of each metric worth following over epochs."""
    found, done = [], counted.counted(runs)
    for metric, about in sections.curves(epochs, done)[0].items():
        curve = epochs[(epochs["metric"] == metric) & epochs["run_id"].isin(done["run_id"])]
        drawn = figures.epochs_figure(curve, metric, rows)
        found.append((f"curve-{slug(metric)}", drawn, f"{metric} over epochs. {about}".strip()))
    return found


def _page(
    record: Mapping[str, Any],
    runs: pd.DataFrame,
    epochs: pd.DataFrame,
    artifacts: Artifacts,
    parts: list[Measured],
    judged: list[Verdict],
    drawn: list[Drawn],
) -> str:
    done = counted.counted(runs)
    rows = [str(row) for row in parts[0].table.index]
    order = [row for row in rows if (done["row"] == row).any()]
    setup_runs, setup_rows = (done, order) if order else (runs, list(dict.fromkeys(runs["row"].dropna())))
    num_planned = len(record["rows"]) * len(record["seeds"])
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {name: getattr(wording, name) for name in ("probability", "count")}
    environment.filters["inlined"] = lambda figure: Markup(figures.inline(figure[1], figure[0]))
    environment.tests["finite"] = math.isfinite
    return environment.get_template("report.html.j2").render(
        record=record,
        measured=parts,
        num_finished=len(done),
        num_planned=num_planned,
        superseded=int((runs["status"] == "FINISHED").sum()) - len(done),
        measures=sorted(name for name in runs.columns if name.startswith("test/") and runs[name].notna().any()),
        verdicts=judged,
        decisions=Counter(verdict.decision for verdict in judged),
        symbols=SYMBOLS,
        level=LEVEL,
        most_seeds=MOST_SEEDS,
        unit_of=unit_of,
        curves=drawn,
        curves_left_out=sections.curves(epochs, done)[1],
        settings=sections.settings(record, setup_runs, setup_rows),
        setup_rows=setup_rows,
        costs=sections.costs(done, order),
        pictures=_pictures(artifacts, rows),
        unfinished=sections.unfinished(record, runs),
        provenance=sections.provenance(runs),
    )


def _pictures(artifacts: Artifacts, rows: list[str]) -> list[dict[str, Any]]:
    """Return each row's pictures as data URIs; rows without any are left out."""
    found = []
    for row in rows:
        images = []
        for kind, words in PICTURES.items():
            path = artifacts.get(row, {}).get(kind)
            if path is not None and path.is_file():
                data = base64.b64encode(path.read_bytes()).decode("ascii")
                images.append({"kind": kind, "alt": f"{row}: {words}", "uri": f"data:image/png;base64,{data}"})
        if images:
            found.append({"row": row, "images": images})
    return found


def _verdict_frame(judged: list[Verdict]) -> pd.DataFrame:
    columns = ["statement", "source", "measure", "higher", "lower", "at_least", "published", "decision", "reason", "n"]
    columns += ["difference", "low", "high", "p", "p_holm", "effect_size", "seeds_to_decide"]
    lines = []
    for verdict in judged:
        interval = asdict(verdict.difference)
        lines.append(
            {**verdict.claim, **interval, **{name: getattr(verdict, name) for name in ("decision", "reason", "p")}}
            | {"difference": interval["mean"], "p_holm": verdict.p_adjusted, "effect_size": verdict.effect_size}
            | {"seeds_to_decide": verdict.seeds_to_decide}
        )
    return pd.DataFrame(lines, columns=columns).astype({"seeds_to_decide": "Int64"})


def _write(path: Path, text: str) -> None:
    """Write a file as a whole or not at all: a reader never sees half of it."""
    half = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        half.write_text(text, encoding="utf-8")
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)
