"""Pictures in a column of Arrow or Parquet files."""

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

import torch
from PIL import Image
from torch import Tensor

from unlabeled.platform.data.contents import damage_named
from unlabeled.platform.data.digests import shown
from unlabeled.platform.data.images import StoredImages
from unlabeled.platform.data.pictures import picture_named
from unlabeled.platform.data.threads import in_threads
from unlabeled.platform.errors import UserError

MAX_PARQUET = 4 * 2**30  # bytes, of one split


@final
class ArrowImages(StoredImages):
    """Pictures in a column of Arrow or Parquet files, decoded when they are read: the field ``image``."""

    def __init__(self, folder: Path, files: Sequence[str], column: str, px: int) -> None:
        """Take files by their paths below ``folder``, and the column's name."""
        super().__init__(px)
        self._place = folder, tuple(files), column
        self._column: Any = None
        self._rows = torch.arange(len(self._pictures()))

    def __len__(self) -> int:
        return len(self._rows)

    def extents(self, index: Tensor, field: str) -> Tensor:
        """Return the pictures' height and width as stored, int64 [B, 2]; their heads are read for it.

        Raises:
            UserError: a picture can't be read; its row is named.
        """
        self.check_has(field)
        found = list(in_threads(self._size, self.items(index)))
        return torch.tensor(found, dtype=torch.int64).view(-1, 2)

    def items(self, index: Tensor) -> list[int]:
        """Return their rows in the table, which is opened here rather than once a thread."""
        self._pictures()
        return self._rows[index].tolist()

    def stored(self, item: int) -> tuple[Path, Path | io.BytesIO]:
        """Return what a picture is called, and what it is opened from."""
        folder, _, column = self._place
        stored = self._column[item].as_py() or {}
        if isinstance(stored, bytes):
            stored = {"bytes": stored}
        content, path = stored.get("bytes"), stored.get("path")
        file = folder / (f"{column}[{item}]" if content is not None or path is None else inside(folder, path))
        if content is None and path is None:
            raise UserError(f"{shown(file)} has no picture; take that row out")
        return file, file if content is None else io.BytesIO(content)

    def take(self, rows: Tensor) -> "ArrowImages":
        """Return the pictures ``rows`` in that order, of the same files."""
        part = object.__new__(ArrowImages)
        part.__dict__.update(self.__dict__)
        part._rows = self._rows[rows]
        return part

    def paths(self) -> list[str]:
        """Return the paths below the folder of pictures that lie beside the table rather than in it.

        Raises:
            UserError: one leads out of the folder.
        """
        column = self._pictures()
        if column.type.get_field_index("path") < 0:
            return []
        found = []
        for chunk in column.chunks:
            outside = chunk.filter(chunk.field("bytes").is_null())
            there = [
                each for each in outside.field("path").to_pylist() if each is not None
            ]  # else a row has no picture
            found += [inside(self._place[0], each) for each in there]
        return found

    def __getstate__(self) -> dict[str, Any]:
        """Leave the table where it is: whoever unpickles this opens it again."""
        return {**self.__dict__, "_column": None}

    def _pictures(self) -> Any:
        if self._column is None:
            folder, files, column = self._place
            with damage_named(column, folder, "save or download it again"):
                self._column = open_table(folder, files)[column]
        return self._column

    def _size(self, row: int) -> tuple[int, int]:
        import pyarrow as pa

        cell = self._column[row]
        is_inside = pa.types.is_struct(cell.type) and cell.is_valid and cell.type.get_field_index("bytes") >= 0
        content = cell["bytes"] if is_inside else cell
        is_binary = pa.types.is_binary(content.type) or pa.types.is_large_binary(content.type)
        if content.is_valid and is_binary:  # its head is read where it lies, and no more copied
            folder, _, column = self._place
            file, opened = folder / f"{column}[{row}]", pa.BufferReader(content.as_buffer())
        else:
            file, opened = self.stored(row)
        with picture_named(file), Image.open(opened) as picture:
            return picture.height, picture.width


def open_table(place: Path, files: Sequence[str]) -> Any:
    """Open Arrow files (mapped into memory) or Parquet files (read whole) as one table.

    Raises:
        UserError: Parquet files are larger than is read into memory.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    parts = []
    if files[0].endswith(".parquet"):
        size = sum((place / file).stat().st_size for file in files)
        if size > MAX_PARQUET:
            raise UserError(
                f"the Parquet files in {shown(place)} are {size / 2**30:.0f} GiB, and up to {MAX_PARQUET / 2**30:.0f} "
                "are read into memory; save the data set with `save_to_disk`, which is mapped instead"
            )
        parts = [pq.ParquetFile(place / file).read() for file in files]
    else:
        for file in files:
            mapped = pa.memory_map(os.fspath(place / file))
            is_file = mapped.read(6) == b"ARROW1"  # else a stream, which is what save_to_disk writes
            mapped.seek(0)
            parts.append((pa.ipc.open_file(mapped) if is_file else pa.ipc.open_stream(mapped)).read_all())
    return pa.concat_tables(parts)


def inside(place: Path, path: str) -> str:
    """Return a path below a folder as it is.

    Raises:
        UserError: it leads out of it.
    """
    if os.path.isabs(path) or ".." in Path(path).parts:
        raise UserError(
            f"{shown(place)} has a picture in {shown(path)}, which is not below it; save the data set with its pictures"
        )
    return path
