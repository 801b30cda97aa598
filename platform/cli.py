"""The command line: ``unlabeled``. The one place that knows platform, methods, studies and dashboards together.

Every import of weight stands inside the command that needs it, so that ``--help`` answers at once.
"""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unlabeled.platform.errors import UserError, unknown

if TYPE_CHECKING:
    from unlabeled.platform.config import RunConfig
    from unlabeled.platform.study import Study
    from unlabeled.platform.sweep import Outcome

app = typer.Typer(
    help="Self-supervised learning experiments on Ray, with reports that judge published claims.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
study_app = typer.Typer(help="List, show and run studies.", no_args_is_help=True)
data_app = typer.Typer(help="List and download data sets.", no_args_is_help=True)
app.add_typer(study_app, name="study")
app.add_typer(data_app, name="data")

Home = Annotated[Path | None, typer.Option(help="Folder of runs, store and reports [UNLABELED_HOME, or runs/].")]
DataRoot = Annotated[Path | None, typer.Option(help="Folder of downloaded data sets [UNLABELED_DATA, or data/].")]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Set a field; may be repeated.")]
AtOnce = Annotated[int | None, typer.Option(help="Most runs at the same time [as many as fit].")]
Address = Annotated[str | None, typer.Option(help="Ray cluster to use [one of its own].")]


def main() -> None:
    """Run the command line; a user's mistake is one line and exit code 2."""
    try:
        app()
    except UserError as error:
        print(f"unlabeled: {error}", file=sys.stderr)
        sys.exit(2)


@study_app.command("list")
def study_list() -> None:
    """List the studies and their questions."""
    from unlabeled.studies import STUDIES

    for name, study in STUDIES.items():
        print(f"{name:24} {study.question}")


@study_app.command("show")
def study_show(name: str, profile: str = "laptop") -> None:
    """Show what a study asks, runs and claims."""
    study = _study(name)
    base = study.base(profile)
    print(f"{study.question}\n\nsource    {study.source}\nexpected  {study.expected}\ncost      {study.cost}")
    print(
        f"measure   {study.measure}, seeds {', '.join(map(str, study.seeds))}, profiles {', '.join(study.profiles)}\n"
    )
    for row, fields in study.row_settings().items():
        print(f"  {row:16} {', '.join(f'{path}={value}' for path, value in fields.items())}")
    print("\nclaims")
    for claim in study.claims:
        print(f"  {claim.statement} Published: {claim.published}.")
    print(f"\nbase run, profile {profile}; any of these can be --set, but for what the rows set")
    for path, value in base.parameters().items():
        print(f"  {path:32} {value}")


@study_app.command("run")
def study_run(
    name: str,
    profile: Annotated[str, typer.Option(help="Scale: laptop, workstation or cluster.")] = "laptop",
    set_: Set = None,
    seeds: Annotated[str | None, typer.Option(help="Seeds, such as 0,1,2 [the study's own].")] = None,
    home: Home = None,
    data_root: DataRoot = None,
    at_once: AtOnce = None,
    cpus_per_run: Annotated[int, typer.Option(help="Cores, and threads, of a run.")] = 1,
    gpus_per_run: Annotated[
        float | None, typer.Option(help="GPUs of a run, or a fraction [1 where there are any].")
    ] = None,
    retries: Annotated[int, typer.Option(help="Restarts of a run whose process or node was lost.")] = 2,
    address: Address = None,
) -> None:
    """Run what is unfinished of a study, and write its report."""
    _use_data_root(data_root)
    from unlabeled.platform.sweep import Resources, run_on_tune

    study = _study(name)
    if seeds is not None:
        study = study.with_field("seeds", _seeds(seeds))
    resources = Resources.checked(
        cpus_per_run=cpus_per_run, gpus_per_run=gpus_per_run, at_once=at_once, retries=retries, address=address
    )
    outcome = _sweep(study, study.base(profile, _changes(set_)), profile, home, resources, run_on_tune)
    _finish(study.name, outcome, home)


@app.command("run")
def run(
    method: Annotated[str, typer.Argument(help="Method to pretrain with; `unlabeled methods` lists them.")],
    config: Annotated[
        Path | None, typer.Option(help="Start from this RunConfig (config.json among a run's artifacts).")
    ] = None,
    set_: Set = None,
    home: Home = None,
    data_root: DataRoot = None,
) -> None:
    """Pretrain and evaluate once, in this process."""
    _use_data_root(data_root)
    from unlabeled.methods import METHODS
    from unlabeled.platform.config import RunConfig
    from unlabeled.platform.study import Study
    from unlabeled.platform.sweep import Resources, run_here

    if method not in METHODS:
        raise unknown("method", method, METHODS)
    base = _read_config(config) if config else RunConfig(method=METHODS[method].checked())
    if base.method.name != method:
        raise UserError(f"{config} is a run of {base.method.name!r}, not of {method!r}; name that method")
    for path, value in _changes(set_).items():
        base = base.with_field(path, value)
    study = Study(
        name="runs",
        question="What do single runs give?",
        source="`unlabeled run`",
        expected="Nothing in particular.",
        cost="one run each",
        profiles={"single": base},
        rows={method: {}},
        seeds=(base.seed,),
    )
    outcome = _sweep(study, base, "single", home, Resources(), lambda recorder, display, _: run_here(recorder, display))
    _finish(study.name, outcome, home)


@app.command()
def report(
    name: str,
    home: Home = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write to [reports/NAME in the home].")] = None,
) -> None:
    """Write a study's report from what is logged."""
    from unlabeled.dashboards.publish import publish

    print(publish(name, home, out))


@app.command()
def ui(home: Home = None, port: Annotated[int, typer.Option(help="Port to serve on.")] = 5000) -> None:
    """Serve the MLflow UI on the home's store, and print each study's page."""
    from unlabeled.platform.home import find_home, make_home
    from unlabeled.platform.track import Store, serve

    store = Store(make_home(find_home(home)))
    address = f"http://127.0.0.1:{port}" if store.is_embedded else store.uri
    for title, link in store.pages(address):
        print(f"{title:24} {link}")
    if store.is_embedded:
        sys.exit(serve(store, port))


@app.command()
def augment(
    policy: Annotated[str, typer.Option(help="Policy's name, such as simclr or moco-v2-small.")] = "simclr-small",
    data: Annotated[str, typer.Option(help="Data set to draw from.")] = "emoji",
    images: Annotated[int, typer.Option(min=1, help="Pictures, a row each.")] = 8,
    seed: int = 0,
    out: Annotated[Path, typer.Option(help="PNG to write.")] = Path("views.png"),
    data_root: DataRoot = None,
) -> None:
    """Draw pictures and the views that a policy makes of them."""
    _use_data_root(data_root)
    import torch

    from unlabeled.platform.augment import POLICIES, two_views
    from unlabeled.platform.augment.picture import draw_views
    from unlabeled.platform.data import DataConfig, load

    if policy not in POLICIES:
        raise unknown("policy", policy, POLICIES)
    pictures = load(DataConfig.checked(name=data)).pretrain
    page = draw_views(pictures.batch(torch.arange(min(images, len(pictures)))), two_views(POLICIES[policy]), seed=seed)
    try:
        page.save(out)
    except (OSError, ValueError) as error:
        raise UserError(f"{out} can't be written: {error}; give a path that ends in .png") from None
    print(f"{out}: {POLICIES[policy].summary}")


@app.command()
def methods() -> None:
    """List the methods and their first sentences."""
    from unlabeled.methods import METHODS

    for name, config in METHODS.items():
        module = sys.modules[config.__module__]
        print(f"{name:24} {(module.__doc__ or '').splitlines()[0]}")


@data_app.command("list")
def data_list() -> None:
    """List the data sets."""
    from unlabeled.platform.data import DATASETS

    for name, entry in DATASETS.items():
        print(f"{name:24} {entry.description}")
    print(f"{'folder:PATH':24} your own pictures, with or without class folders")


@data_app.command("download")
def data_download(name: str, data_root: DataRoot = None) -> None:
    """Download a data set into the data root."""
    from unlabeled.platform.data import download

    _use_data_root(data_root)
    print(download(name))


def _study(name: str) -> "Study":
    from unlabeled.studies import STUDIES

    if name not in STUDIES:
        raise unknown("study", name, STUDIES)
    return STUDIES[name]


def _sweep(study: "Study", base: "RunConfig", profile: str, home: Path | None, resources: Any, how: Any) -> "Outcome":
    from unlabeled.platform.display import Display
    from unlabeled.platform.home import make_home
    from unlabeled.platform.sweep import Recorder
    from unlabeled.platform.track import Store

    place = make_home(home)
    recorder = Recorder(study.runs(base), base, place, Store(place).open_study(study.record(profile)))
    waiting = len(recorder.unfinished())
    print(
        f"{study.name}: {recorder.outcome.skipped} of {len(recorder.planned)} runs are done, {waiting} to do; home {place}"
    )
    outcome: Outcome = how(recorder, Display(waiting, study.measure), resources)
    return outcome


def _finish(name: str, outcome: "Outcome", home: Path | None) -> None:
    """Write the report, say where it lies, and leave with the exit code that tells how it went."""
    from unlabeled.dashboards.publish import publish

    if outcome.interrupted:
        print("stopped; the same command goes on from the checkpoints", file=sys.stderr)
        sys.exit(130)
    print(f"{outcome.finished} finished, {outcome.failed} failed, {outcome.skipped} were done before")
    print(f"report: {publish(name, home)}")
    if outcome.failed:
        print(
            f"{outcome.failed} runs failed: the report gives the reasons; the same command tries them again",
            file=sys.stderr,
        )
        sys.exit(1)


def _changes(assignments: list[str] | None) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    for assignment in assignments or []:
        path, equals, text = assignment.partition("=")
        if not equals or not path:
            raise UserError(f"--set takes PATH=VALUE, got {assignment!r}; for example --set batch_size=128")
        try:
            changes[path] = json.loads(text)
        except json.JSONDecodeError:
            changes[path] = text
    return changes


def _seeds(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UserError(f"--seeds takes whole numbers with commas between, such as 0,1,2, got {text!r}") from None


def _read_config(path: Path) -> "RunConfig":
    from pydantic import ValidationError

    from unlabeled.platform.config import RunConfig
    from unlabeled.platform.settings import explain

    try:
        return RunConfig.model_validate_json(path.read_text())
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror}; --config takes a run's config.json") from None
    except ValidationError as error:
        raise UserError(f"{path} is no RunConfig: {explain(error)}") from None


def _use_data_root(data_root: Path | None) -> None:
    if data_root is not None:
        os.environ["UNLABELED_DATA"] = str(data_root.absolute())
