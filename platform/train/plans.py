"""Whether a plan of views goes with the data: its fields, their kinds and times, its targets, its streams."""

from collections.abc import Iterator

from torch import Tensor

from unlabeled.platform.augment import View, ViewPlan
from unlabeled.platform.augment.view import length_of
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data, Source
from unlabeled.platform.errors import UserError
from unlabeled.platform.train.batches import first_view_of, members

_REMEDIES = {
    "class": "choose a data set with class folders",
    "text": "choose one with captions, such as emoji",
    "image": "choose one of pictures, such as emoji-scenes",
    "clip": "choose one of films, such as emoji-films",
    "wave": "choose one of sounds, such as emoji-films",
    "mask": "choose one with masks, such as emoji-scenes",
    "boxes": "choose one with boxes, such as emoji-scenes",
}
_FOR = {"image": "picture", "clip": "picture", "wave": "sound"}  # what operations a field's views take
_NAMES = {"picture": "pictures", "sound": "sounds"}
_A = {"image": "an image", "clip": "a clip", "wave": "a wave"}
_FRAMES = {"clip": "frames", "wave": "samples"}


def check_plan(run: RunConfig, data: Data, workers: int = 1) -> None:
    """Check that all items to train on have what the run's plan asks of them, and its streams likewise.

    Raises:
        UserError: a field is missing or of another kind, a time does not fit, a target lies in what no view shows,
            there is no other item to be a companion, or the method takes none, views that are seen at once have two
            sizes, or a stream has no items or does not divide the batch.
    """
    plan, source = run.method.plan, data.pretrain
    _Asked(run, data, plan, source, "method.views", run.method.targets).check()
    shapes = [view.shape(source.fields[view.field].shape) for view in plan.views[run.method.one_size]]
    if len(set(shapes)) > 1:
        sizes = " and ".join(str(shape[-1]) for shape in dict.fromkeys(shapes))
        raise UserError(f"{run.method.name} needs views of one size, got {sizes}; crop them to the same")
    for name, stream in plan.streams.items():
        where = f"method.views.streams.{name}"
        together, what = (
            (run.batch_size, f"batch_size {run.batch_size}")
            if run.micro_batch is None
            else (run.micro_batch, f"micro_batch {run.micro_batch}")
        )
        if together % (unit := stream.beside * workers):
            below = together - together % unit
            near = f"{below} or {below + unit}" if below else f"{unit}"
            shared = f" on {workers} workers" if workers > 1 else ""
            raise UserError(
                f"{what} does not divide by {unit}: {where} has one row beside {stream.beside}{shared}; use {near}"
            )
        if stream.known not in source.fields:
            raise _lacking(f"{where} is of items that have", stream.known, data)
        try:
            pool = members(stream, source)
        except UserError as error:
            raise UserError(f"{where}: {error}") from None
        _Asked(run, data, stream.plan, source, where, (), pool).check()


class _Asked:
    """What a plan asks of some items."""

    def __init__(
        self,
        run: RunConfig,
        data: Data,
        plan: ViewPlan,
        source: Source,
        where: str,
        needed: tuple[str, ...],
        pool: Tensor | None = None,
    ) -> None:
        self.run, self.data, self.plan, self.source = run, data, plan, source
        self.where, self.needed = where, needed
        self.pool = source.rows if pool is None else pool

    def check(self) -> None:
        """Check all of it; see :func:`check_plan`."""
        for field, who in self._fields():
            if field not in self.source.fields:
                raise _lacking(who, field, self.data)
            if missing := int((~self.source.known(field)[self.pool]).sum()):
                raise UserError(
                    f"{who} the field {field!r}, and {missing} of the {len(self.pool)} items to train on of "
                    f"{self.data.name} have none; choose another data set"
                )
        for view, who in self._views():
            self._check_view(view, who)
        self._check_times()
        for field in self.plan.targets:
            of = self.source.fields[field].of
            if of and first_view_of(self.plan, of) is None:
                raise UserError(
                    f"{self._asker(field)} the field {field!r}, which lies in {of!r}, and moves with the first view of "
                    f"that; {self.where} has none, so add a view of {of!r}"
                )

    def _views(self) -> Iterator[tuple[View, str]]:
        for place, view in enumerate(self.plan.views, start=1):
            yield view, f"view {place} of {self.where}"

    def _fields(self) -> Iterator[tuple[str, str]]:
        yield from ((view.field, f"{who} is of") for view, who in self._views())
        yield from ((field, self._asker(field)) for field in self.plan.targets)

    def _asker(self, field: str) -> str:
        return f"{self.run.method.name} needs" if field in self.needed else f"{self.where} asks for"

    def _check_view(self, view: View, who: str) -> None:
        fields = self.source.fields
        field = fields[view.field]
        if field.kind not in _FOR:
            seen = [name for name, other in fields.items() if other.kind in _FOR]
            raise UserError(
                f"{who} is of the field {view.field!r}, which is no picture, clip or sound; take {' or '.join(seen)}"
            )
        if view.policy.of not in (None, _FOR[field.kind]):
            raise UserError(
                f"{who} is of {view.field!r}, {_A[field.kind]}, and its policy {view.policy.summary!r} is for "
                f"{_NAMES[view.policy.of or '']}; take operations on {_NAMES[_FOR[field.kind]]}"
            )
        if view.of and not self.run.method.takes_others:
            raise UserError(f"{who} is of another item, and {self.run.method.name} takes views of one; set of=0")
        if view.of and len(self.pool) < 2:
            raise UserError(f"{who} is of another item, and there is only one; set of=0")
        if view.time is not None:
            if field.kind not in _FRAMES:
                raise UserError(f"{who} has a time, and {view.field!r} is no clip or sound; leave time out")
            length, extent = length_of(field.shape), view.time.extent
            if extent > length:
                spread = "" if view.time.stride == 1 else f" ({view.time.length}, each {view.time.stride}.)"
                raise UserError(
                    f"{who} reaches over {extent} {_FRAMES[field.kind]}{spread}, and {view.field!r} of "
                    f"{self.data.name} has {length}; make time.length or time.stride smaller"
                )
        try:
            view.shape(field.shape)
        except UserError as error:
            raise UserError(f"{who}: {error}") from None

    def _check_times(self) -> None:
        fields = {view.field: self.source.fields[view.field] for view in self.plan.views}
        for view, who in self._views():
            if view.time is None or view.time.like is None:
                continue
            other = self.plan.views[view.time.like]
            without = next((name for name in (view.field, other.field) if fields[name].rate is None), None)
            if without is not None and (view.time.apart or view.field != other.field):
                raise UserError(
                    f"{who} goes by the seconds of view {view.time.like + 1}, and {without!r} of {self.data.name} has "
                    "no rate; take a field that has one"
                )
        table = self.plan.timetable(
            {name: field.shape for name, field in fields.items()},
            {name: field.rate or 1.0 for name, field in fields.items()},
        )
        for (_, who), starts in zip(self._views(), table.starts, strict=True):
            if not len(starts):
                raise UserError(
                    f"{who} finds no time in the items of {self.data.name} at which it, and the views that go by it, "
                    "fit; make time.length, time.stride or time.apart smaller"
                )


def _lacking(who: str, field: str, data: Data) -> UserError:
    return UserError(
        f"{who} the field {field!r}, and {data.name} has only {', '.join(data.pretrain.fields)}; "
        f"{_REMEDIES.get(field, 'choose another data set')}"
    )
