"""A study of one's own, in a Python file: run like a script, so that it finds the modules beside it."""

import importlib.util
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlabeled.platform.errors import UserError, explain

if TYPE_CHECKING:
    from unlabeled.platform.study import Study

_opened: list[Path] | None = None  # files that are opened while a study is loaded
_loaded: dict[str, Path] = {}  # module -> the study's file


def load_study(path: Path) -> "Study":
    """Return the ``STUDY`` that a Python file declares.

    Raises:
        UserError: there is no such file, or it can't be run, with the line where it fails.
    """
    from pydantic import ValidationError

    from unlabeled import methods
    from unlabeled.platform.drive.parcel import use_folder
    from unlabeled.platform.study import Study

    assert methods.METHODS, "importing them makes them known to RunConfig"
    if not path.is_file():
        raise UserError(
            f"there is no file {path}; give a study's name or the path of a Python file that declares STUDY"
        )
    name = path.stem
    if name in sys.modules and name not in _loaded:
        raise UserError(f"{path} is called like the module {name!r}, which is in use; give it another name")
    spec = importlib.util.spec_from_file_location(name, path.absolute())
    assert spec is not None, "of any file that ends in .py"
    assert spec.loader is not None, "of any file that ends in .py"
    module = importlib.util.module_from_spec(spec)
    use_folder(path.parent)
    _loaded[name], sys.modules[name] = path, module  # its classes are found by this name in other processes
    try:
        spec.loader.exec_module(module)
    except ValidationError as error:
        raise UserError(f"the study in {_where(path, error)} is not one that can run: {explain(error)}") from None
    except UserError as error:
        raise UserError(f"{_where(path, error)}: {error}") from None
    except (Exception, SystemExit) as error:
        said = " ".join(str(error.msg if isinstance(error, SyntaxError) else error).split())
        raise UserError(f"{_where(path, error)}: {type(error).__name__}{f': {said}' if said else ''}") from None
    study = getattr(module, "STUDY", None)
    if not isinstance(study, Study):
        raise UserError(f"{path} declares no STUDY; studies/projection_head.py is an example")
    return study


def files_beside(path: Path) -> list[Path]:
    """Return what a study's file needs of its folder: itself, the modules that it imports, the files that it reads.

    Paths are relative to the folder. What it would read later is not known.
    """
    global _opened
    if _opened is None:
        sys.addaudithook(_note_opened)
    folder, before, _opened = path.absolute().parent, set(sys.modules), []
    try:
        load_study(path)
        opened = list(_opened)
    finally:
        _opened = []
    found = {Path(path.name)}
    for name in set(sys.modules) - before:
        for inner in (Path(*name.split(".")).with_suffix(".py"), Path(*name.split("."), "__init__.py")):
            if getattr(sys.modules[name], "__file__", None) == str(folder / inner):
                found.add(inner)
    for place in opened:
        if place.is_relative_to(folder) and place.is_file() and "__pycache__" not in place.parts:
            inner = place.relative_to(folder)
            if place.suffix != ".py" and not {"site-packages", "dist-packages"} & set(inner.parts):
                found.add(inner)
    return sorted(found)


def _note_opened(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and _opened is not None and isinstance(arguments[0], str) and arguments[1] in ("r", "rb", None):
        _opened.append(Path(os.path.abspath(arguments[0])))


def _where(path: Path, error: BaseException) -> str:
    """Name the line that an error comes from: the last one that the user wrote."""
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        return f"{_as_given(error.filename, path)}:{error.lineno}"
    folder = path.absolute().parent
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = Path(frame.filename)
        if file.parent == folder or file == path.absolute():
            return f"{_as_given(frame.filename, path)}:{frame.lineno}"
    return str(path)


def _as_given(filename: str, path: Path) -> str:
    """Write a file of the study's folder as the study's own path was written."""
    file = Path(filename)
    return str(path.parent / file.name) if file.parent == path.absolute().parent else filename
