"""A data set, split and measured, ready for a run."""

import functools
import os
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from unlabeled.platform.data.catalogue import find
from unlabeled.platform.data.config import DataConfig
from unlabeled.platform.data.contents import Contents
from unlabeled.platform.data.format import SEEN, PictureFormat, WaveFormat, described, format_of, measure
from unlabeled.platform.data.source import Source
from unlabeled.platform.data.splits import balanced, carve, shuffled
from unlabeled.platform.errors import UserError

TEST_FRACTION = 0.2  # carved for test where a set comes without one


@dataclass(frozen=True)
class Data:
    """A data set. Every split is in a fixed shuffled order, so the first few of any are a fair sample.

    Attributes:
        name: as in :class:`DataConfig`.
        pretrain: what a method sees: ``train`` itself, or with a set's pictures without a class before it.
        train: what probes are fitted on.
        validation: for choosing; in neither of the above.
        test: read once, at the end.
        measured: all training items, whatever ``train_images`` is: what statistics are taken of.
        checksum: sha256 in hexadecimal of the set's contents on disk; the same for every :class:`DataConfig`.
        licence: who allows what.
        source: whom to cite.
        field: the field that an encoder is shown; the first of a kind that one can see, if not said otherwise.
    """

    name: str
    pretrain: Source
    train: Source
    validation: Source
    test: Source
    measured: Source
    checksum: str
    licence: str
    source: str
    field: str = ""

    def __post_init__(self) -> None:
        """Choose what is shown where it is not said."""
        if not self.field:
            seen = [name for name, field in self.train.fields.items() if field.kind in SEEN]
            object.__setattr__(self, "field", seen[0])

    def showing(self, field: str) -> "Data":
        """Return the data with another field shown to the encoder; without such a field, as they are."""
        there = self.train.fields.get(field)
        return self if field == self.field or there is None or there.kind not in SEEN else replace(self, field=field)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes by number; empty where no item has a class."""
        field = self.train.fields.get("class")
        return () if field is None else field.classes

    @functools.cached_property
    def format(self) -> PictureFormat | WaveFormat:
        """What an encoder that is trained on it is made for."""
        with torch.device("cpu"):  # also where a method is being built on no device at all
            return format_of(self.train.fields[self.field], measure(self.measured, self.field))

    @property
    def channels(self) -> int:
        """Of a picture, or a frame: 1 or 3."""
        return self._picture[0]

    @property
    def image_px(self) -> int:
        """Height and width of a picture, or a frame."""
        return self._picture[1]

    @property
    def _picture(self) -> tuple[int, ...]:
        shown = self.train.fields[self.field]
        if shown.kind not in ("image", "clip"):
            raise UserError(f"pictures are asked of {self.name}, and method.views shows {self.field}, a {shown.kind}")
        return shown.shape[-3:]

    def summary(self) -> str:
        """Say in one line what there is."""
        unlabelled = len(self.pretrain) - len(self.train)
        return (
            f"{self.name}: {len(self.train):,} training{f' (+ {unlabelled:,} unlabelled)' if unlabelled else ''}, "
            f"{len(self.validation):,} validation and {len(self.test):,} test "
            f"{described(self.train.fields[self.field])}, "
            f"{f'{len(self.classes)} classes' if self.classes else 'no labels'}; "
            f"checksum {self.checksum[:16]}; {self.licence}"
        )


def data_root(root: Path | None = None) -> Path:
    """Return the absolute folder that data sets lie in: ``root``, else $UNLABELED_DATA, else ``data/`` here."""
    place = Path(root or os.environ.get("UNLABELED_DATA") or "data")
    try:
        return place.expanduser().absolute()
    except RuntimeError:
        raise UserError(f"{place} starts in a home folder that nobody has here; write the whole path") from None


def load(config: DataConfig, root: Path | None = None) -> Data:
    """Read a data set from disk, split it and measure it. Nothing is ever downloaded here.

    The splits depend on the set and on ``validation_fraction``, never on a seed. ``root`` is as in :func:`data_root`.

    Raises:
        UserError: the set is missing, damaged, or too small for what is asked; the line says what to do.
    """
    entry = find(config.name)
    contents = config.read(data_root(root))
    rows = _Rows.of(config, contents)
    whole_train = contents.train.take(rows.train)
    train = whole_train if config.train_images is None else contents.train.take(rows.used)
    pretrain = contents.train.take(torch.cat([rows.unlabelled, rows.used])) if len(rows.unlabelled) else train
    return Data(
        name=config.name,
        pretrain=pretrain,
        train=train,
        validation=_given_or_carved(contents.validation, contents.train, rows.validation),
        test=_given_or_carved(contents.test, contents.train, rows.test),
        measured=whole_train,
        checksum=contents.checksum,
        licence=entry.licence,
        source=entry.source,
    )


def download(name: str, root: Path | None = None) -> str:
    """Bring a data set to the data root (see :func:`data_root`) and return a line that says where it is.

    Raises:
        UserError: there is no such set, it can't be fetched, or only the user can get it.
    """
    return find(name).fetch(name, data_root(root))


@dataclass(frozen=True)
class _Rows:
    """Which rows of the published training split go where."""

    train: Tensor
    used: Tensor  # of train, what train_images leaves
    unlabelled: Tensor
    validation: Tensor  # empty where the set has one of its own; likewise test
    test: Tensor

    @classmethod
    def of(cls, config: DataConfig, contents: Contents) -> "_Rows":
        count = len(contents.train)
        known, labels = _classes(contents.train)
        groups = torch.arange(count) if contents.groups is None else contents.groups
        order = shuffled(count, "rows")
        train, unlabelled = order[known[order]], order[~known[order]]
        test = validation = train[:0]
        if contents.test is None:
            train, test = carve(train, labels, groups, TEST_FRACTION, "test")
        if contents.validation is None:
            train, validation = carve(train, labels, groups, config.validation_fraction, "validation")
        aside = torch.cat([validation, test])
        unlabelled = unlabelled[~torch.isin(groups[unlabelled], groups[aside])]  # what is seen there is not learnt from
        lacking = [
            split
            for split, given, carved in (("test", contents.test, test), ("validation", contents.validation, validation))
            if given is None and not len(carved)
        ]
        if lacking:
            raise UserError(
                f"{config.name} has too few pictures ({int(known.sum())}): none is left for {' and '.join(lacking)}; "
                f"at least one class needs {3 if contents.test is None else 2} or more"
            )
        wanted = len(train) if config.train_images is None else config.train_images
        if wanted > len(train):
            raise UserError(
                f"train_images is {wanted}, but {config.name} has {len(train)} training pictures beside those kept for "
                f"validation and test; use {len(train)} or fewer"
            )
        return cls(train, balanced(train, labels, wanted), unlabelled, validation, test)


def _classes(source: Source) -> tuple[Tensor, Tensor]:
    """Return which items have a class, bool [N], and it, int64 [N], 0 for the others. Without classes all have one."""
    if "class" not in source.fields:
        return torch.ones(len(source), dtype=torch.bool), torch.zeros(len(source), dtype=torch.int64)
    known, numbers = source.known("class"), torch.zeros(len(source), dtype=torch.int64)
    numbers[known] = source.tensor(source.rows[known], "class")
    return known, numbers


def _given_or_carved(given: Source | None, train: Source, carved: Tensor) -> Source:
    return train.take(carved) if given is None else given.take(shuffled(len(given), "rows"))
