import re
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from PIL import Image

from unlabeled.platform.data import Data, DataConfig, FileImages, download, load
from unlabeled.platform.errors import UserError


def draw(folder: Path, paths: Iterable[str]) -> Path:
    """Write small pictures, each of a grey of its own."""
    for number, path in enumerate(paths):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (6 + number % 3, 5), number % 256).save(folder / path)
    return folder


def numbered(prefix: str, count: int, suffix: str = ".png") -> list[str]:
    return [f"{prefix}{number:03}{suffix}" for number in range(count)]


def read(folder: Path, **fields: object) -> Data:
    return load(DataConfig(name=f"folder:{folder}", **{"image_px": 8, **fields}))


def paths(images: FileImages) -> set[str]:
    return set(images.paths)


def test_class_folders_are_classes_and_every_split_has_its_share(tmp_path: Path) -> None:
    files = numbered("cat/", 50) + numbered("dog/young/", 100)
    data = read(draw(tmp_path, files))
    assert (data.classes, data.channels, data.image_px) == (("cat", "dog"), 3, 8)
    assert [images.labels.bincount().tolist() for images in (data.test, data.validation, data.train)] == [
        [10, 20],
        [4, 8],
        [36, 72],
    ]
    assert data.pretrain is data.train
    everything = [*data.train.paths, *data.validation.paths, *data.test.paths]
    assert sorted(everything) == sorted(files)
    for images in (data.train, data.validation, data.test):
        assert [data.classes[label] for label in images.labels] == [path.split("/")[0] for path in images.paths]


def test_labels_reach_the_pictures_they_belong_to(tmp_path: Path) -> None:
    for name, colour in (("black", 0), ("white", 255)):
        for path in draw(tmp_path, numbered(f"{name}/", 10)).glob(f"{name}/*"):
            Image.new("L", (5, 5), colour).save(path)
    data = read(tmp_path)
    batch = data.train.batch(torch.arange(len(data.train)))
    assert batch[:, 0, 0, 0].tolist() == [255 * label for label in data.train.labels.tolist()]
    assert data.mean == pytest.approx((0.5,) * 3, abs=0.1)


@pytest.mark.parametrize("below", ["", "only/"])
def test_loose_pictures_and_a_single_folder_have_no_classes(tmp_path: Path, below: str) -> None:
    data = read(draw(tmp_path, numbered(below, 20)))
    assert data.classes == ()
    assert [images.labels for images in (data.train, data.validation, data.test)] == [None, None, None]
    assert (len(data.train), len(data.validation), len(data.test)) == (14, 2, 4)
    assert "no labels" in data.summary()


def test_train_and_test_folders_are_the_splits(tmp_path: Path) -> None:
    files = numbered("train/a/", 10) + numbered("train/b/", 10) + numbered("Test/b/", 3)
    data = read(draw(tmp_path, files))
    assert data.classes == ("a", "b")
    assert paths(data.test) == {path for path in files if path.startswith("Test")}
    assert data.test.labels.tolist() == [1, 1, 1]
    assert data.validation.labels.bincount().tolist() == [1, 1]
    assert paths(data.train) | paths(data.validation) == {path for path in files if path.startswith("train")}
    assert not paths(data.train) & paths(data.validation)


@pytest.mark.parametrize("val", ["val", "validation"])
def test_a_val_folder_is_the_validation_split(tmp_path: Path, val: str) -> None:
    files = numbered("train/", 10) + numbered(f"{val}/", 3) + numbered("test/", 2)
    data = read(draw(tmp_path, files))
    assert (len(data.train), paths(data.validation)) == (10, set(numbered(f"{val}/", 3)))
    for path in numbered("test/", 2):
        (tmp_path / path).unlink()
    (tmp_path / "test").rmdir()
    data = read(tmp_path)
    assert (len(data.train), len(data.test), paths(data.validation)) == (8, 2, set(numbered(f"{val}/", 3)))


def test_a_train_folder_among_classes_is_a_class(tmp_path: Path) -> None:
    data = read(draw(tmp_path, numbered("train/", 10) + numbered("ship/", 10)))
    assert data.classes == ("ship", "train")


def test_splits_do_not_depend_on_what_is_drawn_or_where(tmp_path: Path) -> None:
    files = numbered("x/", 30) + numbered("y/", 30)
    one, other = read(draw(tmp_path / "one", files)), read(draw(tmp_path / "other", reversed(files)))
    for split in ("train", "validation", "test"):
        assert getattr(one, split).paths == getattr(other, split).paths
    few = read(tmp_path / "one", train_images=10)
    assert few.train.labels.bincount().tolist() == [5, 5]
    assert paths(few.train) < paths(one.train)
    assert few.validation.paths == one.validation.paths
    assert (few.mean, few.std) == (one.mean, one.std)


def test_suffixes_in_any_case_count_and_hidden_and_other_files_do_not(tmp_path: Path) -> None:
    pictures = ["1.PNG", "2.jpg", "3.JPEG", "4.webp", "5.Bmp", "6.tiff", "deep/er/7.gif"]
    for path in ("train/.hidden.png", "train/.cache/8.png", ".thumbnails/9.png"):
        draw(tmp_path, [path])
    draw(tmp_path / "train", [f"a/{path}" for path in pictures])
    draw(tmp_path / "train", [f"b/{path}" for path in pictures])
    (tmp_path / "train" / "a" / "notes.txt").write_text("not a picture")
    (tmp_path / "train" / "empty").mkdir()
    data = read(tmp_path)
    assert data.classes == ("a", "b")
    assert len(data.train) + len(data.validation) + len(data.test) == 14
    assert data.train.batch(torch.arange(len(data.train))).shape == (len(data.train), 3, 8, 8)


def test_links_to_pictures_elsewhere_are_followed(tmp_path: Path) -> None:
    draw(tmp_path / "elsewhere", numbered("cat/", 5))
    draw(tmp_path / "here", numbered("dog/", 5))
    (tmp_path / "here" / "cat").symlink_to(tmp_path / "elsewhere" / "cat")
    assert read(tmp_path / "here").classes == ("cat", "dog")


def test_pictures_are_224_px_unless_said_otherwise(tmp_path: Path) -> None:
    data = read(draw(tmp_path, numbered("", 4)), image_px=None)
    assert data.image_px == 224
    assert data.train.batch(torch.tensor([0])).shape == (1, 3, 224, 224)


def test_a_relative_path_starts_at_the_data_root(tmp_path: Path) -> None:
    draw(tmp_path / "mine", numbered("", 4))
    assert len(load(DataConfig(name="folder:mine", image_px=8), root=tmp_path).train) == 2


def test_checksum_follows_paths_sizes_and_labels(tmp_path: Path) -> None:
    def checksum() -> str:
        return read(tmp_path / "set").checksum

    draw(tmp_path / "set", numbered("a/", 5) + numbered("b/", 5))
    seen = [checksum()]
    assert checksum() == seen[0]
    with (tmp_path / "set" / "a" / "000.png").open("ab") as file:
        file.write(b"\0")
    seen.append(checksum())
    (tmp_path / "set" / "a" / "000.png").rename(tmp_path / "set" / "a" / "999.png")
    seen.append(checksum())
    (tmp_path / "set" / "a" / "999.png").rename(tmp_path / "set" / "b" / "999.png")
    seen.append(checksum())
    assert len(set(seen)) == 4
    (tmp_path / "set").rename(tmp_path / "moved")
    assert read(tmp_path / "moved").checksum == seen[-1]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["notes/readme.txt"], r"there are no pictures in FOLDER; they end in \.jpg .*"),
        (["train/a/1.png", "train/b/1.png", "test/x.txt"], r"there are no pictures in the test split of FOLDER; .*"),
        (["1.png", "2.png"], r"folder:FOLDER has too few pictures \(2\): none is left for validation; .* 3 or more"),
        (["a/1.png", "b/1.png"], r"folder:FOLDER has too few pictures \(2\): none is left for test and validation; .*"),
        (
            ["a/1.png", "b/1.png", "3.png"],
            r"FOLDER has class folders \(a, b, \.\.\.\) and loose pictures .* as 3\.png; .*",
        ),
        (["train/1.png", "test/1.png", "cat/1.png"], r"FOLDER has cat, test, train; beside train, test and val .*"),
        (["train/1.png", "val/1.png", "validation/1.png"], r"FOLDER has train, val, validation; .*"),
        (
            ["train/a/1.png", "train/b/1.png", "test/c/1.png"],
            r"the test split of FOLDER has the classes c; its train split has a, b",
        ),
        (
            ["train/a/1.png", "train/b/1.png", "test/1.png"],
            r"the test split of FOLDER has pictures without a class folder; its train split has a, b",
        ),
        (
            ["train/1.png", "test/a/1.png", "test/b/1.png"],
            r"the test split of FOLDER has class folders and its train split has none",
        ),
    ],
)
def test_folders_that_can_not_be_read(tmp_path: Path, files: list[str], message: str) -> None:
    for path in files:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4)).save(tmp_path / path, format="png")
    with pytest.raises(UserError) as caught:
        read(tmp_path)
    assert re.fullmatch(message.replace("FOLDER", re.escape(str(tmp_path))), str(caught.value)), caught.value


def test_missing_and_empty_folders(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"^there is no folder {tmp_path}/gone$"):
        load(DataConfig(name=f"folder:{tmp_path}/gone"), root=Path("/data"))
    with pytest.raises(UserError, match=r"^there is no folder /data/gone; write folder:PATH, .* starts at /data$"):
        load(DataConfig(name="folder:gone"), root=Path("/data"))
    with pytest.raises(UserError, match=rf"^there are no pictures in {tmp_path}; "):
        read(tmp_path)


def test_an_unreadable_picture_is_named(tmp_path: Path) -> None:
    draw(tmp_path, numbered("", 10))
    for path in tmp_path.iterdir():
        path.write_bytes(b"garbage")
    with pytest.raises(UserError, match=rf"^can't read the picture {tmp_path}/\d+\.png: .*repair it or take it out$"):
        read(tmp_path)


def test_own_pictures_are_not_downloaded(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"your own pictures are not downloaded; put them into {tmp_path}/mine"):
        download("folder:mine", tmp_path)
