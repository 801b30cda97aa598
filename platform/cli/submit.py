"""``unlabeled submit``: the same commands, as a job on a Ray cluster."""

import os
import sys
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unlabeled.platform.addresses import without_secrets
from unlabeled.platform.cli.options import set_from_here
from unlabeled.platform.errors import UserError

if TYPE_CHECKING:
    from unlabeled.platform.drive.submit import Given

KINDS = {"study": ["study", "run"], "search": ["search", "run"], "run": ["run"]}


def submit(
    command: Annotated[
        list[str],
        typer.Argument(
            metavar="COMMAND...",
            help="`study NAME`, `search NAME` or `run METHOD`, with the options of `unlabeled study run`, and so on.",
        ),
    ],
    address: Annotated[
        str,
        typer.Option(
            help="The cluster's dashboard.", envvar=["RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"], show_default=True
        ),
    ] = "http://127.0.0.1:8265",
    home: Annotated[
        Path | None,
        typer.Option(help="Folder of runs, store and reports that all nodes see.", envvar="UNLABELED_HOME"),
    ] = None,
    data_root: Annotated[
        Path | None,
        typer.Option(help="Folder of downloaded data sets that all nodes see.", envvar="UNLABELED_DATA"),
    ] = None,
    wait: Annotated[bool, typer.Option(help="Follow the log, and exit as the job does.")] = True,
) -> None:
    """Run a study, a search or a single run as a job on a Ray cluster, with this code; nothing is installed there."""
    if home is None:
        raise UserError(
            "a job's own folder is thrown away after it; say where its runs go, in a folder that all nodes see, "
            "with --home or UNLABELED_HOME"
        )
    words = _checked(command)
    words += ["--home", str(home.expanduser().absolute())]
    if data_root is not None:
        words += ["--data-root", str(data_root.expanduser().absolute())]
    from unlabeled.platform.drive.submit import Cluster

    store = os.environ.get("MLFLOW_TRACKING_URI", "")
    if store != without_secrets(store):
        print(
            "the password in MLFLOW_TRACKING_URI stays here, for the cluster's dashboard shows what a job is given; "
            "its nodes need MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
            file=sys.stderr,
        )
    cluster = Cluster(address)
    job = cluster.submit(words)
    print(f"{job} submitted; stop it with {cluster.how_to_stop(job)}", file=sys.stderr)
    if not wait:
        print(f"follow it with {cluster.how_to_follow(job)}", file=sys.stderr)
        return
    try:
        code = cluster.follow(job)
    except KeyboardInterrupt:
        print(
            f"\nthe job goes on; follow it with {cluster.how_to_follow(job)}, stop it with {cluster.how_to_stop(job)}",
            file=sys.stderr,
        )
        code = 130
    sys.exit(code)


def _checked(command: list[str]) -> "list[str | Given]":
    """Return the words that the job runs, with the files that it takes along.

    They are parsed here first, as a mistyped option is not worth a job, and written anew from what was parsed: a path
    here is another one there. So a file goes along, a folder has to be seen there under its absolute path.
    """
    from unlabeled.platform.cli import app

    kind, *rest = command
    if kind not in KINDS:
        raise UserError(f"{kind!r} can't be submitted; `unlabeled submit` takes {', '.join(KINDS)}")
    if len(KINDS[kind]) > 1 and rest[:1] == ["run"]:  # as it is called without submit
        rest = rest[1:]
    here: Any = typer.main.get_command(app)
    for name in KINDS[kind]:
        here = here.commands[name]
    context = here.make_context(" ".join(["unlabeled", *KINDS[kind]]), list(rest))
    if context.params.get("address") and _was_typed(context, "address"):
        raise UserError("--address names the cluster to submit to, and a job runs on that one")
    hints = typing.get_type_hints(_function(kind))
    words: list[str | Given] = list(KINDS[kind])
    for parameter in here.params:
        if not _was_typed(context, parameter.name):
            continue
        value = context.params[parameter.name]
        for each in value if parameter.multiple else [value]:
            words += _as_typed(parameter, _there(kind, parameter.name, hints[parameter.name], each))
    return words


def _function(kind: str) -> Any:
    from unlabeled.platform.cli import run, search, study

    return {"study": study.study_run, "search": search.search_run, "run": run.run}[kind]


def _was_typed(context: Any, name: str) -> bool:
    return bool(context.get_parameter_source(name).name == "COMMANDLINE")


def _as_typed(parameter: Any, word: "Any | Given") -> "list[str | Given]":
    from unlabeled.platform.drive.submit import Given

    if parameter.param_type_name != "argument" and parameter.is_flag:
        return [(parameter.opts if word else parameter.secondary_opts)[0]]
    typed = word if isinstance(word, Given) else str(word)
    if parameter.param_type_name == "argument":
        return [typed]
    option = max(parameter.opts, key=len)
    return [f"{option}={typed}"] if isinstance(typed, str) and typed.startswith("-") else [option, typed]


def _there(kind: str, name: str, hint: Any, value: Any) -> "Any | Given":
    """Return a value as the job's command has it, or the file that goes along for it."""
    from unlabeled.platform.drive.submit import Given

    if name == "set_":
        return set_from_here(str(value))
    if name == "name" and kind == "study":
        return _study_there(str(value))
    if Path not in (hint, *typing.get_args(hint)):
        return value
    path = Path(value).expanduser().absolute()
    if name == "config":
        from unlabeled.platform.cli.run import read_config

        read_config(path)
    return Given(path.parent, path.name) if path.is_file() else path


def _study_there(name: str) -> "str | Given":
    from unlabeled.platform.cli.studyfile import files_beside
    from unlabeled.platform.cli.sweeping import find_study
    from unlabeled.platform.drive.submit import Given

    if not name.endswith(".py"):
        find_study(name)
        return name
    path = Path(name).expanduser().absolute()
    return Given(path.parent, path.name, tuple(files_beside(path)))
