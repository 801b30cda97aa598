"""Which augmentations make a view: a value that goes into a run's settings."""

import functools
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import Discriminator, Tag, model_validator
from torch import Tensor

from unlabeled.platform.augment.devices import change_in_parts, constant
from unlabeled.platform.augment.geometry import framing, identity
from unlabeled.platform.augment.op import Augmentation, Drawn, Extent, Op, as_float
from unlabeled.platform.augment.separable import is_large
from unlabeled.platform.augment.waves import WaveOp
from unlabeled.platform.data.pictures import squares_of
from unlabeled.platform.draws import Draws
from unlabeled.platform.errors import unknown
from unlabeled.platform.settings import Settings


def _family(value: Any) -> str:
    """Say of which family an operation is, as a value or as JSON has it."""
    if isinstance(value, Mapping):
        name = str(value.get("name"))
        return "sound" if name not in Op.family and name in WaveOp.kinds() else "picture"
    return "sound" if isinstance(value, WaveOp) else "picture"


AnyOp = Annotated[Annotated[Op, Tag("picture")] | Annotated[WaveOp, Tag("sound")], Discriminator(_family)]


class DrawnView(NamedTuple):
    """What was drawn for one view of a batch.

    Attributes:
        steps: of each of the policy's operations; None of one that was left out, because it moves no pixels.
        extent: of the view.
        moves: the operations that move pixels, with the extent of what they get.
        rows: int64 [B], the draws'.
        window: int64 [B, 4], the boxes of pictures as they are stored that the first operation shows, where it is done
            while they are read; its step is None then.
        framed: height and width that those boxes are resized to.
        square: float64 [B, 4], the boxes that are read of pictures whose other views show windows, where this one
            shows none.
    """

    steps: tuple[Drawn | None, ...]
    extent: Extent
    moves: tuple[tuple[Op, Extent, Drawn], ...]
    rows: Tensor
    window: Tensor | None = None
    framed: tuple[int, int] = (0, 0)
    square: Tensor | None = None

    def matrix(self, *, of_read: bool = False) -> Tensor:
        """Return the way from the item, as stored where a view shows a window of it, to the view: float64 [B, 3, 3].

        The identity of a sound. The way ``of_read`` begins in what was read: the window, where there is one.
        """
        device = self.rows.device
        box = self.square if self.window is None else self.window
        matrix = None if box is None or of_read else framing(box, constant(self.framed, device)[None])
        for op, extent, drawn in self.moves:
            moved = op.movement(extent, device, drawn)
            matrix = moved if matrix is None or moved is None else moved @ matrix
        whole = identity(len(self.rows), device)
        return whole if matrix is None else matrix.expand_as(whole)

    def each(self, change: Callable[[Tensor], Tensor]) -> "DrawnView":
        """Return it with each of its tensors changed: put on a device, or taken some rows of."""
        changed = {id(step): step.each(change) for step in self.steps if step is not None}
        return DrawnView(
            tuple(step and changed[id(step)] for step in self.steps),
            self.extent.each(change),
            tuple((op, extent.each(change), changed[id(drawn)]) for op, extent, drawn in self.moves),
            change(self.rows),
            None if self.window is None else change(self.window),
            self.framed,
            None if self.square is None else change(self.square),
        )


class Policy(Settings):
    """Operations in the order in which they are applied; none at all is the identity.

    All are of pictures (and clips), or all of sounds.
    """

    ops: tuple[AnyOp, ...] = ()

    @model_validator(mode="after")
    def _of_one_family(self) -> Self:
        kinds = {_family(op): type(op).__name__ for op in self.ops}
        if len(kinds) > 1:
            raise ValueError(
                f"a policy is for pictures or for sounds, and {kinds['picture']} is of pictures, {kinds['sound']} of "
                "sounds; make a policy, and a view, for each"
            )
        return self

    @property
    def of(self) -> Literal["picture", "sound"] | None:
        """What its operations are for; None where there are none, so that it is for either."""
        return None if not self.ops else "sound" if isinstance(self.ops[0], WaveOp) else "picture"

    @property
    def leads(self) -> bool:
        """Whether its first operation may be done while pictures are decoded."""
        return bool(self.ops) and isinstance(self.ops[0], Op) and self.ops[0].leads

    def __call__(self, items: Tensor, draws: Draws) -> Tensor:
        """Augment a batch: float32 [B, C, H, W] or [B, T, C, H, W] in [0, 1], to the same at the size of the last crop.

        Of sounds [B, C, S]. The given items are not changed; without any operation, they are what comes back.

        An operation draws by its name and by how many of its kind came before it, not by its place: a policy without
        blur crops and jitters as the policy with blur does, so that an ablation compares the two on the same views.
        """
        return self.change(items, self.draw(Extent.of(items.shape[1:]), draws))

    def draw(
        self,
        extent: Extent,
        draws: Draws,
        *,
        geometry_only: bool = False,
        geometry: DrawnView | None = None,
        stored: Extent | None = None,
    ) -> DrawnView:
        """Draw all that decides the views of items of this extent, without a look at them.

        With ``geometry_only`` what moves no pixels is not drawn, and there is nothing to :meth:`change` items with.
        Such a draw may be given as ``geometry``, on the draws' device: then only the rest is drawn. With ``stored``,
        the extent of the pictures as they are stored, an operation that leads shows a window of these; where none
        does, it is said which square is read.
        """
        steps: list[Drawn | None] = []
        moves: list[tuple[Op, Extent, Drawn]] = []
        window, framed, square = (
            (None, (0, 0), None) if geometry is None else (geometry.window, geometry.framed, geometry.square)
        )
        if stored is not None and not self.leads:
            square, framed = squares_of(stored.sizes(draws.rows.device)), _sides(extent)
        for place, (op, scope) in enumerate(self._scoped()):
            if place == 0 and stored is not None and isinstance(op, Op) and self.leads:
                window = op.window(stored, op.draw(stored, draws.fold_in(*scope)))
                framed = _sides(op.output(extent))
            if place == 0 and window is not None:
                steps.append(None)
            elif isinstance(op, Op) and op.moves:
                given = geometry and geometry.steps[place]
                drawn = op.draw(extent, draws.fold_in(*scope)) if given is None else given
                steps.append(drawn)
                moves.append((op, extent, drawn))
            else:
                steps.append(None if geometry_only else op.draw(extent, draws.fold_in(*scope)))
            if isinstance(op, Op):
                extent = op.output(extent)
        return DrawnView(tuple(steps), extent, tuple(moves), draws.rows, window, framed, square)

    def change(self, items: Tensor, drawn: DrawnView) -> Tensor:
        """Augment the items, float32 or uint8, as it was drawn; return float32.

        What has a window is given as that shows it.
        """

        def change(some: Tensor, rows: slice) -> Tensor:
            return self._change(some, drawn if len(some) == len(items) else drawn.each(lambda values: values[rows]))

        sides = [side for side in drawn.extent.size if isinstance(side, int)]
        floats = math.prod((drawn.extent.channels, *sides, *items.shape[1:2] * (items.ndim == 5)))
        return change_in_parts(items, change, floats, on_threads=is_large(items))

    def _change(self, items: Tensor, drawn: DrawnView) -> Tensor:
        result, done = items, 0 if drawn.window is None else 1
        for op, step in zip(self.ops[done:], drawn.steps[done:], strict=True):
            assert step is not None, "drawn for its geometry only"
            if not (isinstance(op, Op) and op.takes_bytes):
                result = as_float(result)
            result = op.change(result, step, overwrite=result is not items)
        return as_float(result)

    def _scoped(self) -> Iterator[tuple[Augmentation, tuple[int | str, ...]]]:
        """Yield each operation with the scope of its draws."""
        before: Counter[str] = Counter()
        for op in self.ops:
            yield op, (before[op.name], op.name)
            before[op.name] += 1

    @property
    def summary(self) -> str:
        """All operations in one line: ``Crop(0.2-1) > Flip(p=0.5) > ColorDrop(p=0.2)``."""
        return " > ".join(op.summary for op in self.ops) or "identity"

    def without(self, *kinds: type[Augmentation]) -> "Policy":
        """Return this policy less every operation of these kinds.

        Raises:
            UserError: there is none of one of these kinds, so that nothing would be removed.
        """
        for kind in kinds:
            self._check_holds(kind)
        return Policy(ops=tuple(op for op in self.ops if not isinstance(op, kinds)))

    def plus(self, *ops: Op | WaveOp) -> "Policy":
        """Return this policy with more operations after its own."""
        return Policy(ops=(*self.ops, *ops))

    def replacing(self, new: Op | WaveOp) -> "Policy":
        """Return this policy with ``new`` in the place of the operation of its kind: another crop, a weaker jitter.

        Raises:
            UserError: there is no operation of this kind.
        """
        self._check_holds(type(new))
        return Policy(ops=tuple(new if isinstance(op, type(new)) else op for op in self.ops))

    def output_px(self, image_px: int) -> int:
        """Return the side of what it makes of a square image.

        >>> from unlabeled.platform.augment import Crop, Flip
        >>> Policy(ops=(Crop(size=96), Flip())).output_px(224)
        96
        """
        return _sides(self.output(Extent(3, (image_px, image_px))))[0]

    def output(self, extent: Extent) -> Extent:
        """Return the extent of what it makes of items of this extent.

        Raises:
            UserError: an operation can't take such items.
        """
        ops = (op for op in self.ops if isinstance(op, Op))  # those on sounds keep their length
        return functools.reduce(lambda found, op: op.output(found), ops, extent)

    def _check_holds(self, kind: type[Augmentation]) -> None:
        if not any(isinstance(op, kind) for op in self.ops):
            raise unknown(
                f"operation of the policy {self.summary!r}", kind.__name__, {type(op).__name__ for op in self.ops}
            )


def _sides(extent: Extent) -> tuple[int, int]:
    height, width = extent.size
    assert isinstance(height, int)
    assert isinstance(width, int)
    return height, width
