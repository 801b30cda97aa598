"""From a search's runs, and its files in the home, to its report: what there is to say is read off them here."""

import functools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from unlabeled.dashboards import counted, search_findings, sections
from unlabeled.dashboards.declared import NO_RECORD
from unlabeled.dashboards.frames import Logged
from unlabeled.dashboards.search_drawn import drawn_of
from unlabeled.dashboards.search_importance import importance
from unlabeled.dashboards.search_report import WINNER, SearchReport
from unlabeled.dashboards.search_study import front
from unlabeled.dashboards.search_trials import objectives, of_stage, parameters, trials
from unlabeled.platform.track import Store


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


def read_search(logged: Logged, store: Store, home: Path, name: str) -> SearchReport:
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
