"""``unlabeled study``: list, show and run studies."""

from typing import Annotated

import typer

from unlabeled.platform.cli.declared import check_profile, say_json, say_list, say_study
from unlabeled.platform.cli.index import index, remembered
from unlabeled.platform.cli.launch import Launch, starts_runs
from unlabeled.platform.cli.options import Home, Json, Profile, StudyName, parse_seeds
from unlabeled.platform.cli.sweeping import find_study, finish, say_plan, seeds_show, sweep
from unlabeled.platform.drive.home import find_home, has_store
from unlabeled.platform.errors import lookup

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
    seeds: Annotated[str | None, typer.Option(help="Such as 0,1,2.", show_default="the study's own")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be run, and for how long.")] = False,
) -> None:
    """Run what is unfinished of a study, and write its report."""
    from unlabeled.platform.drive.address import check_address

    check_address(launch.resources)
    study = find_study(name)
    if seeds is not None:
        study = study.with_field("seeds", parse_seeds(seeds))
    base = study.base(profile, launch.changes)
    if dry_run:
        say_plan(study, base, profile, launch.home, launch.resources)
        return
    from unlabeled.platform.drive.sweep import run_on_tune

    outcome = sweep(study, base, profile, launch.home, launch.resources, run_on_tune)
    finish(study.name, outcome, launch.home)
