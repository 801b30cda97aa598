"""Runs that no study planned, those of ``unlabeled run``: what tells them apart, as if it had been declared.

Each configuration is a row, whatever command ran it, called by the fields in which it differs from the others. Fields
that one method has and another has not are no difference between the two: the method is.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from unlabeled.dashboards.counted import counted, parameters, with_core
from unlabeled.dashboards.inference import Interval, mean_interval
from unlabeled.dashboards.sections import SHOWN_SETTINGS, field_name
from unlabeled.dashboards.wording import plain
from unlabeled.platform.metrics import Unit, unit_of

NAME, PROFILE = "runs", "single"
"""The experiment that single runs are logged in, and the scale that they say to have."""
KIND = "runs"
_METHOD = "method.name"
_NAMED, _SHORT = 3, 28  # fields in a row's name, and characters of one
_SCORES = 6  # columns of scores


@dataclass(frozen=True)
class Score:
    """A column of scores: a metric by one protocol.

    Attributes:
        metric: its name.
        protocol: how it was measured; empty where the runs don't say.
        unit: of its values.
        of: row -> its mean over seeds, with its interval.
    """

    metric: str
    protocol: str
    unit: Unit
    of: Mapping[str, Interval]


@dataclass(frozen=True)
class Line:
    """A configuration in the table.

    Attributes:
        row: its name.
        fields: path -> value, of the fields that differ.
        seeds: of its finished runs, as words.
        states: what became of its other runs, as words; empty where all finished.
        seconds: a mean over finished runs; NaN for none.
        started: when its last run was.
        link: the last run's page in MLflow; empty where there is none.
    """

    row: str
    fields: Mapping[str, str]
    seeds: str
    states: str
    seconds: float
    started: Any
    link: str


def is_single(table: pd.DataFrame) -> bool:
    """Whether these runs are single ones."""
    return bool(len(table) and (table["study"] == NAME).all() and (table["profile"] == PROFILE).all())


def differing(table: pd.DataFrame) -> list[str]:
    """List the fields in which configurations differ: where all have them, or within a method."""
    configs = table.drop_duplicates("row_digest", keep="last")
    groups = [configs]
    if _METHOD in configs:
        groups += [group for _, group in configs.groupby(_METHOD)]

    def differs(path: str) -> bool:
        return any(group[path].notna().all() and len({plain(value) for value in group[path]}) > 1 for group in groups)

    paths = [path for path in parameters(table) if path != "seed" and differs(path)]
    return sorted(paths, key=lambda path: (path != _METHOD, path not in SHOWN_SETTINGS, path))


def named(table: pd.DataFrame) -> pd.DataFrame:
    """Return the runs with their rows called by what tells them apart."""
    paths = [path for path in differing(table) if path != _METHOD]
    names: dict[str, str] = {}
    for digest, runs in table.groupby("row_digest", sort=False):
        last = runs.iloc[-1]
        told = [f"{field_name(path)} {plain(last[path])}" for path in paths if plain(last[path]) != plain(None)]
        told = [words for words in told if len(words) < _SHORT and not words.endswith(" none")][:_NAMED]
        name = " ".join([str(last.get(_METHOD) or last["row"]), *([", ".join(told)] if told else [])])
        again = sum(one == name or one.startswith(f"{name} (") for one in names.values())
        names[str(digest)] = f"{name} ({again + 1})" if again else name
    return table.assign(row=table["row_digest"].map(names))


def record_of(table: pd.DataFrame) -> dict[str, Any]:
    """Return what a study with these rows would have recorded."""
    paths, measures = differing(table), measures_of(table)
    last = table.drop_duplicates("row", keep="last").set_index("row")
    rows = {
        str(row): {path: last.loc[row, path] for path in paths if pd.notna(last.loc[row, path])} for row in last.index
    }
    texts = dict.fromkeys(("source", "expected", "cost"), "")
    return {
        "kind": KIND, "name": NAME, "question": "Single runs", "profile": PROFILE, "rows": rows, "seeds": [],
        "measure": measures[0] if measures else "", "also": measures[1:2], "published": [], "claims": [], **texts,
    }  # fmt: skip


def measures_of(table: pd.DataFrame) -> list[str]:
    """List the test metrics that were logged: those of most runs first, fractions before others."""
    logged = [
        str(name) for name in table.columns if str(name).startswith("test/") and not str(name).endswith("/converged")
    ]
    return sorted(
        (name for name in logged if table[name].notna().any()),
        key=lambda name: (not unit_of(name).is_fraction, -table[name].count(), "linear" not in name, name),
    )


def scores_of(table: pd.DataFrame) -> list[Score]:
    """Return the columns of scores, a protocol each: numbers of different ones are not in one column."""
    done, found = counted(table), []
    for metric in measures_of(done):
        how = done.get(f"protocol:{metric}", pd.Series("", index=done.index)).fillna("").astype(str)
        for protocol in dict.fromkeys(how[done[metric].notna()].iloc[::-1]):
            rows = done[(how == protocol) & done[metric].notna()]
            values = {str(row): mean_interval(pd.to_numeric(of_row[metric])) for row, of_row in rows.groupby("row")}
            found.append(Score(metric, protocol, unit_of(metric), values))
    return found[:_SCORES]


def comparable(table: pd.DataFrame) -> pd.DataFrame:
    """Return the runs with each metric by the protocol of its newest run alone, as figures need them."""
    done, changed = counted(table), {}
    for metric in measures_of(table):
        if (column := f"protocol:{metric}") in table:
            known = done.loc[done[metric].notna(), column].dropna()
            if len(known):
                changed[metric] = table[metric].where(table[column] == known.iloc[-1])
    return table.assign(**changed)


def lines_of(table: pd.DataFrame, scores: list[Score]) -> list[Line]:
    """Return the table's lines, the best by the first score on top, then what has none, the newest first."""
    paths, done, found = differing(table), counted(table), []
    for row, runs in with_core(table).groupby("row", sort=False):
        finished, last = done[done["row"] == row], runs.iloc[-1]
        others = runs[runs["status"] != "FINISHED"]
        others = others[~others["seed"].isin(finished["seed"])]
        states = "; ".join(
            f"seed {run['seed']} {str(run['status']).lower()}{': ' + str(run['reason']) if run['reason'] else ''}"
            for run in others.to_dict("records")
        )
        found.append(
            Line(
                row=str(row),
                fields={path: plain(last[path]) for path in paths},
                seeds=", ".join(str(seed) for seed in sorted(finished["seed"].unique())),
                states=states,
                seconds=float(pd.to_numeric(finished["seconds"]).mean()) if len(finished) else math.nan,
                started=last["started"],
                link=str(last["link"] or ""),
            )
        )
    best = scores[0].of if scores else {}
    newest_first = found[::-1]
    return sorted(newest_first, key=lambda line: -best[line.row].mean if line.row in best else math.inf)
