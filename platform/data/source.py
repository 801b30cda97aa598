"""Items with named fields, fetched by index: what a data set is, whatever its items are.

An item is what belongs together: a picture, its class, its caption. Each of these is a field, which has a name and a
kind. Sources that each hold a field of the same items are put together by :class:`Joined`, so that a new kind of field
is one more source, and whoever reads a field does not know what lies beside it.

What :meth:`Source.read` gives is of one shape. Where items are stored in many sizes, a source may say each one's extent
beside (:meth:`Source.extents`), and read windows of it: any box, brought to one size, at the cost of what is in it.
What lies in such a picture (masks, boxes, points) is read in windows likewise.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, final

import torch
from torch import Tensor

from unlabeled.platform.errors import unknown

SAMPLE = 2_000  # items looked at for statistics; splits are shuffled, so the first are a fair sample
CHUNK = 256  # items read at a time, where all are


Kind = Literal["image", "clip", "wave", "class", "text", "mask", "boxes", "points", "pose"]
IGNORED: Final = 255
"""The class of a mask's pixel that nothing is told of."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """What items hold under one name, of some kind.

    B items are read as:

    - image: uint8 [B, C, H, W];
    - clip: uint8 [B, T, C, H, W], frames of a film;
    - wave: float32 [B, C, S] in [-1, 1], samples of a sound;
    - class: int64 [B], numbers of ``classes``;
    - text: a list of B strings;
    - mask: uint8 [B, H, W], the class of each pixel, :data:`IGNORED` where nothing is told;
    - boxes: float32 [B, K, 5]: left, top, right and bottom edge in pixels, and the class; rows after the last are NaN;
    - points: float32 [B, K, 2]: x and y in pixels, of which the first reaches from 0 to 1; NaN where one is not seen;
    - pose: float32 [B, ...], numbers.

    Masks, boxes, points and poses of a clip have T after B.

    Attributes:
        kind: one of these.
        shape: of one item as it is read, without B; () of a class and of a text.
        classes: names by number, of classes, masks and boxes.
        rate: frames or samples per second, of clips and waves.
        of: the image or clip that masks, boxes and points lie in.
    """

    kind: Kind
    shape: tuple[int, ...] = ()
    classes: tuple[str, ...] = ()
    rate: float | None = None
    of: str = ""


@dataclass(frozen=True, slots=True)
class Window:
    """A box of each of some pictures.

    Attributes:
        boxes: int64 or float64 [B, 4], top, left, height and width in pixels as stored, inside the picture.
        size: height and width that each is resized to, bilinearly, with antialiasing where that shrinks it.
    """

    boxes: Tensor
    size: tuple[int, int]


class Source(ABC):
    """Some items, by index. Abstract.

    Attributes:
        fields: what each item holds, by name. Not every item need have each of them: see :meth:`known`.
    """

    fields: Mapping[str, Field]

    @abstractmethod
    def __len__(self) -> int: ...

    def known(self, field: str) -> Tensor:
        """Return which items have the field, bool [N], on the CPU: all, if not said otherwise.

        Raises:
            UserError: there is no such field.
        """
        self.check_has(field)
        return torch.ones(len(self), dtype=torch.bool)

    def is_in_memory(self, field: str) -> bool:
        """Tell whether a field is read at the cost of a copy: not from files, and not made. No, if not said otherwise.

        Raises:
            UserError: there is no such field.
        """
        self.check_has(field)
        return False

    def files(self, index: Tensor, field: str) -> list[str] | None:
        """Return the paths of the files that items ``index`` are read from; None where they have none of their own.

        Raises:
            UserError: there is no such field.
        """
        self.check_has(field)
        return None

    @abstractmethod
    def read(self, index: Tensor, field: str) -> Tensor | list[str]:
        """Return the field of items ``index``, in that order; an item may be asked for more than once.

        It may be called on several threads at the same time.

        Args:
            index: int64 [B], on the CPU; items that have the field. Of others, what comes back means nothing.
            field: its name.

        Returns:
            B values as the field's kind has them, on the CPU; they may be changed.

        Raises:
            UserError: there is no such field, or a file can't be read; it is named.
        """

    def extents(self, index: Tensor, field: str) -> Tensor | None:
        """Return how large the pictures ``index`` of a field are as stored, int64 [B, 2] of height and width.

        None, if not said otherwise: every item is read whole, and its size is the field's.

        Raises:
            UserError: there is no such field, or a file can't be read; it is named.
        """
        self.check_has(field)
        return None

    def read_windows(self, index: Tensor, field: str, windows: Sequence[Window]) -> list[Tensor]:
        """Return windows of pictures ``index``, each of every one, or what lies in them; asked only where are extents.

        All windows of one picture are made from what is decoded once, at the scale that suffices for each of them. So
        the last bit or two of a pixel may differ between a window that is read alone and one that is read with others.

        Args:
            index: int64 [B], on the CPU; items that have the field.
            field: its name; of a picture that has extents, or of what lies in one.
            windows: of B boxes each.

        Returns:
            For each window of a picture uint8 [B, C, height, width], the same on every processor; of a mask uint8
            [B, height, width], the nearest numbers; boxes and points as they are read, but in pixels of the window, and
            cut off at its edges. They may be changed.

        Raises:
            UserError: there is no such field, or a file can't be read; it is named.
        """
        raise NotImplementedError(f"{type(self).__name__} has extents and reads no windows")

    @abstractmethod
    def take(self, rows: Tensor) -> "Source":
        """Return the items ``rows`` (int64 [M]) in that order; what is large is not copied."""

    def tensor(self, index: Tensor, field: str) -> Tensor:
        """Return :meth:`read` of a field that is no text."""
        values = self.read(index, field)
        assert isinstance(values, Tensor), f"{field} is text"
        return values

    def sample(self, field: str) -> Iterator[Tensor]:
        """Yield what the field's statistics are taken from, in parts: the first 2,000 items, as they are read."""
        for index in torch.split(self.rows[:SAMPLE], CHUNK):
            yield self.tensor(index, field)

    @property
    def rows(self) -> Tensor:
        """The index of all items, int64 [N]."""
        return torch.arange(len(self))

    def check_has(self, field: str) -> None:
        """Raise UserError where there is no field of this name; the line names those that there are."""
        if field not in self.fields:
            raise unknown("field of the data", field, self.fields)


@final
class Joined(Source):
    """Several sources of the same items, side by side.

    Attributes:
        parts: the source that each field is read from, by the field's name.
    """

    def __init__(self, *sources: Source) -> None:
        """Take one source or more.

        Raises:
            ValueError: they are not equally long, or two have a field of one name.
        """
        lengths = {name: len(source) for source in sources for name in source.fields}
        names = [name for source in sources for name in source.fields]
        if len(set(lengths.values())) != 1:
            raise ValueError(", ".join(f"{count} items have {name}" for name, count in lengths.items()))
        if len(set(names)) < len(names):
            raise ValueError(f"two fields have one name: {', '.join(names)}")
        self.parts = {name: source for source in sources for name in source.fields}
        self.fields = {name: source.fields[name] for name, source in self.parts.items()}
        self._sources = sources

    def __len__(self) -> int:
        return len(self._sources[0])

    def known(self, field: str) -> Tensor:
        """Return which items have the field, bool [N]."""
        return self.of(field).known(field)

    def is_in_memory(self, field: str) -> bool:
        """Tell whether a field lies in memory, in the source that has it."""
        return self.of(field).is_in_memory(field)

    def files(self, index: Tensor, field: str) -> list[str] | None:
        """Return the paths of items' files, from the source that has them."""
        return self.of(field).files(index, field)

    def read(self, index: Tensor, field: str) -> Tensor | list[str]:
        """Return the field of items ``index``, from the source that has it."""
        return self.of(field).read(index, field)

    def extents(self, index: Tensor, field: str) -> Tensor | None:
        """Return how large the pictures ``index`` are as stored, from the source that has them."""
        return self.of(field).extents(index, field)

    def read_windows(self, index: Tensor, field: str, windows: Sequence[Window]) -> list[Tensor]:
        """Return windows of pictures ``index``, from the source that has them."""
        return self.of(field).read_windows(index, field, windows)

    def take(self, rows: Tensor) -> "Joined":
        """Return the items ``rows`` in that order, of each source."""
        return Joined(*(source.take(rows) for source in self._sources))

    def sample(self, field: str) -> Iterator[Tensor]:
        """Yield what the field's statistics are taken from, as the source that has it does."""
        return self.of(field).sample(field)

    def of(self, field: str) -> Source:
        """Return the source of a field.

        Raises:
            UserError: there is no such field.
        """
        self.check_has(field)
        return self.parts[field]
