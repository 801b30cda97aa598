"""What is read for a batch, as it is stored: all that is decided and fetched before a device sees any of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from unlabeled.platform.augment.policy import DrawnView

Scope = tuple[int | str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """Some rows of a global batch, as they were read: tensors on the CPU, a row of each for a row of the batch.

    Attributes:
        scope: of the batch's draws.
        rows: int64 [B], which rows of the global batch.
        index: int64 [B], whose fields they are: of the item itself, which is 0, and of each companion.
        starts: where each view begins in its clip or sound: int64 [B] for each.
        geometry: what was drawn for each view of operations that move pixels.
        whole: what views show whole, by :attr:`View.item`.
        parts: of views that show less, by the view's number: what they show.
        targets: by field; what lies in a clip at the moments that its view shows.
        streams: what is beside it, by name.
        progress: the share of the run's steps before this one.
    """

    scope: Scope
    rows: Tensor
    index: Mapping[int, Tensor]
    starts: tuple[Tensor, ...]
    geometry: tuple[DrawnView, ...]
    whole: Mapping[str, Tensor]
    parts: Mapping[int, Tensor]
    targets: Mapping[str, Any]
    streams: "Mapping[str, Stored]"
    progress: float = 0.0

    def of(self, rows: Tensor) -> "Stored":
        """Return only these rows of the global batch, without their streams, as far as can be without a copy.

        Args:
            rows: int64 [b], each of them read.
        """
        alone = replace(self, streams={})  # whose rows are other ones
        if torch.equal(rows, self.rows):
            return alone
        order = self.rows.argsort()
        place = order[torch.searchsorted(self.rows[order], rows).clamp(max=len(order) - 1)]
        assert torch.equal(self.rows[place], rows), "only what was read can be taken"
        first, last = int(place[0]), int(place[0]) + len(place)
        if torch.equal(place, torch.arange(first, last)):  # side by side
            return alone.each(lambda values: values[first:last], lambda told: told[first:last])
        return alone.each(lambda values: values[place], lambda told: [told[i] for i in place.tolist()])

    def each(
        self, change: Callable[[Tensor], Tensor], change_told: Callable[[list[str]], list[str]] = lambda told: told
    ) -> "Stored":
        """Return it with each of its tensors changed, and each list of texts."""
        return replace(
            self,
            rows=change(self.rows),
            index={of: change(index) for of, index in self.index.items()},
            starts=tuple(change(start) for start in self.starts),
            geometry=tuple(drawn.each(change) for drawn in self.geometry),
            whole={item: change(values) for item, values in self.whole.items()},
            parts={place: change(values) for place, values in self.parts.items()},
            targets={
                field: change(values) if isinstance(values, Tensor) else change_told(values)
                for field, values in self.targets.items()
            },
            streams={name: stream.each(change, change_told) for name, stream in self.streams.items()},
        )
