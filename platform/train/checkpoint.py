"""Checkpoints: a run's exact state on disk, whole or not there at all, and checked when read.

A checkpoint is one file, ``step-00001234-<checksum>.pt``, written beside its final name, flushed and renamed. The
checksum in the name covers the content, so a damaged file is recognised and the one before it is taken. Nothing of it
is in memory twice: what is written goes to the disk as it is made, and is read to the CPU, from where whoever takes it
moves it on.
"""

import contextlib
import fcntl
import hashlib
import logging
import os
import re
import secrets
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

import torch
from torch import Tensor

from unlabeled.platform.errors import UserError

KEPT = 2  # the newest, and the one to fall back to
_HALF = "."  # before the name of a file that is being written
_STALE_SECONDS = 3600.0  # since something was written to it: then nobody writes it any more, on whatever host
_NAME = re.compile(r"step-(\d{8})-([0-9a-f]{12})\.pt")
_READ_BYTES = 2**22

State = dict[str, Any]

logger = logging.getLogger(__name__)


def save(folder: Path, step: int, state: State) -> Path:
    """Write ``state`` (tensors and plain values) as the checkpoint of ``step``, and remove all but the newest ones.

    Several processes, on one host or on several, may do so at the same time.

    Raises:
        OSError: it can't be written, for want of room or of permission; the older ones are there as before.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _remove_halves(folder)
    with _beside(folder / f"step-{step:08d}") as (file, beside):
        checked = _Checked(file)
        with _without_crc(), checked.own_errors():
            torch.save(state, cast(BinaryIO, checked))  # of which it asks no more than this
        _sync(file)
        path = folder / f"step-{step:08d}-{checked.digest}.pt"
        beside.replace(path)
    _sync_folder(folder)
    _remove_old(folder, path)
    return path


def load_newest(folder: Path) -> State | None:
    """Read the newest sound checkpoint to the CPU, or return None. A damaged one is passed over with a warning."""
    for path in checkpoints(folder):
        matched = _NAME.fullmatch(path.name)
        assert matched is not None
        if _digest(path) == matched[2]:
            state: State = torch.load(path, map_location="cpu", weights_only=True)
            return state
        logger.warning("checkpoint %s is damaged (its checksum differs); going on from the one before it", path)
    return None


def check_weights(found: Mapping[str, Tensor], own: Mapping[str, Tensor], where: str, remedy: str) -> None:
    """Check that weights have the names and shapes of a module's own.

    Args:
        found: the weights.
        own: the module's ``state_dict()``.
        where: what they were read from, as an error begins.
        remedy: how it ends.

    Raises:
        UserError: they have not.
    """
    odd = sorted({*found} ^ {*own}) or [name for name in own if found[name].shape != own[name].shape]
    if odd:
        more = f" and {len(odd) - 1} more differ" if len(odd) > 1 else " differs"
        raise UserError(
            f"{where} holds other weights than are needed ({odd[0]}{more}): another version wrote it; {remedy}"
        )


def checkpoints(folder: Path) -> list[Path]:
    """List the checkpoints in a folder, newest first."""
    if not folder.is_dir():
        return []
    return sorted((path for path in folder.iterdir() if _NAME.fullmatch(path.name)), reverse=True)


def write_atomically(path: Path, content: bytes | memoryview) -> None:
    """Write a file so that whoever reads its name finds all of it, whatever dies in between.

    Raises:
        OSError: it can't be written, for want of room or of permission; nothing of it is left then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _beside(path) as (file, beside):
        file.write(content)
        _sync(file)
        beside.replace(path)
    _sync_folder(path.parent)


class _Checked:
    """A file that is written from front to back, and what it comes to."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._hash = file, hashlib.sha256()
        self._error: OSError | None = None

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()[:12]

    def write(self, content: bytes | memoryview) -> int:
        try:
            written = self._file.write(content)
        except OSError as error:
            self._error = error
            raise
        self._hash.update(content)
        return written

    @contextlib.contextmanager
    def own_errors(self) -> Iterator[None]:
        """Raise what a write met with, and not what torch makes of it: another error, or none."""
        try:
            yield
        except RuntimeError:
            if self._error is None:
                raise
        if self._error is not None:
            raise self._error

    def flush(self) -> None:
        self._file.flush()


@contextlib.contextmanager
def _beside(path: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """Open a file beside ``path`` that is renamed or goes away; locked, so that others see whether its writer lives."""
    while True:
        beside = path.with_name(f"{_HALF}{path.name}.{secrets.token_hex(8)}@{socket.gethostname()}")
        try:
            with beside.open("wb") as file:
                with contextlib.suppress(OSError):  # a file system without locks: nobody takes it away there
                    fcntl.flock(file, fcntl.LOCK_EX)
                if not beside.exists():  # taken for a dead one's before it was locked
                    continue
                yield file, beside
                return
        except BaseException:
            beside.unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def _without_crc() -> Iterator[None]:
    """Let torch leave out its own checksum of each tensor: it takes as long as ours, and isn't looked at."""
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        yield
    finally:
        torch.serialization.set_crc32_options(before)


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Let the name outlive the machine's crash, too; not every file system has that."""
    with contextlib.suppress(OSError):
        entry = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(entry)
        finally:
            os.close(entry)


def _digest(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(_READ_BYTES):
            found.update(part)
    return found.hexdigest()[:12]


def _remove_old(folder: Path, written: Path) -> None:
    """Leave the one just written, which is whole, and the newest of the others."""
    others = [path for path in checkpoints(folder) if path != written]
    for path in others[KEPT - 1 :]:
        path.unlink(missing_ok=True)


def _remove_halves(folder: Path) -> None:
    """Remove what was being written when its writer was killed; not what is being written, here or on another host.

    A lock tells of this host's writers only, on many file systems: what another host writes is left until it is old.
    """
    here = f"@{socket.gethostname()}"
    for half in folder.glob(f"{_HALF}step-*"):
        with contextlib.suppress(OSError), half.open("r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if half.name.endswith(here) or time.time() - half.stat().st_mtime > _STALE_SECONDS:
                half.unlink()
