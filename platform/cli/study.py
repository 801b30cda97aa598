"""``unlabeled study``: list, show and run studies."""

from typing import Annotated

import typer

from unlabeled.platform.cli.options import (
    Address,
    AtOnce,
    CpusPerRun,
    DataRoot,
    FewestWorkers,
    GpusPerRun,
    Home,
    MicroBatch,
    Profile,
    Retries,
    Set,
    StudyName,
    Workers,
    as_set,
    parse_changes,
    parse_seeds,
    use_data_root,
)
from unlabeled.platform.cli.sweeping import find_study, finish, say_plan, seeds_show, sweep

app = typer.Typer(help="List, show and run studies.", no_args_is_help=True)


@app.command("list")
def study_list() -> None:
    """List the studies and their questions."""
    from unlabeled.studies import STUDIES

    for name, study in STUDIES.items():
        print(f"{name:24} {study.question}")


@app.command("show")
def study_show(name: StudyName, profile: Profile = "laptop", home: Home = None) -> None:
    """Show what a study asks, runs and claims, and how small a difference its seeds can show."""
    from unlabeled.platform.config import plain
    from unlabeled.platform.study import OURS

    study = find_study(name)
    base = study.base(profile)
    print(f"{study.question}\n\nsource    {study.source}\nexpected  {study.expected}\ncost      {study.cost}")
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
        print(f"  {claim.statement}{published}{'' if claim.kind == 'difference' else ' Declared, not judged yet.'}")
    if can := seeds_show(study, profile, home):
        print("\nwhat its seeds can show")
        for sentence in can:
            print(f"  {sentence}")
    print(f"\nbase run, profile {profile}; all but the seed can be changed with --set PATH=VALUE")
    varied = {path for fields in rows.values() for path in fields}
    whole = base.parameters()
    for path, value in base.flat().items():
        if path not in varied:
            print(f"  {path:32} {as_set(value, otherwise=whole[path])}")


@app.command("run")
def study_run(
    name: StudyName,
    profile: Profile = "laptop",
    set_: Set = None,
    seeds: Annotated[str | None, typer.Option(help="Such as 0,1,2.", show_default="the study's own")] = None,
    home: Home = None,
    data_root: DataRoot = None,
    workers: Workers = 1,
    fewest_workers: FewestWorkers = None,
    micro_batch: MicroBatch = None,
    at_once: AtOnce = None,
    cpus_per_run: CpusPerRun = 1,
    gpus_per_run: GpusPerRun = None,
    retries: Retries = 2,
    address: Address = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be run, and for how long.")] = False,
) -> None:
    """Run what is unfinished of a study, and write its report."""
    use_data_root(data_root)
    from unlabeled.platform.drive.cluster import check_address
    from unlabeled.platform.drive.resources import Resources

    resources = Resources.checked(
        cpus_per_run=cpus_per_run,
        gpus_per_run=gpus_per_run,
        workers=workers,
        fewest_workers=fewest_workers,
        at_once=at_once,
        retries=retries,
        address=address,
    )
    check_address(resources)
    study = find_study(name)
    if seeds is not None:
        study = study.with_field("seeds", parse_seeds(seeds))
    base = study.base(profile, parse_changes(set_, micro_batch))
    if dry_run:
        say_plan(study, base, profile, home, resources)
        return
    from unlabeled.platform.drive.sweep import run_on_tune

    outcome = sweep(study, base, profile, home, resources, run_on_tune)
    finish(study.name, outcome, home)
