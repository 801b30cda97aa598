"""What is in files, as sha256, without reading any of them twice.

A file's digest is kept under its path, size, times and inode, one cache file for each folder of pictures, in
``$XDG_CACHE_HOME/unlabeled/`` or ``~/.cache/unlabeled/``. It is only ever a saving: where it can't be written, or is
damaged, the pictures are read again. Several processes may write at once; the last one wins, and all write the same.
"""

import contextlib
import hashlib
import os
import stat
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from unlabeled.platform.cached import cache_folder, leave_newest, write_whole
from unlabeled.platform.errors import UserError

_ROW = np.dtype([("path", "V16"), ("state", "<i8", (4,)), ("digest", "V32")])
_SETTLED_NS = 3 * 10**9  # a file changed so lately may change again within one tick of its file system's clock
_MOST = 100  # folders that are remembered, those that were looked at last
_AT_ONCE = 256
_THREADS = 8  # that wait for a disk, or a far one; reading and hashing let each other run

Rows = npt.NDArray[np.void]
Check = Callable[[Path, bytes], object]


def file_digests(folder: Path, paths: Sequence[str], check: Check | None = None) -> list[bytes]:
    """Return the sha256 of each file's contents.

    Args:
        folder: absolute; what the paths start at.
        paths: each once.
        check: is told the path and the contents of each file that is read for the first time, and may refuse it;
            without it none is held whole.

    Raises:
        UserError: a file is missing or can't be read; it is named. Or what ``check`` raises.
    """
    rows = np.zeros(len(paths), _ROW)
    keys = b"".join(hashlib.sha256(os.fsencode(path)).digest()[:16] for path in paths)
    rows["path"] = np.frombuffer(keys, "V16")
    kept = _aligned(kept_rows(folder, "digests", _ROW), rows)
    settled = np.ones(len(paths), bool)

    def look(start: int) -> None:
        part = paths[start : start + _AT_ONCE]
        rows["state"][start : start + len(part)] = [file_state(os.path.join(folder, path)) for path in part]

    def read(number: int) -> None:
        state = tuple(rows["state"][number].tolist())
        digest, settled[number] = _read(folder / paths[number], state, check)
        rows["digest"][number] = np.void(digest)

    with ThreadPoolExecutor(_THREADS) as pool:
        for _ in pool.map(look, range(0, len(paths), _AT_ONCE)):
            pass
        is_new = (rows["state"] != kept["state"]).any(axis=1)
        rows["digest"][~is_new] = kept["digest"][~is_new]
        for _ in pool.map(read, np.flatnonzero(is_new).tolist()):
            pass
    if (is_new & settled).any():
        keep_rows(folder, "digests", rows[settled])
    return [digest.tobytes() for digest in rows["digest"]]


def _aligned(kept: Rows, rows: Rows) -> Rows:
    """Return what was kept of each path in ``rows``; a state that no file has where nothing was."""
    if np.array_equal(kept["path"], rows["path"]):
        return kept
    place = {key: number for number, key in enumerate(kept["path"].tolist())}
    found = np.array([place.get(key, -1) for key in rows["path"].tolist()], np.int64)
    aligned = np.zeros(len(rows), _ROW)
    aligned["state"] = -1
    aligned[found >= 0] = kept[found[found >= 0]]
    return aligned


def shown(path: str | os.PathLike[str]) -> str:
    """Write a path or name as text that any terminal, JSON or database takes: what is none is escaped.

    >>> shown("caf\\udce9/two\\nlines.png")
    'caf\\\\xe9/two\\\\x0alines.png'
    """
    text = os.fsencode(path).decode(errors="backslashreplace")
    return "".join(c if c.isprintable() else "".join(f"\\x{byte:02x}" for byte in c.encode()) for c in text)


def unreadable(path: str | os.PathLike[str], error: OSError) -> UserError:
    """Say in one line that something in a folder of pictures can't be read, and why."""
    if os.path.islink(path) and not os.path.exists(path):
        return UserError(
            f"{shown(path)} is a link to {shown(os.readlink(path))}, which is not there; "
            "mount or fetch that, or take the link out"
        )
    reason = (error.strerror or type(error).__name__).lower()
    return UserError(f"can't read {shown(path)} ({reason}); make it readable or take it out")


def file_state(path: str) -> tuple[int, int, int, int]:
    """Return what tells whether a file is as it was: size, times of change, inode.

    Raises:
        UserError: it is no file, or can't be looked at.
    """
    try:
        status = os.stat(path)
    except OSError as error:
        raise unreadable(path, error) from error
    if not stat.S_ISREG(status.st_mode):  # reading a pipe would wait for ever
        raise UserError(f"{shown(path)} is no file, though it is called like a picture; take it out")
    return _state_of(status)


def _state_of(status: os.stat_result) -> tuple[int, int, int, int]:
    # ctime, too: who puts other contents there and turns mtime back can't turn that back.
    inode = status.st_ino if status.st_ino < 2**63 else status.st_ino - 2**64
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, inode


def _read(path: Path, state: tuple[int, int, int, int], check: Check | None) -> tuple[bytes, bool]:
    """Return a file's digest, and whether it may be kept: not if the file is still being written."""
    try:
        with path.open("rb") as file:
            if check is None:  # films are too large to be held whole
                digest = hashlib.file_digest(file, "sha256").digest()
            else:
                content = file.read()
                digest = hashlib.sha256(content).digest()
            is_settled = _state_of(os.fstat(file.fileno())) == state
    except OSError as error:
        raise unreadable(path, error) from error
    if check is not None:
        check(path, content)
    is_settled = is_settled and max(state[1:3]) < time.time_ns() - _SETTLED_NS
    return digest, is_settled


def kept_rows(folder: Path, what: str, kind: np.dtype[np.void]) -> Rows:
    """Return the rows that were kept for a folder; none where they are missing or damaged."""
    place = _place(folder, what)
    try:
        content = b"" if place is None else place.read_bytes()
    except OSError:
        content = b""
    if content and place is not None:
        with contextlib.suppress(OSError):
            os.utime(place)  # the folder was looked at, so it is one of those that stay
    start = len(_head(what)) + 32
    head, body = content[:start], content[start:]
    if head != _head(what) + hashlib.sha256(body).digest() or len(body) % kind.itemsize:
        return np.zeros(0, kind)
    return np.frombuffer(body, kind)


def keep_rows(folder: Path, what: str, rows: Rows) -> None:
    """Keep rows for a folder in the place of those that are kept; where that can't be, nothing is lost but time."""
    place = _place(folder, what)
    if place is None:
        return
    body = rows.tobytes()
    with contextlib.suppress(OSError):
        write_whole(place, lambda file: file.writelines((_head(what), hashlib.sha256(body).digest(), body)))
        leave_newest(place.parent, f"*.{what}", _MOST)


def _place(folder: Path, what: str) -> Path | None:
    cache = cache_folder()
    return None if cache is None else cache / f"{hashlib.sha256(os.fsencode(folder)).hexdigest()[:32]}.{what}"


def _head(what: str) -> bytes:
    return f"unlabeled {what} 1\n".encode()
