"""What a report says about its runs: how they were set up, what they cost, what is missing, where they come from."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from unlabeled.dashboards import counted
from unlabeled.dashboards.wording import plain, quoted
from unlabeled.platform.addresses import scrub
from unlabeled.platform.metrics import ABSENT, duration, in_area, metric_of, number

SHOWN_SETTINGS = {
    "data.name": "data",
    "encoder.name": "encoder",
    "encoder.model": "model",
    "method.name": "method",
    "optimizer.name": "optimiser",
    "optimizer.learning_rate": "learning rate",
    "epochs": "epochs",
    "batch_size": "batch size",
    "precision": "precision",
}
COMPUTED = {
    "precision": "precisions",
    "device": "devices",
    "cpu_capability": "vector instructions",
    "compiler": "compilers",
}
"""What was found on the machine, and can move a result: it is logged as ``environment:NAME``."""
COSTS = {
    "train/images_per_second": "images per second",
    "seconds": "time a run",
    "system/peak_memory_mb": "peak memory",
}
CURVES = ("train/loss", "contrast/top1", "knn/top1", "linear/top1", *in_area("health"))
"""Metrics that are drawn first over epochs; what each means is declared."""
MAX_CURVES = 8


def field_name(path: str) -> str:
    """Return what a field is called on a page.

    >>> field_name("optimizer.name"), field_name("method.queue_size")
    ('optimiser', 'queue size')
    """
    return SHOWN_SETTINGS.get(path, path.removesuffix(".name").rpartition(".")[2].replace("_", " "))


def settings(record: Mapping[str, Any], runs: pd.DataFrame, rows: Sequence[str]) -> dict[str, Any]:
    """Say what was run: what all rows share, what tells them apart, and what differs although no row sets it.

    Of the precision, what it came to on the machines that ran: "auto" is not an answer.

    Args:
        record: the study's record.
        runs: the counted runs.
        rows: their rows in reading order.
    """
    shared: dict[str, str] = {}
    differing: dict[str, dict[str, str]] = {}
    for path in sorted(counted.parameters(runs)):
        by_row = {row: _values(runs.loc[runs["row"] == row, path]) for row in rows}
        values = {value for row_values in by_row.values() for value in row_values}
        if len(values) == 1:
            shared[path] = values.pop()
        elif values:
            differing[path] = {row: ", ".join(by_row[row]) for row in rows}
    declared = {path for fields in record["rows"].values() for path in fields}
    unexpected = [path for path in differing if not any(_is_part(path, field) for field in declared)]
    main = {words: shared[path] for path, words in SHOWN_SETTINGS.items() if path in shared}
    if found := _values(runs.get("environment:precision", pd.Series(dtype=object))):
        main["precision"] = " and ".join(found)
    return {
        "main": main,
        "shared": shared,
        "differing": differing,
        "unexpected": unexpected,
        "mixed": _mixed(runs, rows),
    }


def _mixed(runs: pd.DataFrame, rows: Sequence[str]) -> list[str]:
    """Say, in words, in which rows runs were computed differently."""
    found = []
    for name, words in COMPUTED.items():
        column = runs.get(f"environment:{name}", pd.Series(index=runs.index, dtype=object))
        of_value = {
            value: [row for row in rows if (column[runs["row"] == row] == value).any()]
            for value in column.dropna().unique()
        }
        if len(of_value) > 1:
            found.append(
                f"{words}: "
                + "; ".join(f"{value} in {', '.join(map(quoted, those))}" for value, those in of_value.items())
            )
    return found


def costs(runs: pd.DataFrame, rows: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return row -> what a run of it cost, averaged over its runs; only what was logged.

    Of the speed there is the range, too, where runs of a row differ by more than a tenth: it depends on what else ran.
    """
    found: dict[str, dict[str, str]] = {}
    for row in rows:
        of_row = runs[runs["row"] == row]
        values = {
            words: pd.to_numeric(of_row[name]).dropna() if name in of_row else pd.Series(dtype=float)
            for name, words in COSTS.items()
        }
        means = {words: float(series.mean()) if len(series) else math.nan for words, series in values.items()}
        found[row] = {
            "images per second": number(means["images per second"]) + _range(values["images per second"]),
            "time a run": duration(means["time a run"]),
            "peak memory": _memory(means["peak memory"]),
        }
    logged = [words for words in COSTS.values() if any(cost[words] != ABSENT for cost in found.values())]
    return {row: {words: cost[words] for words in logged} for row, cost in found.items()} if logged else {}


def at_once(runs: pd.DataFrame) -> str:
    """Say how many of the runs went at the same time, where any did: they shared the machine, or several of them."""
    times = [
        (start, start + pd.Timedelta(seconds=float(seconds)))
        for start, seconds in zip(runs["started"], pd.to_numeric(runs["seconds"]), strict=True)
        if pd.notna(start) and math.isfinite(seconds)
    ]
    most = max((sum(begun <= start < ended for begun, ended in times) for start, _ in times), default=0)
    return f"Up to {most} went at once, so time and speed are also of what else ran." if most > 1 else ""


def _range(values: "pd.Series[float]") -> str:
    if len(values) < 2 or values.max() <= 1.1 * values.min():
        return ""
    return f" ({number(float(values.min()))} to {number(float(values.max()))})"


def unfinished(record: Mapping[str, Any], runs: pd.DataFrame) -> list[dict[str, Any]]:
    """List what the study lacks, with reasons.

    That is: runs that failed, were killed or still run; planned runs that never started; finished runs without the
    measure.
    """
    found = []
    done = counted.counted(runs)
    have = set(zip(done["row"], done["seed"], strict=True))
    for run in runs[runs["status"] != "FINISHED"].to_dict("records"):
        reason = str(run["reason"] or "") if run["reason"] == run["reason"] else ""
        if (run["row"], run["seed"]) in have:
            reason = (reason + " " if reason else "") + "(finished in another run)"
        found.append({"row": run["row"], "seed": run["seed"], "what": str(run["status"]).lower(), "reason": reason})
    seen = set(zip(runs["row"], runs["seed"], strict=True))
    planned = [(row, seed) for row in record["rows"] for seed in record["seeds"]]
    found += [
        {"row": row, "seed": seed, "what": "missing", "reason": "not started, or not logged"}
        for row, seed in planned
        if (row, seed) not in seen
    ]
    if not record["measure"]:
        return found
    values = counted.scores(runs, record["measure"])
    measured = {(row, seed) for row in values.columns for seed in values.index[values[row].notna()]}
    found += [
        {"row": row, "seed": seed, "what": "not measured", "reason": f"finished without {record['measure']}"}
        for row, seed in sorted(have - measured)
    ]
    return found


def scrubbed(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the runs with no secret of an address in any text: errors quote addresses, and pages quote errors."""
    texts = {name: runs[name] for name in runs.columns if pd.api.types.is_string_dtype(runs[name].dtype)}
    texts |= {name: runs[name] for name in runs.columns if runs[name].dtype == object}
    return runs.assign(
        **{
            name: column.map(lambda value: scrub(value) if isinstance(value, str) else value)
            for name, column in texts.items()
        }
    )


def notes(runs: pd.DataFrame) -> list[dict[str, Any]]:
    """List what could not be drawn or measured of the counted runs, which finished nevertheless: row, seed and note."""
    noted = counted.counted(runs)
    return [
        {"row": run["row"], "seed": run["seed"], "note": note}
        for run in noted[noted["notes"].notna()].to_dict("records")
        for note in str(run["notes"]).splitlines()
    ]


def curves(epochs: pd.DataFrame, runs: pd.DataFrame) -> tuple[dict[str, str], list[str]]:
    """Choose the metrics to draw over epochs, with what each means, and name those that are left out.

    The well-known ones come first; metrics with fewer than two epochs, speed and system load are not drawn.
    """
    if epochs.empty:
        return {}, []
    of_runs = epochs[epochs["run_id"].isin(runs["run_id"])]
    num_epochs = of_runs.groupby("metric")["epoch"].nunique()
    several = [str(name) for name in num_epochs.index[num_epochs > 1]]
    drawable = [name for name in several if not re.search(r"^system/|_per_second$|seconds$|^test/", name)]
    known = [name for ending in CURVES for name in drawable if name == ending or name.endswith("/" + ending)]
    chosen = [*known, *(name for name in drawable if name not in known)]
    return {name: metric_of(name).meaning for name in chosen[:MAX_CURVES]}, chosen[MAX_CURVES:]


def provenance(runs: pd.DataFrame) -> dict[str, Any]:
    """Say where the numbers come from: environment, protocols, every run with its fingerprint and link, and dates."""
    tags = {name: _values(runs[name]) for name in sorted(runs.columns) if ":" in name}
    return {
        "environment": {
            n.removeprefix("environment:"): v for n, v in tags.items() if n.startswith("environment:") and v
        },
        "protocols": {n.removeprefix("protocol:"): v for n, v in tags.items() if n.startswith("protocol:") and v},
        "dates": dates(runs),
        "runs": [_run(run) for run in runs.to_dict("records")],
    }


def dates(runs: pd.DataFrame) -> str:
    """Return the days on which the first and the last run started, or the one day; nothing where none has."""
    started = pd.to_datetime(runs["started"], utc=True).dropna()
    days = [f"{day:%Y-%m-%d}" for day in (started.min(), started.max())] if len(started) else []
    return " to ".join(dict.fromkeys(days))


def _run(run: Mapping[Any, Any]) -> dict[str, str]:
    link = str(run["link"] or "")
    started = run["started"]
    return {
        "name": plain(run["name"]),
        "status": str(run["status"]).lower(),
        "fingerprint": plain(run["fingerprint"]),
        "started": f"{started:%Y-%m-%d %H:%M}" if pd.notna(started) else ABSENT,
        "link": link if re.match(r"https?://", link) else "",  # never a javascript: address
    }


def _values(column: "pd.Series[Any]") -> list[str]:
    """List the different values of a column as words, absent ones left out."""
    return [text for text in dict.fromkeys(plain(value) for value in column) if text != ABSENT]


def _is_part(path: str, field: str) -> bool:
    return path == field or path.startswith(field + ".")


def _memory(megabytes: float) -> str:
    return f"{megabytes / 1000:.1f} GB" if megabytes >= 1000 else f"{megabytes:.0f} MB" if megabytes >= 0 else ABSENT
