"""Arrays of large archives: mapped by all processes, and always those that decoding gives."""

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from unlabeled.platform.data import mapped
from unlabeled.platform.data.images import ArrayImages
from unlabeled.platform.data.mapped import Decoded, decoded_once
from unlabeled.platform.errors import UserError

IMAGES = ("train_images", "test_images")


class Archive:
    """A folder whose one file says which numbers its arrays are of, and how often it was decoded."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.times = folder, 0
        self.write(0)

    def write(self, seed: int) -> None:
        self.folder.mkdir(exist_ok=True)
        (self.folder / "batch").write_text(str(seed))

    def decode(self) -> Decoded:
        self.times += 1
        chance = np.random.default_rng(int((self.folder / "batch").read_text()))
        arrays = [chance.integers(0, 256, (count, 3, 4, 4), dtype=np.uint8) for count in (7, 5)]
        labels = [np.arange(len(each)) % 2 for each in arrays]
        return Decoded(arrays[0], labels[0], arrays[1], labels[1], ("a", "b"), f"of {arrays[0].sum()}")

    def read(self) -> Decoded:
        return decoded_once(self.folder, "archive 1", self.decode)

    def check(self, found: Decoded) -> None:
        expected = Archive.decode(self)
        self.times -= 1
        assert (found.classes, found.checksum) == (expected.classes, expected.checksum)
        for name in mapped._FIELDS:
            assert np.array_equal(getattr(found, name), getattr(expected, name))


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Archive:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(mapped, "LARGE", 1)
    return Archive(tmp_path / "set")


def test_it_is_decoded_once_and_mapped(archive: Archive) -> None:
    for _ in range(3):
        found = archive.read()
        archive.check(found)
        assert all(isinstance(getattr(found, name), np.memmap) for name in IMAGES)
    assert archive.times == 1
    pictures = ArrayImages(found.train_images)
    read = pictures.read(pictures.rows, "image")
    read.zero_()  # what is read may be changed
    archive.check(archive.read())


def test_other_files_are_other_arrays(archive: Archive) -> None:
    archive.check(archive.read())
    archive.write(1)
    archive.check(archive.read())
    archive.write(0)
    archive.check(archive.read())
    assert archive.times == 2


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


@pytest.mark.parametrize("damage", [_cut, Path.unlink, lambda file: file.write_bytes(b"")])
@pytest.mark.parametrize("which", range(5))
def test_what_is_not_whole_is_made_again(archive: Archive, damage: Callable[[Path], object], which: int) -> None:
    archive.read()
    files = sorted((archive.folder.parent / "cache/unlabeled").glob("arrays-*"))
    assert len(files) == 5
    damage(files[which])
    archive.check(archive.read())
    archive.check(archive.read())
    assert archive.times == 2


def test_the_arrays_of_few_archives_are_kept(archive: Archive, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(mapped, "MOST", 2)
    first = archive.read()
    for seed in (1, 2, 3):
        archive.write(seed)
        archive.read()
    left = [path.name for path in (tmp_path / "cache" / "unlabeled").iterdir()]
    assert sorted(name.partition(".")[2] for name in left) == sorted(
        2 * ["json", *(f"{name}.npy" for name in mapped._FIELDS)]
    )
    archive.write(0)
    archive.check(first)  # which is mapped, though it has no name any more
    archive.check(archive.read())


def test_several_may_decode_at_once(archive: Archive) -> None:
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(lambda _: archive.read(), range(8)):
            archive.check(found)
    assert not list((archive.folder.parent / "cache/unlabeled").glob(".*")), "nothing is left behind"


def test_without_a_place_for_it_each_has_its_own(archive: Archive) -> None:
    (archive.folder.parent / "cache").write_text("no folder")
    archive.check(archive.read())
    assert archive.times == 1


def test_what_is_small_is_not_kept(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapped, "LARGE", 100)
    for _ in range(2):
        archive.check(archive.read())
    assert archive.times == 2
    assert not (archive.folder.parent / "cache").exists()


def test_what_decoding_says_is_said(archive: Archive) -> None:
    shutil.rmtree(archive.folder)
    archive.folder.mkdir()
    (archive.folder / "other").write_text("1")

    def refuse() -> Decoded:
        raise UserError("it is damaged")

    with pytest.raises(UserError, match=r"^it is damaged$"):
        decoded_once(archive.folder, "archive 1", refuse)
