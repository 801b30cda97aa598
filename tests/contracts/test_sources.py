"""What every source owes those who read it. A new kind of source adds one row to ``SOURCES`` and passes."""

import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from media import davis, film, sound, tone, voc
from PIL import Image

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
from unlabeled.platform.data.readers.arrow import ArrowImages
from unlabeled.platform.data.readers.davis import read_davis
from unlabeled.platform.data.readers.films import read_films
from unlabeled.platform.data.readers.shards import read_shards
from unlabeled.platform.data.readers.sounds import read_sounds
from unlabeled.platform.data.readers.stamps import PaddedImages
from unlabeled.platform.data.readers.voc import read_voc
from unlabeled.platform.data.worlds.films import Films
from unlabeled.platform.data.worlds.scenes import Scenes
from unlabeled.platform.testing import SourceSuite
from unlabeled.platform.testing.remembered import Remembered

N = 11
NAMES = ("a", "b", "c")


def arrays(folder: Path, px: int | None = None) -> ArrayImages:
    return ArrayImages(np.random.default_rng(0).integers(0, 256, (N, 3, 8, 8), dtype=np.uint8), px)


def files(folder: Path) -> FileImages:
    for number, picture in enumerate(np.random.default_rng(0).integers(0, 256, (N, 9, 7, 3), dtype=np.uint8)):
        Image.fromarray(picture).save(folder / f"{number}.png")
    return FileImages(folder, [f"{number}.png" for number in range(N)], image_px=6)


def sized_files(folder: Path) -> FileImages:
    paths = files(folder).paths
    Image.new("RGB", (30, 41), "teal").save(folder / "3.jpg")
    sizes = [(41, 30) if number == 3 else (9, 7) for number in range(N)]
    names = ["3.jpg" if number == 3 else path for number, path in enumerate(paths)]
    return FileImages(folder, names, 6, torch.tensor(sizes))


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


def shard_images(folder: Path) -> Source:
    for number, path in enumerate(files(folder).paths):
        (folder / f"{number}.cls").write_text(str(number % 3))
        (folder / f"{number}.txt").write_text(f"text {number}" if number != 2 else "")
        with tarfile.open(folder / f"train-{number % 2}.tar", "a") as shard:
            for each in (path, f"{number}.cls", f"{number}.txt"):
                shard.add(folder / each, each)
    return read_shards(f"wds:{folder}", folder, 6).train


def padded_images(folder: Path) -> Source:
    return PaddedImages(folder, [path if number != 4 else "" for number, path in enumerate(files(folder).paths)], 6)


SOURCES: dict[str, Callable[[Path], Source]] = {
    "arrays": arrays,
    "arrays, resized": lambda folder: arrays(folder, 5),
    "files": files,
    "files with windows": sized_files,
    "files with windows, grey": lambda folder: InChannels(Joined(sized_files(folder), texts(folder)), 1),
    "classes": lambda folder: Classes([number % 3 for number in range(N)], NAMES),
    "classes of some": some_classes,
    "texts": texts,
    "texts of some": lambda folder: Texts([None if number == 2 else f"text {number}" for number in range(N)]),
    "films": film_clips,
    "sounds": sound_pieces,
    "marked pictures": marked_pictures,
    "marked clips": marked_clips,
    "arrow": arrow_images,
    "shards": shard_images,
    "padded files": padded_images,
    "joined": joined,
    "grey": lambda folder: InChannels(joined(folder), 1),
    "remembered": lambda folder: Remembered(Joined(sized_files(folder), some_classes(folder))),
    "of a part": lambda folder: Joined(arrays(folder), texts(folder)).take(torch.arange(N - 1, -1, -1)),
    "emoji": lambda folder: load(DataConfig(name="emoji", train_images=40)).validation.take(torch.arange(N)),
    "emoji-scenes": lambda folder: Scenes("validation", torch.arange(N), px=32),
    "emoji-films": lambda folder: Films("validation", torch.arange(N), px=24),
}


class TestSources(SourceSuite):
    sources = SOURCES


# ---- sources side by side, and what goes into them -----------------------------------------------------------------


def test_what_is_remembered_has_the_windows_of_its_source(tmp_path: Path) -> None:
    source = sized_files(tmp_path)
    found, expected = Remembered(source).extents(source.rows, "image"), source.extents(source.rows, "image")
    assert found is not None
    assert expected is not None
    assert torch.equal(found, expected)


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
