"""What is declared, as plain values, kept in a file until a source changes: names are said without importing torch.

Studies, searches and methods are values of the files that train, so importing their names takes seconds. They are read
off the values themselves, once, by whichever command first wants them; commands that print names, and a shell's
completion, read the file. It lies in the user's cache and may go at any time.
"""

import contextlib
import hashlib
import importlib.util
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import unlabeled
from unlabeled.platform.cached import cache_folder, leave_newest, write_whole

_LAYERS = ("platform", "methods", "studies", "dashboards")
_MOST = 8  # places of the code whose names are kept: those where they were made last
_SUFFIXES = (".py", ".csv")  # published tables are part of what is declared


def index() -> dict[str, Any]:
    """Return all that is declared; see :func:`~unlabeled.platform.cli.gathered.gather`."""

    def gather() -> Any:
        from unlabeled.platform.cli.gathered import gather

        return gather()

    found: dict[str, Any] = remembered("declared", gather)
    return found


def peek() -> dict[str, Any] | None:
    """Return what :func:`index` does where that takes no time, and None where it would."""
    found: dict[str, Any] | None = _read().get("declared")
    return found


def remembered(what: str, make: Callable[[], Any]) -> Any:
    """Return what was made once of the declarations, JSON values; it is made anew after a source has changed."""
    kept = _read()
    if what not in kept:
        key = _key()  # before: a source that changes while it is made is read anew
        kept[what] = json.loads(json.dumps(make()))
        _write(kept, key)
    return kept[what]


def _read() -> dict[str, Any]:
    """Return what is kept, if it was made of the sources as they are."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):  # anything may lie there
        place = _place()
        found = json.loads(place.read_bytes() if place is not None else b"")
        if found["key"] == _key() and all(_stat(Path(path)) == was for path, was in found["others"].items()):
            kept: dict[str, Any] = found["kept"]
            return kept
    return {}


def _write(kept: dict[str, Any], key: str) -> None:
    """Keep it, where the cache can be written, unless a package brings what can't be loaded: that may be mended."""
    place, others = _place(), kept.get("declared", {}).get("others", [])
    if place is None or others is None:
        return
    text = json.dumps({"key": key, "others": {path: _stat(Path(path)) for path in others}, "kept": kept})
    with contextlib.suppress(OSError):
        write_whole(place, lambda file: file.write(text.encode()))
        leave_newest(place.parent, "declared-*.json", _MOST)


def _place() -> Path | None:
    """Return the file, one for each place that the code lies in; None where the user has no cache."""
    cache = cache_folder()
    return None if cache is None else cache / f"declared-{_digest([unlabeled.__file__])}.json"


def _key() -> str:
    """Name the state of our sources, and of what is installed beside: packages may bring methods."""
    folders = (
        place
        for layer in _LAYERS
        if (found := importlib.util.find_spec(f"unlabeled.{layer}")) is not None
        for place in found.submodule_search_locations or ()
    )
    sources = sorted(f"{path} {_stat(path)}" for folder in folders for path in _sources(folder))
    brought = sorted(
        f"{package.version} {point.group} {point.name} {point.value}"
        for package in distributions()
        for point in package.entry_points
        if point.group.startswith("unlabeled.")
    )
    return _digest([sys.version, unlabeled.__version__, *sources, *brought])


def _sources(folder: str) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__"]
        yield from (Path(place, name) for name in files if name.endswith(_SUFFIXES))


def _stat(path: Path) -> list[int]:
    try:
        found = path.stat()
    except OSError:
        return []
    return [found.st_mtime_ns, found.st_size]


def _digest(words: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:16]
