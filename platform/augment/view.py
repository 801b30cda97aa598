"""Which views a method sees, of what and of when, and what it is told besides: values that go into a run's settings."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Self

import torch
from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator
from torch import Tensor

from unlabeled.platform.augment.moments import Moment, Timetable, Track, timetable
from unlabeled.platform.augment.op import Extent, as_float
from unlabeled.platform.augment.policy import DrawnView, Policy
from unlabeled.platform.augment.separable import is_large
from unlabeled.platform.draws import Draws
from unlabeled.platform.errors import UserError
from unlabeled.platform.settings import Settings

Shape = tuple[int, ...]
"""Of one item: a picture (C, H, W), a clip (T, C, H, W) or a sound (C, S)."""


class View(Settings):
    """What is seen of an item: one of its fields, at a time, by a policy.

    A policy alone stands for the view of the field ``image`` by it, wherever a view is given, and such a view is
    written as its policy: in JSON and in a run's identity.

    Attributes:
        policy: what is done to it.
        field: its name in the data: a picture, a clip or a sound.
        of: whose field it is: 0 is the item itself; k is its k-th companion, another item, drawn from all others.
        time: which part of a clip or a sound; None shows the whole.
    """

    opens: ClassVar[bool] = False

    policy: Policy = Policy()
    field: str = "image"
    of: int = Field(default=0, ge=0)
    time: Moment | None = None

    @model_validator(mode="before")
    @classmethod
    def _of_a_policy_alone(cls, value: Any) -> Any:
        is_policy = isinstance(value, Policy) or (isinstance(value, Mapping) and "ops" in value)
        return {"policy": value} if is_policy else value

    @model_serializer(mode="wrap")
    def _as_a_policy_alone(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = handler(self)
        policy: dict[str, Any] = fields["policy"]
        return policy if fields == {"policy": policy, "field": "image", "of": 0, "time": None} else fields

    def identity(self) -> dict[str, Any]:
        """Return what tells this view from others: of one that has nothing but a policy, what tells the policy."""
        found = super().identity()
        return self.policy.identity() if found.keys() <= {"policy"} else found

    @property
    def item(self) -> str:
        """The name that what it is made of goes by: the field, and whose it is where that is not the item's own."""
        return self.field if self.of == 0 else f"{self.field} of companion {self.of}"

    @property
    def summary(self) -> str:
        """The policy's summary, after the field where that is not the picture: ``depth: Crop(0.2-1)``."""
        item = self.item if self.time is None else f"{self.item}, {self.time.summary}"
        return self.policy.summary if item == "image" else f"{item}: {self.policy.summary}"

    def output_px(self, image_px: int) -> int:
        """Return the side of what it makes of a square image."""
        return self.policy.output_px(image_px)

    def extent(self, shape: Shape) -> Extent:
        """Return the extent of what its policy gets of items of this shape."""
        extent = Extent.of(shape)
        return extent if self.time is None or len(shape) == 4 else extent._replace(size=(self.time.length,))

    def shape(self, shape: Shape) -> Shape:
        """Return the shape of what it makes of one item of this shape.

        >>> View(time=Moment(length=8)).shape((16, 3, 48, 48))
        (8, 3, 48, 48)

        Raises:
            UserError: the policy can't take such items.
        """
        extent = self.policy.output(self.extent(shape))
        frames = () if len(shape) < 4 else (shape[0] if self.time is None else self.time.length,)
        sides = tuple(side for side in extent.size if isinstance(side, int))
        return (*frames, extent.channels, *sides)


class Stream(Settings):
    """Items of their own beside a batch: some that are labelled, beside many that need not be (FixMatch, S4L).

    Attributes:
        plan: what is seen of its items, and told; it has no streams itself.
        beside: its global batch has one row for each so many of the batch.
        per_class: it takes so many items of each class, the first in the split's order; None takes all.
        known: a field that its items have; those that train the method and have it are what it is drawn from.
    """

    plan: "ViewPlan"
    beside: int = Field(ge=1)
    per_class: int | None = Field(default=None, ge=1)
    known: str = "class"

    @model_validator(mode="after")
    def _has_no_streams(self) -> Self:
        if self.plan.streams:
            raise ValueError("a stream's plan has no streams of its own; put them all into the outer plan")
        return self

    @property
    def summary(self) -> str:
        """In one line: ``1 beside 7, 4 per class: 1 x [Flip(p=0.5)] with class``."""
        few = "" if self.per_class is None else f", {self.per_class} per class"
        return f"1 beside {self.beside}{few}: {self.plan.summary}"


class ViewPlan(Settings):
    """What a method sees of each item, and what it is told besides.

    Asymmetric views (SimCLR's figure 5: one branch only cropped) are views by two different policies.

    Attributes:
        views: one or more; a policy is taken for the view of the picture by it.
        targets: fields that go with the views, besides those that the method needs of itself. What lies in a picture or
            a clip (masks, boxes, points) moves with the first view of that.
        streams: further items beside each batch, by name.
    """

    opens: ClassVar[bool] = False

    views: Annotated[tuple[View, ...], Field(min_length=1)]
    targets: tuple[str, ...] = ()
    streams: Mapping[str, Stream] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _goes_by_earlier_views(self) -> Self:
        for place, view in enumerate(self.views):
            if view.time is None or view.time.like is None:
                continue
            timed = [number for number, other in enumerate(self.views[:place]) if other.time is not None]
            if view.time.like not in timed:
                there = f"take {' or '.join(map(str, timed))}" if timed else "no view before it has one"
                raise ValueError(
                    f"views.{place}.time.like: it names an earlier view that has a time, counted from 0; {there}, "
                    f"got {view.time.like}"
                )
        return self

    def __hash__(self) -> int:
        return hash((self.views, self.targets, tuple(sorted(self.streams))))

    @property
    def fields(self) -> tuple[str, ...]:
        """What its views are of: names of fields, each once."""
        return tuple(dict.fromkeys(view.field for view in self.views))

    @property
    def companions(self) -> tuple[int, ...]:
        """Which companions of an item its views are of."""
        return tuple(sorted({view.of for view in self.views} - {0}))

    def __call__(
        self, items: Mapping[str, Tensor], draws: Draws, rates: Mapping[str, float] | None = None
    ) -> tuple[Tensor, ...]:
        """Make every view of a batch, each with draws of its own.

        Args:
            items: what the views are of, by :attr:`View.item`: uint8 [B, C, H, W] or [B, T, C, H, W], or float32 in
                [0, 1]; C is 1 or 3. Sounds are float32 [B, C, S] in [-1, 1]. Never changed in place.
            draws: the draws of these B rows, on the items' device.
            rates: frames or samples a second of each field; needed where a view goes by another's time.

        Returns:
            For each view float32, a batch as above, computed in float32 under autocast too. A view whose policy is
            empty is not a copy.

        Raises:
            UserError: the items have another type or shape.
        """
        given = [items[view.item] for view in self.views]
        shapes = {view.field: tuple(item.shape[1:]) for view, item in zip(self.views, given, strict=True)}
        starts = self.starts(shapes, rates or {}, draws)
        shown = [
            view.time.cut(item, start, dim=1 if item.ndim == 5 else 2) if view.time is not None else item
            for view, item, start in zip(self.views, given, starts, strict=True)
        ]
        for view, item in zip(self.views, shown, strict=True):
            check_items(item, view.policy)
        return self.make(shown, self.draw(shapes, draws))

    def timetable(self, shapes: Mapping[str, Shape], rates: Mapping[str, float]) -> Timetable:
        """Return where its views' windows lie in items of these shapes, by field."""
        tracks = (
            Track(1, 1.0) if view.time is None else Track(length_of(shapes[view.field]), rates.get(view.field, 1.0))
            for view in self.views
        )
        return timetable(tuple(view.time for view in self.views), tuple(tracks))

    def starts(self, shapes: Mapping[str, Shape], rates: Mapping[str, float], draws: Draws) -> tuple[Tensor, ...]:
        """Draw where each view begins in its clip or sound, int64 [B] in frames or samples; 0 of whole items."""
        return self.timetable(shapes, rates).draw(draws)

    def draw(
        self,
        shapes: Mapping[str, Shape],
        draws: Draws,
        *,
        geometry_only: bool = False,
        geometry: Sequence[DrawnView] | None = None,
        stored: Mapping[int, Extent] | None = None,
    ) -> tuple[DrawnView, ...]:
        """Draw every view of items whose fields have these shapes; see :meth:`Policy.draw`.

        ``stored`` has extents by the number of the view.
        """
        return tuple(
            view.policy.draw(
                view.extent(shapes[view.field]),
                draws.fold_in("view", place),
                geometry_only=geometry_only,
                geometry=None if geometry is None else geometry[place],
                stored=None if stored is None else stored.get(place),
            )
            for place, view in enumerate(self.views)
        )

    def make(self, shown: Sequence[Tensor], drawn: Sequence[DrawnView]) -> tuple[Tensor, ...]:
        """Make every view as it was drawn, of what it shows; its part in time is cut out already."""
        device = shown[0].device
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            pixels = {id(item): item for item in shown}  # views of the same bytes share the floats of small pictures
            pixels = {place: item if is_large(item) else as_float(item) for place, item in pixels.items()}
            return tuple(
                view.policy.change(pixels[id(item)], each)
                for view, item, each in zip(self.views, shown, drawn, strict=True)
            )

    @property
    def summary(self) -> str:
        """The views in one line, and the targets: ``2 x [Crop(0.2-1) > Flip(p=0.5)] | [identity]``."""
        told = f" with {', '.join(self.targets)}" if self.targets else ""
        told += "".join(f"; {name}, {stream.summary}" for name, stream in self.streams.items())
        if len(set(self.views)) == 1:
            return f"{len(self.views)} x [{self.views[0].summary}]{told}"
        runs = [(len(list(same)), view.summary) for view, same in itertools.groupby(self.views)]
        return " | ".join(f"{count} x [{words}]" if count > 1 else f"[{words}]" for count, words in runs) + told


Stream.model_rebuild()


def two_views(policy: Policy) -> ViewPlan:
    """Plan two views by the same policy."""
    return ViewPlan(views=(policy, policy))


def length_of(shape: Shape) -> int:
    """Return how many frames a clip of this shape has, or samples a sound; 1 of a picture."""
    return {4: shape[0], 2: shape[-1]}.get(len(shape), 1)


def check_items(items: Tensor, policy: Policy) -> None:
    """Check that a policy takes such a batch.

    Raises:
        UserError: it has another type, or is no batch of pictures, clips or sounds.
    """
    got = f"{str(items.dtype).removeprefix('torch.')} {list(items.shape)}"
    if policy.of == "sound" or (policy.of is None and items.ndim == 3 and items.dtype == torch.float32):
        if items.ndim != 3 or items.dtype != torch.float32:
            raise UserError(f"sounds to augment are float32 [B, C, S], got {got}")
    elif items.ndim not in (4, 5) or items.shape[-3] not in (1, 3) or items.dtype not in (torch.uint8, torch.float32):
        raise UserError(
            "images to augment are uint8 or float32 [B, C, H, W], clips [B, T, C, H, W], with 1 or 3 channels, "
            f"got {got}"
        )
