"""``unlabeled study``: list, show and run studies."""

import math
from typing import Annotated

import typer

from unlabeled.platform.cli import complete
from unlabeled.platform.cli.deciding import MAX_SEEDS, check_decidable, parse_budget, run_until_decided
from unlabeled.platform.cli.declared import check_profile, say_json, say_list, say_study
from unlabeled.platform.cli.index import index, remembered
from unlabeled.platform.cli.launch import Launch, starts_runs
from unlabeled.platform.cli.options import DryRun, Home, Json, Profile, StudyName, parse_seeds
from unlabeled.platform.cli.planning import say_plan
from unlabeled.platform.cli.sweeping import find_study, finish, seeds_show, sweep
from unlabeled.platform.drive.home import find_home, has_store
from unlabeled.platform.errors import UserError, lookup

LISTED = ("name", "question", "cost")  # of what is declared, in lists for programs

app = typer.Typer(help="List, show and run studies.", no_args_is_help=True)


@app.command("list")
def study_list(json_: Json = False) -> None:
    """List the studies, their questions and what they cost."""
    studies = index()["studies"]
    if json_:
        say_json([{name: study[name] for name in LISTED} for study in studies.values()])
        return
    say_list((name, study["question"], study["cost"]) for name, study in studies.items())


@app.command("show")
def study_show(name: StudyName, profile: Profile = "laptop", home: Home = None, json_: Json = False) -> None:
    """Show what a study asks, runs and claims, and how small a difference its seeds can show."""
    is_file = name.endswith(".py")
    if is_file:
        from unlabeled.platform.cli.gathered import of_study

        study = of_study(find_study(name))
    else:
        study = lookup("study", name, index()["studies"])
    check_profile(study, profile)
    record = study["profiles"][profile]["record"]
    if is_file or has_store(find_home(home)):
        can = seeds_show(study["name"], record, home)
    else:
        can = remembered(f"shows {name} {profile}", lambda: seeds_show(name, record, home))
    if json_:
        say_json({**study, "seeds_show": can})
    else:
        say_study(study, profile, can)


@app.command("run")
@starts_runs
def study_run(
    launch: Launch,
    name: StudyName,
    profile: Profile = "laptop",
    seeds: Annotated[str | None, typer.Option(help="Such as 0,1,2 or 0-4.", show_default="the study's own")] = None,
    row: Annotated[
        list[str] | None,
        typer.Option(
            help="Run only this row; repeatable. The others can follow.",
            autocompletion=complete.rows,
            show_default="all",
        ),
    ] = None,
    until_decided: Annotated[
        bool, typer.Option("--until-decided", help="Add seeds to rows of open claims until all claims are decided.")
    ] = False,
    max_seeds: Annotated[
        int | None, typer.Option(help="Most seeds of a row, with --until-decided.", show_default="20")
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(help="Time that --until-decided may take, such as 45m or 2h.", show_default="no bound"),
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Run what is unfinished of a study, and write its report."""
    from unlabeled.platform.drive.address import check_address

    check_address(launch.resources)
    declared = study = find_study(name)
    if seeds is not None:
        study = study.with_field("seeds", parse_seeds(seeds))
    if not until_decided and (max_seeds is not None or budget is not None):
        named = "--max-seeds" if max_seeds is not None else "--budget"
        raise UserError(f"{named} bounds a study that runs until it is decided; give --until-decided, too")
    seconds = math.inf if budget is None else parse_budget(budget)
    most = MAX_SEEDS if max_seeds is None else max_seeds
    if until_decided:
        check_decidable(study, most)
    if until_decided and row:
        raise UserError("--until-decided runs whichever rows open claims need; leave --row out")
    base = study.base(profile, launch.changes)
    record = declared.record(profile) if row else None  # some rows of some seeds are no other design
    if dry_run:
        say_plan(study, base, profile, launch.home, launch.resources, row or (), record=record)
        return
    if until_decided:
        outcome = run_until_decided(study, base, profile, launch.home, launch.resources, most, seconds)
        finish(study.name, outcome, launch.home, launch.json)
        return
    from unlabeled.platform.drive.sweep import run_on_tune

    outcome = sweep(study, base, profile, launch.home, launch.resources, run_on_tune, row or (), record)
    finish(study.name, outcome, launch.home, launch.json, again=name, some_rows=bool(row))
