"""What every source of items owes those who read it."""

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar, get_args

import pytest
import torch
from torch import Tensor

from unlabeled.platform.data import Source
from unlabeled.platform.data.format import measure
from unlabeled.platform.data.source import IGNORED, Field, Kind, Window
from unlabeled.platform.errors import UserError

_TYPES = {"image": torch.uint8, "clip": torch.uint8, "mask": torch.uint8, "class": torch.int64}  # others are float32
_DIMS = {"image": 3, "clip": 4, "wave": 2, "class": 0, "text": 0}  # of one item


class SourceSuite:
    """Tests of sources; derive a class whose name begins with Test, and set ``sources``.

    Attributes:
        sources: by name: what makes a source of ``num_items`` items, in an empty folder if it wants one. Seven items or
            more have each field.
        num_items: at least 11.
    """

    sources: ClassVar[Mapping[str, Callable[[Path], Source]]] = {}
    num_items: ClassVar[int] = 11

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run each test on each source."""
        if "made" in metafunc.fixturenames:
            metafunc.parametrize("made", self.sources.values(), ids=list(self.sources))

    @pytest.fixture
    def source(self, made: Callable[[Path], Source], tmp_path: Path) -> Source:
        """One of the sources."""
        return made(tmp_path)

    def test_it_has_a_length_and_fields(self, source: Source) -> None:
        assert len(source) == self.num_items
        assert source.rows.tolist() == list(range(self.num_items))
        assert source.fields
        for field in source.fields.values():
            assert field.kind in get_args(Kind)
            assert bool(field.classes) == (field.kind in ("class", "mask", "boxes"))
            assert bool(field.rate) == (field.kind in ("clip", "wave"))
            assert bool(field.of) == (field.kind in ("mask", "boxes", "points"))
            frames = 0
            if field.of in source.fields:  # not of a part that is put beside it
                whole = source.fields[field.of]
                assert whole.kind in ("image", "clip")
                frames = whole.kind == "clip"
                assert not frames or field.shape[0] == whole.shape[0]
                assert field.kind != "mask" or field.shape[-2:] == whole.shape[-2:]
                assert len(field.shape) == 2 + frames
            elif not field.of:
                assert field.kind == "pose" or len(field.shape) == _DIMS[field.kind]

    def test_which_items_have_a_field_is_said(self, source: Source) -> None:
        for field in source.fields:
            found = source.known(field)
            assert (found.dtype, found.shape, found.device.type) == (torch.bool, (self.num_items,), "cpu")
            found.fill_(False)
            assert source.known(field).any(), "what is handed out is the reader's own"

    @pytest.mark.parametrize("count", [0, 1, 7])
    def test_what_is_read_is_as_the_field_says(self, source: Source, count: int) -> None:
        for name, field in source.fields.items():
            index = _known(source, name)[:count]
            assert len(index) == count
            values = source.read(index, name)
            if field.kind == "text":
                assert isinstance(values, list)
                assert len(values) == count
                assert all(isinstance(text, str) for text in values)
                continue
            assert isinstance(values, Tensor)
            assert (values.shape, values.device.type) == ((count, *field.shape), "cpu")
            assert values.dtype == _TYPES.get(field.kind, torch.float32)
            if count:
                _check_values(field, values)

    def test_what_is_read_is_in_the_order_asked_for_and_may_repeat(self, source: Source) -> None:
        for field in source.fields:
            index = _known(source, field)[[3, 0, 3, 5]]
            together = source.read(index, field)
            for place, item in enumerate(index):
                assert _same(source.read(item[None], field), together[place : place + 1])

    def test_reading_depends_on_the_index_alone(self, source: Source) -> None:
        for field in source.fields:
            index = _known(source, field)
            first = source.read(index, field)
            source.read(index.flip(0)[:2], field)
            torch.rand(3)
            assert _same(source.read(index, field), first)

    def test_what_is_read_may_be_changed(self, source: Source) -> None:
        for field in source.fields:
            index = _known(source, field)
            first = source.read(index, field)
            spoiled = source.read(index, field)
            if isinstance(spoiled, Tensor):
                spoiled.fill_(1)
            else:
                spoiled.clear()
            assert _same(source.read(index, field), first)

    def test_taken_items_are_those_in_that_order(self, source: Source) -> None:
        rows = torch.tensor([7, 2, 10, 2])
        part = source.take(rows)
        assert (len(part), dict(part.fields)) == (4, dict(source.fields))
        for field in source.fields:
            assert torch.equal(part.known(field), source.known(field)[rows])
            index = _known(part, field)
            assert _same(part.read(index, field), source.read(rows[index], field))

    def test_taking_composes(self, source: Source) -> None:
        first, second = torch.tensor([9, 4, 0, 7, 3]), torch.tensor([3, 1, 1])
        twice, once = source.take(first).take(second), source.take(first[second])
        assert len(twice) == len(once) == 3
        for field in source.fields:
            assert torch.equal(twice.known(field), once.known(field))
            index = _known(once, field)
            assert _same(twice.read(index, field), once.read(index, field))
        assert len(source) == self.num_items, "and leaves what it takes from as it was"
        assert len(source.take(first[:0])) == 0

    def test_windows_are_of_pictures_as_they_are_stored(self, source: Source) -> None:
        for name, field in source.fields.items():
            index = _known(source, name)[[3, 0, 3, 5]]
            extents = source.extents(index, name)
            if extents is None:
                continue
            assert field.kind == "image"
            self._check_what_lies_in_it(source, name)
            assert (extents.dtype, extents.shape, extents.device.type) == (torch.int64, (4, 2), "cpu")
            assert (extents > 1).all()
            part = torch.cat((torch.ones_like(extents), extents - 1), dim=1)
            shown = [Window(torch.cat((torch.zeros_like(extents), extents), dim=1), (7, 5)), Window(part, (6, 6))]
            found = source.read_windows(index, name, shown)
            channels = field.shape[0]
            assert [(each.shape, each.dtype) for each in found] == [
                ((4, channels, 7, 5), torch.uint8),
                ((4, channels, 6, 6), torch.uint8),
            ]
            again = source.take(index).read_windows(torch.arange(4), name, shown)
            assert all(map(torch.equal, found, again))
            for place in range(4):
                alone = [Window(each.boxes[place, None], each.size) for each in shown]
                one = source.read_windows(index[place, None], name, alone)
                assert all(torch.equal(few[0], many[place]) for few, many in zip(one, found, strict=True))

    def _check_what_lies_in_it(self, source: Source, picture: str) -> None:
        for name, field in source.fields.items():
            if field.of != picture:
                continue
            index = _known(source, name)[[3, 0, 3, 5]]
            extents = source.extents(index, picture)
            assert extents is not None
            side = extents.amin(dim=1, keepdim=True).double()
            square = torch.cat(((extents - side) / 2, side, side), dim=1)
            px = source.fields[picture].shape[-1]
            everything = torch.cat((torch.zeros_like(extents), extents), dim=1)
            shown = [Window(square, (px, px)), Window(everything, (7, 5))]
            in_square, in_all = source.read_windows(index, name, shown)
            assert _same(in_square, source.tensor(index, name)), "what is read without a window is the square"
            assert in_all.shape == (4, *((7, 5) if field.kind == "mask" else field.shape))
            _check_values(field, in_all)
            again = source.take(index).read_windows(torch.arange(4), name, shown)
            assert _same(again[1], in_all)

    def test_it_survives_a_pickle(self, source: Source) -> None:
        again = pickle.loads(pickle.dumps(source))
        assert (len(again), dict(again.fields)) == (self.num_items, dict(source.fields))
        for field in source.fields:
            index = _known(source, field)
            assert _same(again.read(index, field), source.read(index, field))

    def test_a_field_that_it_lacks_is_one_clear_line(self, source: Source) -> None:
        index, lacking = torch.tensor([0]), "no-such-field"
        for ask in (source.known, lambda field: source.read(index, field), lambda field: list(source.sample(field))):
            with pytest.raises(
                UserError, match=rf"^no field of the data is called '{lacking}'; .*[Tt]here are: "
            ) as caught:
                ask(lacking)
            assert all(field in str(caught.value) for field in source.fields)

    def test_statistics_are_of_sampled_pictures(self, source: Source) -> None:
        for name, field in source.fields.items():
            if field.kind != "image":
                continue
            pictures = torch.cat(list(source.sample(name)))
            assert len(pictures) == self.num_items
            if pictures.shape[2:] == field.shape[1:]:
                assert torch.equal(pictures, source.tensor(source.rows, name))
            mean, std = measure(source, name)
            pixels = pictures.double() / 255
            assert mean == pytest.approx(pixels.mean(dim=(0, 2, 3)).tolist(), abs=1e-12)
            assert std == pytest.approx(pixels.std(dim=(0, 2, 3), correction=0).tolist(), abs=1e-12)


def _known(source: Source, field: str) -> Tensor:
    return source.rows[source.known(field)]


def _check_values(field: Field, values: Tensor) -> None:
    if field.kind == "class":
        assert 0 <= values.min() <= values.max() < len(field.classes)
    elif field.kind == "mask":
        assert (values[values != IGNORED] < len(field.classes)).all()
    elif field.kind == "wave":
        assert values.abs().max() <= 1.0
    elif field.kind == "boxes":
        there = ~values.isnan().any(dim=-1)
        assert values[~there].isnan().all()
        assert torch.equal(there, there.long().cummin(dim=-1).values.bool()), "no box comes after none"
        left, top, right, bottom, number = values[there].T
        assert (left < right).all()
        assert (top < bottom).all()
        assert torch.isin(number, torch.arange(len(field.classes))).all()


def _same(one: Tensor | list[str], other: Tensor | list[str]) -> bool:
    """Tell whether two readings are bitwise the same; NaN, which stands for what is not there, is like NaN."""
    if not isinstance(one, Tensor) or not isinstance(other, Tensor):
        return type(one) is type(other) and one == other
    if one.is_floating_point():
        absent = one.isnan()
        return torch.equal(absent, other.isnan()) and torch.equal(one[~absent], other[~absent])
    return one.dtype == other.dtype and torch.equal(one, other)
