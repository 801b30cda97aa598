"""The user's cache: files that may be made again, and go at any time."""

import contextlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO


def cache_folder() -> Path | None:
    """Return the folder for what may be made again; None where the user has no place for it."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "unlabeled"
    except RuntimeError:  # no account, no HOME
        return None


def write_whole(place: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file beside its place and move it there, so that nobody ever reads a part of it.

    Raises:
        OSError: it can't be written; then nothing is left behind.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
        os.replace(name, place)
    except BaseException:
        os.unlink(name)
        raise


def leave_newest(folder: Path, pattern: str, most: int) -> None:
    """Remove files of a name but for those that were written last; nothing where that can't be."""
    with contextlib.suppress(OSError):  # another process may do the same
        for place in sorted(folder.glob(pattern), key=lambda place: place.stat().st_mtime_ns)[:-most]:
            place.unlink(missing_ok=True)
