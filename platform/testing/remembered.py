"""Items that are made once: tests look at few, many times, and a film takes longer to make than to learn from."""

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import final

import torch
from torch import Tensor

from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data, DataConfig, Source
from unlabeled.platform.data.format import SEEN
from unlabeled.platform.data.source import Window
from unlabeled.platform.train.loaded import load_cached

_READ_AT_ONCE = 64


@final
class Remembered(Source):
    """The items of a source; a field is read whole when it is first asked for, and kept. Windows are read each time."""

    def __init__(self, source: Source) -> None:
        self.fields, self._source = source.fields, source
        self._kept: dict[str, Tensor] = {}

    def __len__(self) -> int:
        return len(self._source)

    def known(self, field: str) -> Tensor:
        """Return which items have the field."""
        return self._source.known(field)

    def read(self, index: Tensor, field: str) -> Tensor | list[str]:
        """Return the field of items ``index``."""
        self.check_has(field)
        if self.fields[field].kind not in SEEN or not self.known(field).all():
            return self._source.read(index, field)
        if field not in self._kept:
            parts = torch.split(self.rows, _READ_AT_ONCE)
            self._kept[field] = torch.cat([self._source.tensor(part, field) for part in parts])
        return self._kept[field][index]

    def extents(self, index: Tensor, field: str) -> Tensor | None:
        """Return how large the pictures ``index`` are as stored."""
        return self._source.extents(index, field)

    def read_windows(self, index: Tensor, field: str, windows: Sequence[Window]) -> list[Tensor]:
        """Return windows of pictures ``index``."""
        return self._source.read_windows(index, field, windows)

    def take(self, rows: Tensor) -> "Remembered":
        """Return the items ``rows``, with what is kept of them."""
        part = Remembered(self._source.take(rows))
        part._kept = {field: values[rows] for field, values in self._kept.items()}
        return part


def remembered(run: RunConfig) -> Data:
    """Return a run's data, whose items to train on are made once."""
    return _remembered(run.data, run.method.field)


@functools.lru_cache(maxsize=16)
def _remembered(config: DataConfig, field: str) -> Data:
    data = load_cached(config).showing(field)
    return replace(data, pretrain=Remembered(data.pretrain))
