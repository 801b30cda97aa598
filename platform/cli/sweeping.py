"""What every command that runs a study does: find it, check it, run what is unfinished, say how it ended."""

import os
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from unlabeled.platform.cli.declared import say_json
from unlabeled.platform.cli.index import peek
from unlabeled.platform.drive import awaited
from unlabeled.platform.errors import UserError, lookup

if TYPE_CHECKING:
    from unlabeled.platform.config import RunConfig
    from unlabeled.platform.data import DataConfig
    from unlabeled.platform.drive.budget import Budget
    from unlabeled.platform.drive.display import Display
    from unlabeled.platform.drive.recorder import Outcome, Recorder
    from unlabeled.platform.study import PlannedRun, Study


def find_study(name: str) -> "Study":
    """Return the study of that name, or the ``STUDY`` of a Python file; or say which there are."""
    if name.endswith(".py"):
        from unlabeled.platform.cli.studyfile import load_study

        return load_study(Path(name).expanduser())
    if os.sep in name or Path(name).suffix:
        raise UserError(f"{name} is no Python file; name a study, or the path of a .py file that declares STUDY")
    check_name("study", "studies", name)
    from unlabeled.studies import STUDIES

    return lookup("study", name, STUDIES)


def sweep(
    study: "Study",
    base: "RunConfig",
    profile: str,
    home: Path | None,
    resources: Any,
    how: Any,
    rows: "Collection[str]" = (),
    record: "Mapping[str, Any] | None" = None,
) -> "Outcome":
    """Check a study's runs, or those of some rows, do what is unfinished of them, and say what was done before.

    ``record`` is what the study declares, where some rows are run with other seeds: its first look at its claims is at
    those that it declares itself.
    """
    base, planned, place = start(study, base, profile, home, resources, rows)
    identity = identity_of(study, base, profile)
    recorder, display = recording(study, planned, base, place, profile, base_identity=identity, record=record)
    say_done(recorder, place)
    outcome: Outcome = how(recorder, display, resources)
    return outcome


def start(
    study: "Study", base: "RunConfig", profile: str, home: Path | None, resources: Any, rows: "Collection[str]" = ()
) -> "tuple[RunConfig, list[PlannedRun], Path]":
    """Check a study's runs and make its home; return the base as it is run, the runs, and the home.

    Raises:
        UserError: a run doesn't fit, there is no such row, or the home can't be made.
    """
    from unlabeled.platform.drive.cluster import take_sigterm_as_ctrl_c
    from unlabeled.platform.drive.home import make_home
    from unlabeled.platform.drive.precision import resolved
    from unlabeled.platform.drive.sweep import check_runs

    take_sigterm_as_ctrl_c()
    base = resolved(base, resources)
    planned = of_rows(study.runs(base, profile), rows)
    awaited.awaits("checking the runs and their data")
    check_runs(planned, resources)
    identity_of(study, base, profile)  # before there is a home: it reads data that some rows may not be of
    return base, planned, make_home(home)


def identity_of(study: "Study", base: "RunConfig", profile: str) -> str:
    """Return the identity of what all rows are made from, whichever of them are run.

    Raises:
        UserError: the base's data, which other rows are of, are not there.
    """
    from unlabeled.platform.drive.recorder import base_identity
    from unlabeled.platform.train.loaded import load_cached

    return base_identity(base, {data: load_cached(data) for data in data_of_base(study, base, profile)})


def data_of_base(study: "Study", base: "RunConfig", profile: str) -> "list[DataConfig]":
    """Return the base's data where any row is of them: their contents are part of its identity."""
    return [base.data] if any(run.config.data == base.data for run in study.runs(base, profile)) else []


def of_rows(planned: "list[PlannedRun]", rows: "Collection[str]") -> "list[PlannedRun]":
    """Return the runs of some rows; of all where none is named.

    Raises:
        UserError: there is no such row.
    """
    known = dict.fromkeys(run.row for run in planned)
    for row in rows:
        lookup("row", row, known)
    return [run for run in planned if not rows or run.row in rows]


def recording(
    study: "Study",
    planned: "Sequence[PlannedRun]",
    base: "RunConfig",
    place: Path,
    profile: str,
    budget: "Budget | None" = None,
    base_identity: str = "",
    record: "Mapping[str, Any] | None" = None,
) -> "tuple[Recorder, Display]":
    """Return what takes down a study's runs, under what it declares or ``record``, and what shows them."""
    from unlabeled.platform.drive.display import Display
    from unlabeled.platform.drive.recorder import Recorder

    awaited.awaits("opening the store")
    from unlabeled.platform.track import Store

    recorder = Recorder(
        planned, base, place, Store(place).open_study(record or study.record(profile)), budget, base_identity
    )
    recorder.outcome.base = recorder.base_identity
    todo = [planned[number] for number in recorder.unfinished()]
    return recorder, Display(len(todo), study.measure, runs=todo)


def say_done(recorder: "Recorder", place: Path) -> None:
    """Say how many runs were done before, and where they are."""
    done, planned = recorder.outcome.skipped, len(recorder.planned)
    print(
        f"{recorder.log.record['name']}: {done} of {planned} runs are done, {planned - done} to do; home {place}",
        flush=True,
    )


def seeds_show(name: str, record: Mapping[str, Any], home: Path | None, base: str = "") -> list[str]:
    """Say the smallest differences that a study's seeds are likely to decide, and what it takes to decide what is open.

    Both are by what is logged of it at that scale.

    Args:
        name: the study's.
        record: of the study at a scale.
        home: where its runs are, if there are any.
        base: what the runs are made from; the newest where none is named.
    """
    from contextlib import suppress

    from unlabeled.dashboards.detectable import detectable, open_in_words
    from unlabeled.platform.drive.home import find_home, has_store

    said: list[str] = []
    if has_store(find_home(home)):
        from unlabeled.dashboards.frames import of_base
        from unlabeled.dashboards.looking import judged_on_record
        from unlabeled.platform.track import Store

        with suppress(UserError):  # the store is away or can't be written, or runs can't be compared: less is said
            store = Store(find_home(home))
            runs = of_base(store, name, base)
            if len(runs):
                runs = runs[runs["profile"] == record["profile"]]
            if len(runs):
                said = detectable(record, runs)
                said += open_in_words(judged_on_record(store, name, record, runs), runs)
    return said or detectable(record)


def check_name(what: str, among: str, name: str) -> None:
    """Refuse a name that nothing has, before anything is imported, where it is known which there are."""
    if (known := peek()) is not None:
        lookup(what, name, known[among])


def finish(
    name: str,
    outcome: "Outcome",
    home: Path | None,
    json: TextIO | None = None,
    again: str = "",
    some_rows: bool = False,
) -> None:
    """Write the report, say what it answers and where it lies, and leave with the exit code that tells how it went.

    Args:
        name: of the study.
        outcome: how its runs went.
        home: where its runs are.
        json: takes the answer for programs, where it is asked for.
        again: how a command names the study; nothing where no more seeds can be asked for.
        some_rows: whether some rows only were run.
    """
    from unlabeled.dashboards.publish import publish
    from unlabeled.platform.cli.ending import answered, next_steps, say_answer

    leave_if_stopped(outcome)
    awaited.awaits("writing the report")
    found = answered(publish(name, home, base=outcome.base, or_newest=True))
    awaited.end()
    elsewhere = f", {outcome.elsewhere} were done by other drivers meanwhile" if outcome.elsewhere else ""
    print(f"{outcome.finished} finished, {outcome.failed} failed, {outcome.skipped} were done before{elsewhere}")
    for note in outcome.notes:
        print(f"note: {note}", file=sys.stderr)
    say_answer(found, list(next_steps(found, again, some_rows)) if again else ())
    if json is not None:
        counts = {what: getattr(outcome, what) for what in ("finished", "failed", "skipped", "elsewhere")}
        say_json({"name": name, **counts, "notes": outcome.notes, **found}, json)
    if outcome.failed:
        print(
            f"failed runs: {outcome.failed}; the report gives the reasons, and the same command tries them again",
            file=sys.stderr,
        )
        sys.exit(1)


def leave_if_stopped(outcome: "Outcome") -> None:
    """Leave, and say that the same command goes on, where Ctrl-C ended the runs."""
    if outcome.interrupted:
        print("stopped; the same command goes on from the checkpoints", file=sys.stderr)
        sys.exit(130)
