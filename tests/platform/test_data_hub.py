"""Hugging Face data sets on disk, written here as the package ``datasets`` writes them."""

import io
import json
import pickle
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from sources import classes_of, images_of

from unlabeled.platform.data import Data, DataConfig, load
from unlabeled.platform.data.readers import arrow
from unlabeled.platform.errors import UserError

NAMES = ("cat", "dog")
FEATURES: Mapping[str, Any] = {
    "image": {"_type": "Image"},
    "label": {"names": list(NAMES), "_type": "ClassLabel"},
    "text": {"dtype": "string", "_type": "Value"},
}


@pytest.fixture(autouse=True)
def _a_cache_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def read(place: Path, **settings: object) -> Data:
    return load(DataConfig(name=f"hf:{place}", **{"image_px": 8, **settings}))


def png(level: int, mode: str = "RGB", size: tuple[int, int] = (12, 9)) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, (level,) * 3).convert(mode).save(stream, "png")
    return stream.getvalue()


def table(count: int, start: int = 0, features: Mapping[str, Any] = FEATURES, **columns: Sequence[Any]) -> pa.Table:
    """Return rows whose picture's level, class and text tell their number."""
    numbers = range(start, start + count)
    made: dict[str, Any] = {
        "image": pa.array(
            [{"bytes": png(number), "path": None} for number in numbers],
            pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
        ),
        "label": pa.array([number % 2 for number in numbers], pa.int64()),
        "text": [f"text {number}" for number in numbers],
    } | columns
    said = json.dumps({"info": {"features": {name: features[name] for name in made if name in features}}})
    return pa.table(made).replace_schema_metadata({"huggingface": said})


def save(rows: pa.Table, place: Path, shards: int = 1) -> Path:
    """Write what ``Dataset.save_to_disk`` does."""
    place.mkdir(parents=True, exist_ok=True)
    files = [f"data-{shard:05}-of-{shards:05}.arrow" for shard in range(shards)]
    for shard, file in enumerate(files):
        size = -(-len(rows) // shards)
        with pa.OSFile(str(place / file), "wb") as sink, pa.ipc.new_stream(sink, rows.schema) as writer:
            writer.write_table(rows.slice(shard * size, size), max_chunksize=3)
    (place / "state.json").write_text(json.dumps({"_data_files": [{"filename": file} for file in files]}))
    (place / "dataset_info.json").write_text("{}")
    return place


def save_all(place: Path, **splits: pa.Table) -> Path:
    """Write what ``DatasetDict.save_to_disk`` does."""
    for name, rows in splits.items():
        save(rows, place / name, shards=2)
    (place / "dataset_dict.json").write_text(json.dumps({"splits": list(splits)}))
    return place


def check(data: Data, *parts: str) -> None:
    """Check that pictures, classes and texts go with each other."""
    for part in (getattr(data, name) for name in parts or ("train", "validation", "test")):
        levels = images_of(part)[:, 0, 4, 4].tolist()
        assert part.read(part.rows, "text") == [f"text {level}" for level in levels]
        assert classes_of(part).tolist() == [level % 2 for level in levels]


def test_a_saved_data_set_is_read(tmp_path: Path) -> None:
    data = read(save(table(40), tmp_path / "saved", shards=3))
    assert (len(data.train), len(data.validation), len(data.test)) == (28, 4, 8)
    assert (data.classes, data.image_px, set(data.train.fields)) == (NAMES, 8, {"image", "class", "text"})
    check(data)


def test_a_dictionary_of_splits_is_read(tmp_path: Path) -> None:
    data = read(save_all(tmp_path / "saved", train=table(20), validation=table(4, 20), test=table(6, 30)))
    assert (len(data.train), len(data.validation), len(data.test)) == (20, 4, 6)
    check(data)


@pytest.mark.parametrize("where", ["data/{}-00000-of-00001.parquet", "{}.parquet", "default/{}/0000.parquet"])
def test_parquet_files_are_read(tmp_path: Path, where: str) -> None:
    for name, rows in {"train": table(20), "test": table(6, 30), "unsupervised": table(3, 60)}.items():
        file = tmp_path / "set" / where.format(name)
        file.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(rows, file, row_group_size=4)
    data = read(tmp_path / "set")
    assert (len(data.train), len(data.validation), len(data.test)) == (18, 2, 6)
    check(data)


@pytest.mark.parametrize("where", ["{}/train-00000-of-00001.parquet", "{}/train/0000.parquet"])
def test_several_configurations_are_one_clear_line(tmp_path: Path, where: str) -> None:
    """Not one split of all of them, in which an item may be twice."""
    for name, count in {"full": 20, "small": 10}.items():
        file = tmp_path / "set" / where.format(name)
        file.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table(count), file)
    with pytest.raises(UserError, match=r"set has several configurations \(full, small\); name one, as hf:PATH/CONF"):
        read(tmp_path / "set")
    assert len(read(tmp_path / "set" / "small").train) < 10


def test_a_row_without_a_picture_is_named(tmp_path: Path) -> None:
    pictures = [{"bytes": png(number), "path": None} for number in range(19)] + [None]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    place = save(table(20, image=pa.array(pictures, kind)), tmp_path / "saved")
    data = read(place)
    with pytest.raises(UserError, match="has no picture; take that row out"):
        check(data)


def test_a_source_is_pickled_without_its_pictures(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 60, 3), dtype=np.uint8)
    stored = []
    for pixels in noise:
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "png")
        stored.append({"bytes": stream.getvalue(), "path": None})
    data = read(save(table(40, image=stored), tmp_path / "saved"))
    text = pickle.dumps(data.train.of("image"))
    assert len(text) < 20_000
    assert torch.equal(images_of(pickle.loads(text)), images_of(data.train.of("image")))


def test_what_has_no_label_or_text_is_not_known(tmp_path: Path) -> None:
    labels, texts = [0, 1, None, -1] * 10, [["a", "b"], [], None, ["c"]] * 10
    rows = table(40, label=pa.array(labels, pa.int64()), text=pa.array(texts, pa.list_(pa.string())))
    data = read(save(rows, tmp_path / "saved"))
    assert len(data.pretrain) - len(data.train) == 20, "those without a class are for methods"
    assert data.train.known("class").all()
    assert set(data.pretrain.read(data.pretrain.rows[data.pretrain.known("text")], "text")) == {"a", "c"}


def test_labels_without_names_are_numbers(tmp_path: Path) -> None:
    features = {name: what for name, what in FEATURES.items() if name != "label"}
    data = read(save(table(40, features=features), tmp_path / "saved"))
    assert data.classes == ("0", "1")
    check(data)


def test_classes_without_names_are_those_of_all_splits(tmp_path: Path) -> None:
    features = {name: what for name, what in FEATURES.items() if name != "label"}
    rows = table(20, features=features, label=pa.array([n % 5 for n in range(20)], pa.int64()))
    data = read(save_all(tmp_path / "saved", train=rows, test=table(4, features=features)))
    assert data.classes == tuple("01234")
    assert classes_of(data.test).max() == 1


def test_pictures_beside_the_table_are_read_and_are_in_the_checksum(tmp_path: Path) -> None:
    place = tmp_path / "saved"
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    (place / "pictures").mkdir(parents=True)
    for number in range(20):
        (place / "pictures" / f"{number}.png").write_bytes(png(number))
    stored = [{"bytes": None, "path": f"pictures/{number}.png"} for number in range(20)]
    save(table(20, image=pa.array(stored, kind)), place)
    data = read(place)
    check(data)
    (place / "pictures" / "3.png").write_bytes(png(200))
    assert read(place).checksum != data.checksum


@pytest.mark.parametrize("path", ["../secret.png", "/etc/hostname", "a/../../secret.png"])
def test_no_path_leads_out_of_the_folder(tmp_path: Path, path: str) -> None:
    place = tmp_path / "saved"
    (tmp_path / "secret.png").write_bytes(png(1))
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    save(table(4, image=pa.array([{"bytes": None, "path": path}] * 4, kind)), place)
    with pytest.raises(UserError, match=r"has a picture in .*, which is not below it"):
        read(place)
    save(table(4), place)
    (place / "state.json").write_text(json.dumps({"_data_files": [{"filename": path}]}))
    with pytest.raises(UserError, match=r"which is not below it"):
        read(place)
    (place / "state.json").unlink()
    (place / "dataset_dict.json").write_text(json.dumps({"splits": [path]}))
    with pytest.raises(UserError, match=r"which is not below it"):
        read(place)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda place: (place / "state.json").write_text("{"), r"^state\.json in .*/saved is damaged \(.*\); save or"),
        (lambda place: (place / "state.json").write_text("[]"), r"damaged \(it is no JSON object\)"),
        (lambda place: (place / "state.json").write_text("{}"), r"/saved names no data files"),
        (lambda place: (place / "data-00000-of-00001.arrow").write_bytes(b"garbage" * 99), r"^hf:.* is damaged \("),
        (lambda place: (place / "data-00000-of-00001.arrow").unlink(), r"^hf:.* is damaged \("),
        (lambda place: (place / "state.json").unlink(), r"^there is no train split in .*/saved; PATH holds what"),
    ],
)
def test_a_damaged_data_set_is_one_line(tmp_path: Path, spoil: Any, message: str) -> None:
    place = save(table(10), tmp_path / "saved")
    spoil(place)
    with pytest.raises(UserError) as caught:
        read(place)
    assert re.search(message, str(caught.value)), caught.value
    assert "\n" not in str(caught.value)


def test_a_truncated_table_is_one_line(tmp_path: Path) -> None:
    place = save(table(10), tmp_path / "saved")
    file = place / "data-00000-of-00001.arrow"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(UserError, match=r"^hf:.* in .*/saved is damaged \(.*\); save or download it again$"):
        read(place)


def test_a_damaged_picture_is_named_by_its_row(tmp_path: Path) -> None:
    stored = [{"bytes": png(n) if n != 3 else b"garbage", "path": None} for n in range(10)]
    source = arrow.ArrowImages(save(table(10, image=stored), tmp_path), ["data-00000-of-00001.arrow"], "image", 8)
    assert source.read(torch.tensor([2, 4]), "image")[:, 0, 0, 0].tolist() == [2, 4]
    with pytest.raises(UserError, match=r"^can't read the picture .*/image\[3\]: .*repair it or take it out$"):
        images_of(source)


def test_sizes_are_read_from_heads_without_a_copy_of_the_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = [{"bytes": png(n), "path": None} for n in range(10)]
    source = arrow.ArrowImages(save(table(10, image=stored), tmp_path), ["data-00000-of-00001.arrow"], "image", 8)
    sizes = [Image.open(io.BytesIO(each["bytes"])).size[::-1] for each in stored]
    monkeypatch.setattr(arrow.ArrowImages, "stored", None)
    assert source.extents(torch.arange(10), "image").tolist() == [list(size) for size in sizes]


def test_what_is_no_set_of_pictures_says_what_it_has(tmp_path: Path) -> None:
    rows = table(10).drop_columns(["image"])
    with pytest.raises(UserError, match=r"has no column of pictures; its columns are label, text$"):
        read(save(rows, tmp_path / "saved"))
    other = dict(FEATURES, label={"names": ["x", "y"], "_type": "ClassLabel"})
    save_all(tmp_path / "dict", train=table(10), test=table(4, features=other))
    with pytest.raises(UserError, match=r"^the splits of .*/dict have other columns or classes"):
        read(tmp_path / "dict")


def test_parquet_that_does_not_fit_says_how_to_have_it_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "set").mkdir()
    pq.write_table(table(10), tmp_path / "set" / "train.parquet")
    monkeypatch.setattr(arrow, "MAX_PARQUET", 100)
    with pytest.raises(UserError, match="save the data set with `save_to_disk`, which is mapped instead"):
        read(tmp_path / "set")
