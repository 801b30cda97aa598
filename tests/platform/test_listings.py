"""What a driver found of a data set, told to those who train on it."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import DataConfig
from unlabeled.platform.drive import sweep, trial
from unlabeled.platform.drive.display import Display
from unlabeled.platform.drive.recorder import Recorder
from unlabeled.platform.drive.resources import Resources
from unlabeled.platform.errors import UserError
from unlabeled.platform.study import Study
from unlabeled.platform.track import Store
from unlabeled.platform.train import listings, loaded
from unlabeled.platform.train.events import Failed, Report
from unlabeled.platform.train.listings import Told, keep, tell
from unlabeled.platform.train.loaded import load_cached, to_tell

Forget = Callable[[], None]


@pytest.fixture
def forget(monkeypatch: pytest.MonkeyPatch) -> Iterator[Forget]:
    """Return what makes this process one that knows of no data."""
    monkeypatch.setattr(listings, "_told", {})

    def as_new() -> None:
        listings._told.clear()
        for cached in (loaded.load_cached, loaded._showing, loaded._kept):
            cached.cache_clear()

    as_new()
    yield as_new
    as_new()


@pytest.fixture
def run(tmp_path: Path, small_run: RunConfig, monkeypatch: pytest.MonkeyPatch) -> RunConfig:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    pixels = np.random.default_rng(0).integers(0, 256, (60, 12, 9, 3), dtype=np.uint8)
    for number, picture in enumerate(pixels):
        place = tmp_path / "pictures" / "ab"[number % 2] / f"{number:02}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(place)
    return small_run.with_field("data", DataConfig(name=f"folder:{tmp_path}/pictures", image_px=8))


def never(*_: object) -> None:
    raise AssertionError("the folder is listed anew, or its pictures are looked at")


def test_who_is_told_lists_and_measures_nothing(
    run: RunConfig, tmp_path: Path, forget: Forget, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = load_cached(run.data)
    assert own.format.shape == (3, 8, 8)
    words = trial.packed(3, run, tmp_path, Resources())
    forget()
    monkeypatch.setattr("unlabeled.platform.data.folder.listed", never)
    monkeypatch.setattr("unlabeled.platform.data.folder.sized_digests", never)
    monkeypatch.setattr(sys.modules["unlabeled.platform.data.load"], "measure", never)
    assert trial.unpacked(words)[0] == run
    found = load_cached(run.data)
    assert found is not own
    assert (found.checksum, found.format, found.classes) == (own.checksum, own.format, own.classes)
    for split in ("pretrain", "train", "validation", "test"):
        theirs, ours = getattr(found, split), getattr(own, split)
        assert all(torch.equal(theirs.tensor(ours.rows, name), ours.tensor(ours.rows, name)) for name in ours.fields)
        assert torch.equal(theirs.extents(ours.rows, "image"), ours.extents(ours.rows, "image"))


def test_workers_of_a_run_in_this_process_are_told(
    run: RunConfig, home: Path, forget: Forget, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Told] = []

    def fails(run: RunConfig, home: Path, given: Resources, report: Report, trained: Path | None, told: Told) -> None:
        seen.append(told)
        report(Failed("enough is seen"))

    monkeypatch.setattr(sweep, "cluster", contextlib.nullcontext)
    monkeypatch.setattr(sweep, "execute_on_workers", fails)
    words = {"question": "?", "source": "a paper", "expected": "a trend", "cost": "little"}
    study = Study(name="heads", profiles={"laptop": run}, rows={"none": {"method.head": ()}}, seeds=(0,), **words)
    base = study.base("laptop")
    recorder = Recorder(study.runs(base), base, home, Store(home).open_study(study.record("laptop")))
    sweep.run_here(recorder, Display(1, study.measure), Resources(workers=2))
    assert seen == [to_tell(run, home)]
    assert list(seen[0]) == [run.data]


@pytest.mark.parametrize("what", ["other files", "no files", "damaged", "gone"])
def test_who_sees_other_files_or_no_listing_loads_by_itself(
    run: RunConfig, tmp_path: Path, forget: Forget, what: str
) -> None:
    checksum = load_cached(run.data).checksum
    ((_, place),) = to_tell(run, tmp_path).items()
    if what == "other files":  # as another node's folder may hold
        for file in (tmp_path / "pictures").rglob("*.png"):
            Image.new("RGB", (9, 9), "teal").save(file)
    elif what == "no files":
        (tmp_path / "pictures").rename(tmp_path / "elsewhere")
    elif what == "damaged":
        place.write_bytes(place.read_bytes()[:-1] + b"?")
    else:
        place.unlink()
    forget()
    tell({run.data: place})
    if what == "no files":
        with pytest.raises(UserError, match="there is no folder"):
            load_cached(run.data)
    else:
        assert (load_cached(run.data).checksum == checksum) == (what != "other files")


def test_sets_in_memory_are_not_told_and_further_ones_are_at_their_size(
    run: RunConfig, small_run: RunConfig, tmp_path: Path, forget: Forget
) -> None:
    assert to_tell(small_run, tmp_path) == {}
    other = run.data.with_field("image_px", None)
    on_others = small_run.with_field("evaluation.final", [{"probe": {"name": "knn"}, "data": other}])
    (config,) = to_tell(on_others, tmp_path)
    assert config == other.with_field("image_px", 28), "as the encoder of the run's own data sees them"


def test_a_home_keeps_few(run: RunConfig, tmp_path: Path, forget: Forget, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listings, "_MOST", 2)
    places = [keep(load_cached(run.data.with_field("image_px", px)), tmp_path) for px in (8, 9, 10, 10)]
    assert len(set(places)) == 3
    assert {place for place in places if place and place.exists()} == set(places[1:])
    (tmp_path / "file").touch()
    assert keep(load_cached(run.data), tmp_path / "file") is None, "a home that can't be written tells nothing"
    (tmp_path / "pictures").rename(tmp_path / "gone")
    assert keep(load_cached(run.data), tmp_path) is None
