"""What an augmentation is: a value that turns a batch of items into another, by draws of its own for every sample.

Each kind is in parts: ``parameters`` draws one set of numbers per sample, from the pictures' extent and without a look
at them; ``apply`` is a pure function of pictures and given numbers, which the tests hold against torchvision's; and a
kind that moves pixels says by ``matrix`` where to. A clip is augmented with one set of numbers for all its frames.

Points are continuous: pixel (0, 0) covers [0, 1) x [0, 1), and its centre is at (0.5, 0.5). A matrix takes a column
(x, y, 1) of the operation's input to one of its output.

Shape suffixes, here and in the kinds: B batch, T frames of a clip, C channels (1 or 3), H height, W width, S samples of
a sound, K taps of a kernel, N pixels of an input along one axis, M pixels of an output along it.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Annotated, ClassVar, NamedTuple

import torch
from pydantic import AfterValidator, Field
from torch import Tensor

from unlabeled.platform.augment.devices import change_chosen, constant
from unlabeled.platform.augment.geometry import identity
from unlabeled.platform.draws import Draws
from unlabeled.platform.settings import Settings, Variant


def _rising(bounds: tuple[float, float]) -> tuple[float, float]:
    low, high = bounds
    if low > high:
        raise ValueError(f"a range goes from low to high; write ({high:g}, {low:g})")
    return bounds


_Fraction = Annotated[float, Field(gt=0.0, le=1.0)]
_Positive = Annotated[float, Field(gt=0.0)]
FractionRange = Annotated[tuple[_Fraction, _Fraction], AfterValidator(_rising)]
PositiveRange = Annotated[tuple[_Positive, _Positive], AfterValidator(_rising)]
Range = Annotated[tuple[float, float], AfterValidator(_rising)]


class Extent(NamedTuple):
    """How large the items of a batch are: all that an operation has to know of them to draw.

    Attributes:
        channels: of pictures, of a clip's frames, of sounds.
        size: height and width in pixels, or the number of samples. Each is one number for the whole batch; where
            pictures differ, int64 [B].
    """

    channels: int
    size: tuple[int | Tensor, ...]

    @classmethod
    def of(cls, shape: tuple[int, ...]) -> "Extent":
        """Return the extent of an item: a picture (C, H, W), a clip (T, C, H, W) or a sound (C, S)."""
        return cls(shape[0], tuple(shape[1:])) if len(shape) < 4 else cls(shape[1], tuple(shape[2:]))

    @property
    def height(self) -> int | Tensor:
        """Of a picture, in pixels."""
        return self.size[0]

    @property
    def width(self) -> int | Tensor:
        """Of a picture, in pixels; of a sound, in samples."""
        return self.size[-1]

    def each(self, change: Callable[[Tensor], Tensor]) -> "Extent":
        """Return it with each of its tensors changed: put on a device, or taken some rows of."""
        return self._replace(size=tuple(change(side) if isinstance(side, Tensor) else side for side in self.size))

    def sizes(self, device: torch.device) -> Tensor:
        """Return the size as int64 [1, 2] of height and width; [B, 2] where pictures differ."""
        if all(isinstance(side, int) for side in self.size):
            return constant(self.size, device, torch.int64)[None]
        batch = max(len(side) for side in self.size if isinstance(side, Tensor))
        columns = [
            side.to(device, non_blocking=True)
            if isinstance(side, Tensor)
            else torch.full((batch,), side, device=device)
            for side in self.size
        ]
        return torch.stack(columns, dim=1)


class Drawn(NamedTuple):
    """What was drawn for one use of an operation.

    Attributes:
        fires: bool [B], which samples it changes; None is all of them.
        parameters: what ``apply`` takes, a row for each of the B samples.
    """

    fires: Tensor | None
    parameters: tuple[Tensor, ...]

    def each(self, change: Callable[[Tensor], Tensor]) -> "Drawn":
        """Return it with each of its tensors changed: put on a device, or taken some rows of."""
        fires = None if self.fires is None else change(self.fires)
        return Drawn(fires, tuple(change(values) for values in self.parameters))


class Augmentation(Settings, ABC):
    """What operations on pictures and on sounds share. A frozen value: its fields say how strong it is. Abstract.

    Attributes:
        p: how often it fires.
    """

    p: float = Field(default=1.0, ge=0.0, le=1.0)

    def __call__(self, items: Tensor, draws: Draws, *, overwrite: bool = False) -> Tensor:
        """Augment each item with probability ``p``; the others come back as they were.

        Args:
            items: float32 [B, C, H, W] or [B, T, C, H, W] in [0, 1], C 1 or 3; of an operation on sounds [B, C, S].
            draws: the draws of these B rows, on the items' device, for this one use of the operation.
            overwrite: whether the result may take the items' memory. A policy allows it for what it made itself: on a
                CPU the page faults of a fresh batch cost about as much as the arithmetic.

        Returns:
            float32, as the items are, at the size that the operation makes.
        """
        return self.change(items, self.draw(Extent.of(items.shape[1:]), draws), overwrite=overwrite)

    def draw(self, extent: Extent, draws: Draws) -> Drawn:
        """Draw which samples to change, and how."""
        return Drawn(None if self.p == 1.0 else draws.bernoulli(self.p), self.parameters(extent, draws))

    def change(self, items: Tensor, drawn: Drawn, *, overwrite: bool = False) -> Tensor:
        """Augment the items as it was drawn; see :meth:`__call__`."""
        if drawn.fires is None:
            return self._over_time(items, *drawn.parameters)
        return change_chosen(items, drawn.fires, self._over_time, *drawn.parameters, overwrite=overwrite)

    def _over_time(self, items: Tensor, *parameters: Tensor) -> Tensor:
        """Apply: to a clip, with the same parameters for every frame."""
        if items.ndim < 5:
            return self.apply(items, *parameters)
        frames = items.shape[1]
        each = (values.repeat_interleave(frames, dim=0) for values in parameters)
        made = self.apply(items.flatten(0, 1), *each)
        return made.view(-1, frames, *made.shape[1:])

    @property
    def summary(self) -> str:
        """The kind, its settings and, unless it always fires, how often: ``GaussianBlur(0.1-2, p=0.5)``."""
        inside = [*self.details(), *([] if self.p == 1.0 else [f"p={self.p:g}"])]
        return type(self).__name__ + (f"({', '.join(inside)})" if inside else "")

    def details(self) -> tuple[str, ...]:
        """Return the settings that the summary names, apart from ``p``."""
        return ()

    @abstractmethod
    def parameters(self, extent: Extent, draws: Draws) -> tuple[Tensor, ...]:
        """Draw what ``apply`` needs: tensors with one row per sample, on the draws' device."""

    @abstractmethod
    def apply(self, items: Tensor, *parameters: Tensor) -> Tensor:
        """Augment every item with its given parameters; nothing is left to chance."""


class Op(Augmentation, Variant, ABC):
    """One augmentation of pictures and clips. Abstract.

    Attributes:
        moves: whether it may move pixels, so that it has a matrix.
        takes_bytes: whether it takes uint8, too, of which it makes float32 in [0, 1].
    """

    group = "unlabeled.ops"
    moves: ClassVar[bool] = False
    takes_bytes: ClassVar[bool] = False

    def output(self, extent: Extent) -> Extent:
        """Return the extent of what it makes of pictures.

        Raises:
            UserError: it can't take such pictures.
        """
        return extent

    @property
    def leads(self) -> bool:
        """Whether it has a :meth:`window`, so that, first of a policy, it may be done while pictures are decoded."""
        return False

    def window(self, extent: Extent, drawn: Drawn) -> Tensor:
        """Return which box of each picture it shows and resizes: int64 [B, 4] of top, left, height and width.

        Args:
            extent: of the pictures as they are stored, each one's own.
            drawn: for such pictures.
        """
        raise NotImplementedError(f"{type(self).__name__} leads and says no window")

    def matrix(self, extent: Extent, device: torch.device, *parameters: Tensor) -> Tensor | None:
        """Return where it takes points to, if it fires: float64 [B, 3, 3], or [1, 3, 3] for all B alike.

        None where pixels stay in their places.
        """
        return None

    def movement(self, extent: Extent, device: torch.device, drawn: Drawn) -> Tensor | None:
        """Return :meth:`matrix` of what was drawn, with the identity for the samples that it leaves alone."""
        matrix = self.matrix(extent, device, *drawn.parameters)
        if matrix is None or drawn.fires is None:
            return matrix
        return torch.where(drawn.fires[:, None, None], matrix, identity(1, matrix.device))


def as_float(items: Tensor) -> Tensor:
    """Turn uint8 to float32 in [0, 1]; float32 stays as it is."""
    return items.to(torch.float32).div_(255.0) if items.dtype == torch.uint8 else items


def between(uniform: Tensor, bounds: tuple[float, float]) -> Tensor:
    """Stretch draws from [0, 1) to a range."""
    low, high = bounds
    return uniform * (high - low) + low


def span(bounds: tuple[float, float]) -> str:
    """Write a range for a summary.

    >>> span((0.2, 1.0))
    '0.2-1'
    """
    return f"{bounds[0]:g}-{bounds[1]:g}"


def per_image(values_B: Tensor) -> Tensor:
    """Shape one value per sample to multiply images with: [B, 1, 1, 1]."""
    return values_B.view(-1, 1, 1, 1)
