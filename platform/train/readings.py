"""What probes read of a run: the features of all its layers that are asked for, in one walk over a split."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from unlabeled.platform.data import Data
from unlabeled.platform.evaluate import Corruption, Features, Look, collect
from unlabeled.platform.evaluate.layers import grids, layers, seen_by
from unlabeled.platform.evaluate.measurement import Reading
from unlabeled.platform.evaluate.transformations import TRANSFORMATIONS
from unlabeled.platform.method import Method
from unlabeled.platform.processor import Processor
from unlabeled.platform.train.notes import Notes


class Readings:
    """Reads splits of data, each item once for all that is asked of it at a time.

    Attributes:
        processor: what to compute on.
        notes: what could not be read, and why.
        folder: where features lie that are too large for memory; None keeps all there.
    """

    def __init__(self, processor: Processor, notes: Notes, folder: Path | None = None) -> None:
        self.processor, self.notes, self.folder = processor, notes, folder

    def read(
        self,
        method: Method,
        data: Data,
        split: str,
        missing: Mapping[Reading, Sequence[str]],
        *,
        shown: Corruption | None = None,
        max_items: int | None = None,
        refuses: bool = False,
    ) -> dict[Reading, Features]:
        """Return the features of each reading, to the first worker; one that fails is left out, and noted.

        All workers have to call it, and each reads its share. The others get the same readings, without items.

        Args:
            method: whose.
            data: of all the readings.
            split: "train", "validation" or "test".
            missing: what is to be read, and what is noted where it can't be.
            shown: how the items are corrupted.
            max_items: how many.
            refuses: whether a user's mistake passes through.
        """
        found: dict[Reading, Features] = {}
        fields: dict[str, list[Reading]] = {}
        for reading in missing:
            fields.setdefault(seen_by(method.encoders()[reading.encoder], data), []).append(reading)
        for field, alike in fields.items():
            every = [what for reading in alike for what in missing[reading]]
            with self._noting(every, refuses):
                found |= collect(
                    {reading: _look(method, reading, shown) for reading in alike},
                    getattr(data, split),
                    self.processor,
                    max_items,
                    field=field,
                    folder=self.folder,
                    guard=lambda reading: self._noting(missing[reading], refuses),
                    shared=True,
                )
        return found

    @contextlib.contextmanager
    def _noting(self, texts: Sequence[str], refuses: bool) -> Iterator[None]:
        """Turn an error into several notes."""
        try:
            yield
        except Exception as error:
            for what in texts:
                with self.notes.guard(what, refuses=refuses):
                    raise error


def _look(method: Method, reading: Reading, shown: Corruption | None) -> Look:
    change, name = TRANSFORMATIONS.get(reading.told), reading.encoder
    modules = grids(method, name) if reading.places else {"": method.encoders()[name], **layers(method, name)}
    return Look(modules[reading.layer], "class" if change is not None else reading.told, change, shown)
