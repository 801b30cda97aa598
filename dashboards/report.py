"""The report of a study: one self-contained page, its figures, and its numbers as CSV.

The page puts measured rows, with their uncertainty over seeds, beside the published ones and says which published
claims held. It needs no JavaScript and fetches nothing; equal runs give equal bytes.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from unlabeled.dashboards import counted, sections
from unlabeled.dashboards.answered import scales, strips
from unlabeled.dashboards.bases import Base
from unlabeled.dashboards.drawing import Drawn
from unlabeled.dashboards.figures import MAX_NAMED
from unlabeled.dashboards.forest import forests
from unlabeled.dashboards.measured import Measured
from unlabeled.dashboards.pages import Columns, Link, Page, Reported
from unlabeled.dashboards.rates import FIRST_SHARE, MOST_SEEDS, Look
from unlabeled.dashboards.shown import Artifacts, gallery
from unlabeled.dashboards.side_by_side import SideBySide
from unlabeled.dashboards.strokes import Stroke
from unlabeled.dashboards.verdicts import Verdict

MAX_COLUMNS = 6  # parameters that fit beside the metrics


@dataclass(frozen=True)
class Report(Reported):
    """All that is said of a study's runs, ready to be written.

    Attributes:
        record: the study as recorded, see :func:`unlabeled.dashboards.declared.declared`.
        gaps: what the record lacks, in sentences.
        runs: every run.
        parts: one per measure, the one that answers the question first.
        groups: those of them that are shown side by side.
        judged: a verdict for each claim that is judged.
        looks: at the claims, as they are recorded, the oldest first.
        shows: of each measure with claims, what a study of its seeds can show, in a sentence.
        curves: name, SVG and caption of each figure over epochs.
        curves_left_out: metrics over epochs that are not drawn.
        strokes: row -> how it is drawn.
        strokes_say: what hue and dash mean, where they mean more than rows.
        artifacts: row -> its pictures.
        has_record: whether the study's record was found.
        base: what the runs were made from.
        others: the reports of its other bases.
        unread: those that can't be reported, and why.
    """

    record: Mapping[str, Any]
    gaps: list[str]
    runs: pd.DataFrame
    parts: list[Measured]
    groups: list[SideBySide]
    judged: list[Verdict]
    looks: list[Look]
    shows: list[str]
    curves: list[Drawn]
    curves_left_out: list[str]
    strokes: Mapping[str, Stroke]
    strokes_say: str
    artifacts: Artifacts
    has_record: bool = True
    base: Base | None = None
    others: tuple[Reported, ...] = ()
    unread: tuple[Link, ...] = ()

    @property
    def answer(self) -> str:
        """The verdicts, in Markdown."""
        said = [f"- **{one.decision}**: {one.claim['statement']} {one.reason}" for one in self.judged]
        return "\n".join(said) or "No claims to judge."

    @property
    def tags(self) -> dict[str, str]:
        """How many claims have each decision, as tags."""
        return {f"verdicts.{name.replace(' ', '_')}": str(number) for name, number in self.decisions.items()}

    @property
    def columns(self) -> Columns:
        """The metrics, parameters and tags by which a person tells this study's runs apart."""
        metrics = [one.metric for one in self.parts]
        metrics += [f"untrained/{name.removeprefix('test/')}" for name in metrics] + ["test/knn/top1", "train/loss"]
        set_by_rows = {path for fields in self.record["rows"].values() for path in fields}
        differing = sections.settings(self.record, self.done, self.rows)["differing"]
        parameters = [
            name for name in differing if any(name == path or name.startswith(f"{path}.") for path in set_by_rows)
        ]
        return (
            [name for name in dict.fromkeys(metrics) if name in self.runs],
            parameters[:MAX_COLUMNS],
            ["unlabeled.reason"] if (self.runs["status"] == "FAILED").any() else [],
        )

    @property
    def done(self) -> pd.DataFrame:
        """The runs that speak."""
        return counted.counted(self.runs)

    @property
    def num_planned(self) -> int:
        """How many runs the record asks for, and those beside that have finished; 0 where it doesn't say."""
        asked = {(row, seed) for row in self.record["rows"] for seed in self.record["seeds"]}
        finished = zip(self.done["row"], self.done["seed"], strict=True)
        return len(asked.union(finished)) if asked else 0

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

    def page(self) -> Page:
        """Return the page, its figures and its numbers."""
        done, runs = self.done, self.runs
        order = [row for row in self.rows if (done["row"] == row).any()]
        setup_runs, setup_rows = (done, order) if order else (runs, list(dict.fromkeys(runs["row"].dropna())))
        answers = forests(self.judged)
        grouped = {part.metric for group in self.groups for part in group.parts}
        values = dict(
            record=self.record,
            gaps=self.gaps,
            measured=[one for one in self.parts if one.metric not in grouped],
            groups=self.groups,
            num_finished=len(done),
            num_planned=self.num_planned,
            superseded=int((runs["status"] == "FINISHED").sum()) - len(done),
            measures=sorted(name for name in runs.columns if name.startswith("test/") and runs[name].notna().any()),
            verdicts=self.judged,
            shows=self.shows,
            forests=answers,
            first_share=FIRST_SHARE,
            most_seeds=MOST_SEEDS,
            looks=self.looks,
            decisions=self.decisions,
            curves=self.curves,
            curves_left_out=self.curves_left_out,
            legend=[one for row, one in self.strokes.items() if row in order] if len(order) <= MAX_NAMED else [],
            legend_says=self.strokes_say,
            strips=strips(self.judged),
            scales=scales(self.judged),
            settings=sections.settings(self.record, setup_runs, setup_rows),
            setup_rows=setup_rows,
            costs=sections.costs(done, order),
            shared=sections.at_once(done),
            pictures=gallery(self.artifacts, self.rows),
            unfinished=sections.unfinished(self.record, runs),
            notes=sections.notes(runs),
            provenance=sections.provenance(runs),
        )
        tables = {one.metric: one.table for one in self.parts}
        files = {
            "table.csv": pd.concat(tables, names=["measure"]).to_csv() if tables else "measure,row\n",
            "runs.csv": runs.to_csv(index=False),
            "verdicts.csv": verdict_frame(self.judged).to_csv(index=False),
        }
        own = (figure for one in self.parts for figure in one.figures)
        drawn = [*answers, *own, *(group.figure for group in self.groups), *self.curves]
        return Page("report.html.j2", values, drawn, files)


def verdict_frame(judged: list[Verdict]) -> pd.DataFrame:
    """Lay verdicts out as a frame, a claim each."""
    columns = ["statement", "source", "kind", "measure", "higher", "lower", "at_least", "negligible", "published"]
    columns += ["decision", "direction", "size", "reason", "n", "difference", "low", "high", "deciding_low"]
    columns += ["deciding_high", "level", "published_difference", "p", "effect_size", "spread", "freedom", "model"]
    columns += ["seeds_to_decide", "label"]
    read = ["decision", "direction", "size", "reason", "level", "p", "effect_size", "spread", "freedom", "model"]
    read += ["label"]
    lines = [
        {**verdict.claim, **asdict(verdict.difference), **{name: getattr(verdict, name) for name in read}}
        | {"difference": verdict.difference.mean, "seeds_to_decide": verdict.seeds_to_decide}
        | {"deciding_low": verdict.deciding.low, "deciding_high": verdict.deciding.high}
        for verdict in judged
    ]
    return pd.DataFrame(lines, columns=columns).astype({"seeds_to_decide": "Int64"})
