"""``unlabeled submit``: the same commands, as a job on a Ray cluster."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from unlabeled.platform.addresses import without_secrets
from unlabeled.platform.errors import UserError

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
    words = [*_checked(command), "--home", str(home.expanduser().absolute())]
    if data_root is not None:
        words += ["--data-root", str(data_root.expanduser().absolute())]
    from unlabeled.platform.submit import Cluster

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


def _checked(command: list[str]) -> list[str]:
    """Return the words that the job runs, parsed here first: a mistyped option is not worth a job."""
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
    if context.params.get("address"):
        raise UserError("--address names the cluster to submit to, and a job runs on that one")
    if kind == "study":
        from unlabeled.platform.cli.sweeping import find_study

        find_study(context.params["name"])
    return [*KINDS[kind], *rest]
