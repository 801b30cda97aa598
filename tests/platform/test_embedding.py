"""Features of a data set as a file: what the encoder makes of each item, with what is told of it."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from unlabeled.platform.data import Data, DataConfig, load
from unlabeled.platform.encoder import ConvNetConfig
from unlabeled.platform.errors import UserError
from unlabeled.platform.evaluate import extract
from unlabeled.platform.processor import Processor
from unlabeled.platform.train import embedding
from unlabeled.platform.train.embedding import embed


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Data:
    """Own pictures of two classes."""
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    for number in range(24):
        (folder / "ab"[number % 2]).mkdir(exist_ok=True)
        picture = Image.fromarray(random.integers(0, 256, (16, 16, 3), dtype=np.uint8))
        picture.save(folder / "ab"[number % 2] / f"{number}.png")
    return load(DataConfig(name=f"folder:{folder}", image_px=16))


def test_features_stand_beside_split_place_path_and_class(
    pictures: Data, processor: Processor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In Parquet and in NPZ alike, in whatever blocks they are written."""
    encoder = ConvNetConfig(width=4).build(pictures.format).eval()
    monkeypatch.setattr(embedding, "CHUNK", 5)
    monkeypatch.setattr(embedding, "_GROUP", 7 * encoder.dim)
    splits = ("train", "validation", "test")
    count, dim = embed(encoder, pictures, splits, tmp_path / "f.parquet", processor)
    table = pd.read_parquet(tmp_path / "f.parquet")
    assert table.columns.tolist() == ["split", "index", "path", "label", "class", "features"]
    assert count == len(table) == 24
    assert dim == encoder.dim
    found = np.stack(table["features"].tolist())
    expected = torch.cat([extract(encoder, getattr(pictures, split), processor).x for split in splits])
    np.testing.assert_array_equal(found, expected.numpy())
    assert (table["class"] == table["path"].map(lambda path: Path(path).parent.name)).all()
    assert (table["class"] == table["label"].map({0: "a", 1: "b"})).all()
    for split, part in table.groupby("split"):
        source = getattr(pictures, str(split))
        assert part["index"].tolist() == list(range(len(source)))
        assert part["path"].tolist() == source.files(source.rows, "image")
    embed(encoder, pictures, splits, tmp_path / "f.npz", processor)
    with np.load(tmp_path / "f.npz", allow_pickle=False) as arrays:
        assert set(arrays) == {"features", "split", "index", "label", "class", "path"}
        np.testing.assert_array_equal(arrays["features"], found)
        assert arrays["split"].tolist() == table["split"].tolist()
        assert arrays["class"][arrays["label"]].tolist() == table["class"].tolist()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f.npz", "f.parquet"], "nothing is left beside them"


def test_what_data_do_not_have_is_no_column(
    pictures: Data, small_data: Data, processor: Processor, tmp_path: Path
) -> None:
    loose = tmp_path / "loose"
    loose.mkdir()
    for number, file in enumerate(pictures.train.files(pictures.train.rows, "image") or []):
        shutil.copy(file, loose / f"{number}.png")
    without_class = load(DataConfig(name=f"folder:{loose}", image_px=16))
    cases = {"without class": (without_class, {"path"}), "without files": (small_data, {"label", "class"})}
    for name, (data, told) in cases.items():
        some = dataclasses.replace(data, test=data.test.take(torch.arange(3)))
        encoder = ConvNetConfig(width=4).build(data.format).eval()
        assert embed(encoder, some, ("test",), tmp_path / f"{name}.parquet", processor) == (3, encoder.dim)
        assert set(pd.read_parquet(tmp_path / f"{name}.parquet")) == {"split", "index", "features", *told}
        embed(encoder, some, ("test",), tmp_path / f"{name}.npz", processor)
        with np.load(tmp_path / f"{name}.npz") as arrays:
            assert set(arrays) == {"split", "index", "features", *told}
            assert arrays["features"].shape == (3, encoder.dim)


def test_a_file_that_cannot_be_written_is_refused_before_anything_is_computed(
    pictures: Data, processor: Processor, tmp_path: Path
) -> None:
    encoder = ConvNetConfig(width=4).build(pictures.format)
    (tmp_path / "there.npz").touch()
    for name, line in [
        ("features.csv", r"--out takes the path of a \.parquet or \.npz file, got "),
        ("there.npz", r"there\.npz is there already; give another place with --out"),
        ("no/where.npz", r"where\.npz can't be written: there is no folder \S+/no; make it, or give another"),
    ]:
        with pytest.raises(UserError, match=line):
            embed(encoder, pictures, ("test",), tmp_path / name, processor)
    assert [path.name for path in tmp_path.iterdir()] == ["there.npz"]


def test_a_file_that_came_meanwhile_is_not_replaced(
    pictures: Data, processor: Processor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder, encode = ConvNetConfig(width=4).build(pictures.format).eval(), embedding.encode

    def beside_another(*args: Any) -> torch.Tensor:
        (tmp_path / "f.npz").write_text("theirs")
        return encode(*args)

    monkeypatch.setattr(embedding, "encode", beside_another)
    with pytest.raises(UserError, match=r"f\.npz is there already; give another place with --out"):
        embed(encoder, pictures, ("test",), tmp_path / "f.npz", processor)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["theirs"]


def test_a_run_that_is_stopped_leaves_no_half_file(
    pictures: Data, processor: Processor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = ConvNetConfig(width=4).build(pictures.format).eval()
    monkeypatch.setattr(embedding, "encode", lambda *_: 1 / 0)
    for name in ("f.parquet", "f.npz"):
        with pytest.raises(ZeroDivisionError):
            embed(encoder, pictures, ("test",), tmp_path / name, processor)
    assert not list(tmp_path.iterdir())
