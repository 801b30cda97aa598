"""What is in a Debian package, taken out by the standard library alone."""

import io
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from unlabeled.platform.data.contents import damage_named
from unlabeled.platform.data.digests import shown
from unlabeled.platform.errors import UserError

_HEADER = 60  # bytes of an ar archive's member: name 16, times and owners 32, size 10, end 2


def unpack(package: Path, below: str, suffixes: tuple[str, ...], target: Path) -> None:
    """Copy a package's plain files below one of its folders to a new folder, which is there whole or not at all.

    Links, devices and names that lead elsewhere are passed over.

    Raises:
        UserError: it is no package, is damaged, or the target can't be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
    except OSError as error:
        raise UserError(
            f"can't unpack {shown(package)} to {shown(target)} ({error.strerror}); make room there"
        ) from error
    try:
        with damage_named(package.name, package.parent, "get it again"), package.open("rb") as file:
            for path, content in _files(file, below, suffixes):
                (place / path).parent.mkdir(parents=True, exist_ok=True)
                (place / path).write_bytes(content)
        if not target.exists():
            try:
                os.rename(place, target)
            except OSError:
                if not target.is_dir():  # else another process was faster
                    raise
    finally:
        shutil.rmtree(place, ignore_errors=True)


class _Part(io.RawIOBase):
    """The next so many bytes of a file, to be read once."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        super().__init__()
        self._file, self._left = file, size

    def readable(self) -> bool:
        """Say yes."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Return up to so many bytes."""
        got = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(got)
        return got


def _files(file: BinaryIO, below: str, suffixes: tuple[str, ...]) -> Iterator[tuple[PurePosixPath, bytes]]:
    """Yield the files in a package's data, by their paths below a folder."""
    if file.read(8) != b"!<arch>\n":
        raise ValueError("it is no Debian package")
    while len(header := file.read(_HEADER)) == _HEADER:
        name, size = header[:16].decode("ascii").strip().rstrip("/"), int(header[48:58])
        if not name.startswith("data.tar"):
            file.seek(size + size % 2, io.SEEK_CUR)
            continue
        with tarfile.open(fileobj=_Part(file, size), mode="r|*") as archive:
            for member in archive:
                path = PurePosixPath(member.name)
                if (
                    member.isfile()
                    and ".." not in path.parts
                    and path.suffix in suffixes
                    and path.is_relative_to(below)
                ):
                    content = archive.extractfile(member)
                    assert content is not None
                    yield path.relative_to(below), content.read()
        return
    raise ValueError("it holds no data.tar")
