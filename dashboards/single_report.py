"""The page of single runs: one table of all configurations, their scores, their curves."""

from dataclasses import fields

from unlabeled.dashboards import counted, sections
from unlabeled.dashboards.frames import Logged
from unlabeled.dashboards.pages import Page
from unlabeled.dashboards.reading import read_report
from unlabeled.dashboards.report import Report
from unlabeled.dashboards.single import comparable, differing, lines_of, measures_of, scores_of

KEPT = (
    *("curves", "curves_left_out", "legend", "legend_says", "measured", "notes", "num_finished", "num_planned"),
    *("pictures", "provenance", "settings", "unfinished"),
)
"""What the page shows as a study's does."""


class SingleRuns(Report):
    """All that is said of runs that no study planned."""

    @property
    def answer(self) -> str:
        """What there is, and how to ask more of it."""
        return "Runs of `unlabeled run`, by the fields in which they differ. A study asks a question, and judges it."

    @property
    def num_planned(self) -> int:
        """Nothing was planned."""
        return 0

    def page(self) -> Page:
        """Return the page, its figures and its numbers."""
        report = super().page()
        scores = scores_of(self.runs)
        values = {name: report.values[name] for name in KEPT}
        shown = {score.metric for score in scores}
        values |= dict(
            scores=scores,
            lines=lines_of(self.runs, scores),
            columns={path: sections.field_name(path) for path in differing(self.runs)},
            others=[name for name in measures_of(self.runs) if name not in shown],
            num_runs=len(self.runs),
        )
        kept = {name: text for name, text in report.files.items() if name != "verdicts.csv"}
        return Page("runs.html.j2", values, report.figures, kept)


def read_single(logged: Logged) -> SingleRuns:
    """Read off single runs what there is to say."""
    found = read_report(logged.record, comparable(logged.runs), logged.epochs, logged.pictures, logged.record["name"])
    given = {one.name: getattr(found, one.name) for one in fields(Report)}
    return SingleRuns(**given | {"runs": sections.scrubbed(counted.with_core(logged.runs)), "gaps": []})
