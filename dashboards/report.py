"""The report of a study: one self-contained page, its figures, and its numbers as CSV.

The page puts measured rows, with their uncertainty over seeds, beside the published ones and says which published
claims held. It needs no JavaScript and fetches nothing; equal runs give equal bytes.
"""

import base64
import math
import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

from unlabeled.dashboards import counted, figures, sections, wording
from unlabeled.dashboards.inference import LEVEL, MOST_SEEDS, Verdict, mean_interval, verdicts

TEMPLATES = Path(__file__).parent / "templates"
SYMBOLS = {"held": "✓", "contradicted": "✗", "not decided": "?"}
PICTURES = {"views": "the views that the method saw", "tsne": "t-SNE of the encoder's features on test images"}
EPOCH_COLUMNS = ("run_id", "row", "seed", "epoch", "metric", "value")

Artifacts = Mapping[str, Mapping[str, Path | None]]


def table(record: Mapping[str, Any], runs: pd.DataFrame) -> pd.DataFrame:
    """Return the study's rows with what was measured and what was published.

    Args:
        record: from ``Study.record``.
        runs: one row per run.

    Returns:
        Indexed by row, in reading order (rows that only the runs know come last), with ``n`` (seeds measured),
        ``mean``, ``low`` and ``high`` (95 % interval; NaN for one seed), ``untrained`` (the same encoders untrained),
        ``gain``, ``gain_low`` and ``gain_high`` (over untrained, paired by run), ``published`` (as printed there) and
        ``published_number`` (NaN where the text is not a number). All but the last two are fractions.

    Raises:
        UserError: the rows were measured by different protocols.
    """
    measure: str = record["measure"]
    by_seed = counted.scores(runs, measure)
    untrained = counted.scores(runs, f"untrained/{measure.removeprefix('test/')}")
    published = (record.get("published") or {}).get("rows", {})
    nothing = pd.Series(index=by_seed.index, dtype="float64")
    lines = {}
    for row in [*record["rows"], *(row for row in by_seed.columns if row not in record["rows"])]:
        values, start = by_seed.get(row, nothing), untrained.get(row, nothing)
        interval, gain = mean_interval(values), mean_interval(values - start)
        lines[row] = {
            "n": interval.n,
            "mean": interval.mean,
            "low": interval.low,
            "high": interval.high,
            "untrained": mean_interval(start).mean,
            "gain": gain.mean,
            "gain_low": gain.low,
            "gain_high": gain.high,
            "published": str(published.get(row, "")),
            "published_number": _as_number(str(published.get(row, ""))),
        }
    return pd.DataFrame.from_dict(lines, orient="index").rename_axis("row")


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
    rows = table(record, runs)
    judged = verdicts(record["claims"], runs, record["measure"])
    drawn = _figures(record, runs, epochs, rows)
    page = _page(record, runs, epochs, artifacts, rows, judged, drawn)
    out.mkdir(parents=True, exist_ok=True)
    for stale in {*out.glob("curve-*.svg"), out / "rows.svg", out / "published.svg"}:
        if stale.stem not in {name for name, _, _ in drawn}:
            stale.unlink(missing_ok=True)
    for name, svg, _ in drawn:
        _write(out / f"{name}.svg", svg)
    _write(out / "table.csv", rows.to_csv())
    _write(out / "runs.csv", runs.to_csv(index=False))
    _write(out / "verdicts.csv", _verdict_frame(judged).to_csv(index=False))
    _write(out / "index.html", page)
    return out / "index.html"


def _figures(
    record: Mapping[str, Any], runs: pd.DataFrame, epochs: pd.DataFrame, rows: pd.DataFrame
) -> list[tuple[str, str, str]]:
    """Return name, SVG and caption of every figure that the runs allow."""
    measure, found = record["measure"], []
    if (rows["n"] > 0).any():
        caption = (
            f"{measure}: the mean of each row over seeds with its 95 % interval (Student's t), every seed as an "
            "open circle below it, and the same encoder untrained as a grey bar. The axis does not start at zero."
        )
        found.append(("rows", figures.rows_figure(rows, counted.scores(runs, measure), measure), caption))
    numbers = rows[rows["published_number"].notna() & (rows["n"] > 0)]
    if len(numbers) >= 3:
        caption = f"Measured against published, with 95 % intervals of the measured means. {_order(numbers)}"
        quantity = record["published"]["quantity"]
        found.append(("published", figures.published_figure(rows, measure, quantity), caption))
    done = counted.counted(runs)
    for metric, about in sections.curves(epochs, done)[0].items():
        curve = epochs[(epochs["metric"] == metric) & epochs["run_id"].isin(done["run_id"])]
        name = "curve-" + re.sub(r"[^a-z0-9]+", "-", metric.lower()).strip("-")
        svg = figures.epochs_figure(curve, metric, [str(row) for row in rows.index])
        found.append((name, svg, f"{metric} over epochs. {about}".strip()))
    return found


def _page(
    record: Mapping[str, Any],
    runs: pd.DataFrame,
    epochs: pd.DataFrame,
    artifacts: Artifacts,
    rows: pd.DataFrame,
    judged: list[Verdict],
    drawn: list[tuple[str, str, str]],
) -> str:
    done = counted.counted(runs)
    order = [str(row) for row in rows.index if (done["row"] == row).any()]
    setup_runs, setup_rows = (done, order) if order else (runs, list(dict.fromkeys(runs["row"].dropna())))
    num_planned = len(record["rows"]) * len(record["seeds"])
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {name: getattr(wording, name) for name in ("percent", "points", "probability", "count")}
    environment.tests["finite"] = math.isfinite
    return environment.get_template("report.html.j2").render(
        record=record,
        protocol=counted.protocol_of(runs, record["measure"]),
        rows=[{"row": row, **values} for row, values in rows.to_dict("index").items()],
        num_measured=int((rows["n"] > 0).sum()),
        num_finished=len(done),
        num_planned=num_planned,
        superseded=int((runs["status"] == "FINISHED").sum()) - len(done),
        measures=sorted(name for name in runs.columns if name.startswith("test/") and runs[name].notna().any()),
        verdicts=judged,
        decisions=Counter(verdict.decision for verdict in judged),
        symbols=SYMBOLS,
        level=LEVEL,
        most_seeds=MOST_SEEDS,
        figures=[
            {
                "name": name,
                "is_curve": name.startswith("curve-"),
                "svg": Markup(figures.inline(svg, name)),
                "caption": caption,
            }
            for name, svg, caption in drawn
        ],
        curves_left_out=sections.curves(epochs, done)[1],
        settings=sections.settings(record, setup_runs, setup_rows),
        setup_rows=setup_rows,
        costs=sections.costs(done, order),
        pictures=_pictures(artifacts, [str(row) for row in rows.index]),
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
    columns = ["statement", "source", "better", "worse", "at_least", "published", "decision", "reason", "n"]
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


def _order(numbers: pd.DataFrame) -> str:
    """Say how many pairs of rows stand in the published order, by their means."""
    published, mean = numbers["published_number"].tolist(), numbers["mean"].tolist()
    pairs = [(a, b) for a in range(len(mean)) for b in range(a) if published[a] != published[b]]
    same = sum((published[a] - published[b]) * (mean[a] - mean[b]) > 0 for a, b in pairs)
    return f"{same} of {wording.count(len(pairs), 'pair')} of rows stand in the published order, by their means alone."


def _as_number(text: str) -> float:
    """Read a number as tables print it ("66.6", "66.6 %", "66.6 ± 0.2"); NaN for other words."""
    match = re.fullmatch(r"\s*([-−]?\d+(?:\.\d+)?)\s*%?\s*((±|\+-|\+/-)\s*\d+(\.\d+)?\s*%?)?\s*", text)
    return float(match[1].replace("−", "-")) if match else math.nan


def _write(path: Path, text: str) -> None:
    """Write a file as a whole or not at all: a reader never sees half of it."""
    half = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        half.write_text(text, encoding="utf-8")
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)
