"""The report of a search: one self-contained page, its figures, and its numbers as CSV.

The page says which configuration won and by how much on test, what mattered, where the good points lie, what was never
trained, and what pruning saved. It needs no JavaScript and fetches nothing; equal runs give equal bytes.
"""

import functools
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from unlabeled.dashboards import counted, search_findings, sections
from unlabeled.dashboards.declared import NO_RECORD
from unlabeled.dashboards.folder import Pages
from unlabeled.dashboards.frames import Logged
from unlabeled.dashboards.measured import Drawn
from unlabeled.dashboards.pages import render
from unlabeled.dashboards.report import Around
from unlabeled.dashboards.search_drawn import drawn_of
from unlabeled.dashboards.search_findings import Contender, Mismatch, Tested
from unlabeled.dashboards.search_importance import Importance, importance
from unlabeled.dashboards.search_study import front
from unlabeled.dashboards.search_trials import (
    IMAGES_SEEN,
    STATES,
    Parameter,
    listed,
    objectives,
    of_stage,
    parameters,
    trials,
)
from unlabeled.dashboards.wording import count, plain
from unlabeled.platform.metrics import ABSENT, Unit, unit_of
from unlabeled.platform.track import Store

MOST_COLUMNS = 8  # parameters that fit beside the metrics
WINNER = "winner.json"
ALONE = Around()
"""A page that stands by itself."""


@dataclass(frozen=True)
class SearchReport:
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

    @property
    def title(self) -> str:
        """The question, or the search's name where none is recorded."""
        return str(self.record["question"] or self.record["name"])

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
        won = f"{name} won"
        if own is not None:
            several = f" over {count(len(own.scores), 'further seed')}, of {count(len(self.contenders), 'contender')}"
            won += f" with a mean of {self.unit.value(own.interval.mean)}{several}"
        return f"{won}. {self.against_default}"

    @property
    def against_default(self) -> str:
        """The winner against the default on test, in a sentence."""
        if not self.tested:
            return "Winner and default have no test scores yet."
        return f"{self.tested[0].metric}: {self.tested[0].gain}"

    @property
    def columns(self) -> tuple[list[str], list[str], list[str]]:
        """The metrics, parameters and tags by which a person tells this search's runs apart in MLflow's UI."""
        metrics = [*(aim["metric"] for aim in self.aims), *(one.metric for one in self.tested[:2])]
        sampled = [f"sampled.{one.name}" for one in self.space]
        logged = [name for name in [*dict.fromkeys(metrics), *sampled] if name in self.runs]
        return (
            [name for name in logged if not name.startswith("sampled.")],
            ["search.stage", *(name for name in logged if name.startswith("sampled."))][:MOST_COLUMNS],
            ["unlabeled.reason"] if self.counts["failed"] or self.counts["pruned"] else [],
        )

    def write(self, out: Path, around: Around = ALONE) -> Path:
        """Write the page, its figures and its numbers into a folder, made if needed, and return the page.

        Raises:
            UserError: files of others are in the way, see :class:`unlabeled.dashboards.folder.Pages`.
        """
        return self.pages(out, around).write()

    def pages(self, out: Path, around: Around = ALONE) -> Pages:
        """Return the page, its figures and its numbers, to be written into a folder."""
        files = {f"{name}.svg": svg for name, svg, _ in self.figures}
        files |= {
            "trials.csv": self.trials_frame().to_csv(),
            "test.csv": self.tested_frame().to_csv(index=False),
            "runs.csv": self.runs.to_csv(index=False),
            "index.html": self._page(around),
        }
        return Pages(out, files | ({WINNER: self.config} if self.config else {}), is_whole=self.has_record)

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

    def _page(self, around: Around) -> str:
        saved = search_findings.compute(self.table)
        return render(
            "search.html.j2",
            report=self,
            record=self.record,
            title=self.title,
            around=around,
            counts=self.counts,
            configuration=self._configuration(),
            views=self._views(),
            nan=math.nan,
            lines=self._lines(),
            states=self._troubles(),
            rejected=search_findings.rejected(self.search),
            num_rejected=len(listed(self.search, "rejected")),
            learned=self.search.get("learned") or 0,
            compute=saved,
            pictures=search_findings.pictures,
            all_pictures=search_findings.total_images(self.runs),
            constraints=_sentences(self.record),
            provenance=sections.provenance(self.runs),
            settings=sections.settings({"rows": {}}, self._trial_runs(), ["trial"]),
        )

    def _trial_runs(self) -> pd.DataFrame:
        return of_stage(self.runs, "trial").assign(row="trial") if len(self.runs) else self.runs

    def _configuration(self) -> list[dict[str, str]]:
        """Return each parameter of the chosen trial: what it may be, was sampled, was built, and is in the default."""
        if self.chosen is None:
            return []
        runs = of_stage(self.runs, "trial")
        runs = runs[runs["search.trial"] == self.chosen] if len(runs) else runs
        run: Mapping[Any, Any] = runs.iloc[-1].to_dict() if len(runs) else {}
        base = self.runs[self.runs["row"] == "default"] if "row" in self.runs else self.runs.iloc[:0]
        default: Mapping[Any, Any] = base.iloc[-1].to_dict() if len(base) else {}
        return [
            {
                "name": one.name,
                "space": one.summary,
                "sampled": one.shown(self.points.loc[self.chosen, one.name]),
                "built": plain(run.get(f"built.{one.name}")),
                "default": plain(default.get(one.name)),
            }
            for one in self.space
        ]

    def _views(self) -> list[dict[str, str]]:
        """Return what the chosen trial's compositions were built as, and the default's."""
        runs = of_stage(self.runs, "trial")
        runs = runs[runs["search.trial"] == self.chosen] if len(runs) else runs
        own = {one.name for one in self.space}
        found = []
        for column in runs.columns[runs.notna().any()] if len(runs) else ():
            path = column.removeprefix("built.")
            if path != column and path not in own:
                base = self.runs.loc[self.runs["row"] == "default"].reindex(columns=[path])[path].dropna().tolist()
                default = str(base[-1]) if base else ""
                found.append({"path": path, "built": str(runs[column].tolist()[-1]), "default": default})
        return found

    def _lines(self) -> list[dict[str, Any]]:
        """Return the trials as the page shows them, the best first, those without an objective last."""
        ascending = self.aims[0]["direction"] == "minimize"
        second = unit_of(self.aims[1]["metric"]) if len(self.aims) > 1 else unit_of("")
        order = self.table.sort_values("value", ascending=ascending, kind="stable", na_position="last")
        return [
            {
                "trial": trial,
                "state": line["state"],
                "value": self.unit.value(line["value"]),
                "second": second.value(line["second"]),
                "epoch": f"after epoch {line['epoch']:.0f}" if line["epoch"] == line["epoch"] else "",
                "images": f"{line['images']:,.0f}" if line["images"] == line["images"] else ABSENT,
                "point": [one.shown(point[one.name]) for one in self.space],
            }
            for (trial, line), point in zip(
                order.iterrows(), self.points.loc[order.index].to_dict("records"), strict=True
            )
        ]

    def _troubles(self) -> list[dict[str, Any]]:
        """Return the runs that neither finished nor were pruned, with reasons: trials, repetitions and tests."""
        found = [
            {"name": f"trial {trial}", "what": line["state"], "reason": line["reason"]}
            for trial, line in self.table.iterrows()
            if line["state"] in ("failed", "running", "stopped")
        ]
        for stage in ("repeat", "test"):
            others = of_stage(self.runs, stage)
            found += [
                {"name": run["name"], "what": str(run["status"]).lower(), "reason": str(run["reason"] or "")}
                for run in others[others["status"] != "FINISHED"].to_dict("records")
            ]
        return found


def read_search_report(
    record: Mapping[str, Any] | None,
    runs: pd.DataFrame,
    epochs: pd.DataFrame,
    search: Mapping[str, Any] | None = None,
    config: str = "",
    name: str = "",
) -> SearchReport:
    """Read off a search's runs what there is to say.

    Args:
        record: from ``Search.record``, by whatever version; None where none was logged.
        runs: one row per run: trials, repetitions, tests.
        epochs: long frame of metrics over epochs.
        search: what ``search.json`` holds; None where there is none.
        config: the winner's configuration as JSON text.
        name: the search's, where the record has none.
    """
    read, gaps = _declared(record, name)
    runs = sections.scrubbed(counted.with_core(runs))
    if search and not search_findings.belongs(search, runs):
        gaps.append("search.json in the home is of another base run, so it is left aside.")
        search, config = None, ""
    elif not search:
        gaps.append(
            "There is no search.json: rejected points, and trials that ended before they were logged, are not known."
        )
    search = search or {}
    space = parameters(read, runs)
    table, points = trials(read, runs, search, space)
    aim = objectives(read)[0]
    chosen, has_winner = _chosen(read, runs, search, table)
    compared, differing = search_findings.mismatches(of_stage(runs, "trial"), read, space)
    scores, problems = search_findings.tested(runs, search, aim["metric"])
    judged = importance(table, points, space)
    if has_winner and not config:
        gaps.append(f"The winner's {WINNER} was not found; `unlabeled search run {read['name']}` writes it again.")
    if not has_winner and not table.empty:
        gaps.append("No run is marked as the winner's, so nothing was measured on test.")
    planned = read.get("trials")
    if isinstance(planned, int) and len(table) < planned:
        gaps.append(f"{planned} trials are planned, and {len(table)} {'is' if len(table) == 1 else 'are'} logged.")
    drawing = drawn_of(read, table, points, space, chosen, judged, epochs, search)
    return SearchReport(
        read, gaps + problems, runs, search, config if has_winner else "", space, table, points, chosen, has_winner,
        search_findings.contenders(runs, aim["metric"], aim["direction"]), scores, judged, compared, differing,
        drawing.figures, drawing.left_out, bool(record),
    )  # fmt: skip


def search_report(logged: Logged, store: Store, home: Path, name: str) -> SearchReport:
    """Read a search's report from its runs, and from its files in the home or beside its winner's run."""
    ids = of_stage(logged.runs, "test").query("row == 'winner'")["run_id"].tolist()
    folder = home / "searches" / name
    places: list[Callable[[str], Path | None]] = [folder.joinpath]
    places += [functools.partial(store.artifact, run_id) for run_id in ids]
    search, config = None, ""
    for place in places:
        found = _json(_text(place("search.json")))
        if found and (search is None or search_findings.belongs(found, logged.runs)):
            search, config = found, _text(place(WINNER))
            if search_findings.belongs(found, logged.runs):
                break
    return read_search_report(logged.record, logged.runs, logged.epochs, search, config, name)


def is_search(logged: Logged) -> bool:
    """Tell whether runs are a search's: by their record, or by their stages where the record is lost."""
    return logged.record.get("kind") == "search" or (not logged.record and "search.stage" in logged.runs)


def _text(path: Path | None) -> str:
    try:
        return path.read_text(encoding="utf-8") if path is not None else ""
    except (OSError, ValueError):
        return ""


def _json(text: str) -> Mapping[str, Any] | None:
    try:
        found = json.loads(text) if text else None
    except ValueError:
        return None
    return found if isinstance(found, Mapping) else None


def _declared(record: Mapping[str, Any] | None, name: str) -> tuple[dict[str, Any], list[str]]:
    found = record if isinstance(record, Mapping) else {}
    gaps = [] if found else [NO_RECORD]
    texts = {text: found[text] if isinstance(found.get(text), str) else "" for text in
             ("question", "source", "expected", "cost", "profile", "prune_on")}  # fmt: skip
    if found:
        gaps += [f"Its record has no {text}." for text in ("question", "source", "expected") if not texts[text]]
        gaps += [f"Its record has no {part}." for part in ("space", "objective") if part not in found]
    return {**found, **texts, "name": str(found.get("name") or name)}, gaps


def _chosen(
    record: Mapping[str, Any], runs: pd.DataFrame, search: Mapping[str, Any], table: pd.DataFrame
) -> tuple[int | None, bool]:
    """Return the winner's trial, or the best finished one where none has won; and whether it won."""
    winners = of_stage(runs, "test")
    winners = winners[(winners["row"] == "winner") & winners["search.trial"].notna()] if len(winners) else winners
    if len(winners) and int(winners["search.trial"].iloc[-1]) in table.index:
        return int(winners["search.trial"].iloc[-1]), True
    if isinstance(search.get("winner"), int) and search["winner"] in table.index:
        return search["winner"], True
    aims = objectives(record)
    finished = table[(table["state"] == "finished") & table["value"].notna()]
    if len(aims) > 1:
        finished = finished.loc[front(table, [aim["direction"] for aim in aims])]
    if finished.empty:
        return None, False
    sign = -1.0 if aims[0]["direction"] == "maximize" else 1.0
    return min(zip(sign * finished["value"], finished.index.tolist(), strict=True))[1], False


def _sentences(record: Mapping[str, Any]) -> list[str]:
    found = record.get("constraints")
    given = found if isinstance(found, list) else []
    return [str(one["sentence"]) for one in given if isinstance(one, Mapping) and "sentence" in one]
