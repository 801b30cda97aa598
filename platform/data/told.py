"""What is told of items besides what they show: their classes and their texts, in memory."""

from collections.abc import Sequence
from typing import final

import numpy.typing as npt
import torch
from torch import Tensor

from unlabeled.platform.data.source import Field, Source


@final
class Classes(Source):
    """The class of each item, as the field ``class`` or one of another name; some may have none."""

    def __init__(
        self,
        numbers: npt.ArrayLike | Tensor,
        names: Sequence[str],
        known: npt.ArrayLike | Tensor | None = None,
        field: str = "class",
    ) -> None:
        """Take whole numbers [N] from 0, the classes' names, and which items have one, bool [N]; None is all.

        Raises:
            ValueError: there are no such numbers, or one of an item that has a class is not among the names.
        """
        given = torch.as_tensor(numbers)
        if given.ndim != 1 or given.dtype.is_floating_point or given.dtype == torch.bool:
            raise ValueError(f"labels must be whole numbers [N], not {given.dtype} {list(given.shape)}")
        self._numbers = given.to(torch.int64, copy=True)
        self._known = torch.ones(len(given), dtype=torch.bool)
        if known is not None:
            self._known = torch.as_tensor(known).to(torch.bool, copy=True)
        if self._known.shape != self._numbers.shape:
            raise ValueError(f"{len(given)} labels are said to be known or not by {list(self._known.shape)}")
        told = self._numbers[self._known]
        if len(told) and not 0 <= int(told.min()) <= int(told.max()) < len(names):
            low, high = int(told.min()), int(told.max())
            raise ValueError(f"labels go from {low} to {high}, but there are {len(names)} classes")
        self.fields = {field: Field(kind="class", classes=tuple(names))}

    def __len__(self) -> int:
        return len(self._numbers)

    def known(self, field: str) -> Tensor:
        """Return which items have a class, bool [N]."""
        self.check_has(field)
        return self._known.clone()

    def is_in_memory(self, field: str) -> bool:
        """Tell that they are."""
        self.check_has(field)
        return True

    def read(self, index: Tensor, field: str) -> Tensor:
        """Return the classes of items ``index``, int64 [B]."""
        self.check_has(field)
        return self._numbers[index]

    def take(self, rows: Tensor) -> "Classes":
        """Return the items ``rows`` in that order."""
        part = object.__new__(Classes)
        part.fields, part._numbers, part._known = self.fields, self._numbers[rows], self._known[rows]
        return part


@final
class Texts(Source):
    """A text for each item, as the field ``text``; some may have none."""

    def __init__(self, texts: Sequence[str | None]) -> None:
        self.fields = {"text": Field(kind="text")}
        self._texts = tuple(texts)

    def __len__(self) -> int:
        return len(self._texts)

    def known(self, field: str) -> Tensor:
        """Return which items have a text, bool [N]."""
        self.check_has(field)
        return torch.tensor([text is not None for text in self._texts], dtype=torch.bool)

    def is_in_memory(self, field: str) -> bool:
        """Tell that they are."""
        self.check_has(field)
        return True

    def read(self, index: Tensor, field: str) -> list[str]:
        """Return the texts of items ``index``."""
        self.check_has(field)
        return [self._texts[i] or "" for i in index.tolist()]

    def take(self, rows: Tensor) -> "Texts":
        """Return the items ``rows`` in that order."""
        return Texts([self._texts[row] for row in rows.tolist()])
