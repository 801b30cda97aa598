"""What every command that starts runs is asked alike: what to change, where to keep it, on what and how wide to run."""

import contextlib
import functools
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, ParamSpec, TextIO

import typer

from unlabeled.platform.cli.options import (
    DataRoot,
    Home,
    Json,
    Set,
    parse_changes,
    use_data_root,
    weights_of_runs,
)
from unlabeled.platform.drive import awaited

if TYPE_CHECKING:
    from unlabeled.platform.drive.resources import Resources

Own = ParamSpec("Own")


@dataclass(frozen=True)
class Launch:
    """The options that all commands share which start runs.

    Attributes:
        changes: path of a field -> the value that it is set to.
        home: folder of runs, store and reports; None is the one that the environment names.
        resources: where and how wide runs go.
        json: takes the answer for programs; None where people read it. All words go to stderr then.
    """

    changes: dict[str, Any]
    home: Path | None
    resources: "Resources"
    json: TextIO | None = None


def starts_runs(command: Callable[Concatenate[Launch, Own], None]) -> Callable[..., None]:
    """Give a command the options of :func:`launched` after its own, and hand it their values as its first argument.

    A wrong value is a ``UserError`` before the command begins.
    """
    _, *own = inspect.signature(command).parameters.values()
    shared = inspect.signature(launched).parameters

    @functools.wraps(command)
    def with_options(**given: Any) -> None:
        launch = launched(**{name: given.pop(name) for name in shared})
        with contextlib.redirect_stdout(sys.stderr) if launch.json else contextlib.nullcontext():
            command(launch, **given)  # type: ignore[call-arg]  # typer gives each argument by its name

    parameters = [*own, *shared.values()]
    with_options.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    with_options.__annotations__ = {each.name: each.annotation for each in parameters} | {"return": None}
    return with_options


def launched(
    set_: Set = None,
    micro_batch: Annotated[
        int | None,
        typer.Option(help="Images in memory at a time; as --set micro_batch=N.", show_default="the batch"),
    ] = None,
    home: Home = None,
    data_root: DataRoot = None,
    workers: Annotated[int, typer.Option(help="Processes that train a run together.")] = 1,
    min_workers: Annotated[
        int | None, typer.Option(help="With how many it may go on when nodes are lost.", show_default="all")
    ] = None,
    max_concurrent: Annotated[
        int | None, typer.Option(help="Most runs at the same time.", show_default="as many as fit")
    ] = None,
    cpus_per_run: Annotated[
        int | None,
        typer.Option(help="Cores, and threads, of a run or worker.", show_default="1; without a cluster, all"),
    ] = None,
    gpus_per_run: Annotated[
        float | None,
        typer.Option(
            help="1 is a GPU for each run or worker, less a share of one.", show_default="1 where there are any"
        ),
    ] = None,
    loader_threads: Annotated[
        int | None,
        typer.Option(help="Threads of a run or worker that read ahead; 0 none.", show_default="what does good"),
    ] = None,
    loaders: Annotated[int, typer.Option(help="Cores of other nodes that read for each run or worker.")] = 0,
    compile_: Annotated[
        bool,
        typer.Option(
            "--compile", help="Train through encoders compiled by torch, for GPUs: same numbers but rounding."
        ),
    ] = False,
    retries: Annotated[int, typer.Option(help="Restarts of a run whose process or node was lost.")] = 2,
    address: Annotated[str | None, typer.Option(help="Ray cluster to use.", show_default="one of its own")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say how it ended, and what went wrong.")] = False,
    json_: Json = False,
) -> Launch:
    """Read the options; runs of this process, and of those that it starts, find their data in ``data_root``.

    Raises:
        UserError: one has a value that it can't have.
    """
    answers = sys.stdout if json_ else None  # before a line that lives takes it over
    awaited.be_quiet(quiet)
    awaited.awaits("loading PyTorch")
    from unlabeled.platform.drive.resources import Resources

    use_data_root(data_root)
    fields: dict[str, Any] = {"workers": workers, "min_workers": min_workers, "max_concurrent": max_concurrent}
    fields |= {"gpus_per_run": gpus_per_run, "retries": retries, "address": address}
    fields |= {"loader_threads": loader_threads, "loaders": loaders, "compile": compile_}
    if cpus_per_run is not None:
        fields["cpus_per_run"] = cpus_per_run
    changes = weights_of_runs(parse_changes(set_, micro_batch), home)
    return Launch(changes, home, Resources.checked(**fields), answers)
