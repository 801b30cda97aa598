"""The report of a search: one self-contained page, its figures, and its numbers as CSV.

The page says which configuration won and by how much on test, what mattered, where the good points lie, what was never
trained, and what pruning saved. It needs no JavaScript and fetches nothing; equal runs give equal bytes.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from unlabeled.dashboards import search_findings, search_sections, sections
from unlabeled.dashboards.bases import Base
from unlabeled.dashboards.drawing import Drawn
from unlabeled.dashboards.pages import Columns, Link, Page, Reported
from unlabeled.dashboards.search_findings import Contender, Mismatch, Tested
from unlabeled.dashboards.search_importance import Importance
from unlabeled.dashboards.search_trials import IMAGES_SEEN, STATES, Parameter, listed, objectives
from unlabeled.dashboards.wording import count
from unlabeled.platform.metrics import Unit, metric_of, unit_of

MAX_COLUMNS = 8  # parameters that fit beside the metrics
WINNER = "winner.json"


@dataclass(frozen=True)
class SearchReport(Reported):
    """All that is said of a search's runs, ready to be written.

    Attributes:
        record: the search as recorded; texts that it lacks are empty.
        gaps: what is missing, or can't be read, in sentences.
        runs: every run of the newest base.
        search: what ``search.json`` holds; empty where there is none of this base.
        config: the winner's configuration as JSON text; empty where there is none.
        space: the sampled parameters.
        table: the trials, see :func:`unlabeled.dashboards.search_trials.trials`.
        points: their points.
        chosen: the winner's trial; before there is one, the best trial so far; None where none finished.
        has_winner: whether it won over further seeds.
        contenders: the repeated trials, the best first.
        tested: winner against default, a metric each.
        importance: of each parameter.
        num_compared: sampled values that were held against built ones.
        mismatches: those that differ.
        figures: name, SVG and caption.
        left_out: figures that are not drawn, and why, in sentences.
        has_record: whether the search's record was found.
        base: what the runs were made from.
        others: the reports of its other bases.
        unread: those that can't be reported, and why.
    """

    record: Mapping[str, Any]
    gaps: list[str]
    runs: pd.DataFrame
    search: Mapping[str, Any]
    config: str
    space: list[Parameter]
    table: pd.DataFrame
    points: pd.DataFrame
    chosen: int | None
    has_winner: bool
    contenders: list[Contender]
    tested: list[Tested]
    importance: Importance
    num_compared: int
    mismatches: list[Mismatch]
    figures: list[Drawn]
    left_out: list[str]
    has_record: bool = True
    base: Base | None = None
    others: tuple[Reported, ...] = ()
    unread: tuple[Link, ...] = ()

    @property
    def aims(self) -> list[dict[str, str]]:
        """The objective, and the second where there is one."""
        return objectives(self.record)

    @property
    def unit(self) -> Unit:
        """How the objective is read."""
        return unit_of(self.aims[0]["metric"])

    @property
    def counts(self) -> dict[str, int]:
        """How many trials are in each state."""
        return {state: int((self.table["state"] == state).sum()) for state in STATES}

    @property
    def answer(self) -> str:
        """What the search found, in a sentence or two."""
        if self.chosen is None:
            return "No trial has finished, so there is nothing to choose yet."
        name = f"Trial {self.chosen}"
        if not self.has_winner:
            value = self.unit.value(float(self.table["value"][self.chosen]))
            return (
                f"No winner yet: {name.lower()} is the best so far at {value}, by one seed and chosen for it; the best "
                "few are repeated over further seeds before one wins."
            )
        own = next((one for one in self.contenders if one.trial == self.chosen), None)
        won = f"The default did better. {name} was the best of the trials" if self.default_did_better else f"{name} won"
        if own is not None:
            several = f" over {count(len(own.scores), 'further seed')}, of {count(len(self.contenders), 'contender')}"
            won += f" with a mean of {self.unit.value(own.interval.mean)}{several}"
        return f"{won}. {self.against_default}"

    @property
    def default_did_better(self) -> bool:
        """Whether the default measures better on test than what won the search."""
        if not self.tested or not self.tested[0].difference.n:
            return False
        gain = self.tested[0].difference.interval.mean
        return gain > 0 if metric_of(self.tested[0].metric).direction == "lower" else gain < 0

    @property
    def against_default(self) -> str:
        """The winner against the default on test, in a sentence."""
        if not self.tested:
            return "Winner and default have no test scores yet."
        return f"{self.tested[0].metric}: {self.tested[0].gain}"

    @property
    def columns(self) -> Columns:
        """The metrics, parameters and tags by which a person tells this search's runs apart in MLflow's UI."""
        metrics = [*(aim["metric"] for aim in self.aims), *(one.metric for one in self.tested[:2])]
        sampled = [f"sampled.{one.name}" for one in self.space]
        logged = [name for name in [*dict.fromkeys(metrics), *sampled] if name in self.runs]
        return (
            [name for name in logged if not name.startswith("sampled.")],
            ["search.stage", *(name for name in logged if name.startswith("sampled."))][:MAX_COLUMNS],
            ["unlabeled.reason"] if self.counts["failed"] or self.counts["pruned"] else [],
        )

    def trials_frame(self) -> pd.DataFrame:
        """Return the trials with their points, a line each: what ``trials.csv`` holds."""
        scored = self.table.drop(columns=["run_id"] if len(self.aims) > 1 else ["run_id", "second"])
        named = {"value": self.aims[0]["metric"], "epoch": "pruned_epoch", "images": IMAGES_SEEN}
        named |= {"second": self.aims[1]["metric"]} if len(self.aims) > 1 else {}
        return scored.rename(columns=named).join(self.points.add_prefix("sampled."))

    def tested_frame(self) -> pd.DataFrame:
        """Return winner against default, a metric a line: what ``test.csv`` holds."""
        columns = ["metric", "winner", "default", "difference", "low", "high", "p", "n", "winner_n", "default_n"]
        lines = [
            (
                one.metric, one.winner.mean, one.default.mean, one.difference.interval.mean,
                one.difference.interval.low, one.difference.interval.high, one.p, one.difference.n,
                one.winner.n, one.default.n,
            )
            for one in self.tested
        ]  # fmt: skip
        return pd.DataFrame(lines, columns=columns)

    def page(self) -> Page:
        """Return the page, its figures and its numbers."""
        values = dict(
            report=self,
            record=self.record,
            counts=self.counts,
            configuration=search_sections.configuration(self.runs, self.points, self.space, self.chosen),
            views=search_sections.views(self.runs, self.space, self.chosen),
            nan=math.nan,
            lines=search_sections.lines(self.table, self.points, self.space, self.aims),
            states=search_sections.troubles(self.runs, self.table),
            rejected=search_findings.rejected(self.search),
            num_rejected=len(listed(self.search, "rejected")),
            learned=self.search.get("learned") or 0,
            compute=search_findings.compute(self.table),
            pictures=search_findings.pictures,
            all_pictures=search_findings.total_images(self.runs),
            constraints=search_sections.sentences(self.record),
            provenance=sections.provenance(self.runs),
            settings=sections.settings({"rows": {}}, search_sections.as_one_row(self.runs), ["trial"]),
        )
        files = {
            "trials.csv": self.trials_frame().to_csv(),
            "test.csv": self.tested_frame().to_csv(index=False),
            "runs.csv": self.runs.to_csv(index=False),
        }
        return Page("search.html.j2", values, self.figures, files | ({WINNER: self.config} if self.config else {}))
