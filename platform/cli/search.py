"""``unlabeled search``: list, show and run searches."""

import sys
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from unlabeled.platform.cli import complete
from unlabeled.platform.cli.declared import check_profile, say_beside, say_json, say_list, say_search
from unlabeled.platform.cli.index import index
from unlabeled.platform.cli.launch import Launch, starts_runs
from unlabeled.platform.cli.options import DryRun, Json, Profile
from unlabeled.platform.cli.planning import say_search_plan
from unlabeled.platform.cli.sweeping import check_name, leave_if_stopped
from unlabeled.platform.drive import awaited
from unlabeled.platform.errors import lookup, unknown

if TYPE_CHECKING:
    from unlabeled.platform.search import Search
    from unlabeled.platform.search.course import Course
    from unlabeled.platform.search.strategy import PrunerName, SamplerName

SAMPLERS = ("tpe", "random", "cmaes", "nsga2")
PRUNERS = ("asha", "median", "none")

SearchName = Annotated[
    str,
    typer.Argument(help="Search's name; `unlabeled search list` lists them.", autocompletion=complete.searches),
]

app = typer.Typer(help="List, show and run searches over hyperparameters and augmentations.", no_args_is_help=True)


@app.command("list")
def search_list(json_: Json = False) -> None:
    """List the searches, their questions and what they cost."""
    searches = index()["searches"]
    if json_:
        say_json([{name: search[name] for name in ("name", "question", "cost")} for search in searches.values()])
        return
    say_list((name, search["question"], search["cost"]) for name, search in searches.items())


@app.command("show")
def search_show(name: SearchName, profile: Profile = "laptop", json_: Json = False) -> None:
    """Show what a search asks, its space, and the run around which it searches."""
    search = lookup("search", name, index()["searches"])
    check_profile(search, profile)
    if json_:
        say_json(search)
    else:
        say_search(search, profile)


@app.command("run")
@starts_runs
def search_run(
    launch: Launch,
    name: SearchName,
    profile: Profile = "laptop",
    trials: Annotated[
        int | None,
        typer.Option(min=1, help="Trials in all, those done before included.", show_default="the search's own"),
    ] = None,
    sampler: Annotated[str, typer.Option(help=f"What proposes points: {', '.join(SAMPLERS)}.")] = "tpe",
    pruner: Annotated[
        str | None,
        typer.Option(help=f"What stops trials: {', '.join(PRUNERS)}.", show_default="asha; none with two objectives"),
    ] = None,
    prune_on: Annotated[
        str | None, typer.Option(help="Metric that trials are stopped by.", show_default="the search's own")
    ] = None,
    best: Annotated[
        int | None, typer.Option(min=0, help="Trials to repeat over further seeds.", show_default="the search's own")
    ] = None,
    further_seeds: Annotated[
        int | None, typer.Option(min=0, help="Further seeds to repeat over.", show_default="the search's own")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the sampler; --set seed=N is the runs'.")] = 0,
    dry_run: DryRun = False,
) -> None:
    """Search, name the winner over further seeds, and measure it on test; goes on where it was stopped."""
    for what, given, known in (("sampler", sampler, SAMPLERS), ("pruner", pruner or "none", PRUNERS)):
        if given not in known:
            raise unknown(what, given, known)
    from unlabeled.platform.drive.address import check_address

    check_address(launch.resources)
    search = find_search(name)
    fields = {"prune_on": prune_on, "best": best, "further_seeds": further_seeds, "trials": trials}
    search = search.with_fields({field: value for field, value in fields.items() if value is not None})
    base = search.base(profile, launch.changes)
    if dry_run:
        say_search_plan(search, base, launch.home, launch.resources)
        return
    from unlabeled.platform.search.start import start

    proposing = cast("SamplerName", sampler)
    stopping = cast("PrunerName", pruner or ("none" if search.second else "asha"))
    course = start(search, base, profile, launch.home, launch.resources, sampler=proposing, pruner=stopping, seed=seed)
    finish(course, launch)


def find_search(name: str) -> "Search":
    """Return the search of that name, or say which there are."""
    check_name("search", "searches", name)
    from unlabeled.studies.searches import SEARCHES

    return lookup("search", name, SEARCHES)


def finish(course: "Course", launch: Launch) -> None:
    """Write the report, say how a search ended, and leave with the exit code that tells it."""
    from unlabeled.dashboards.publish import publish
    from unlabeled.platform.search.summary import counts

    found: dict[str, Any] = dict(counts(course))
    leave_if_stopped(course.recorder.outcome)
    awaited.awaits("writing the report")
    page = publish(course.search.name, launch.home).as_uri() if course.memory.trained() else None
    awaited.end()
    print(
        f"{found['finished']} trials finished, {found['pruned']} pruned, {found['failed']} failed; "
        f"{found['rejected']} points were rejected"
    )
    folder = course.memory.path.parent
    if course.search.second:
        print(f"Pareto front: {', '.join(f'trial {number}' for number in course.memory.front())}")
    if page is not None:
        say_beside("report", page, 10)
    won = course.winner is not None
    winner = folder / "winner.json" if won else None
    said = _say_winner(course) if won else ""
    if winner is not None:
        say_beside("next", f"`unlabeled run --config {winner}` runs the winner", 10)
    if launch.json is not None:
        of = {"name": course.search.name, "winner": winner and str(winner), "trial": course.winner, "test": said}
        say_json({**of, **found, "report": page, "search": str(folder / "search.json")}, launch.json)
    if not won:
        print(
            f"no winner: no trial finished, or none of its repetitions; {folder / 'search.json'} says why",
            file=sys.stderr,
        )
        sys.exit(1)
    if course.recorder.outcome.failed:
        print(f"failed runs: {course.recorder.outcome.failed}; {folder / 'search.json'} says why", file=sys.stderr)


def _say_winner(course: "Course") -> str:
    """Say which trial won and how it did on test; return the latter."""
    import pandas as pd

    from unlabeled.dashboards.search_findings import against_default
    from unlabeled.platform.metrics import unit_of

    wanted = course.search.objective.metric
    unit = unit_of(wanted)
    for contender in course.contenders:
        scores = ", ".join(unit.value(value) for value in contender.scores.values())
        say_beside(
            f"trial {contender.trial}", f"{wanted} {unit.value(contender.mean)} over further seeds ({scores})", 10
        )
    assert course.winner is not None
    point = course.memory.all()[course.winner].params
    of = ", ".join(f"{name}={_short(value)}" for name, value in point.items())
    say_beside("winner", f"trial {course.winner}, {of}", 10)
    metric = f"test/{wanted.removeprefix('validation/')}"
    winner, default = (
        pd.Series({seed: found[metric] for seed, found in course.tested[row].items() if metric in found}, dtype=float)
        for row in ("winner", "default")
    )
    found = against_default(metric, winner, default)
    if not found.difference.n:
        return ""
    means = f"winner {unit.value(found.winner.mean)}, default {unit.value(found.default.mean)}"
    said = f"{found.better}: {metric} over seeds {', '.join(map(str, winner.index))}: {means}; {found.gain}"
    say_beside("test", said, 10)
    return said


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
