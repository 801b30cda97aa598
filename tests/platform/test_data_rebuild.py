import gzip
import json
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unlabeled.platform.data import rebuild, shipped

CATEGORIES = ("Symbols", "Component", "Flags")


@pytest.fixture
def emoji_source(tmp_path: Path) -> Path:
    """Three emoji in the packages' own form; the second is a skin tone, which is no emoji."""
    listing = [{"name": name.upper(), "image": f"{name}.png", "category": name} for name in CATEGORIES]
    for package, grey in (("twitter", 0), ("google", 100)):
        pictures = tmp_path / f"emoji-datasource-{package}" / "img" / package / "64"
        pictures.mkdir(parents=True)
        (tmp_path / f"emoji-datasource-{package}" / "emoji.json").write_text(json.dumps(listing))
        for number, name in enumerate(CATEGORIES):
            picture = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
            picture.paste((grey + number,) * 3 + (255,), (0, 0, 32, 64))
            picture.save(pictures / f"{name}.png")
    return tmp_path


def test_emoji_are_both_vendors_drawings_on_white(emoji_source: Path) -> None:
    arrays = rebuild.emoji_arrays(emoji_source)
    assert arrays["images"].shape == (4, 32, 32, 3)
    assert arrays["images"][:, 16, 4, 0].tolist() == [0, 100, 2, 102]
    assert arrays["images"][:, 16, 28, 0].tolist() == [255] * 4
    assert arrays["labels"].tolist() == [7, 7, 8, 8]
    assert arrays["captions"].tolist() == ["SYMBOLS", "SYMBOLS", "FLAGS", "FLAGS"]
    assert arrays["vendor"].tolist() == ["twemoji", "noto"] * 2
    assert arrays["emoji"].tolist() == [0, 0, 2, 2]


def test_emoji_are_neither_cut_nor_padded(emoji_source: Path) -> None:
    # A drawing of one colour over all 64 x 64 stays that colour up to its edges.
    drawing = emoji_source / "emoji-datasource-google" / "img" / "google" / "64" / "Flags.png"
    Image.new("RGBA", (64, 64), (9, 8, 7, 255)).save(drawing)
    assert np.unique(rebuild.emoji_arrays(emoji_source)["images"][3].reshape(-1, 3), axis=0).tolist() == [[9, 8, 7]]


def test_fashion_is_balanced_and_in_the_published_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuild, "PER_CLASS", {"train": 5, "test": 2})
    for prefix, count in (("train", 200), ("t10k", 100)):
        numbers = np.arange(count, dtype=np.uint8)
        images = np.repeat(numbers, 784)
        for kind, magic, sizes, content in (
            ("images-idx3", 0x803, (count, 28, 28), images),
            ("labels-idx1", 0x801, (count,), numbers % 10),
        ):
            header = struct.pack(f">{1 + len(sizes)}I", magic, *sizes)
            path = tmp_path / "deep" / f"{prefix}-{kind}-ubyte.gz"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(gzip.compress(header + content.tobytes()))
    file = rebuild.rebuild("fashion-mnist-12k", tmp_path, tmp_path / "out")
    with np.load(file, allow_pickle=False) as arrays:
        for split, per_class in (("train", 5), ("test", 2)):
            rows = arrays[f"{split}_images"][:, 0, 0].astype(int)
            assert np.bincount(arrays[f"{split}_labels"]).tolist() == [per_class] * 10
            assert (np.diff(rows) > 0).all()
            assert (rows % 10 == arrays[f"{split}_labels"]).all()
            assert rows.tolist() != list(range(10 * per_class))


def test_rebuilt_files_have_the_shipped_form(emoji_source: Path, tmp_path: Path) -> None:
    file = rebuild.rebuild("emoji", emoji_source, tmp_path / "out")
    with np.load(file, allow_pickle=False) as made, np.load(shipped.BUNDLED / shipped.EMOJI_FILE) as ours:
        assert file.name == shipped.EMOJI_FILE
        assert made.files == ours.files
        for key in ours.files:
            assert (made[key].dtype.kind, made[key].shape[1:]) == (ours[key].dtype.kind, ours[key].shape[1:])


@pytest.mark.parametrize(
    ("name", "package"), [("fashion-mnist-12k", "dataset-fashion-mnist"), ("emoji", "emoji-datas")]
)
def test_a_missing_source_is_one_line(
    name: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["rebuild", name, "--source", str(tmp_path), "--out", str(tmp_path / "out")])
    assert rebuild.main() == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"there is no {tmp_path}" in error or f"in {tmp_path}" in error
    assert package in error
    assert not (tmp_path / "out").exists()
