"""The report of a study: one self-contained page, its figures, and its numbers as CSV.

The page puts measured rows, with their uncertainty over seeds, beside the published ones and says which published
claims held. It needs no JavaScript and fetches nothing; equal runs give equal bytes.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from unlabeled.dashboards import counted, figures, sections
from unlabeled.dashboards.declared import declared
from unlabeled.dashboards.detectable import detectable
from unlabeled.dashboards.folder import Pages
from unlabeled.dashboards.inference import Verdict, verdicts
from unlabeled.dashboards.measured import Drawn, Measured, measured, slug
from unlabeled.dashboards.pages import render
from unlabeled.dashboards.shown import Artifacts, gallery
from unlabeled.platform.metrics import DIFFERENCE

EPOCH_COLUMNS = ("run_id", "row", "seed", "epoch", "metric", "value")

Link = tuple[str, str]
"""Words, and where they lead."""


@dataclass(frozen=True)
class Around:
    """The pages around a study's, as links from its folder.

    Attributes:
        pages: of the whole site.
        methods: of the methods that the study's runs used.
        previous: the study before it.
        next: the study after it.
    """

    pages: tuple[Link, ...] = ()
    methods: tuple[Link, ...] = ()
    previous: Link | None = None
    next: Link | None = None


@dataclass(frozen=True)
class Report:
    """All that is said of a study's runs, ready to be written.

    Attributes:
        record: the study as recorded, see :func:`unlabeled.dashboards.declared.declared`.
        gaps: what the record lacks, in sentences.
        runs: every run.
        parts: one per measure, the one that answers the question first.
        judged: a verdict for each claim that is judged.
        unjudged: the claims that are declared, and can't be judged yet.
        shows: of each measure with claims, what a study of its seeds can show, in a sentence.
        curves: name, SVG and caption of each figure over epochs.
        curves_left_out: metrics over epochs that are not drawn.
        artifacts: row -> its pictures.
        has_record: whether the study's record was found.
    """

    record: Mapping[str, Any]
    gaps: list[str]
    runs: pd.DataFrame
    parts: list[Measured]
    judged: list[Verdict]
    unjudged: list[Mapping[str, Any]]
    shows: list[str]
    curves: list[Drawn]
    curves_left_out: list[str]
    artifacts: Artifacts
    has_record: bool = True

    @property
    def title(self) -> str:
        """The question, or the study's name where none is recorded."""
        return str(self.record["question"] or self.record["name"])

    @property
    def done(self) -> pd.DataFrame:
        """The runs that speak."""
        return counted.counted(self.runs)

    @property
    def num_planned(self) -> int:
        """How many runs the record asks for; 0 where it doesn't say."""
        return len(self.record["rows"]) * len(self.record["seeds"])

    @property
    def decisions(self) -> Mapping[str, int]:
        """How many claims have each decision."""
        return Counter(verdict.decision for verdict in self.judged)

    @property
    def dates(self) -> str:
        """The days on which its first and last run started."""
        return sections.dates(self.runs)

    @property
    def seconds(self) -> float:
        """How long the counted runs took, one after the other."""
        return float(pd.to_numeric(self.done["seconds"]).sum())

    @property
    def rows(self) -> list[str]:
        """All rows: in the record's order, those that only the runs know last."""
        logged = [str(row) for row in self.runs["row"].dropna()]
        return list(dict.fromkeys([*self.record["rows"], *logged]))

    def write(self, out: Path, around: Around = Around()) -> Path:
        """Write the page, its figures and its numbers into a folder, made if needed, and return the page.

        Raises:
            UserError: files of others are in the way, see :class:`unlabeled.dashboards.folder.Pages`.
        """
        return self.pages(out, around).write()

    def pages(self, out: Path, around: Around = Around()) -> Pages:
        """Return the page, its figures and its numbers, to be written into a folder."""
        drawn = [*(figure for one in self.parts for figure in one.figures), *self.curves]
        tables = {one.metric: one.table for one in self.parts}
        files = {f"{name}.svg": svg for name, svg, _ in drawn}
        files |= {
            "table.csv": pd.concat(tables, names=["measure"]).to_csv() if tables else "measure,row\n",
            "runs.csv": self.runs.to_csv(index=False),
            "verdicts.csv": verdict_frame(self.judged).to_csv(index=False),
            "index.html": self._page(around),
        }
        return Pages(out, files, is_whole=self.has_record)

    def _page(self, around: Around) -> str:
        done, runs = self.done, self.runs
        order = [row for row in self.rows if (done["row"] == row).any()]
        setup_runs, setup_rows = (done, order) if order else (runs, list(dict.fromkeys(runs["row"].dropna())))
        return render(
            "report.html.j2",
            record=self.record,
            title=self.title,
            gaps=self.gaps,
            around=around,
            measured=self.parts,
            num_finished=len(done),
            num_planned=self.num_planned,
            superseded=int((runs["status"] == "FINISHED").sum()) - len(done),
            measures=sorted(name for name in runs.columns if name.startswith("test/") and runs[name].notna().any()),
            verdicts=self.judged,
            unjudged=self.unjudged,
            shows=self.shows,
            decisions=self.decisions,
            curves=self.curves,
            curves_left_out=self.curves_left_out,
            settings=sections.settings(self.record, setup_runs, setup_rows),
            setup_rows=setup_rows,
            costs=sections.costs(done, order),
            pictures=gallery(self.artifacts, self.rows),
            unfinished=sections.unfinished(self.record, runs),
            notes=sections.notes(runs),
            provenance=sections.provenance(runs),
        )


def read_report(
    record: Mapping[str, Any] | None,
    runs: pd.DataFrame,
    epochs: pd.DataFrame,
    artifacts: Artifacts | None = None,
    name: str = "",
) -> Report:
    """Read off a study's runs what there is to say.

    Args:
        record: from ``Study.record``, by whatever version; None where none was logged.
        runs: one row per run, finished or not.
        epochs: long frame of metrics over epochs.
        artifacts: row -> its pictures (PNG) by name, as far as there are any.
        name: the study's, where the record has none.

    Raises:
        UserError: the rows were measured by different protocols.
    """
    read, gaps = declared(record, name)
    runs = sections.scrubbed(counted.with_core(runs))
    epochs = epochs.reindex(columns=list(EPOCH_COLUMNS)) if epochs.empty else epochs
    others = [str(row) for row in dict.fromkeys(runs["row"].dropna()) if row not in read["rows"]]
    if read["rows"] and others:
        gaps.append(f"Its record does not name these rows, which have runs: {', '.join(others)}.")
    parts = [measured(read, runs, measure) for measure in (read["measure"], *read["also"]) if measure]
    judged = verdicts([claim for claim in read["claims"] if claim["kind"] == DIFFERENCE], runs)
    return Report(
        record=read,
        gaps=gaps,
        runs=runs,
        parts=parts,
        judged=judged,
        unjudged=[claim for claim in read["claims"] if claim["kind"] != DIFFERENCE],
        shows=detectable(read, runs),
        curves=_curves(runs, epochs, list(dict.fromkeys([*read["rows"], *others]))),
        curves_left_out=sections.curves(epochs, counted.counted(runs))[1],
        artifacts=artifacts or {},
        has_record=bool(record),
    )


def _curves(runs: pd.DataFrame, epochs: pd.DataFrame, rows: list[str]) -> list[Drawn]:
    """Return name, SVG and caption of a figure of each metric worth following over epochs."""
    found, done = [], counted.counted(runs)
    for metric, about in sections.curves(epochs, done)[0].items():
        curve = epochs[(epochs["metric"] == metric) & epochs["run_id"].isin(done["run_id"])]
        drawn = figures.epochs_figure(curve, metric, rows)
        found.append((f"curve-{slug(metric)}", drawn, f"{metric} over epochs. {about}".strip()))
    return found


def verdict_frame(judged: list[Verdict]) -> pd.DataFrame:
    """Lay verdicts out as a frame, a claim each."""
    columns = ["statement", "source", "measure", "higher", "lower", "at_least", "published", "decision", "reason", "n"]
    columns += ["difference", "low", "high", "published_difference", "p", "p_holm", "effect_size", "spread"]
    columns += ["seeds_to_decide"]
    lines = []
    for verdict in judged:
        interval = asdict(verdict.difference)
        lines.append(
            {**verdict.claim, **interval, **{name: getattr(verdict, name) for name in ("decision", "reason", "p")}}
            | {"difference": interval["mean"], "p_holm": verdict.p_adjusted, "effect_size": verdict.effect_size}
            | {"spread": verdict.spread, "seeds_to_decide": verdict.seeds_to_decide}
        )
    return pd.DataFrame(lines, columns=columns).astype({"seeds_to_decide": "Int64"})
