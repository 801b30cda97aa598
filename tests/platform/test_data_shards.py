"""WebDataset's shards: what their samples are, how they are split, and what is said of those that are not whole."""

import io
import json
import re
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from PIL import Image
from sources import images_of

from unlabeled.platform.data import Data, DataConfig, load
from unlabeled.platform.data.readers import shards
from unlabeled.platform.data.source import Source, Window
from unlabeled.platform.errors import UserError


@pytest.fixture(autouse=True)
def _a_cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def picture(level: int, kind: str = "png", size: tuple[int, int] = (12, 9)) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, (level,) * 3).save(stream, kind, **({"lossless": True} if kind == "webp" else {}))
    return stream.getvalue()


def shard(file: Path, members: Mapping[str, bytes | str]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w") as archive:
        for name, content in members.items():
            told = content.encode() if isinstance(content, str) else content
            member = tarfile.TarInfo(name)
            member.size = len(told)
            archive.addfile(member, io.BytesIO(told))
    return file


def samples(start: int, count: int) -> dict[str, bytes | str]:
    """Return samples whose picture's level, class and caption tell their number."""
    found: dict[str, bytes | str] = {}
    for number in range(start, start + count):
        found |= {f"{number:03}.png": picture(number), f"{number:03}.cls": str(number % 2)}
        found |= {f"{number:03}.txt": f"text {number}\n"}
    return found


def read(place: Path, **settings: object) -> Data:
    return load(DataConfig(name=f"wds:{place}", **{"image_px": 8, **settings}))


def told(source: Source) -> list[tuple[int, int, str]]:
    """Return level, class and caption of each item, sorted."""
    levels = images_of(source)[:, 0, 4, 4].tolist()
    texts = source.read(source.rows, "text")
    return sorted(zip(levels, source.tensor(source.rows, "class").tolist(), map(str, texts), strict=True))


def expected(start: int, count: int) -> list[tuple[int, int, str]]:
    return [(number, number % 2, f"text {number}") for number in range(start, start + count)]


@pytest.mark.parametrize(
    "names",
    [
        ("train-0000.tar", "train-0001.tar", "val-0000.tar", "test-0000.tar"),
        ("train/0.tar", "train/1.tar", "validation/0.tar", "test/0.tar"),
        ("cc3m-train-0000.tar", "cc3m-train-0001.tar", "cc3m-validation-0000.tar", "cc3m-test-0000.tar"),
        ("set-train-00000-of-00002.tar", "set-train-00001-of-00002.tar", "Val.tar", "test_images.tar"),
    ],
)
def test_splits_go_by_the_names_of_archives_or_folders(tmp_path: Path, names: tuple[str, ...]) -> None:
    for number, name in enumerate(names):
        shard(tmp_path / "set" / name, samples(20 * number, 20))
    data = read(tmp_path / "set")
    assert data.classes == ("0", "1")
    assert told(data.train) == expected(0, 40)
    assert told(data.validation) == expected(40, 20)
    assert told(data.test) == expected(60, 20)


def test_archives_of_no_split_are_all_to_train_on_and_the_rest_is_carved(tmp_path: Path) -> None:
    for number in range(2):
        shard(tmp_path / f"set/{number:06}.tar", samples(20 * number, 20))
    data = read(tmp_path / "set")
    assert sorted(told(data.train) + told(data.validation) + told(data.test)) == expected(0, 40)


def test_a_sample_is_what_is_called_the_same_up_to_the_first_dot(tmp_path: Path) -> None:
    members: dict[str, bytes | str] = {
        "a/1.jpg": picture(1, "jpeg"),
        "b/1.JPEG": picture(2, "jpeg"),
        "b/1.json": json.dumps({"label": "dog", "caption": "of a dog", "more": [1]}),
        "a/1.cls": "cat",
        "3.webp": picture(3, "webp"),
        "3.seg.png": picture(99),
        "4.png": picture(4),
        "4.json": json.dumps({"class": "dog", "text": "said twice"}),
        "4.txt": "of another dog",
        "5.txt": "of nothing",
        ".hidden.png": b"",
        "README": "words",
    }
    shard(tmp_path / "set/train-0.tar", members)
    shard(tmp_path / "set/val-0.tar", {"1.png": picture(5), "1.cls": "cat"})
    shard(tmp_path / "set/test-0.tar", {"1.png": picture(6), "1.cls": "cat"})
    data = read(tmp_path / "set")
    train, levels = data.pretrain, [int(each) for each in images_of(data.pretrain)[:, 0, 4, 4]]
    assert sorted(levels) == [1, 2, 3, 4]
    numbers, texts = train.tensor(train.rows, "class"), train.read(train.rows, "text")
    known = {"class": train.known("class").tolist(), "text": train.known("text").tolist()}
    found = {
        level: (
            data.classes[int(numbers[row])] if known["class"][row] else None,
            texts[row] if known["text"][row] else None,
        )
        for row, level in enumerate(levels)
    }
    assert found == {1: ("cat", None), 2: ("dog", "of a dog"), 3: (None, None), 4: ("dog", "of another dog")}


def test_windows_are_read_where_pictures_lie(tmp_path: Path) -> None:
    sizes = {number: (30 + number, 50 - number) for number in range(20)}
    shard(tmp_path / "set/0.tar", {f"{n}.jpg": picture(10 * n, "jpeg", size) for n, size in sizes.items()})
    items = read(tmp_path / "set").pretrain
    levels = (images_of(items)[:, 0, 4, 4] / 10).round().int().tolist()
    extents = items.extents(items.rows, "image")
    assert extents is not None
    assert extents.tolist() == [list(sizes[level][::-1]) for level in levels]
    boxes = torch.tensor([(3, 5, 20, 22)] * len(items))
    (found,) = items.read_windows(items.rows, "image", [Window(boxes, (6, 6))])
    assert (found[:, 0, 3, 3] / 10).round().int().tolist() == levels


def test_archives_are_looked_through_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = shard(tmp_path / "set/0.tar", samples(0, 40))
    monkeypatch.setattr("unlabeled.platform.data.digests._SETTLED_NS", 0)
    first = read(tmp_path / "set")
    looked: list[Path] = []
    look = shards._samples
    monkeypatch.setattr(shards, "_samples", lambda file, archive: looked.append(file) or look(file, archive))
    again = read(tmp_path / "set")
    assert looked == []
    assert (again.checksum, told(again.train)) == (first.checksum, told(first.train))
    shard(file, samples(1, 40))
    changed = read(tmp_path / "set")
    assert looked == [file]
    assert changed.checksum != first.checksum


DAMAGE = {
    "cut off": (lambda content: content[:9_000], r"^the shard .*0\.tar is damaged \(.+\); get that shard again"),
    "garbage": (lambda content: b"garbage" * 999, r"^the shard .*0\.tar is damaged \(.+\); get that shard again"),
    "a head": (
        lambda content: content[:3072] + b"x" * 512 + content[3584:],
        r"^the shard .*0\.tar is damaged \(the head of the file after byte \d+ is none\)",
    ),
    "a picture": (
        lambda content: content[:512] + b"x" * 80 + content[592:],
        r"^can't read the picture .*0\.tar/000\.png: .*; repair it or take it out$",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_one_clear_line(tmp_path: Path, damage: str) -> None:
    spoil, message = DAMAGE[damage]
    file = shard(tmp_path / "set/0.tar", samples(0, 9))
    file.write_bytes(spoil(file.read_bytes()))
    with pytest.raises(UserError, match=message) as caught:
        read(tmp_path / "set")
    assert "\n" not in str(caught.value)


def test_an_archive_that_was_cut_off_since_is_named(tmp_path: Path) -> None:
    file = shard(tmp_path / "set/0.tar", samples(0, 40))
    items = read(tmp_path / "set").train
    file.write_bytes(file.read_bytes()[:700])
    with pytest.raises(UserError, match=r"^can't read the picture .*0\.tar: it ends before byte \d+; repair it"):
        images_of(items)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"train-0.tar.gz": {}}, r"train-0\.tar\.gz is compressed, and samples are read where they lie; unpack it"),
        ({"a.txt": {}}, r"^there are no shards in .*set; they end in \.tar, such as train-0000\.tar$"),
        (
            {"val-0.tar": samples(0, 9)},
            r"^there are no shards to train on in .*set; call them such as train-0000\.tar$",
        ),
        ({"0.tar": {"1.txt": "words"}}, r"^there are no pictures in the train split of .*set; they end in \.jpg "),
        ({"0.tar": {"1.png": picture(1), "1.jpg": picture(1, "jpeg")}}, r"0\.tar has two pictures of the sample /1;"),
        ({"0.tar": {"1.png": picture(1), "1.json": "{"}}, r"0\.tar: what is told of /1 can't be read \(.*\); get"),
        (
            {"0.tar": {"1.png": picture(1), "1.cls": "7", "2.png": picture(2), "2.cls": "cat"}},
            r"^in .*set some classes are numbers and some are names, such as 7 and cat; write all as one or the other$",
        ),
    ],
)
def test_what_can_not_be_read_is_one_clear_line(
    tmp_path: Path, members: Mapping[str, Mapping[str, bytes | str]], message: str
) -> None:
    for name, inside in members.items():
        shard(tmp_path / "set" / name, inside)
    with pytest.raises(UserError, match=message) as caught:
        read(tmp_path / "set")
    assert re.fullmatch(r".+", str(caught.value)), "one line"
