import errno
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from PIL import Image
from sources import classes_of, images_of

from unlabeled.platform.data import Data, DataConfig, FileImages, Joined, Source, download, load
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


def paths(source: Source) -> set[str]:
    return set(in_order(source))


def in_order(source: Source) -> tuple[str, ...]:
    assert isinstance(source, Joined)
    images = source.of("image")
    assert isinstance(images, FileImages)
    return images.paths


def test_class_folders_are_classes_and_every_split_has_its_share(tmp_path: Path) -> None:
    files = numbered("cat/", 50) + numbered("dog/young/", 100)
    data = read(draw(tmp_path, files))
    assert (data.classes, data.channels, data.image_px) == (("cat", "dog"), 3, 8)
    assert [classes_of(images).bincount().tolist() for images in (data.test, data.validation, data.train)] == [
        [10, 20],
        [4, 8],
        [36, 72],
    ]
    assert data.pretrain is data.train
    everything = [*in_order(data.train), *in_order(data.validation), *in_order(data.test)]
    assert sorted(everything) == sorted(files)
    for images in (data.train, data.validation, data.test):
        assert [data.classes[label] for label in classes_of(images)] == [
            path.split("/")[0] for path in in_order(images)
        ]


def test_labels_reach_the_pictures_they_belong_to(tmp_path: Path) -> None:
    for name, colour in (("black", 0), ("white", 255)):
        for path in draw(tmp_path, numbered(f"{name}/", 10)).glob(f"{name}/*"):
            Image.new("L", (5, 5), colour).save(path)
    data = read(tmp_path)
    batch = images_of(data.train)
    assert batch[:, 0, 0, 0].tolist() == [255 * label for label in classes_of(data.train).tolist()]
    assert data.format.mean == pytest.approx((0.5,) * 3, abs=0.1)


@pytest.mark.parametrize("below", ["", "only/"])
def test_loose_pictures_and_a_single_folder_have_no_classes(tmp_path: Path, below: str) -> None:
    data = read(draw(tmp_path, numbered(below, 20)))
    assert data.classes == ()
    assert [set(images.fields) for images in (data.train, data.validation, data.test)] == [{"image"}] * 3
    assert (len(data.train), len(data.validation), len(data.test)) == (14, 2, 4)
    assert "no labels" in data.summary()


def test_train_and_test_folders_are_the_splits(tmp_path: Path) -> None:
    files = numbered("train/a/", 10) + numbered("train/b/", 10) + numbered("Test/b/", 3)
    data = read(draw(tmp_path, files))
    assert data.classes == ("a", "b")
    assert paths(data.test) == {path for path in files if path.startswith("Test")}
    assert classes_of(data.test).tolist() == [1, 1, 1]
    assert classes_of(data.validation).bincount().tolist() == [1, 1]
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


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        ("train", "valid", "Test"),
        ("Training", "dev", "Testing"),
        ("TRAIN", "Validation Set", "tests"),
        ("train2017", "val2017", "test2017"),
        ("train_images", "eval", "test-images"),
        ("trainset", "vals", "testset"),
        ("training-data", "development", None),
        ("Train", None, "TEST"),
    ],
)
def test_splits_go_by_their_usual_names(tmp_path: Path, train: str, validation: str | None, test: str | None) -> None:
    for folder in filter(None, (train, validation, test)):
        draw(tmp_path, numbered(f"{folder}/cat/", 6) + numbered(f"{folder}/dog/", 6))
    data = read(tmp_path)
    assert data.classes == ("cat", "dog")
    for images, folder in ((data.validation, validation), (data.test, test)):
        assert folder is None or paths(images) == {
            f"{folder}/{name}" for name in numbered("cat/", 6) + numbered("dog/", 6)
        }


@pytest.mark.parametrize("dropping", ["__MACOSX/train/cat/1.png", "@eaDir/1.png", ".thumbs/1.png", "lost+found/1.png"])
def test_what_systems_leave_behind_is_neither_a_split_nor_a_class(tmp_path: Path, dropping: str) -> None:
    for below in ("", "train/"):
        folder = tmp_path / ("split" if below else "whole")
        draw(folder, numbered(f"{below}cat/", 6) + numbered(f"{below}dog/", 6) + [dropping, f"{below}cat/._000.png"])
        for file in (".DS_Store", "Thumbs.db", "desktop.ini"):
            (folder / below / file).write_bytes(b"\0")
        data = read(folder)
        assert data.classes == ("cat", "dog")
        assert len(data.train) + len(data.validation) + len(data.test) == 12


def test_splits_do_not_depend_on_what_is_drawn_or_where(tmp_path: Path) -> None:
    files = numbered("x/", 30) + numbered("y/", 30)
    one, other = read(draw(tmp_path / "one", files)), read(draw(tmp_path / "other", reversed(files)))
    for split in ("train", "validation", "test"):
        assert in_order(getattr(one, split)) == in_order(getattr(other, split))
    few = read(tmp_path / "one", train_images=10)
    assert classes_of(few.train).bincount().tolist() == [5, 5]
    assert paths(few.train) < paths(one.train)
    assert in_order(few.validation) == in_order(one.validation)
    assert few.format == one.format


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
    assert images_of(data.train).shape == (len(data.train), 3, 8, 8)


def test_links_to_pictures_elsewhere_are_followed(tmp_path: Path) -> None:
    draw(tmp_path / "elsewhere", numbered("cat/", 5))
    draw(tmp_path / "here", numbered("dog/", 5))
    (tmp_path / "here" / "cat").symlink_to(tmp_path / "elsewhere" / "cat")
    assert read(tmp_path / "here").classes == ("cat", "dog")


def test_pictures_are_224_px_unless_said_otherwise(tmp_path: Path) -> None:
    data = read(draw(tmp_path, numbered("", 4)), image_px=None)
    assert data.image_px == 224
    assert data.train.read(torch.tensor([0]), "image").shape == (1, 3, 224, 224)


def test_a_relative_path_starts_at_the_data_root(tmp_path: Path) -> None:
    draw(tmp_path / "mine", numbered("", 4))
    assert len(load(DataConfig(name="folder:mine", image_px=8), root=tmp_path).train) == 2


def test_checksum_follows_paths_contents_and_labels(tmp_path: Path) -> None:
    def checksum() -> str:
        return read(tmp_path / "set").checksum

    draw(tmp_path / "set", numbered("a/", 5) + numbered("b/", 5))
    seen = [checksum()]
    assert checksum() == seen[0]
    with (tmp_path / "set" / "a" / "000.png").open("ab") as file:
        file.write(b"\0")
    seen.append(checksum())
    one, other = (tmp_path / "set" / "a" / name for name in ("001.png", "004.png"))
    contents = one.read_bytes(), other.read_bytes()
    assert len(contents[0]) == len(contents[1])
    other.write_bytes(contents[0])
    one.write_bytes(contents[1])
    seen.append(checksum())
    (tmp_path / "set" / "a" / "000.png").rename(tmp_path / "set" / "a" / "999.png")
    seen.append(checksum())
    (tmp_path / "set" / "a" / "999.png").rename(tmp_path / "set" / "b" / "999.png")
    seen.append(checksum())
    assert len(set(seen)) == 5
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
            ["train/1.png", "ship/1.png"],
            r"FOLDER has ship, train; beside .*; if train is a class, give it another name",
        ),
        (["Testing/1.png", "cat/1.png"], r"FOLDER has Testing, cat, but no train; .*"),
        (["val/a/1.png", "val/b/1.png"], r"FOLDER has val, but no train; .*"),
        (["train1/1.png", "train2/1.png"], r"FOLDER has train1, train2; beside train, test and val \(one each\) .*"),
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


@pytest.mark.parametrize("gone", ["dog/linked.png", "bird", "train", "dog/deep"])
def test_links_that_lead_nowhere_are_named(tmp_path: Path, gone: str) -> None:
    draw(tmp_path, numbered("cat/", 5) + numbered("dog/", 5))
    (tmp_path / gone).symlink_to(tmp_path / "not-mounted" / "x")
    with pytest.raises(UserError) as caught:
        read(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}/{gone} is a link to {tmp_path}/not-mounted/x, which is not there; "
        "mount or fetch that, or take the link out"
    )
    (tmp_path / "whole").symlink_to(tmp_path / "gone")
    with pytest.raises(UserError, match=r"whole is a link to .*/gone, which is not there; mount"):
        read(tmp_path / "whole")


def test_links_in_a_circle_are_named(tmp_path: Path) -> None:
    draw(tmp_path, numbered("cat/", 5) + numbered("dog/", 5))
    (tmp_path / "dog" / "again").symlink_to(tmp_path)
    with pytest.raises(UserError, match=r"dog/again is a link to a folder that it lies in; take it out$"):
        read(tmp_path)
    (tmp_path / "dog" / "again").unlink()
    (tmp_path / "dog" / "itself.png").symlink_to("itself.png")
    with pytest.raises(UserError, match=r"dog/itself\.png"):
        read(tmp_path)


def test_a_pipe_is_no_picture(tmp_path: Path) -> None:
    draw(tmp_path, numbered("", 5))
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(UserError, match=r"pipe\.png is no file, though it is called like a picture; take it out$"):
        read(tmp_path)


@pytest.mark.parametrize("path", ["cat", "cat/001.png", "."])
def test_what_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    # By the calls themselves, because root may read everything.
    draw(tmp_path, numbered("cat/", 5) + numbered("dog/", 5))
    refused, scan, opened = tmp_path / path, os.scandir, Path.open

    def check(place: object) -> None:
        if Path(str(place)) == refused:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(place))

    monkeypatch.setattr("os.scandir", lambda place: (check(place), scan(place))[1])
    monkeypatch.setattr(Path, "open", lambda self, *how, **more: (check(self), opened(self, *how, **more))[1])
    with pytest.raises(
        UserError, match=rf"^can't read {refused} \(permission denied\); make it readable or take it out$"
    ):
        read(tmp_path)


def test_a_path_that_is_too_long_or_in_nobodys_home_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"\(file name too long\)"):
        load(DataConfig(name=f"folder:{tmp_path}/{'x' * 300}"))
    with pytest.raises(UserError, match=r"^folder:~nobody-here/x starts in a home folder that nobody has here"):
        load(DataConfig(name="folder:~nobody-here/x"))
    with pytest.raises(UserError, match=r"^~nobody-here/x starts in a home folder that nobody has here"):
        load(DataConfig(name="folder:x"), Path("~nobody-here/x"))


def test_names_that_are_no_text_are_read_and_shown(tmp_path: Path) -> None:
    strange = os.fsdecode(b"caf\xe9\n")
    for number in range(6):
        draw(tmp_path, [f"{strange}/{os.fsdecode(bytes([0xFF, 48 + number]))}.png", f"plain/{number}.png"])
    data = read(tmp_path)
    assert data.classes == ("caf\\xe9\\x0a", "plain")
    json.dumps(data.classes, ensure_ascii=False).encode()
    assert classes_of(data.train).bincount().tolist() == [4, 4]
    assert images_of(data.train).shape == (8, 3, 8, 8)
    (tmp_path / os.fsdecode(b"plain/\xff.png")).write_bytes(b"")
    with pytest.raises(UserError) as caught:
        read(tmp_path)
    assert f"{tmp_path}/plain/\\xff.png: it is empty; repair it or take it out" in str(caught.value)
    str(caught.value).encode()


def test_an_unreadable_picture_is_named(tmp_path: Path) -> None:
    draw(tmp_path, numbered("", 10))
    for path in tmp_path.iterdir():
        path.write_bytes(b"garbage")
    with pytest.raises(UserError, match=rf"^can't read the picture {tmp_path}/\d+\.png: .*repair it or take it out$"):
        read(tmp_path)


def test_own_pictures_are_not_downloaded(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"your own pictures are not downloaded; put them into {tmp_path}/mine"):
        download("folder:mine", tmp_path)
