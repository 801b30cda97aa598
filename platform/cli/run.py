"""``unlabeled run``: one run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unlabeled.platform.cli import complete
from unlabeled.platform.cli.launch import Launch, starts_runs
from unlabeled.platform.cli.options import DryRun, parse_seeds
from unlabeled.platform.cli.planning import say_plan
from unlabeled.platform.cli.sweeping import check_name, finish, sweep
from unlabeled.platform.errors import UserError, explain, lookup

if TYPE_CHECKING:
    from unlabeled.platform.config import RunConfig


@starts_runs
def run(
    launch: Launch,
    method: Annotated[
        str | None,
        typer.Argument(
            help="Method to pretrain with; `unlabeled methods` lists them. --config names its own.",
            autocompletion=complete.methods,
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="Start from this RunConfig (config.json among a run's artifacts).")
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="Such as 0,1,2 or 0-4.", show_default="the run's own")] = None,
    dry_run: DryRun = False,
    profile_steps: Annotated[
        int | None,
        typer.Option(help="Profile so many steps: say where their time goes, and keep a trace.", show_default="none"),
    ] = None,
) -> None:
    """Pretrain and evaluate once, or over several seeds: in this process, or on several workers."""
    if method is not None:
        check_name("method", "methods", method)
    from unlabeled.platform.drive.address import check_address
    from unlabeled.platform.drive.home import is_in_job
    from unlabeled.platform.drive.sweep import run_here, run_on_tune
    from unlabeled.platform.study import Study

    base = _base(method, config)
    for path, value in launch.changes.items():
        base = base.with_field(path, value)
    study = Study(
        name="runs",
        question="What do single runs give?",
        source="`unlabeled run`",
        expected="Nothing in particular.",
        cost="one run each",
        profiles={"single": base},
        rows={base.method.name: {}},
        seeds=(base.seed,) if seeds is None else parse_seeds(seeds),
    )
    if seeds is not None and "seed" in launch.changes:
        raise UserError(f"--seeds {seeds} and --set seed={base.seed} both say the seed; leave one out")
    resources = launch.resources
    if profile_steps is not None:
        resources = resources.with_field("profile_steps", profile_steps)
    how = run_on_tune if resources.workers == 1 and (resources.address or is_in_job()) else run_here
    if resources.workers > 1 or how is run_on_tune:
        check_address(resources)
    if dry_run:
        say_plan(study, base, "single", launch.home, resources, in_turn=how is run_here)
        return
    outcome = sweep(study, base, "single", launch.home, resources, how)
    if profile_steps is not None and outcome.skipped:
        raise UserError(
            "no step was profiled: this run is done; give it another seed (--set seed=1), or another --home"
        )
    finish(study.name, outcome, launch.home, launch.json)


def _base(method: str | None, config: Path | None) -> "RunConfig":
    """Return the run that a method, a file or both name."""
    from unlabeled.methods import METHODS
    from unlabeled.platform.config import RunConfig

    if method is None and config is None:
        raise UserError(f"name a METHOD or give a --config; the methods are: {', '.join(METHODS)}")
    if method is not None:
        lookup("method", method, METHODS)
    base = read_config(config) if config else RunConfig(method=METHODS[str(method)].checked())
    if method is not None and base.method.name != method:
        raise UserError(f"{config} is a run of {base.method.name!r}, not of {method!r}; name that method")
    return base


def read_config(path: Path) -> "RunConfig":
    """Return the run that a file holds, or say what is wrong with it."""
    from pydantic import ValidationError

    from unlabeled import methods
    from unlabeled.platform.config import RunConfig

    assert methods.METHODS, "importing them makes them known to RunConfig"
    try:
        return RunConfig.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror}; --config takes a run's config.json") from None
    except ValidationError as error:
        raise UserError(f"{path} is no RunConfig: {explain(error)}") from None
