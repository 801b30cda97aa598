"""Items of which something is missing, as tests need them."""

from collections.abc import Sequence
from typing import final

from torch import Tensor

from unlabeled.platform.data import Source
from unlabeled.platform.data.source import Window


@final
class Partial(Source):
    """The items of a source, without a field, or without that of the first item."""

    def __init__(self, whole: Source, *, without: str = "", all_but_one_has: str = "") -> None:
        self.fields = {name: field for name, field in whole.fields.items() if name != without}
        self._whole, self._known = whole, {name: whole.known(name) for name in self.fields}
        if all_but_one_has:
            self._known[all_but_one_has] &= whole.rows > 0

    def __len__(self) -> int:
        return len(self._whole)

    def known(self, field: str) -> Tensor:
        """Return which items have the field."""
        self.check_has(field)
        return self._known[field].clone()

    def read(self, index: Tensor, field: str) -> Tensor | list[str]:
        """Return the field of items ``index``."""
        self.check_has(field)
        return self._whole.read(index, field)

    def extents(self, index: Tensor, field: str) -> Tensor | None:
        """Return how large the pictures ``index`` are as stored."""
        self.check_has(field)
        return self._whole.extents(index, field)

    def read_windows(self, index: Tensor, field: str, windows: Sequence[Window]) -> list[Tensor]:
        """Return windows of pictures ``index``."""
        self.check_has(field)
        return self._whole.read_windows(index, field, windows)

    def take(self, rows: Tensor) -> "Partial":
        """Return the items ``rows``, with all that they had."""
        part = Partial(self._whole.take(rows))
        part.fields, part._known = self.fields, {name: known[rows] for name, known in self._known.items()}
        return part
