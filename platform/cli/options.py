"""Options that several commands share, and what they mean."""

import contextlib
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unlabeled.platform.cli import complete
from unlabeled.platform.errors import UserError

if TYPE_CHECKING:  # Pillow is loaded by what draws
    from PIL.Image import Image

Home = Annotated[
    Path | None,
    typer.Option(help="Folder of runs, store and reports.", envvar="UNLABELED_HOME", show_default="runs/"),
]
DataRoot = Annotated[
    Path | None,
    typer.Option(help="Folder of downloaded data sets.", envvar="UNLABELED_DATA", show_default="data/"),
]
StudyName = Annotated[
    str,
    typer.Argument(
        help="Study's name, as `unlabeled study list` lists them, or a Python file that declares STUDY.",
        autocompletion=complete.studies,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print it for programs, as JSON.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be run, and for how long.")]
Profile = Annotated[str, typer.Option(help="Scale: laptop, workstation or cluster.", autocompletion=complete.profiles)]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        autocompletion=complete.changes,
        help="Set a field, such as encoder=resnet18 or optimizer.learning_rate=0.001; repeatable.",
    ),
]

_MOST_SEEDS = 10_000  # of a range


def parse_changes(assignments: list[str] | None, micro_batch: int | None = None) -> dict[str, Any]:
    """Read ``--set``: path -> value, JSON where it is JSON and text otherwise; ``--micro-batch`` is one of them.

    Of a field that takes a list, numbers or words with commas between are one: ``method.head=256,128``.
    """
    changes: dict[str, Any] = {} if micro_batch is None else {"micro_batch": micro_batch}
    for assignment in assignments or []:
        path, equals, text = assignment.partition("=")
        if not equals or not path:
            raise UserError(f"--set takes PATH=VALUE, got {assignment!r}; for example --set batch_size=128")
        if path.rpartition(".")[2] == "weights" and text != "null" and text[:1] not in ('"', "{"):
            changes[path] = text  # digits alone are a run's too
            continue
        try:
            changes[path] = _from_here(json.loads(text))
        except json.JSONDecodeError:
            changes[path] = _listed(text) if "," in text and _takes_list(path) else from_here(text)
    return changes


def weights_of_runs(changes: dict[str, Any], home: Path | None) -> dict[str, Any]:
    """Return changes in which ``encoder.weights`` of a run's id names that run's file of weights.

    Raises:
        UserError: there is no such run in the home's store, or it isn't finished.
    """
    name = changes.get("encoder.weights")
    if not isinstance(name, str):
        return changes
    from unlabeled.platform.drive.finished import encoder_of, is_id

    return {**changes, "encoder.weights": str(encoder_of(name, home))} if is_id(name) else changes


def _takes_list(path: str) -> bool:
    """Tell whether a field of a run, by its dotted path, takes a list of plain values."""
    from unlabeled.platform.cli.index import index
    from unlabeled.platform.cli.spots import at

    with contextlib.suppress(UserError):  # said where it is set
        return any(spot.field["type"].startswith(("list of ", "[")) for spot in at(index()["settings"], path))
    return False


def _listed(text: str) -> list[Any]:
    """Read values with commas between."""
    found: list[Any] = []
    for part in text.strip("[]() ").split(","):
        try:
            found.append(json.loads(part))
        except json.JSONDecodeError:
            found.append(part.strip())
    return found


def set_from_here(assignment: str) -> str:
    """Return a word of ``--set`` that means elsewhere what it means here: paths of folders are absolute in it."""
    path, equals, text = assignment.partition("=")
    if path == "encoder.weights" and Path(text).expanduser().exists():
        return f"{path}={Path(text).expanduser().absolute()}"
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return f"{path}{equals}{from_here(text)}"
    return assignment if _from_here(value) == value else f"{path}{equals}{json.dumps(_from_here(value))}"


def _from_here(value: Any) -> Any:
    """Do it for every text in a value as JSON has it."""
    if isinstance(value, dict):
        return {name: _from_here(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_from_here(inner) for inner in value]
    return from_here(value) if isinstance(value, str) else value


def from_here(data: str) -> str:
    """Let a relative ``folder:PATH``, or other PATH of data, start where the user is, not at the data root."""
    from unlabeled.platform.data.catalogue import WITH_PATH

    prefix, colon, place = data.partition(":")
    is_place = prefix + colon in WITH_PATH and place
    return f"{prefix}:{Path(place).expanduser().absolute()}" if is_place else data


def check_png(out: Path) -> None:
    """Refuse, before anything is drawn, a path that no PNG can be written to."""
    if out.suffix.lower() != ".png":
        raise UserError(f"--out takes the path of a .png file, got {str(out)!r}")
    if not out.absolute().parent.is_dir():
        raise UserError(f"{out} can't be written: there is no folder {out.absolute().parent}; make it, or give another")


def save_png(page: "Image", out: Path) -> None:
    """Write a picture; UserError where that can't be."""
    try:
        page.save(out)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{out} can't be written: {reason}; give another path with --out") from None


def parse_seeds(text: str) -> tuple[int, ...]:
    """Read ``--seeds``: whole numbers, and ranges with both ends in them.

    >>> parse_seeds("0-2,7")
    (0, 1, 2, 7)

    Raises:
        UserError: it is something else, or a range of more than 10,000.
    """
    found: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(-?\d+)(?:\s*-\s*(\d+))?\s*", part)
        first, last = (int(end) for end in (match[1], match[2] or match[1])) if match else (1, 0)
        if not 0 <= last - first < _MOST_SEEDS:
            raise UserError(
                f"--seeds takes whole numbers with commas between, or a range, such as 0,1,2 or 0-4, got {text!r}"
            )
        found += range(first, last + 1)
    return tuple(found)


def use_data_root(data_root: Path | None) -> None:
    """Let this process, and all that it starts, look for data sets there."""
    if data_root is not None:
        os.environ["UNLABELED_DATA"] = str(data_root.absolute())
