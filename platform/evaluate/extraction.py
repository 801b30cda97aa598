"""From items to features: every item is read once, whatever is taken of it, and what is large is kept in a file."""

import contextlib
import os
import tempfile
from collections.abc import Callable, Hashable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from unlabeled.platform.data import Source
from unlabeled.platform.evaluate.corruptions import Corruption
from unlabeled.platform.evaluate.features import CHUNK, Features, check_finite, encode, in_eval_mode, on_frames
from unlabeled.platform.evaluate.pixels import pixels
from unlabeled.platform.evaluate.sharing import Shares, sharing
from unlabeled.platform.processor import Processor

IN_MEMORY = 2**30  # bytes of features; more are kept in a file, where there is a folder for it

Key = TypeVar("Key", bound=Hashable)

Change = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Changes float32 images [B, C, H, W] in [0, 1] by their rows, int64 [B]; returns them, and the change's labels [B]."""


@dataclass(frozen=True)
class Look:
    """One way of looking at items.

    Attributes:
        module: the encoder, or what maps pixels to a layer behind it; it runs in eval mode and is left as it was.
        told: what the items are labelled by: a class or whatever else is numbers.
        change: how to change them, and what they are labelled by instead; None takes clean ones and their labels.
        shown: how they are corrupted.
    """

    module: nn.Module
    told: str = "class"
    change: Change | None = None
    shown: Corruption | None = None


@torch.no_grad()
def extract(
    module: nn.Module,
    source: Source,
    processor: Processor,
    max_items: int | None = None,
    change: Change | None = None,
    *,
    field: str = "image",
    told: str = "class",
    shown: Corruption | None = None,
) -> Features:
    """Embed the items in one way; see :func:`collect`, which raises what this raises."""
    look = Look(module, told, change, shown)
    return collect({"": look}, source, processor, max_items, field=field)[""]


@torch.no_grad()
def collect(
    looks: Mapping[Key, Look],
    source: Source,
    processor: Processor,
    max_items: int | None = None,
    *,
    field: str = "image",
    folder: Path | None = None,
    guard: Callable[[Key], AbstractContextManager[Any]] = lambda _: contextlib.nullcontext(),
    shared: bool = False,
) -> dict[Key, Features]:
    """Embed the items, or the first ``max_items`` of them (splits are shuffled, so these are a fair sample).

    Items that lack what they are told by are left out, unless all lack it. Looks at the same items share one pass, in
    which every item is read once.

    Args:
        looks: the ways in which features are wanted.
        source: of the items.
        processor: what to compute on.
        max_items: how many.
        field: what of them the modules see: pictures, clips or sounds.
        folder: on a disk with room. Features of more than 1 GiB are kept there, in a file that has no name and goes
            when they go; without a folder, or of less, they are kept in memory.
        guard: around all that is done for one look; if it swallows an error, the look's features are left out.
        shared: whether all workers do this together, each with its own equal modules: a chunk goes to each in turn, and
            the features to the first. The others get the same looks, without items; an error of one is every one's.

    Raises:
        NotFiniteError: a feature is NaN or infinite.
    """
    found: dict[Key, Features] = {}
    shape = source.fields[field].shape
    for index, keys in _by_items(looks, source, max_items):
        parts = torch.split(index, max(1, CHUNK // (shape[0] if len(shape) == 4 else 1)))
        with ExitStack() as stack:
            shares = stack.enter_context(sharing(parts, alone=not shared))
            takers = {key: _Taker(looks[key], index, source, field, processor, folder, shares) for key in keys}
            for key in keys:
                stack.enter_context(in_eval_mode(looks[key].module))
            read = stack.enter_context(contextlib.closing(pixels(source, shares.own, processor, field)))
            for turn, rows in enumerate(shares.own):
                shown = _Shown(shares.agreed(next, read), rows)
                for key in list(takers):
                    if not _done(guard(key), takers[key].take, turn, shown):
                        del takers[key]
                if not takers:
                    break
            for key, taker in takers.items():
                with guard(key):
                    found[key] = taker.features()
    return found


def _by_items(looks: Mapping[Key, Look], source: Source, max_items: int | None) -> list[tuple[Tensor, list[Key]]]:
    """Return which items, int64 [N], and the looks at them."""
    groups: list[tuple[Tensor, list[Key]]] = []
    for key, look in looks.items():
        known = look.told in source.fields
        index = (source.rows[source.known(look.told)] if known else source.rows)[:max_items]
        alike = next((keys for other, keys in groups if torch.equal(other, index)), None)
        if alike is None:
            groups.append((index, [key]))
        else:
            alike.append(key)
    return groups


def _done(guard: AbstractContextManager[Any], work: Callable[..., None], *args: Any) -> bool:
    """Tell whether it was done, and no error swallowed."""
    with guard:
        work(*args)
        return True
    return False


class _Shown:
    """Some items as they are, changed and corrupted, each once."""

    def __init__(self, pixels: Tensor, rows: Tensor) -> None:
        self.rows = rows
        self._made: dict[tuple[Change | None, Corruption | None], tuple[Tensor, Tensor | None]] = {
            (None, None): (pixels, None)
        }

    def as_in(self, look: Look) -> tuple[Tensor, Tensor | None]:
        """Return pixels, and how they were changed, int64 [B]."""
        key = look.change, look.shown
        if key not in self._made:
            x, ways = self._made[None, None]
            if look.change is not None:
                x, ways = look.change(x, self.rows)
            if look.shown is not None:
                x = on_frames(x, self.rows, look.shown)
            self._made[key] = x, ways
        return self._made[key]


class _Taker:
    """Takes one look at items, part after part, and keeps the features where they will stay."""

    def __init__(
        self,
        look: Look,
        index: Tensor,
        source: Source,
        field: str,
        processor: Processor,
        folder: Path | None,
        shares: Shares,
    ) -> None:
        self.look, self.processor, self.folder, self.shares = look, processor, folder, shares
        self.index, self.source = index, source
        shape = source.fields[field].shape
        self.size = shape[-2:] if len(shape) > 2 else shape[-1:]
        self.x: Tensor | None = None
        self.ways: Tensor | None = None

    def take(self, turn: int, shown: _Shown) -> None:
        """Embed some items, each worker its own."""
        made, ways = self.shares.agreed(self._made, shown)
        assert self.x is not None
        for at, some in self.shares.every(turn, made):
            self.x[at : at + len(some)] = some
        if ways is not None:
            assert self.ways is not None
            for at, some in self.shares.every(turn, ways):
                self.ways[at : at + len(some)] = some

    def features(self) -> Features:
        """Return what was taken."""
        return self.shares.agreed(self._features)

    def _made(self, shown: _Shown) -> tuple[Tensor, Tensor | None]:
        pixels, ways = shown.as_in(self.look)
        with self.processor.autocast():
            made = encode(self.look.module, pixels, self.processor).float()
        check_finite(made)
        if self.x is None:
            self.x = self._room(made)
            self.ways = None if ways is None else ways.new_empty(len(self.x))
        return made, ways

    def _features(self) -> Features:
        if self.x is None:
            raise ValueError("there are no pictures")
        labels = self.ways
        if labels is None and self.shares.is_first and self.look.told in self.source.fields:
            labels = self.processor.put(self.source.tensor(self.index, self.look.told))
        return Features(self.x, labels, self.size)

    def _room(self, made: Tensor) -> Tensor:
        """Return room for the features of all items, like those of some; where they don't come here, for none."""
        count = len(self.index) if self.shares.is_first else 0
        needed = made[:1].numel() * count
        on_disk = self.folder is not None and needed * 4 > IN_MEMORY and (made.device.type == "cpu" or made.ndim == 2)
        shape = (count, *made.shape[1:])
        return mapped(shape, self.folder) if on_disk and self.folder is not None else made.new_empty(shape)


def mapped(shape: tuple[int, ...], folder: Path) -> Tensor:
    """Return zeros, float32, in a file that has no name and goes with the tensor.

    Raises:
        OSError: there is no room, or no such folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, prefix="features-") as file:
        count = int(torch.Size(shape).numel())
        _reserve(file.fileno(), count * 4)
        return torch.from_file(file.name, shared=True, size=count, dtype=torch.float32).view(shape)


def _reserve(file: int, size: int) -> None:
    """Take the room now: a file with holes would end the process where the disk is full."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
    else:
        os.ftruncate(file, size)
