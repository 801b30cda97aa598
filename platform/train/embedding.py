"""Features of a data set as a file, with what is told of each item; written as they are made, never all in memory."""

import contextlib
import io
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from unlabeled.platform.data import Data, Source
from unlabeled.platform.errors import UserError
from unlabeled.platform.evaluate.features import CHUNK, encode
from unlabeled.platform.evaluate.pixels import pixels
from unlabeled.platform.processor import Processor
from unlabeled.platform.train.whole import check_free, whole

SPLITS = ("train", "validation", "test")
_CLIPS = 16  # seen at a time, each of several frames
_GROUP = 2**24  # numbers of features in a row group of Parquet, 64 MiB


@dataclass(frozen=True)
class Block:
    """Some items of a split.

    Attributes:
        split: its name.
        index: int64 [B], their places in the split.
        features: float32 [B, D].
        labels: int64 [B], the number of the class; -1 where an item has none.
        files: their paths, where they have files of their own.
    """

    split: str
    index: npt.NDArray[np.int64]
    features: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    files: list[str] | None


def check_out(out: Path) -> None:
    """Refuse, before anything is computed, a path that features can't be written to.

    Raises:
        UserError: it ends in neither .parquet nor .npz, is there already, or its folder is not.
    """
    if out.suffix.lower() not in _WRITERS:
        raise UserError(f"--out takes the path of a .parquet or .npz file, got {str(out)!r}")
    check_free(out)
    if not out.absolute().parent.is_dir():
        raise UserError(f"{out} can't be written: there is no folder {out.absolute().parent}; make it, or give another")


@torch.no_grad()
def embed(module: nn.Module, data: Data, splits: Sequence[str], out: Path, processor: Processor) -> tuple[int, int]:
    """Write what an encoder makes of the splits of data to a Parquet or NPZ file.

    Args:
        module: the encoder, or a layer of a method; in eval mode.
        data: showing what it sees.
        splits: of :data:`SPLITS`.
        out: ends in .parquet or .npz, and is not there yet.
        processor: what to compute on.

    Returns:
        Of how many items, and how many features each.

    Raises:
        UserError: see :func:`check_out`; or a file can't be read or written.
    """
    check_out(out)
    module = module.to(processor.device)
    sources = {split: getattr(data, split) for split in splits}
    count = sum(map(len, sources.values()))
    with whole(out) as half, _WRITERS[out.suffix.lower()](half, count, data.classes) as writer:
        for split, source in sources.items():
            for block in _blocks(module, split, source, data.field, processor):
                writer.write(block)
    return count, writer.dim


def _blocks(module: nn.Module, split: str, source: Source, field: str, processor: Processor) -> Iterator[Block]:
    size = _CLIPS if source.fields[field].kind == "clip" else CHUNK
    parts = torch.split(source.rows, size)
    has_class = source.known("class") if "class" in source.fields else torch.zeros(len(source), dtype=torch.bool)
    with contextlib.closing(pixels(source, parts, processor, field)) as read:
        for rows, x in zip(parts, read, strict=True):
            with processor.autocast():
                features = encode(module, x, processor).float().cpu().numpy()
            labels, known = torch.full((len(rows),), -1), has_class[rows]
            if known.any():
                labels[known] = source.tensor(rows[known], "class")
            yield Block(split, rows.numpy(), features, labels.numpy(), source.files(rows, field))


class _Writer(ABC):
    """Writes blocks to a file. How many features an item has, ``dim``, is that of the first block."""

    dim = 0

    def __init__(self, path: Path, count: int, classes: Sequence[str]) -> None:
        self.path, self.count, self.classes = path, count, classes

    def __enter__(self) -> Self:
        return self

    @abstractmethod
    def write(self, block: Block) -> None: ...

    @abstractmethod
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class _Parquet(_Writer):
    """Columns ``split, index, path, label, class, features``, a row an item; ``features`` are lists of one length."""

    _file: Any = None
    _waiting: list[Any]
    _numbers = 0

    def write(self, block: Block) -> None:
        import pyarrow as pa

        self.dim = block.features.shape[1]
        known = block.labels >= 0
        names = [self.classes[label] if label >= 0 else None for label in block.labels.tolist()]
        flat = pa.array(block.features.reshape(-1))
        columns = {
            "split": pa.array([block.split] * len(block.index)),
            "index": pa.array(block.index),
            **({} if block.files is None else {"path": pa.array(block.files)}),
            **(
                {"label": pa.array(block.labels, mask=~known), "class": pa.array(names, pa.string())}
                if self.classes
                else {}
            ),
            "features": pa.FixedSizeListArray.from_arrays(flat, self.dim),
        }
        table = pa.table(columns)
        if self._file is None:
            import pyarrow.parquet

            self._file, self._waiting = pyarrow.parquet.ParquetWriter(self.path, table.schema), []
        self._waiting.append(table)
        self._numbers += block.features.size
        if self._numbers >= _GROUP:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        if self._waiting:
            self._file.write_table(pa.concat_tables(self._waiting))
        self._waiting, self._numbers = [], 0

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._file is not None:
            if kind is None:
                self._flush()
            self._file.close()


class _Npz(_Writer):
    """Arrays ``features`` [N, D], ``split``, ``index``, ``label`` [N], ``class``, names by number, and ``path`` [N]."""

    def __enter__(self) -> Self:
        self._told: dict[str, list[Any]] = {"split": [], "index": [], "label": [], "path": []}
        self._archive = zipfile.ZipFile(self.path, "w", zipfile.ZIP_STORED, allowZip64=True)
        self._member = self._archive.open("features.npy", "w", force_zip64=True)
        return self

    def write(self, block: Block) -> None:
        if not self.dim:
            self.dim = block.features.shape[1]
            head = io.BytesIO()
            shape: Mapping[str, Any] = {"descr": "<f4", "fortran_order": False, "shape": (self.count, self.dim)}
            np.lib.format.write_array_header_1_0(head, dict(shape))
            self._member.write(head.getvalue())
        self._member.write(np.ascontiguousarray(block.features, "<f4").tobytes())
        self._told["split"] += [block.split] * len(block.index)
        self._told["index"] += block.index.tolist()
        self._told["label"] += block.labels.tolist()
        self._told["path"] += block.files or []

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._member.close()
        with self._archive:
            told = {name: np.array(values) for name, values in self._told.items() if values}
            if self.classes:
                told["class"] = np.array(self.classes)
            else:
                told.pop("label", None)
            for name, values in told.items():
                with self._archive.open(f"{name}.npy", "w") as member:
                    np.lib.format.write_array(member, values, allow_pickle=False)


_WRITERS: Mapping[str, type[_Writer]] = {".parquet": _Parquet, ".npz": _Npz}
