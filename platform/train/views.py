"""What views show is read here: whole items, parts of clips and sounds, windows of pictures."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

from torch import Tensor

from unlabeled.platform.augment import Extent, ViewPlan
from unlabeled.platform.augment.policy import DrawnView
from unlabeled.platform.data import Source
from unlabeled.platform.data.source import Window
from unlabeled.platform.draws import Draws


class ReadViews(NamedTuple):
    """What was decided and read for the views of some items; see :class:`~unlabeled.platform.train.stored.Stored`."""

    starts: tuple[Tensor, ...]
    geometry: tuple[DrawnView, ...]
    whole: dict[str, Tensor]
    parts: dict[int, Tensor]


def read_views(
    plan: ViewPlan, source: Source, index: Mapping[int, Tensor], draws: Draws, kept: Collection[str] = ()
) -> ReadViews:
    """Decide what views show, and read it.

    Args:
        plan: the views.
        source: what they are of.
        index: int64 [B], whose fields are read: of the item itself, which is 0, and of each companion.
        draws: of the views, on the CPU.
        kept: fields that need not be read where a view shows them whole.
    """
    shapes = shapes_of(plan, source)
    starts = plan.starts(shapes, {field: source.fields[field].rate or 1.0 for field in plan.fields}, draws)
    geometry = plan.draw(shapes, draws, geometry_only=True, stored=_stored_extents(plan, source, index))
    return ReadViews(starts, geometry, *_shown(plan, source, index, starts, geometry, kept))


def shapes_of(plan: ViewPlan, source: Source) -> dict[str, tuple[int, ...]]:
    """Return the shape of one item of each field that a plan's views show."""
    return {field: source.fields[field].shape for field in plan.fields}


def views_of(
    plan: ViewPlan,
    source: Source,
    index: Tensor,
    scope: tuple[int | str, ...],
    put: Callable[[Tensor], Tensor] = lambda values: values,
) -> tuple[Tensor, ...]:
    """Return a plan's views of some items, as in training, for people and for health: companions are the next items.

    Args:
        plan: the views.
        source: what they are of.
        index: int64 [B], whose numbers are the rows of the draws, too.
        scope: of the draws.
        put: brings a tensor to the device that makes the views.
    """
    of = {0: index, **{companion: (index + companion) % len(source) for companion in plan.companions}}
    read = read_views(plan, source, of, Draws(index, *scope))
    geometry = tuple(each.each(put) for each in read.geometry)
    drawn = plan.draw(shapes_of(plan, source), Draws(put(index), *scope), geometry=geometry)
    whole = {item: put(values) for item, values in read.whole.items()}
    shown = [
        put(read.parts[place]) if place in read.parts else whole[view.item] for place, view in enumerate(plan.views)
    ]
    return plan.make(shown, drawn)


def _stored_extents(plan: ViewPlan, source: Source, index: Mapping[int, Tensor]) -> dict[int, Extent]:
    """Return how large the pictures are that a view may show windows of, by the number of each view of them."""
    led = {view.item for view in plan.views if view.policy.leads and view.time is None}
    found: dict[str, Tensor | None] = {}
    extents = {}
    for place, view in enumerate(plan.views):
        if view.item not in led:
            continue
        if view.item not in found:
            found[view.item] = source.extents(index[view.of], view.field)
        if (sizes := found[view.item]) is not None:
            extents[place] = Extent(source.fields[view.field].shape[0], sizes.unbind(1))
    return extents


def _shown(
    plan: ViewPlan,
    source: Source,
    index: Mapping[int, Tensor],
    starts: Sequence[Tensor],
    geometry: Sequence[DrawnView],
    kept: Collection[str],
) -> tuple[dict[str, Tensor], dict[int, Tensor]]:
    """Read what the views show; an item that several show is read, or decoded, once.

    Returns:
        What views show whole, by :attr:`View.item`, and what others show a part or a window of, by their number.
    """
    by_item: dict[str, list[int]] = {}
    for place, view in enumerate(plan.views):
        by_item.setdefault(view.item, []).append(place)
    whole: dict[str, Tensor] = {}
    parts: dict[int, Tensor] = {}
    for item, places in by_item.items():
        view = plan.views[places[0]]
        of, field = index[view.of], view.field
        windows = {
            place: Window(boxes, geometry[place].framed)
            for place in places
            if (boxes := geometry[place].window) is not None
        }
        if windows:
            parts.update(zip(windows, source.read_windows(of, field, list(windows.values())), strict=True))
        others = [place for place in places if place not in windows]
        if field in kept:
            others = [place for place in others if plan.views[place].time is not None]
        read = source.tensor(of, field) if others else None
        for place in others:
            assert read is not None
            if (time := plan.views[place].time) is None:
                whole[item] = read
            else:  # only the part goes to the device
                parts[place] = time.cut(read, starts[place], dim=1 if read.ndim == 5 else 2)
    return whole, parts
