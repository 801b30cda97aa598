"""Checkpoints: a run's exact state on disk, whole or not there at all, and checked when read.

A checkpoint is one file, ``step-00001234-<checksum>.pt``, written beside its final name, flushed and renamed. The
checksum in the name covers the content, so a damaged file is recognised and the one before it is taken.
"""

import hashlib
import io
import logging
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unlabeled.platform.errors import UserError

KEPT = 2  # the newest, and the one to fall back to
_HALF = "."  # before the name of a file that is being written
_NAME = re.compile(r"step-(\d{8})-([0-9a-f]{12})\.pt")

State = dict[str, Any]

logger = logging.getLogger(__name__)


def save(folder: Path, step: int, state: State) -> Path:
    """Write ``state`` (tensors and plain values) as the checkpoint of ``step``, and remove all but the newest ones."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getbuffer()
    path = folder / f"step-{step:08d}-{hashlib.sha256(content).hexdigest()[:12]}.pt"
    write_atomically(path, content)
    for old in (*checkpoints(folder)[KEPT:], *folder.glob(f"{_HALF}step-*")):  # of a process that was killed writing
        old.unlink(missing_ok=True)
    return path


def load_newest(folder: Path, device: torch.device) -> State | None:
    """Read the newest sound checkpoint, or return None. A damaged one is named in a warning and passed over."""
    for path in checkpoints(folder):
        content = path.read_bytes()
        matched = _NAME.fullmatch(path.name)
        assert matched is not None
        if hashlib.sha256(content).hexdigest()[:12] == matched[2]:
            state: State = torch.load(io.BytesIO(content), map_location=device, weights_only=True)
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
    beside = path.with_name(f"{_HALF}{path.name}.{secrets.token_hex(4)}")  # a process id is unique on one host only
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
