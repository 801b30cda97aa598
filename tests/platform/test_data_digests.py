"""Digests of files: always those of the contents, however much is remembered of former ones."""

import hashlib
import os
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from unlabeled.platform.data.digests import _ROW, file_digests, kept_rows

OLD = time.time_ns() - 10**12


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("unlabeled.platform.data.digests._SETTLED_NS", 0)  # ctime can't be set back
    return tmp_path / "cache" / "unlabeled"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "set" / "deep").mkdir(parents=True)
    for name in NAMES:
        (tmp_path / "set" / name).write_bytes(os.fsencode(name) * 1000)
        os.utime(tmp_path / "set" / name, ns=(OLD, OLD))
    return tmp_path / "set"


NAMES = [*(f"{number}.png" for number in range(600)), "deep/1.png", os.fsdecode(b"\xff.png")]


class Read:
    """What was read, by name."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __call__(self, path: Path, content: bytes) -> None:
        assert content == path.read_bytes()
        self.names.append(path.name)


def contents(folder: Path) -> list[bytes]:
    return [hashlib.sha256((folder / name).read_bytes()).digest() for name in NAMES]


def read(folder: Path) -> list[str]:
    """Return which files were read for digests that are right."""
    seen = Read()
    assert file_digests(folder, NAMES, seen) == contents(folder)
    return sorted(seen.names)


def test_files_are_read_once_and_again_when_they_change(folder: Path, cache: Path) -> None:
    assert len(read(folder)) == len(NAMES)
    assert read(folder) == []

    size = (folder / "7.png").stat().st_size
    (folder / "7.png").write_bytes(b"x" * size)
    os.utime(folder / "7.png", ns=(OLD, OLD))  # same size, and mtime put back
    assert read(folder) == ["7.png"]

    os.replace(folder / "8.png", folder / "9.png")  # another inode
    (folder / "8.png").write_bytes(b"new")
    assert read(folder) == ["8.png", "9.png"]
    assert read(folder) == []


def test_so_many_folders_are_remembered(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that were looked at last, though nothing of them was new."""
    monkeypatch.setattr("unlabeled.platform.data.digests._MOST", 3)
    places = [tmp_path / f"set {number}" for number in range(5)]
    hours = iter(range(100))
    for place in [*places[:3], places[0], *places[3:]]:
        if not place.exists():
            place.mkdir()
            (place / "a").touch()
        before = {path: path.stat().st_mtime_ns for path in cache.glob("*")}
        file_digests(place, ["a"])
        (written,) = [path for path in cache.iterdir() if before.get(path) != path.stat().st_mtime_ns]
        os.utime(written, ns=2 * (10**18 + next(hours) * 3600 * 10**9,))  # whatever a clock's tick is
    assert len(list(cache.iterdir())) == 3
    assert [len(kept_rows(place, "digests", _ROW)) for place in places] == [1, 0, 0, 1, 1]


def test_a_file_that_may_still_be_written_is_not_remembered(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unlabeled.platform.data.digests._SETTLED_NS", 10**12)
    assert len(read(folder)) == len(read(folder)) == len(NAMES)
    assert not cache.exists()


@pytest.mark.parametrize("damage", ["cut", "altered", "empty", "other", "folder"])
def test_a_damaged_cache_is_ignored(folder: Path, cache: Path, damage: str) -> None:
    read(folder)
    (place,) = cache.iterdir()
    content = place.read_bytes()
    if damage == "folder":
        place.unlink()
        place.mkdir()
    else:
        altered = content[:-5] + bytes([content[-5] ^ 1]) + content[-4:]
        place.write_bytes({"cut": content[:-100], "altered": altered, "empty": b"", "other": b"x" * 500}[damage])
    assert len(read(folder)) == len(NAMES)
    assert [path.name for path in cache.iterdir()] == [place.name]  # no temporary file is left


def test_a_cache_that_can_not_be_written_is_done_without(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder can be made in a file")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert len(read(folder)) == len(read(folder)) == len(NAMES)
    monkeypatch.delenv("XDG_CACHE_HOME")

    def nobody() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nobody)
    assert len(read(folder)) == len(NAMES)


def test_several_may_write_at_once(folder: Path, cache: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        for _ in pool.map(lambda _: read(folder), range(8)):
            pass
    assert read(folder) == []
    assert len(list(cache.iterdir())) == 1


def test_a_large_file_is_never_held_whole(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(b"film" * 2**22)
    tracemalloc.start()
    try:
        (digest,) = file_digests(tmp_path, ["film.mp4"])
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()
    assert digest == hashlib.sha256((tmp_path / "film.mp4").read_bytes()).digest()
