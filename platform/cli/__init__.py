"""The command line: ``unlabeled``. The one place that knows platform, methods, studies and dashboards together.

Every import of weight stands inside the command that needs it, so that ``--help`` answers at once.
"""

import sys
import traceback
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from unlabeled.platform.addresses import scrub
from unlabeled.platform.cli import data, fields, hand, look, probe, run, search, send, status, study, submit
from unlabeled.platform.drive import awaited
from unlabeled.platform.errors import UserError, lacking

_MISUSE: Any = typer.BadParameter.__base__  # click's UsageError, which typer has from click or a copy, by its version

PANELS = {
    "Start here": ("study", "run"),
    "What there is, and what can be set": ("methods", "fields", "data", "augment"),
    "What came of it": ("status", "report", "ui"),
    "Further": ("search", "probe", "embed", "export", "submit", "send"),
}


def _version(asked: bool) -> None:
    if asked:
        from unlabeled import __version__

        print(f"unlabeled {__version__}")
        raise typer.Exit


class _InOrder(TyperGroup):
    """Lists commands as people need them."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [name for names in PANELS.values() for name in names]


def _panel(name: str) -> str:
    return next(panel for panel, names in PANELS.items() if name in names)


app = typer.Typer(
    cls=_InOrder,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def unlabeled(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Self-supervised learning experiments on Ray, with reports that judge published claims."""


GROUPS = {"study": study.app, "search": search.app, "data": data.app}
COMMANDS: dict[str, Callable[..., None]] = {
    **{"run": run.run, "status": status.status, "report": look.report, "ui": look.ui, "augment": look.augment},
    **{
        "methods": fields.methods,
        "fields": fields.fields,
        "probe": probe.probe,
        "embed": hand.embed,
        "export": hand.export,
        "submit": submit.submit,
    },
    "send": send.send,
}
for name, group in GROUPS.items():
    app.add_typer(group, name=name, rich_help_panel=_panel(name))
for name, command in COMMANDS.items():
    passes_on = {"ignore_unknown_options": True} if name == "submit" else None
    app.command(name, rich_help_panel=_panel(name), context_settings=passes_on)(command)


def main() -> None:
    """Run the command line; a user's mistake is one line and exit code 2."""
    try:
        try:
            code = app(prog_name="unlabeled", standalone_mode=False)
        finally:
            awaited.end()
    except UserError as error:
        print(f"unlabeled: {error}", file=sys.stderr)
        code = 2
    except _MISUSE as error:  # typer itself would print a usage line and a box
        mistake = error.format_message().rstrip(".")  # none where there are no arguments: the help stands there already
        if mistake:
            command = error.ctx.command_path if error.ctx else "unlabeled"
            print(f"unlabeled: {mistake}; see `{command} --help`", file=sys.stderr)
        code = 2
    except typer.Abort:  # Ctrl-C before anything was begun
        print("stopped", file=sys.stderr)
        code = 130
    except ModuleNotFoundError as error:
        print(lacking(error), file=sys.stderr)
        code = 2
    except Exception:  # a fault of ours; libraries put addresses into what they raise, passwords and all
        print(scrub(traceback.format_exc()), file=sys.stderr, end="")
        code = 1
    sys.exit(code)
