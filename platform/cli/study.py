"""``unlabeled study``: list, show and run studies."""

from typing import Annotated

import typer

from unlabeled.platform.cli.declared import as_set, say_base, say_question, say_questions
from unlabeled.platform.cli.launch import Launch, starts_runs
from unlabeled.platform.cli.options import Home, Profile, StudyName, parse_seeds
from unlabeled.platform.cli.sweeping import find_study, finish, say_plan, seeds_show, sweep

app = typer.Typer(help="List, show and run studies.", no_args_is_help=True)


@app.command("list")
def study_list() -> None:
    """List the studies and their questions."""
    from unlabeled.studies import STUDIES

    say_questions(STUDIES)


@app.command("show")
def study_show(name: StudyName, profile: Profile = "laptop", home: Home = None) -> None:
    """Show what a study asks, runs and claims, and how small a difference its seeds can show."""
    from unlabeled.platform.config import plain
    from unlabeled.platform.metrics import OURS

    study = find_study(name)
    say_question(study)
    print(
        f"measure   {study.measure}, seeds {', '.join(map(str, study.seeds))}, profiles {', '.join(study.profiles)}\n"
    )
    rows = study.row_settings(profile)
    width = max(map(len, rows))
    print("rows")
    for row, fields in rows.items():
        shown = [f"{path}={as_set(value, otherwise=plain(value))}" for path, value in fields.items()]
        print(f"  {row:{width}}  {', '.join(shown)}")
    print("\nclaims")
    for claim in study.claims:
        published = f" Published: {claim.published}." if claim.published else " Ours." if claim.source == OURS else ""
        print(f"  {claim.statement}{published}")
    if can := seeds_show(study, profile, home):
        print("\nwhat its seeds can show")
        for sentence in can:
            print(f"  {sentence}")
    varied = dict.fromkeys(path for fields in rows.values() for path in fields)
    say_base(study.base(profile), profile, "all but the seed", varied)


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
