"""What every source owes those who read it. A new kind of source adds one row to ``SOURCES`` and passes."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from media import davis, film, sound, tone, voc
from PIL import Image
from sources import images_of
from torch import Tensor

from unlabeled.platform.data import (
    ArrayImages,
    Classes,
    DataConfig,
    FileImages,
    InChannels,
    Joined,
    Source,
    Texts,
    load,
)
from unlabeled.platform.data.format import measure
from unlabeled.platform.data.readers.arrow import ArrowImages
from unlabeled.platform.data.readers.davis import read_davis
from unlabeled.platform.data.readers.films import read_films
from unlabeled.platform.data.readers.sounds import read_sounds
from unlabeled.platform.data.readers.stamps import PaddedImages
from unlabeled.platform.data.readers.voc import read_voc
from unlabeled.platform.data.source import IGNORED, Field
from unlabeled.platform.data.worlds.films import Films
from unlabeled.platform.data.worlds.scenes import Scenes
from unlabeled.platform.errors import UserError

N = 11
DTYPES = {
    "image": torch.uint8,
    "clip": torch.uint8,
    "wave": torch.float32,
    "class": torch.int64,
    "text": None,
    "mask": torch.uint8,
    "boxes": torch.float32,
    "points": torch.float32,
    "pose": torch.float32,
}
NAMES = ("a", "b", "c")


def arrays(folder: Path, px: int | None = None) -> ArrayImages:
    return ArrayImages(np.random.default_rng(0).integers(0, 256, (N, 3, 8, 8), dtype=np.uint8), px)


def files(folder: Path) -> FileImages:
    for number, picture in enumerate(np.random.default_rng(0).integers(0, 256, (N, 9, 7, 3), dtype=np.uint8)):
        Image.fromarray(picture).save(folder / f"{number}.png")
    return FileImages(folder, [f"{number}.png" for number in range(N)], image_px=6)


def some_classes(folder: Path) -> Classes:
    return Classes(torch.arange(N) % 3, NAMES, known=torch.arange(N) % 4 != 1)


def texts(folder: Path) -> Texts:
    return Texts([f"text {number}" for number in range(N)])


def joined(folder: Path) -> Joined:
    return Joined(files(folder), some_classes(folder), texts(folder))


def film_clips(folder: Path) -> Source:
    for number in range(2):
        film(folder / f"{number}.mkv", frames=12, sound=tone(300, 1.2))
    return read_films(f"films:{folder}", folder, image_px=16, frames=2, rate=10).train.take(torch.arange(N))


def sound_pieces(folder: Path) -> Source:
    for number in range(N):
        sound(folder / "ab"[number % 2] / f"{number}.ogg", tone(300 + number, 0.05 + 0.02 * number, 22_050), 22_050)
    return read_sounds(f"sounds:{folder}", folder, seconds=0.3, rate=8_000).train


def marked_pictures(folder: Path) -> Source:
    return read_voc(f"voc:{voc(folder, {'train': N, 'val': 1}, masked=7)}", folder, image_px=12).train


def marked_clips(folder: Path) -> Source:
    davis(folder, {"a": 1, "b": 2, "c": 1}, test=["c"], frames=12)
    (folder / "Annotations/480p/a/00001.png").unlink()
    return read_davis(f"davis:{folder}", folder, image_px=12, frames=2, rate=24).train.take(torch.arange(N))


def arrow_images(folder: Path) -> Source:
    stored = [(folder / f"{number}.png").read_bytes() for number in range(len(files(folder)))]
    pq.write_table(pa.table({"image": [{"bytes": each, "path": None} for each in stored]}), folder / "x.parquet")
    return ArrowImages(folder, ["x.parquet"], "image", 6)


def padded_images(folder: Path) -> Source:
    return PaddedImages(folder, [path if number != 4 else "" for number, path in enumerate(files(folder).paths)], 6)


SOURCES: dict[str, Callable[[Path], Source]] = {
    "arrays": arrays,
    "arrays, resized": lambda folder: arrays(folder, 5),
    "files": files,
    "classes": lambda folder: Classes([number % 3 for number in range(N)], NAMES),
    "classes of some": some_classes,
    "texts": texts,
    "texts of some": lambda folder: Texts([None if number == 2 else f"text {number}" for number in range(N)]),
    "films": film_clips,
    "sounds": sound_pieces,
    "marked pictures": marked_pictures,
    "marked clips": marked_clips,
    "arrow": arrow_images,
    "padded files": padded_images,
    "joined": joined,
    "grey": lambda folder: InChannels(joined(folder), 1),
    "of a part": lambda folder: Joined(arrays(folder), texts(folder)).take(torch.arange(N - 1, -1, -1)),
    "emoji": lambda folder: load(DataConfig(name="emoji", train_images=40)).validation.take(torch.arange(N)),
    "emoji-scenes": lambda folder: Scenes("validation", torch.arange(N), px=32),
    "emoji-films": lambda folder: Films("validation", torch.arange(N), px=24),
}
DIMS = {"image": 3, "clip": 4, "wave": 2, "class": 0, "text": 0, "mask": 2, "boxes": 2, "points": 2}


@pytest.fixture(params=SOURCES)
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Source:
    return SOURCES[request.param](tmp_path)


def same(one: Tensor | list[str], other: Tensor | list[str]) -> bool:
    if isinstance(one, Tensor):
        same_kind = isinstance(other, Tensor) and (one.dtype, one.shape) == (other.dtype, other.shape)
        return same_kind and torch.allclose(one, other, rtol=0, atol=0, equal_nan=True)
    return one == other


def known(source: Source, field: str) -> Tensor:
    return source.rows[source.known(field)]


def test_it_has_a_length_and_fields(source: Source) -> None:
    assert len(source) == N
    assert source.rows.tolist() == list(range(N))
    assert source.fields
    for field in source.fields.values():
        assert field.kind in DTYPES
        frames = 0
        if field.of:
            whole = source.fields[field.of]
            assert whole.kind in ("image", "clip")
            frames = whole.kind == "clip"
            assert not frames or field.shape[0] == whole.shape[0]
            assert field.kind != "mask" or field.shape[-2:] == whole.shape[-2:]
        assert bool(field.of) == (field.kind in ("mask", "boxes", "points"))
        assert field.kind == "pose" or len(field.shape) == DIMS[field.kind] + frames
        assert bool(field.classes) == (field.kind in ("class", "mask", "boxes"))
        assert bool(field.rate) == (field.kind in ("clip", "wave"))


def test_which_items_have_a_field_is_said(source: Source) -> None:
    for field in source.fields:
        found = source.known(field)
        assert (found.dtype, found.shape, found.device.type) == (torch.bool, (N,), "cpu")
        found.fill_(False)
        assert source.known(field).any(), "what is handed out is the reader's own"


@pytest.mark.parametrize("count", [0, 1, 7])
def test_what_is_read_is_as_the_field_says(source: Source, count: int) -> None:
    for name, field in source.fields.items():
        index = known(source, name)[:count]
        values = source.read(index, name)
        if field.kind == "text":
            assert isinstance(values, list)
            assert len(values) == count
            assert all(isinstance(text, str) for text in values)
            continue
        assert isinstance(values, Tensor)
        assert (values.shape, values.device.type) == ((count, *field.shape), "cpu")
        assert values.dtype == DTYPES[field.kind]
        if count:
            check_values(field, values)


def check_values(field: Field, values: Tensor) -> None:
    if field.kind == "class":
        assert 0 <= values.min() <= values.max() < len(field.classes)
    elif field.kind == "mask":
        assert values[values != IGNORED].max() < len(field.classes)
    elif field.kind == "wave":
        assert values.abs().max() <= 1
    elif field.kind == "boxes":
        there = ~values.isnan().any(dim=-1)
        assert torch.equal(there, there.long().cummin(dim=-1).values.bool()), "no box comes after none"
        left, top, right, bottom, number = values[there].T
        assert (left < right).all()
        assert (top < bottom).all()
        assert torch.isin(number, torch.arange(len(field.classes))).all()


def test_what_is_read_is_in_the_order_asked_for_and_may_repeat(source: Source) -> None:
    for field in source.fields:
        index = known(source, field)[[3, 0, 3, 5]]
        together = source.read(index, field)
        for place, item in enumerate(index):
            assert same(source.read(item[None], field), together[place : place + 1])


def test_reading_depends_on_the_index_alone(source: Source) -> None:
    for field in source.fields:
        index = known(source, field)
        first = source.read(index, field)
        source.read(index.flip(0)[:2], field)
        torch.rand(3)
        assert same(source.read(index, field), first)


def test_what_is_read_may_be_changed(source: Source) -> None:
    for field in source.fields:
        index = known(source, field)
        first = source.read(index, field)
        spoiled = source.read(index, field)
        if isinstance(spoiled, Tensor):
            spoiled.fill_(1)
        else:
            spoiled.clear()
        assert same(source.read(index, field), first)


def test_taken_items_are_those_in_that_order(source: Source) -> None:
    rows = torch.tensor([7, 2, 10, 2])
    part = source.take(rows)
    assert (len(part), dict(part.fields)) == (4, dict(source.fields))
    for field in source.fields:
        assert torch.equal(part.known(field), source.known(field)[rows])
        index = known(part, field)
        assert same(part.read(index, field), source.read(rows[index], field))


def test_taking_composes(source: Source) -> None:
    first, second = torch.tensor([9, 4, 0, 7, 3]), torch.tensor([3, 1, 1])
    twice, once = source.take(first).take(second), source.take(first[second])
    assert len(twice) == len(once) == 3
    for field in source.fields:
        assert torch.equal(twice.known(field), once.known(field))
        index = known(once, field)
        assert same(twice.read(index, field), once.read(index, field))
    assert len(source) == N, "and leaves what it takes from as it was"
    assert len(source.take(first[:0])) == 0


def test_it_survives_a_pickle(source: Source) -> None:
    again = pickle.loads(pickle.dumps(source))
    assert (len(again), dict(again.fields)) == (N, dict(source.fields))
    for field in source.fields:
        index = known(source, field)
        assert same(again.read(index, field), source.read(index, field))


def test_a_field_that_it_lacks_is_one_clear_line(source: Source) -> None:
    index = torch.tensor([0])
    for ask in (source.known, lambda field: source.read(index, field), lambda field: list(source.sample(field))):
        with pytest.raises(UserError, match=r"^no field of the data is called 'taste'; .*There are: ") as caught:
            ask("taste")
        assert all(field in str(caught.value) for field in source.fields)


def test_statistics_are_of_sampled_pictures(source: Source) -> None:
    if "image" not in source.fields:
        with pytest.raises(UserError, match="no field of the data is called 'image'"):
            list(source.sample("image"))
        return
    pictures = torch.cat(list(source.sample("image")))
    assert len(pictures) == N
    if pictures.shape[2:] == source.fields["image"].shape[1:]:
        assert torch.equal(pictures, images_of(source))
    mean, std = measure(source, "image")
    assert mean == pytest.approx((pictures.double() / 255).mean(dim=(0, 2, 3)).tolist(), abs=1e-12)
    assert std == pytest.approx((pictures.double() / 255).std(dim=(0, 2, 3), correction=0).tolist(), abs=1e-12)


# ---- sources side by side, and what goes into them -----------------------------------------------------------------


def test_sources_of_other_lengths_are_not_put_together(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^11 items have image, 2 items have text$"):
        Joined(arrays(tmp_path), Texts(["one", "two"]))


def test_two_fields_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="two fields have one name: image, image"):
        Joined(arrays(tmp_path), files(tmp_path))


@pytest.mark.parametrize(
    ("numbers", "known", "message"),
    [
        ([0, 1, 3], None, "labels go from 0 to 3, but there are 3 classes"),
        ([0, -1, 2], None, "labels go from -1 to 2, but there are 3 classes"),
        ([0.0, 1.0], None, "labels must be whole numbers"),
        ([[0, 1]], None, "labels must be whole numbers"),
        ([True, False], None, "labels must be whole numbers"),
        ([0, 1], [True], "2 labels are said to be known or not by"),
    ],
)
def test_classes_are_numbers_of_their_names(numbers: list[object], known: list[bool] | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Classes(numbers, NAMES, known=known)


def test_what_is_said_of_an_item_without_a_class_is_not_looked_at() -> None:
    source = Classes([7, 2, -1], NAMES, known=[False, True, False])
    assert source.known("class").tolist() == [False, True, False]
    assert source.read(torch.tensor([1]), "class").tolist() == [2]


def test_what_is_given_may_be_changed_afterwards() -> None:
    numbers, known = torch.tensor([0, 1, 2]), torch.tensor([True, True, False])
    source = Classes(numbers, NAMES, known=known)
    numbers.zero_()
    known.zero_()
    assert source.read(torch.tensor([0, 1]), "class").tolist() == [0, 1]
    assert source.known("class").tolist() == [True, True, False]
