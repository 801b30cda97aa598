"""The batches that a run trains on. Which items, views and draws a row has is a function of (seed, step) alone.

So any rows of any step can be made, by whichever worker, in whichever micro-batch, and early: they are the same. A
batch is made in two halves: what it needs is read, on the CPU, on any thread or machine; then it is made of that, on
the device.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from unlabeled.platform import collective
from unlabeled.platform.augment import PLAIN, Stream, ViewPlan
from unlabeled.platform.augment.geometry import move_boxes, move_masks, move_points
from unlabeled.platform.augment.policy import DrawnView
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data, Source
from unlabeled.platform.data.source import Window
from unlabeled.platform.draws import Draws, key
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Batch
from unlabeled.platform.processor import Processor
from unlabeled.platform.train.profiled import part
from unlabeled.platform.train.resident import Kept, resident
from unlabeled.platform.train.stored import Scope, Stored
from unlabeled.platform.train.views import ReadViews, read_views, shapes_of

_MOVES = {"mask": move_masks, "boxes": move_boxes, "points": move_points}


class Batches:
    """Makes the batches of a run."""

    def __init__(self, run: RunConfig, data: Data, processor: Processor) -> None:
        """Take a run that fits its data; see :func:`unlabeled.platform.train.built.check_fits`."""
        self.steps_per_epoch = len(data.pretrain) // run.batch_size
        self._run, self._put = run, processor.put
        plans = (run.method.plan, *(stream.plan for stream in run.method.plan.streams.values()))
        kept = resident(data.pretrain, (view.field for plan in plans for view in plan.views), processor)
        self._items = _Items(data.pretrain, run.method.plan, processor, kept=kept)
        self._order = _Order(len(data.pretrain), run.seed)
        self._streams = {
            name: _Beside(name, stream, run, data.pretrain, processor, kept)
            for name, stream in run.method.plan.streams.items()
        }

    def __call__(self, step: int, rows: Tensor | None = None, *, with_views: bool = True) -> Batch:
        """Return this worker's rows of the global batch of a 0-based step, or some of them, and what is beside them.

        Args:
            step: which step.
            rows: int64 [B], which rows of the global batch; this worker's if not said otherwise.
            with_views: whether to make their views.
        """
        return self.make(self.read(step, rows), with_views=with_views)

    def read(self, step: int, rows: Tensor | None = None) -> Stored:
        """Read what the batch of a step needs, and that of its streams: a function of (seed, step, rows).

        It changes nothing and uses no device, so it may be called on any thread, and before its time.

        Args:
            step: which step, counted from 0.
            rows: int64 [B], which rows of the global batch; this worker's if not said otherwise.

        Raises:
            UserError: a file can't be read.
        """
        epoch, position = divmod(step, self.steps_per_epoch)
        rows = self.own_rows() if rows is None else rows
        index = self._order(epoch)[position * self._run.batch_size + rows]
        progress = step / (self._run.epochs * self.steps_per_epoch)
        streams = {name: replace(stream.read(step, rows), progress=progress) for name, stream in self._streams.items()}
        return replace(self._items.read(index, rows, (self._run.seed, step)), streams=streams, progress=progress)

    def make(self, stored: Stored, rows: Tensor | None = None, *, with_views: bool = True) -> Batch:
        """Make the batch of what was read, on the device.

        Args:
            stored: what :meth:`read` gave.
            rows: int64 [b], which rows of the global batch, of those that were read; all of these if not said
                otherwise.
            with_views: whether to make their views.
        """
        with part("views"):
            rows = stored.rows if rows is None else rows
            batch = self._items.make(stored.of(rows), with_views)
            streams = {
                name: stream.make(stored.streams[name], rows, with_views) for name, stream in self._streams.items()
            }
            return replace(batch, streams=streams)

    @property
    def is_in_memory(self) -> bool:
        """Whether all that is read lies in memory, so that reading costs no more than a copy."""
        return all(each.is_in_memory for each in (self._items, *(stream.items for stream in self._streams.values())))

    def own_rows(self) -> Tensor:
        """List this worker's rows: its share of each micro-batch, so that any number of workers cut the same ones."""
        together = self._run.micro_batch or self._run.batch_size
        workers = collective.world_size()
        return torch.arange(self._run.batch_size).view(-1, workers, together // workers)[:, collective.rank()].flatten()


def clean_batch(
    items: Source, plan: ViewPlan, index: Tensor, processor: Processor, scope: tuple[int | str, ...]
) -> Batch:
    """Return the batch of some items, seen by a plan's views without their policies: whole, but at their moments.

    Args:
        items: they are of.
        plan: whose streams are left out.
        index: int64 [B], items that have all that it asks for.
        processor: what to compute on.
        scope: of the batch's draws, whose rows are the items' index.
    """
    views = tuple(view.model_copy(update={"policy": PLAIN}) for view in plan.views)
    made = _Items(items, plan.model_copy(update={"views": views, "streams": {}}), processor)
    batch = made.make(made.read(index, index, scope), with_views=True)
    return replace(batch, draws=Draws(processor.put(index), *scope))


class _Beside:
    """A stream: its row j stands beside the batch's rows j * beside to (j + 1) * beside - 1."""

    def __init__(
        self, name: str, stream: Stream, run: RunConfig, pretrain: Source, processor: Processor, kept: Kept
    ) -> None:
        pool = members(stream, pretrain)
        self.items = _Items(pretrain, stream.plan, processor, pool, kept)
        self._order = _Order(len(pool), run.seed, "stream", name)
        self._name, self._seed, self._beside = name, run.seed, stream.beside
        self._per_step = run.batch_size // stream.beside

    def read(self, step: int, rows: Tensor) -> Stored:
        own = self._own(rows)
        number = step * self._per_step + own  # counted from the run's begin, pass after pass
        turn, place = number // self._order.length, number % self._order.length
        chosen = torch.empty_like(place)
        for each in turn.unique().tolist():  # type: ignore[no-untyped-call]
            chosen[turn == each] = self._order(each)[place[turn == each]]
        return self.items.read(chosen, own, (self._seed, step, "stream", self._name))

    def make(self, stored: Stored, rows: Tensor, with_views: bool) -> Batch:
        return self.items.make(stored.of(self._own(rows)), with_views)

    def _own(self, rows: Tensor) -> Tensor:
        return rows[rows % self._beside == 0] // self._beside


class _Items:
    """Makes a plan's views and targets of items: of a source, or of those in a pool, by their places in it.

    Fields that are kept on the device are not read.
    """

    def __init__(
        self, source: Source, plan: ViewPlan, processor: Processor, pool: Tensor | None = None, kept: Kept | None = None
    ) -> None:
        self._source, self._plan, self._processor, self._pool = source, plan, processor, pool
        self._kept = kept or {}
        self._shapes = shapes_of(plan, source)

    @property
    def is_in_memory(self) -> bool:
        return all(self._source.is_in_memory(field) for field in (*self._plan.fields, *self._plan.targets))

    def read(self, place: Tensor, rows: Tensor, scope: Scope) -> Stored:
        """Decide and read, on the CPU."""
        plan, draws = self._plan, Draws(rows, *scope)
        index = self._index(place, draws)
        read = read_views(plan, self._source, index, draws.fold_in("views"), self._kept.keys())
        return Stored(
            scope=scope,
            rows=rows,
            index=index,
            **read._asdict(),
            targets={field: self._target(field, index[0], read) for field in plan.targets},
            streams={},
        )

    def make(self, stored: Stored, with_views: bool) -> Batch:
        """Make views and targets of what was read, on the device."""
        put, plan = self._processor.put, self._plan
        draws = Draws(put(stored.rows), *stored.scope)
        drawn = tuple(each.each(put) for each in stored.geometry)
        matrices = [each.matrix() for each in drawn]
        made: tuple[Tensor, ...] = ()
        if with_views:
            drawn = plan.draw(self._shapes, draws.fold_in("views"), geometry=drawn)
            whole = {item: put(values) for item, values in stored.whole.items()}
            for place, view in enumerate(plan.views):
                if place not in stored.parts and view.item not in whole:  # kept here, and not read
                    whole[view.item] = self._kept[view.field].index_select(0, put(stored.index[view.of]))
            shown = [
                put(stored.parts[place]) if place in stored.parts else whole[view.item]
                for place, view in enumerate(plan.views)
            ]
            made = tuple(self._processor.layout(view) for view in plan.make(shown, drawn))
        return Batch(
            views=made,
            to_view=tuple(matrix.float() for matrix in matrices),
            starts=tuple(put(start) for start in stored.starts),
            index=put(stored.index[0]),
            draws=draws.fold_in("method"),
            targets={field: self._moved(field, values, drawn) for field, values in stored.targets.items()},
            progress=stored.progress,
        )

    def _index(self, place: Tensor, draws: Draws) -> dict[int, Tensor]:
        """Return whose fields are read: the index of each row's own item, and of its companions."""
        count = len(self._source) if self._pool is None else len(self._pool)
        drawn = {of: draws.fold_in("companion", of).other("item", count, place) for of in self._plan.companions}
        return {of: each if self._pool is None else self._pool[each] for of, each in {0: place, **drawn}.items()}

    def _target(self, name: str, index: Tensor, read: ReadViews) -> Any:
        """Read a target of items; what lies in another field, as the first view of that reads it."""
        field = self._source.fields[name]
        if field.kind not in _MOVES:
            return self._source.read(index, name)
        place = self._place(field.of)
        drawn, time = read.geometry[place], self._plan.views[place].time
        if drawn.window is not None:
            return self._source.read_windows(index, name, [Window(drawn.window, drawn.framed)])[0]
        values = self._source.tensor(index, name)
        return values if time is None else time.cut(values, read.starts[place])

    def _moved(self, name: str, values: Any, drawn: Sequence[DrawnView]) -> Any:
        """Return a target as the first view of what it lies in shows it."""
        if not isinstance(values, Tensor):
            return values
        field = self._source.fields[name]
        if field.kind not in _MOVES:
            return self._processor.put(values)
        view = drawn[self._place(field.of)]
        height, width = view.extent.size
        assert isinstance(height, int)
        assert isinstance(width, int)
        return _MOVES[field.kind](self._processor.put(values), view.matrix(of_read=True), height, width)

    def _place(self, of: str) -> int:
        place = first_view_of(self._plan, of)
        assert place is not None, "check_fits looks for it"
        return place


class _Order:
    """A permutation of items for each pass over them."""

    def __init__(self, length: int, seed: int, *scope: str) -> None:
        self.length = length
        self._of = lru_cache(maxsize=2)(lambda turn: self._permutation(key(seed, *scope, turn, "order")))

    def __call__(self, turn: int) -> Tensor:
        return self._of(turn)

    def _permutation(self, seed: int) -> Tensor:
        return torch.randperm(self.length, generator=torch.Generator().manual_seed(seed))


def items_of(plan: ViewPlan, source: Source, index: Tensor) -> dict[str, Tensor]:
    """Return whole what a plan's views are of, by :attr:`View.item`; companions are the next items."""
    return {view.item: source.tensor((index + view.of) % len(source), view.field) for view in plan.views}


def first_view_of(plan: ViewPlan, field: str) -> int | None:
    """Return the number of the first view of the item's own ``field``, counted from 0; None where there is none."""
    return next((n for n, view in enumerate(plan.views) if view.field == field and view.of == 0), None)


def members(stream: Stream, pretrain: Source) -> Tensor:
    """Return which items a stream is drawn from: int64 [n], in the split's order.

    Raises:
        UserError: there is no such field, or none has it, or a class has too few; or no class is told by it.
    """
    known = pretrain.rows[pretrain.known(stream.known)]
    if not len(known):
        raise UserError(f"no item to train on has the field {stream.known!r}; choose another data set, or stream")
    if stream.per_class is None:
        return known
    field = pretrain.fields[stream.known]
    if field.kind != "class":
        raise UserError(
            f"per_class counts items of a class, and {stream.known!r} is of kind {field.kind}; leave it out"
        )
    numbers = pretrain.tensor(known, stream.known)
    each = [known[numbers == number][: stream.per_class] for number in range(len(field.classes))]
    for name, found in zip(field.classes, each, strict=True):
        if 0 < len(found) < stream.per_class:
            raise UserError(
                f"per_class is {stream.per_class}, and class {name!r} has {len(found)}; use {len(found)} or fewer"
            )
    return torch.cat(each).sort().values
