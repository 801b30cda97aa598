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

_MISUSE: Any = typer.BadParameter.__base__  # click's UsageError, which typer has from click or a copy, by its version

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

Home = Annotated[
    Path | None,
    typer.Option(help="Folder of runs, store and reports.", envvar="UNLABELED_HOME", show_default="runs/"),
]
DataRoot = Annotated[
    Path | None,
    typer.Option(help="Folder of downloaded data sets.", envvar="UNLABELED_DATA", show_default="data/"),
]
StudyName = Annotated[str, typer.Argument(help="Study's name; `unlabeled study list` lists them.")]
Profile = Annotated[str, typer.Option(help="Scale: laptop, workstation or cluster.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Set a field, such as optimizer.learning_rate=0.001; repeatable."),
]
AtOnce = Annotated[int | None, typer.Option(help="Most runs at the same time.", show_default="as many as fit")]
Workers = Annotated[int, typer.Option(help="Processes that train a run together.")]
FewestWorkers = Annotated[
    int | None, typer.Option(help="With how many it may go on when nodes are lost.", show_default="all")
]
MicroBatch = Annotated[int | None, typer.Option(help="Images of a worker in memory at a time.", show_default="all")]
CpusPerRun = Annotated[int, typer.Option(help="Cores, and threads, of a run or worker.")]
GpusPerRun = Annotated[
    float | None,
    typer.Option(help="GPUs of a run or worker, or a fraction of one.", show_default="1 where there are any"),
]
Retries = Annotated[int, typer.Option(help="Restarts of a run whose process or node was lost.")]
Address = Annotated[str | None, typer.Option(help="Ray cluster to use.", show_default="one of its own")]


def main() -> None:
    """Run the command line; a user's mistake is one line and exit code 2."""
    try:
        code = app(prog_name="unlabeled", standalone_mode=False)
    except UserError as error:
        print(f"unlabeled: {error}", file=sys.stderr)
        code = 2
    except _MISUSE as error:  # typer itself would print a usage line and a box
        mistake = error.format_message().rstrip(".")  # none where there are no arguments: the help stands there already
        if mistake:
            command = error.ctx.command_path if error.ctx else "unlabeled"
            print(f"unlabeled: {mistake}; see `{command} --help`", file=sys.stderr)
        code = 2
    sys.exit(code)


@study_app.command("list")
def study_list() -> None:
    """List the studies and their questions."""
    from unlabeled.studies import STUDIES

    for name, study in STUDIES.items():
        print(f"{name:24} {study.question}")


@study_app.command("show")
def study_show(name: StudyName, profile: Profile = "laptop") -> None:
    """Show what a study asks, runs and claims."""
    study = _study(name)
    base = study.base(profile)
    print(f"{study.question}\n\nsource    {study.source}\nexpected  {study.expected}\ncost      {study.cost}")
    print(
        f"measure   {study.measure}, seeds {', '.join(map(str, study.seeds))}, profiles {', '.join(study.profiles)}\n"
    )
    rows = study.row_settings()
    width = max(map(len, rows))
    print("rows")
    for row, fields in rows.items():
        print(f"  {row:{width}}  {', '.join(f'{path}={_as_set(value)}' for path, value in fields.items())}")
    print("\nclaims")
    for claim in study.claims:
        print(f"  {claim.statement}{f' Published: {claim.published}.' if claim.published else ''}")
    print(f"\nbase run, profile {profile}; all but the seed can be changed with --set PATH=VALUE")
    varied = {path for fields in rows.values() for path in fields}
    whole = base.parameters()
    for path, value in base.flat().items():
        if path not in varied:
            print(f"  {path:32} {_as_set(value, otherwise=whole[path])}")


@study_app.command("run")
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
) -> None:
    """Run what is unfinished of a study, and write its report."""
    _use_data_root(data_root)
    from unlabeled.platform.resources import Resources
    from unlabeled.platform.sweep import run_on_tune

    study = _study(name)
    if seeds is not None:
        study = study.with_field("seeds", _seeds(seeds))
    resources = Resources.checked(
        cpus_per_run=cpus_per_run,
        gpus_per_run=gpus_per_run,
        workers=workers,
        fewest_workers=fewest_workers,
        micro_batch=micro_batch,
        at_once=at_once,
        retries=retries,
        address=address,
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
    workers: Workers = 1,
    fewest_workers: FewestWorkers = None,
    micro_batch: MicroBatch = None,
    retries: Retries = 2,
    address: Address = None,
) -> None:
    """Pretrain and evaluate once: in this process, or on several workers."""
    _use_data_root(data_root)
    from unlabeled.methods import METHODS
    from unlabeled.platform.config import RunConfig
    from unlabeled.platform.resources import Resources
    from unlabeled.platform.study import Study
    from unlabeled.platform.sweep import run_here, run_on_tune

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
    resources = Resources.checked(
        workers=workers, fewest_workers=fewest_workers, micro_batch=micro_batch, retries=retries, address=address
    )
    how = run_on_tune if workers > 1 or address else run_here
    outcome = _sweep(study, base, "single", home, resources, how)
    _finish(study.name, outcome, home)


@app.command()
def report(
    name: Annotated[str, typer.Argument(help="Study's name, or `runs` for those of `unlabeled run`.")],
    home: Home = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write to.", show_default="reports/NAME in home")] = None,
) -> None:
    """Write a study's report from what is logged."""
    from unlabeled.dashboards.publish import publish

    print(publish(name, home, out))


@app.command()
def ui(
    home: Home = None, port: Annotated[int, typer.Option(help="Port to serve on.", min=1, max=65535)] = 5000
) -> None:
    """Serve the MLflow UI on the home's store, and print each study's page."""
    from unlabeled.platform.home import find_home
    from unlabeled.platform.serve import serve
    from unlabeled.platform.track import Store

    _check_port(port)
    store = Store(find_home(home))
    address = f"http://127.0.0.1:{port}" if store.is_embedded else store.uri
    for title, link in store.pages(address) or [("no runs yet", address)]:
        print(f"{title:24} {link}", flush=True)
    if store.is_embedded:
        print("serving until Ctrl-C; it takes some seconds to start", file=sys.stderr)
        sys.exit(serve(store, port))


@app.command()
def augment(
    policy: Annotated[str, typer.Option(help="Policy's name, such as simclr or moco-v2-small.")] = "simclr-small",
    data: Annotated[str, typer.Option(help="Data set to draw from.")] = "emoji",
    images: Annotated[int, typer.Option(min=1, help="Pictures, a row each.")] = 8,
    seed: Annotated[int, typer.Option(help="Another seed draws other views.")] = 0,
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
    if out.suffix.lower() != ".png":
        raise UserError(f"--out takes the path of a .png file, got {str(out)!r}")
    if not out.absolute().parent.is_dir():
        raise UserError(f"{out} can't be written: there is no folder {out.absolute().parent}; make it, or give another")
    pictures = load(DataConfig.checked(name=_from_here(data))).pretrain
    page = draw_views(pictures.batch(torch.arange(min(images, len(pictures)))), two_views(POLICIES[policy]), seed=seed)
    try:
        page.save(out)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{out} can't be written: {reason}; give another path with --out") from None
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
        print(f"{name:24} {entry.description}\n{'':24} {entry.size}; {entry.licence}")


@data_app.command("download")
def data_download(
    name: Annotated[str, typer.Argument(help="Data set's name; `unlabeled data list` lists them.")],
    data_root: DataRoot = None,
) -> None:
    """Download a data set into the data root."""
    from unlabeled.platform.data import download

    _use_data_root(data_root)
    print(download(_from_here(name)))


def _study(name: str) -> "Study":
    from unlabeled.studies import STUDIES

    if name not in STUDIES:
        raise unknown("study", name, STUDIES)
    return STUDIES[name]


def _sweep(study: "Study", base: "RunConfig", profile: str, home: Path | None, resources: Any, how: Any) -> "Outcome":
    from unlabeled.platform.display import Display
    from unlabeled.platform.home import make_home
    from unlabeled.platform.sweep import Recorder, check_runs
    from unlabeled.platform.track import Store

    planned = study.runs(base)
    check_runs(planned, resources)
    place = make_home(home)
    recorder = Recorder(planned, base, place, Store(place).open_study(study.record(profile)))
    waiting = len(recorder.unfinished())
    done = recorder.outcome.skipped
    print(f"{study.name}: {done} of {len(planned)} runs are done, {waiting} to do; home {place}", flush=True)
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
            f"failed runs: {outcome.failed}; the report gives the reasons, and the same command tries them again",
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
            changes[path] = _from_here(text) if path == "data.name" else text
    return changes


def _from_here(data: str) -> str:
    """Let a relative ``folder:PATH`` start where the user is; below it, it would start at the data root."""
    from unlabeled.platform.data.folder import PREFIX

    place = data.removeprefix(PREFIX)
    return f"{PREFIX}{Path(place).expanduser().absolute()}" if data.startswith(PREFIX) and place else data


def _as_set(value: Any, otherwise: Any = None) -> str:
    """Write a value as ``--set`` takes it, or ``otherwise`` where that is too long to read."""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value)
    except TypeError:
        return str(value if otherwise is None else otherwise)


def _check_port(port: int) -> None:
    import socket

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port that was just left may be taken again
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise UserError(f"port {port} can't be served on ({error.strerror}); give another with --port") from None


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
        return RunConfig.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror}; --config takes a run's config.json") from None
    except ValidationError as error:
        raise UserError(f"{path} is no RunConfig: {explain(error)}") from None


def _use_data_root(data_root: Path | None) -> None:
    if data_root is not None:
        os.environ["UNLABELED_DATA"] = str(data_root.absolute())
