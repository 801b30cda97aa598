"""Logged runs as tidy pandas, for reports, notebooks and scripts.

```python
from unlabeled.dashboards import frames
runs = frames.runs("projection-head")
runs.groupby("row")["test/linear/top1"].describe()
```
``home`` is the folder that the store is in, or a server's address, whatever the environment says. Without it that is
the server that ``MLFLOW_TRACKING_URI`` names, else the folder ``UNLABELED_HOME``, else ``runs/`` in the current folder.
A study runs around a base; where it was run around several (``--set epochs=16``), ``base`` names one by its digest, or
by how that begins, and the newest is meant without it. :func:`studies` lists them.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from unlabeled.dashboards.bases import Base, bases_of, find_base, runs_of
from unlabeled.dashboards.single import is_single, named, record_of
from unlabeled.platform.addresses import tracking_at
from unlabeled.platform.drive.home import find_home
from unlabeled.platform.errors import UserError
from unlabeled.platform.metrics import ONCE, WITHIN_EPOCHS
from unlabeled.platform.track import Store, frame
from unlabeled.platform.track.described import NOTE

if TYPE_CHECKING:  # it takes torch: two seconds that reading runs does not need
    from unlabeled.platform.encoder import Encoder

_ONCE = tuple(f"{area}/" for area in ONCE)


def studies(home: str | Path | None = None) -> pd.DataFrame:
    """Return what was run, one row for each base of each study, a study's newest base last.

    Columns: ``study, base, question, profile, rows, seeds, runs, finished, failed, started`` (its first run's start),
    ``last`` (its last one's) and ``link``, the study's page in the UI of a server.

    Raises:
        UserError: there is no such home, or the server does not answer.
    """
    columns = ("study", "base", "question", "profile", "rows", "seeds", "runs", "finished", "failed", "started", "last")
    lines = []
    with opened(home) as store:
        has_ui = store.uri.startswith("http")
        for study, link in store.pages(store.address):
            found = store.runs(study)
            first = next(found, None)  # a server may hold others' experiments, and large ones
            if first is None or "unlabeled.study" not in first.data.tags:
                continue
            table = frame(chain([first], found))
            question = store.experiment(study).tags.get(NOTE, "").partition("\n")[0].strip("* ")
            for base, of_base in table.groupby("base", sort=False):
                status, started = of_base["status"], of_base["started"]
                words = (study, base, question, of_base["profile"].iloc[-1])
                counts = (of_base["row"].nunique(), of_base["seed"].nunique(), len(of_base))
                ends = ((status == "FINISHED").sum(), (status == "FAILED").sum())
                lines.append((*words, *counts, *ends, started.min(), started.max(), link if has_ui else ""))
    found_all = pd.DataFrame(lines, columns=[*columns, "link"])
    return found_all.sort_values(["study", "last"], kind="stable", ignore_index=True)


def runs(study: str, home: str | Path | None = None, *, base: str = "", every: bool = False) -> pd.DataFrame:
    """Return the runs of a study, one row each.

    Args:
        study: the study's name.
        home: a folder, or a server's address.
        base: which of its bases, as the column ``base`` has it, or how it begins; by default the newest. :func:`bases`
            says what tells them apart.
        every: all runs that were ever logged. By default only those of one base, and of each row those that are as its
            newest run is: runs that differ by row and seed, and in nothing else, so that their means may be compared.
            Of single runs (``"runs"``) it is all anyhow, in rows that are called by what tells them apart.

    Returns:
        Columns as in :func:`unlabeled.platform.track.frame`, lists as tuples, and ``link``, the run's page in the UI of
        a server.

    Raises:
        UserError: the study has no runs there, or none around that base.
    """
    with opened(home) as store:
        return _runs(store, study, base, every, lists=True)


def epochs(study: str, home: str | Path | None = None, *, base: str = "", every: bool = False) -> pd.DataFrame:
    """Return every metric of every epoch of a study's runs, long: ``run_id, row, seed, epoch, metric, value``.

    Arguments and errors as in :func:`runs`. What a run has one value of (``test/``, ``system/``) is not among them.
    """
    with opened(home) as store:
        return _epochs(store, _runs(store, study, base, every))


def steps(study: str, home: str | Path | None = None, *, base: str = "", every: bool = False) -> pd.DataFrame:
    """Return the loss within epochs of a study's runs, long: ``run_id, row, seed, step, metric, value``.

    A value is the mean over the steps since the one before. Runs whose epochs have 20 steps or fewer have none, and so
    have those of so many epochs that their ends say as much.
    Arguments and errors as in :func:`runs`.
    """
    with opened(home) as store:
        return _long(store, _runs(store, study, base, every), [WITHIN_EPOCHS], "step")


def record(study: str, home: str | Path | None = None, *, base: str = "") -> dict[str, Any]:
    """Return the study as it was declared when its newest run was logged; nothing where that is not logged."""
    with opened(home) as store:
        return _record(store, _runs(store, study, base))


def bases(study: str, home: str | Path | None = None) -> list[Base]:
    """List what a study's rows were made from, each with what tells it from the others, the newest first."""
    with opened(home) as store:
        return bases_of(frame(store.runs(study)))


def encoder(run_id: str, home: str | Path | None = None) -> "Encoder":
    """Return a finished run's encoder with its weights, on the CPU and ready to use: pixels in [0, 1] in, features out.

    It is built as its method builds it, so ``import unlabeled.methods`` comes first, or the file that has the method.

    Raises:
        UserError: the run has no encoder there, or its method is not known.
    """
    from unlabeled.platform.train.export import load_encoder

    with opened(home) as store:
        folder = store.artifact(run_id, "encoder")
        if folder is None:
            raise UserError(
                f"no encoder is logged with the run {run_id!r} in {store.address}; give the run_id of a finished run, "
                "as frames.runs has it"
            )
        return load_encoder(folder)


@dataclass(frozen=True)
class Logged:
    """All that is logged of one base of a study, read at once: what a report is made from.

    Attributes:
        base: which one.
        record: the study as it was declared.
        runs: as :func:`runs` gives them, lists as text.
        epochs: as :func:`epochs` gives them.
        pictures: row -> the PNGs of its first finished seed by name: ``views``, ``tsne``, and those of its method.
    """

    base: Base
    record: dict[str, Any]
    runs: pd.DataFrame
    epochs: pd.DataFrame
    pictures: dict[str, dict[str, Path]]


def read(study: str, home: str | Path | None = None, *, base: str = "") -> Logged | None:
    """Read one base of a study, arguments and errors as in :func:`runs`; None where no run has begun."""
    with opened(home) as store:
        return read_from(store, study, base)


def read_from(store: Store, study: str, base: str = "") -> Logged | None:
    """Read one base of a study from an opened store; None where no run has begun."""
    table = frame(store.runs(study))
    return None if table.empty else _logged(store, table, find_base(table, base), bases_of(table))


def read_all(store: Store, study: str) -> list[Logged]:
    """Read every base of a study from an opened store, the newest first; of single runs all together."""
    table = frame(store.runs(study))
    if is_single(table):
        runs = named(_linked(store, table))
        base = Base("", {}, len(runs), int((runs["status"] == "FINISHED").sum()), "")
        return [Logged(base, record_of(runs), runs, _epochs(store, runs), _pictures(store, runs))]
    listed = bases_of(table)
    return [_logged(store, table, one.digest, listed) for one in listed]


def of_base(store: Store, study: str, digest: str = "", rows: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Return a study's runs around one base, by default the newest; a frame without rows where none has begun.

    ``rows`` as in :func:`unlabeled.dashboards.bases.runs_of`.
    """
    table = frame(store.runs(study))
    bases = table.get("base", pd.Series(dtype=object))
    if table.empty or (digest and digest not in set(bases)):
        return table[:0]
    return _linked(store, runs_of(table, digest or str(bases.iloc[-1]), rows))


def _logged(store: Store, table: pd.DataFrame, digest: str, listed: list[Base]) -> Logged:
    runs = _linked(store, runs_of(table, digest))
    base = next(one for one in listed if one.digest == digest)
    return Logged(base, _record(store, runs), runs, _epochs(store, runs), _pictures(store, runs))


@contextmanager
def opened(home: str | Path | None) -> Iterator[Store]:
    """Open the store of a home, or of a server; a mistake is said in the words of Python, not of the command line."""
    try:
        if str(home or "").startswith(("http://", "https://")):
            with tracking_at(str(home)):
                yield Store(find_home())
        else:
            yield Store(find_home(home), own=home is not None)
    except UserError as error:
        said = re.sub(r"--([a-z-]+)", lambda option: f"{option[1].replace('-', '_')}=", str(error))
        raise UserError(said.replace("MLFLOW_TRACKING_URI", "home=") if home else said) from None


def _runs(store: Store, study: str, base: str = "", every: bool = False, lists: bool = False) -> pd.DataFrame:
    if base and every:
        raise UserError(f"base is {base!r} and every is True, which takes all bases; give one of them")
    table = frame(store.runs(study), lists=lists)
    if table.empty:
        return table
    if is_single(table) and not base:
        return named(_linked(store, table))
    return _linked(store, table if every else runs_of(table, find_base(table, base)))


def _linked(store: Store, table: pd.DataFrame) -> pd.DataFrame:
    links = [store.link(*ids) for ids in table[["experiment_id", "run_id"]].itertuples(index=False)]
    return table.assign(link=links)


def _epochs(store: Store, table: pd.DataFrame) -> pd.DataFrame:
    metrics = [name for name in table.columns if "/" in name and ":" not in name and not name.startswith(_ONCE)]
    return _long(store, table, [name for name in metrics if name != WITHIN_EPOCHS], "epoch")


def _long(store: Store, table: pd.DataFrame, metrics: list[str], when: str) -> pd.DataFrame:
    """Return every logged value of metrics, by epoch or by step."""
    points = pd.DataFrame(
        [(p.run_id, p.step, p.metric, p.value) for p in store.histories(table["run_id"].tolist(), metrics)],
        columns=["run_id", when, "metric", "value"],
    ).drop_duplicates(["run_id", "metric", when], keep="last")  # a paused driver may have logged one beside another
    whose = table[["run_id", "row", "seed"]].assign(place=range(len(table)))
    long = points.merge(whose, on="run_id").sort_values(["place", "metric", when], kind="stable")
    return long[["run_id", "row", "seed", when, "metric", "value"]].reset_index(drop=True)


def _record(store: Store, table: pd.DataFrame) -> dict[str, Any]:
    path = store.artifact(table["run_id"].iloc[-1], "study.json")
    found: dict[str, Any] = json.loads(path.read_text()) if path is not None else {}
    return found


def _pictures(store: Store, table: pd.DataFrame) -> dict[str, dict[str, Path]]:
    first = table[table["status"] == "FINISHED"].sort_values("seed").groupby("row", sort=False)["run_id"].first()
    return {str(row): store.pictures(run_id) for row, run_id in first.items()}
