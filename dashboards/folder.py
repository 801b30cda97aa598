"""A folder that reports are written into, which may hold other people's files.

What a report wrote is named, with its digest, in a manifest beside it. Nothing else is ever replaced or deleted: a file
that is in the way, because no report wrote it or because it was changed since, is refused before anything is written; a
file of an earlier report that the new one does not have goes, unless it was changed since.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import stat
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from unlabeled.platform.errors import UserError

MANIFEST = ".unlabeled-report.json"
VERSION = 1


@dataclass(frozen=True)
class Pages:
    """Files to be written into a folder, in place of those that were written there before.

    Attributes:
        folder: where; made if needed.
        files: path from the folder -> text.
        is_whole: whether what they were made from had the study's record. Pages without it don't replace pages with it.
    """

    folder: Path
    files: Mapping[str, str]
    is_whole: bool = True

    def check(self) -> None:
        """See that nothing is in the way, and write nothing.

        Raises:
            UserError: a file that is not the last report's own lies where one is to be written, or a link or a file
                where a folder has to be; the manifest can't be read; or a page would lose the record of its study.
        """
        check_record(self.folder, self.is_whole)
        ours, _ = _manifest(self.folder)
        for name in self.files:
            self._check_way(name)
            state = _state(self.folder / name)
            if state and state not in ours.get(name, ()):
                what = "was changed since a report wrote it" if name in ours else "is not a report's"
                raise UserError(
                    f"{self.folder / name} {what}, so it is not replaced; nothing was written: move it away, or give "
                    "another folder with --out"
                )

    def write(self) -> Path:
        """Write the files, take away those of the report before that are not among them, and return the first page.

        Raises:
            UserError: as in :meth:`check`; or the folder can't be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with _one_at_a_time(self.folder):
                self.check()
                self._write()
        except OSError as error:
            reason = error.strerror or error
            raise UserError(
                f"the report can't be written into {self.folder}: {reason}; make room or get the permission, or give "
                "another folder with --out"
            ) from error
        return self.folder / "index.html"

    def _write(self) -> None:
        before, _ = _manifest(self.folder)
        texts = {name: text.encode() for name, text in self.files.items()}
        after = {name: (_digest(text),) for name, text in texts.items()}
        # Both until all is done: a write that is cut off leaves files of either, and all of them are ours.
        either = {name: (*before.get(name, ()), *after.get(name, ())) for name in {**before, **after}}
        self._note(either)
        for name, text in texts.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            _replace(path, text)
        for name in before.keys() - after.keys():
            path = self.folder / name
            if not self._is_within(name) or not (state := _state(path)):
                continue
            if state in before[name]:
                path.unlink()
                with contextlib.suppress(OSError):  # a folder goes when nothing is left in it
                    path.parent.rmdir()
            else:
                print(f"{path} was changed since a report wrote it, so it is left alone", file=sys.stderr)
        self._note(after)

    def _note(self, files: Mapping[str, tuple[str, ...]]) -> None:
        manifest = {"version": VERSION, "whole": self.is_whole, "files": {name: files[name] for name in sorted(files)}}
        _replace(self.folder / MANIFEST, (json.dumps(manifest, indent=1) + "\n").encode())

    def _check_way(self, name: str) -> None:
        for part in list(PurePosixPath(name).parents)[
            -2::-1
        ]:  # from the outermost folder; the last is the folder itself
            path = self.folder / part
            if path.is_symlink() or (path.exists() and not path.is_dir()):
                raise UserError(
                    f"{path} has to be a folder, and is {'a link' if path.is_symlink() else 'a file'}; nothing was "
                    "written: move it away, or give another folder with --out"
                )

    def _is_within(self, name: str) -> bool:
        return not any((self.folder / part).is_symlink() for part in PurePosixPath(name).parents if part.name)


def check_record(folder: Path, is_whole: bool) -> None:
    """See that a page made with its study's record is not replaced by one made without.

    Raises:
        UserError: it would be.
    """
    if not is_whole and _manifest(folder)[1]:
        raise UserError(
            f"no study.json was found with the runs, so the report in {folder}, which was made with one, is kept as it "
            "is; see that the store's artifacts are where they were, or give another folder with --out"
        )


def written_in(folder: Path) -> list[str]:
    """List the files in a folder that a report wrote there, changed since or not; none where there is no manifest."""
    try:
        return sorted(_manifest(folder)[0])
    except UserError:
        return []


def _manifest(folder: Path) -> tuple[dict[str, tuple[str, ...]], bool]:
    """Return path -> digests that are ours, and whether they were made with the study's record."""
    path = folder / MANIFEST
    if not os.path.lexists(path):
        return {}, False
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        files = {name: tuple(digests) for name, digests in found["files"].items() if _is_inside(name)}
        whole = bool(found["whole"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} names the files that a report wrote, and can't be read ({type(error).__name__}); nothing was "
            "written: move that folder away, or give another with --out"
        ) from None
    return files, whole


def _is_inside(name: Any) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and path.name not in ("", MANIFEST)


def _state(path: Path) -> str:
    """Return a file's digest; nothing where there is none, and what it is where it is no plain file."""
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return ""
    return _digest(path.read_bytes()) if stat.S_ISREG(mode) else stat.filemode(mode)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _replace(path: Path, content: bytes) -> None:
    """Write a file as a whole or not at all: a reader never sees half of it."""
    half = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        half.write_bytes(content)
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)


@contextlib.contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Let one process at a time write into a folder: two drivers may end the same study at once."""
    place = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # not every file system has locks
            fcntl.flock(place, fcntl.LOCK_EX)
        yield
    finally:
        os.close(place)
