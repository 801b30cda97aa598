"""What a search's runs say beyond single trials: contenders, test scores, arrived values, rejected points, compute."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from unlabeled.dashboards import counted
from unlabeled.dashboards.inference import Interval, PairedDifference, mean_interval, paired_difference
from unlabeled.dashboards.search_trials import IMAGES_SEEN, Parameter, listed, of_stage
from unlabeled.dashboards.wording import count, plain, probability
from unlabeled.platform.errors import UserError
from unlabeled.platform.metrics import Unit, metric_of, unit_of

NOTHING = pd.Series(dtype="float64", index=pd.Index([], dtype="int64"))


@dataclass(frozen=True)
class Contender:
    """A trial that was repeated over further seeds: its objective by seed, none of them the trial's own."""

    trial: int
    scores: dict[int, float]
    interval: Interval


@dataclass(frozen=True)
class Tested:
    """Winner and default on one metric of the test split.

    Attributes:
        metric: its name.
        winner: mean over seeds, with its interval.
        default: that of the base run.
        difference: winner minus default, paired by seed.
        protocol: how it was measured, where that is logged.
        is_tested: whether it is the one metric that answers the question. A p value is given for no other: of several
            metrics, each with its own p, one would soon be small by chance.
    """

    metric: str
    winner: Interval
    default: Interval
    difference: PairedDifference
    protocol: str
    is_tested: bool

    @property
    def p(self) -> float:
        """Of the difference; NaN where the metric is not the one that is tested."""
        return self.difference.p if self.is_tested else math.nan

    @property
    def unit(self) -> Unit:
        """How its values are read."""
        return unit_of(self.metric)

    @property
    def better(self) -> str:
        """Which of the two did better, in a phrase; nothing where no seed has both."""
        n, found = self.difference.n, self.difference.interval
        who = "winner" if (found.mean > 0) == (metric_of(self.metric).direction != "lower") else "default"
        sure = "" if n > 1 and (found.low > 0 or found.high < 0) else ", by no more than seeds differ"
        return f"the {who} did better{sure}" if n else ""

    @property
    def gain(self) -> str:
        """The winner against the default, in a phrase, with what the seeds can say of it."""
        found = self.difference
        if found.n == 0:
            return "winner and default have no seed in common yet."
        said = f"{self.unit.difference(found.interval.mean)} against the default"
        if found.n == 1:
            return f"{said}; one seed gives no interval."
        if not math.isfinite(found.interval.low):
            return f"{said} in each of {found.n} seeds; equal differences give no interval."
        low, high = self.unit.signed(found.interval.low), self.unit.signed(found.interval.high)
        clear = found.interval.low > 0 or found.interval.high < 0
        verdict = "zero lies outside" if clear else "zero lies inside, so the seeds do not tell them apart"
        paired = f"95 % interval {low} to {high} over {count(found.n, 'paired seed')}"
        paired += f", {probability(self.p)}" if self.is_tested else ""
        return f"{said} ({paired}): {verdict}."


@dataclass(frozen=True)
class Mismatch:
    """A sampled value that is not what was built."""

    run: str
    name: str
    sampled: str
    built: str


@dataclass(frozen=True)
class Compute:
    """Pictures that the trials were trained on, and what their full length would have taken.

    Attributes:
        num_pruned: trials that were stopped early and say after how many epochs.
        seen: pictures seen by finished and pruned trials, repeated ones counted again.
        full: what the same trials would have seen.
        epochs: pruned epoch -> how many trials.
    """

    num_pruned: int
    seen: float
    full: float
    epochs: dict[int, int]

    @property
    def saved(self) -> float:
        """The share of the full length that was not trained; NaN where nothing is known."""
        return 1.0 - self.seen / self.full if self.full > 0 else math.nan


def contenders(runs: pd.DataFrame, metric: str, direction: str) -> list[Contender]:
    """Return the repeated trials, the best mean first; a repetition without the objective is left out."""
    repeats = of_stage(runs, "repeat")
    repeats = repeats[repeats["status"] == "FINISHED"] if len(repeats) else repeats
    column = metric if metric in repeats else "search/objective"
    if column not in repeats:
        return []
    found = []
    for trial in dict.fromkeys(repeats["search.trial"].astype(int).tolist()):
        of_trial = repeats[repeats["search.trial"] == trial].sort_values("seed")
        values = pd.to_numeric(of_trial[column], errors="coerce")
        scores = {
            int(seed): float(value)
            for seed, value in zip(of_trial["seed"], values, strict=True)
            if math.isfinite(value)
        }
        if scores:
            found.append(Contender(trial, scores, mean_interval(scores.values())))
    sign = -1.0 if direction == "maximize" else 1.0
    most = max((len(one.scores) for one in found), default=0)
    return sorted(found, key=lambda one: (len(one.scores) < most, sign * one.interval.mean, one.trial))


def tested(runs: pd.DataFrame, search: Mapping[str, Any], objective: str) -> tuple[list[Tested], list[str]]:
    """Compare winner and default on every metric of the test split, the objective's own first; and say what can't be.

    Where the winner is the default, one run was both: ``search.json`` has its scores under both names.
    """
    of_test = of_stage(runs, "test")
    of_file = search.get("tested") if isinstance(search.get("tested"), Mapping) else {}
    names = [name for name in of_test.columns if name.startswith("test/") and of_test[name].notna().any()]
    names = [name for name in names if not name.endswith("/converged")]  # of a probe's own training, no score
    own = "test/" + objective.removeprefix("validation/")
    found, gaps = [], []
    for metric in sorted(names, key=lambda name: (name != own, not name.endswith("top1"), name)):
        try:
            scores = counted.scores(of_test, metric)
            protocol = counted.protocol_of(of_test, metric)
        except UserError as error:
            gaps.append(str(error))
            continue
        rows = {row: scores[row].dropna() if row in scores else _of_file(of_file, row, metric) for row in
                ("winner", "default")}  # fmt: skip
        found.append(against_default(metric, rows["winner"], rows["default"], protocol, is_tested=metric == own))
    return found, gaps


def against_default(
    metric: str,
    winner: "pd.Series[float]",
    default: "pd.Series[float]",
    protocol: str = "",
    *,
    is_tested: bool = True,
) -> Tested:
    """Compare winner and default on one metric, each a series by seed."""
    means, difference = (mean_interval(winner), mean_interval(default)), paired_difference(winner, default)
    return Tested(metric, *means, difference, protocol, is_tested)


def mismatches(runs: pd.DataFrame, record: Mapping[str, Any], space: Sequence[Parameter]) -> tuple[int, list[Mismatch]]:
    """Hold every sampled value against the one that was found in what was built.

    Of a composition, whether each operation is among the views that were built.

    Returns:
        How many values were compared, and those that differ.
    """
    dimensions = record.get("space") if isinstance(record.get("space"), Mapping) else {}
    views = {path.rpartition(".")[2]: path for path, one in (dimensions or {}).items() if _is_composition(one)}
    compared, found = 0, []
    for run in runs.to_dict("records"):
        for parameter in space:
            value = parameter.read(run.get(f"sampled.{parameter.name}"))
            prefix, _, part = parameter.name.partition(".")
            in_views = prefix in views and "." not in part
            built = run.get(f"built.{views[prefix] if in_views else parameter.name}")
            if value is None or built is None or built != built:
                continue
            compared += 1
            arrived = _is_in(part, str(built)) == (value == "True") if in_views else _is_same(value, built)
            if not arrived:
                found.append(Mismatch(str(run["name"]), parameter.name, parameter.shown(value), plain(built)))
    return compared, found


def rejected(search: Mapping[str, Any]) -> dict[str, list[int]]:
    """Return why -> the numbers of the points that were never trained for it; a point may have several reasons."""
    found: dict[str, list[int]] = {}
    for point in listed(search, "rejected"):
        why, number = point.get("why"), point.get("trial")
        for reason in why if isinstance(why, list) else [why]:
            found.setdefault(str(reason), []).append(number if isinstance(number, int) else -1)
    return dict(sorted(found.items(), key=lambda item: (-len(item[1]), item[0])))


def compute(table: pd.DataFrame) -> Compute:
    """Add up what the trials were trained on; trials that failed are left out, for nobody knows how far they came."""
    finished = table[(table["state"] == "finished") & table["images"].notna()]
    pruned = table[(table["state"] == "pruned") & table[["images", "epoch", "epochs"]].notna().all(axis="columns")]
    pruned = pruned[pruned["epoch"] > 0]
    full = float((pruned["images"] / pruned["epoch"] * pruned["epochs"]).sum())
    epochs = pruned["epoch"].astype(int).value_counts().sort_index()
    return Compute(
        num_pruned=len(pruned),
        seen=float(finished["images"].sum() + pruned["images"].sum()),
        full=float(finished["images"].sum()) + full,
        epochs={int(epoch): int(number) for epoch, number in epochs.items()},  # type: ignore[call-overload]
    )


def followed(epochs: pd.DataFrame, table: pd.DataFrame, metric: str, search: Mapping[str, Any]) -> pd.DataFrame:
    """Return the followed metric of the trials, long: ``trial, epoch, value``; from ``search.json`` what no run has."""
    numbers = {run_id: trial for trial, run_id in table["run_id"].items() if run_id}
    found = pd.DataFrame({"trial": [], "epoch": [], "value": []})
    if {"metric", "run_id", "epoch", "value"} <= set(epochs.columns):
        of_trials = epochs[(epochs["metric"] == metric) & epochs["run_id"].isin(list(numbers))]
        found = of_trials.assign(trial=of_trials["run_id"].map(numbers))[["trial", "epoch", "value"]]
    have, rest = set(found["trial"]), []
    for trial in listed(search, "trials"):
        number, points = trial.get("trial"), trial.get("followed")
        if number in table.index and number not in have and isinstance(points, Mapping):
            rest += [(number, int(epoch), float(value)) for epoch, value in points.items()]
    both = [one for one in (found, pd.DataFrame(rest, columns=["trial", "epoch", "value"])) if len(one)]
    together = pd.concat(both, ignore_index=True) if both else found
    return together[pd.to_numeric(together["value"], errors="coerce").notna()]


def pictures(number: float) -> str:
    """Write a number of pictures: ``1.20 million``."""
    return f"{number / 1e6:.2f} million" if number >= 1e6 else f"{number:,.0f}"


def belongs(search: Mapping[str, Any], runs: pd.DataFrame) -> bool:
    """Tell whether ``search.json`` speaks of these runs: its journal is named by the base's digest, as they are."""
    store = search.get("store")
    journal = str(store.get("journal")) if isinstance(store, Mapping) else ""
    bases = set(runs["base"].dropna().astype(str)) if "base" in runs else set()
    return not journal or bases <= {journal.split(".")[0]}


def total_images(runs: pd.DataFrame) -> float:
    """Add up the pictures that all runs saw, as far as it is logged."""
    return float(pd.to_numeric(runs[IMAGES_SEEN], errors="coerce").sum()) if IMAGES_SEEN in runs else 0.0


def _of_file(of_file: Any, row: str, metric: str) -> "pd.Series[float]":
    by_seed = of_file.get(row) if isinstance(of_file, Mapping) else None
    if not isinstance(by_seed, Mapping):
        return NOTHING
    found = {
        int(seed): float(metrics[metric])
        for seed, metrics in by_seed.items()
        if isinstance(metrics, Mapping) and isinstance(metrics.get(metric), int | float)
    }
    return pd.Series(found, dtype="float64") if found else NOTHING


def _is_composition(dimension: Any) -> bool:
    return isinstance(dimension, Mapping) and dimension.get("name") == "composition"


def _is_in(part: str, views: str) -> bool:
    """Tell whether an operation is among built views, which name it by its class: ``ColorJitter(…)``."""
    kind = "".join(word.capitalize() for word in part.split("_"))
    return re.search(rf"\b{re.escape(kind)}\b", views) is not None


def _is_same(value: Any, built: Any) -> bool:
    """Tell whether a sampled number or label is the value that was built; lists are built as tuples."""
    try:
        return math.isclose(float(value), float(built), rel_tol=1e-9)
    except (TypeError, ValueError):
        pass
    try:
        read = json.loads(value)
    except (TypeError, ValueError):
        read = value
    words = ", ".join(str(one) for one in read) or "none" if isinstance(read, list) else str(read)
    return str(built).lower() in {str(value).lower(), words.lower()}
