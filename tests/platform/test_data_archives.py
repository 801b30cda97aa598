"""Torchvision's sets, read from small archives in the published formats. Only the checksums they must have are ours."""

import gzip
import hashlib
import pickle
import struct
import tarfile
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import scipy.io
import torch
from PIL import Image
from sources import classes_of, images_of
from torchvision import datasets

from unlabeled.platform.data import Data, DataConfig, download, load
from unlabeled.platform.errors import UserError

SEED = np.random.default_rng(0)
Make = Callable[[Path, pytest.MonkeyPatch], dict[str, np.ndarray]]


def noise(*shape: int) -> np.ndarray:
    return SEED.integers(0, 256, shape, dtype=np.uint8)


def labels(count: int, classes: int = 10) -> np.ndarray:
    return (np.arange(count) % classes).astype(np.uint8)


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def make_fashion(root: Path, patch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    folder = root / "FashionMNIST" / "raw"
    folder.mkdir(parents=True)
    arrays = {"train": noise(60, 1, 28, 28), "test": noise(20, 1, 28, 28)}
    for prefix, x in (("train", arrays["train"]), ("t10k", arrays["test"])):
        header = struct.pack(">IIII", 0x803, len(x), 28, 28)
        (folder / f"{prefix}-images-idx3-ubyte").write_bytes(header + x.tobytes())
        header = struct.pack(">II", 0x801, len(x))
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(header + labels(len(x)).tobytes())
    return arrays


def old_pickle(value: object) -> bytes:
    """Pickle as Python 2 did for CIFAR: in text, with 0 and 1 for a dtype's flags, which NumPy 2.4 frowns at."""
    return pickle.dumps(value, protocol=0).replace(b"I00\n", b"I0\n").replace(b"I01\n", b"I1\n")


def make_cifar(root: Path, patch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    arrays = {"train": noise(100, 3, 32, 32), "test": noise(20, 3, 32, 32)}
    parts = {f"data_batch_{n + 1}": arrays["train"][20 * n : 20 * n + 20] for n in range(5)}
    for file, x in (parts | {"test_batch": arrays["test"]}).items():
        content = {"data": x.reshape(len(x), -1), "labels": labels(len(x)).tolist()}
        (folder / file).write_bytes(old_pickle(content))
    (folder / "batches.meta").write_bytes(old_pickle({"label_names": [f"class {n}" for n in range(10)]}))
    patch.setattr(datasets.CIFAR10, "train_list", [[file, md5(folder / file)] for file in parts])
    patch.setattr(datasets.CIFAR10, "test_list", [["test_batch", md5(folder / "test_batch")]])
    meta = {**datasets.CIFAR10.meta, "md5": md5(folder / "batches.meta")}
    patch.setattr(datasets.CIFAR10, "meta", meta)
    return arrays


def make_svhn(root: Path, patch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    folder = root / "svhn"
    folder.mkdir(parents=True)
    arrays = {"train": noise(60, 3, 32, 32), "test": noise(20, 3, 32, 32)}
    files = {}
    for split, x in arrays.items():
        path = folder / f"{split}_32x32.mat"
        y = labels(len(x))
        y[y == 0] = 10  # SVHN's name for the digit 0
        scipy.io.savemat(path, {"X": x.transpose(2, 3, 1, 0), "y": y[:, None]})
        files[split] = [datasets.SVHN.split_list[split][0], path.name, md5(path)]
    patch.setattr(datasets.SVHN, "split_list", files)
    return arrays


def make_stl(root: Path, patch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    folder = root / "stl10_binary"
    folder.mkdir(parents=True)
    arrays = {"train": noise(40, 3, 96, 96), "unlabeled": noise(15, 3, 96, 96), "test": noise(20, 3, 96, 96)}
    for split, x in arrays.items():
        (folder / f"{split}_X.bin").write_bytes(x.transpose(0, 1, 3, 2).tobytes())  # columns first
        if split != "unlabeled":
            (folder / f"{split}_y.bin").write_bytes((labels(len(x)) + 1).tobytes())  # from 1
    for attribute in ("train_list", "test_list"):
        files = [file for file, _ in getattr(datasets.STL10, attribute)]
        patch.setattr(datasets.STL10, attribute, [[file, md5(folder / file)] for file in files])
    return arrays


MADE: dict[str, tuple[Make, str, str]] = {
    # name: who makes it, its folder, a file whose damage must be noticed
    "fashion-mnist": (make_fashion, "FashionMNIST/raw", "train-images-idx3-ubyte"),
    "cifar10": (make_cifar, "cifar-10-batches-py", "data_batch_3"),
    "svhn": (make_svhn, "svhn", "test_32x32.mat"),
    "stl10": (make_stl, "stl10_binary", "unlabeled_X.bin"),
}


def rows(x: torch.Tensor | np.ndarray) -> list[bytes]:
    return [np.ascontiguousarray(picture).tobytes() for picture in np.asarray(x)]


@pytest.fixture(params=list(MADE))
def made(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Data, dict[str, np.ndarray]]:
    arrays = MADE[request.param][0](tmp_path, monkeypatch)
    return load(DataConfig(name=request.param, validation_fraction=0.25), tmp_path), arrays


def test_pictures_and_labels_come_through(made: tuple[Data, dict[str, np.ndarray]]) -> None:
    data, arrays = made
    assert len(data.classes) == 10
    known = {picture: n % 10 for split in ("train", "test") for n, picture in enumerate(rows(arrays[split]))}
    for images in (data.train, data.validation, data.test):
        batch = images_of(images)
        assert batch.dtype == torch.uint8
        assert [known[picture] for picture in rows(batch)] == classes_of(images).tolist()
    assert len(data.train) + len(data.validation) == len(arrays["train"])
    assert len(data.test) == len(arrays["test"])
    assert classes_of(data.validation).bincount(minlength=10).min() >= 1


@pytest.mark.parametrize("name", MADE)
def test_mapped_arrays_are_those_that_are_decoded(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    MADE[name][0](tmp_path, monkeypatch)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    decoded = load(DataConfig(name=name), tmp_path)
    monkeypatch.setattr("unlabeled.platform.data.mapped.LARGE", 1)
    for _ in range(2):
        mapped = load(DataConfig(name=name), tmp_path)
        assert (mapped.checksum, mapped.classes) == (decoded.checksum, decoded.classes)
        assert torch.equal(images_of(mapped.pretrain), images_of(decoded.pretrain))
        assert torch.equal(classes_of(mapped.test), classes_of(decoded.test))
    assert list((tmp_path / "cache/unlabeled").glob("arrays-*.json"))


def test_unlabelled_pictures_are_for_methods_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = make_stl(tmp_path, monkeypatch)
    data = load(DataConfig(name="stl10", train_images=20), tmp_path)
    seen = rows(images_of(data.pretrain))
    assert sorted(seen[:15]) == sorted(rows(arrays["unlabeled"]))
    assert data.pretrain.known("class").tolist() == [False] * 15 + [True] * 20
    assert data.pretrain.read(torch.arange(15, 35), "class").tolist() == classes_of(data.train).tolist()
    assert seen[15:] == rows(data.train.read(torch.arange(20), "image"))
    assert not set(seen) & set(rows(images_of(data.validation)))
    assert "20 training (+ 15 unlabelled)" in data.summary()


@pytest.mark.parametrize("name", [*MADE, "cifar100"])
def test_a_missing_set_says_how_to_get_it(tmp_path: Path, name: str) -> None:
    root = tmp_path / "my data"
    with pytest.raises(
        UserError,
        match=rf"^{name} is not in {root}: there is no [\w/-]+/; "
        rf"get it with `unlabeled data download {name} --data-root '{root}'`$",
    ):
        load(DataConfig(name=name), root)


@pytest.mark.parametrize("damage", ["truncated", "gone", "altered"])
@pytest.mark.parametrize("name", list(MADE))
def test_a_damaged_set_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, damage: str) -> None:
    make, folder, file = MADE[name]
    make(tmp_path, monkeypatch)
    path = tmp_path / folder / file
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(content[:-100])
    elif name == "fashion-mnist":  # its unpacked files have no published checksum; the header is what can be checked
        path.write_bytes(b"\0\0\x09" + content[3:])
    else:
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(
        UserError,
        match=rf"^{name} in {tmp_path / folder} is damaged \(.+\); "
        rf"delete that folder and get it again with `unlabeled data download {name} --data-root {tmp_path}`$",
    ):
        load(DataConfig(name=name), tmp_path)


def test_labels_out_of_range_are_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_fashion(tmp_path, monkeypatch)
    path = tmp_path / "FashionMNIST" / "raw" / "t10k-labels-idx1-ubyte"
    path.write_bytes(path.read_bytes()[:-1] + b"\x0a")
    with pytest.raises(UserError, match=r"is damaged \(labels go from 0 to 10, but there are 10 classes\)"):
        load(DataConfig(name="fashion-mnist"), tmp_path)


def test_fewer_labels_than_pictures_are_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_fashion(tmp_path, monkeypatch)
    path = tmp_path / "FashionMNIST" / "raw" / "train-labels-idx1-ubyte"
    path.write_bytes(struct.pack(">II", 0x801, 59) + labels(59).tobytes())
    with pytest.raises(UserError, match=r"is damaged \(60 items have image, 59 items have class\)"):
        load(DataConfig(name="fashion-mnist"), tmp_path)


def test_load_never_downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("load went to the network")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    monkeypatch.setattr("socket.socket.connect", refuse)
    (tmp_path / "cifar-10-batches-py").mkdir()
    with pytest.raises(UserError, match="a file is missing there, or its checksum is not the published one"):
        load(DataConfig(name="cifar10"), tmp_path)


@pytest.fixture
def serving() -> Iterator[Callable[[Path], int]]:
    """Serve a folder over HTTP on this machine; gives the port."""
    servers = []

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    def start(folder: Path) -> int:
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
        servers.append(server)
        Thread(target=server.serve_forever, daemon=True).start()
        return server.server_port

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_download_fetches_unpacks_and_checks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serving: Callable[[Path], int]
) -> None:
    make_fashion(tmp_path / "published", monkeypatch)
    server = tmp_path / "server"
    server.mkdir()
    resources = []
    for path in sorted((tmp_path / "published" / "FashionMNIST" / "raw").iterdir()):
        (server / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        resources.append((f"{path.name}.gz", md5(server / f"{path.name}.gz")))
    monkeypatch.setattr(datasets.FashionMNIST, "resources", resources)
    monkeypatch.setattr(datasets.FashionMNIST, "mirrors", [f"http://127.0.0.1:{serving(server)}/"])
    root = tmp_path / "new" / "root"
    assert download("fashion-mnist", root) == f"fashion-mnist is in {root}/FashionMNIST/raw"
    published = load(DataConfig(name="fashion-mnist"), tmp_path / "published")
    assert load(DataConfig(name="fashion-mnist"), root).checksum == published.checksum

    (server / resources[0][0]).write_bytes(b"something else")
    with pytest.raises(
        UserError, match=rf"^fashion-mnist could not be downloaded to {tmp_path}/other \(.+\); try again"
    ):
        download("fashion-mnist", tmp_path / "other")


def test_download_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.CIFAR10, "url", "file:///nowhere/cifar-10-python.tar.gz")
    with pytest.raises(
        UserError, match=rf"^cifar10 could not be downloaded to {tmp_path} \(.*No such file.*\); try again"
    ):
        download("cifar10", tmp_path)


# --- ImageNet ---


@pytest.fixture
def imagenet(tmp_path: Path) -> Path:
    home = tmp_path / "imagenet"
    classes = {"n01440764": ("tench", "Tinca tinca"), "n01443537": ("goldfish",)}
    for split, count in (("train", 10), ("val", 4)):
        for grey, wnid in ((40, "n01440764"), (200, "n01443537")):
            (home / split / wnid).mkdir(parents=True)
            for number in range(count):
                Image.new("RGB", (30 + number, 20), (grey,) * 3).save(home / split / wnid / f"{number}.JPEG")
    torch.save((classes, ["n01440764"] * 8), home / "meta.bin")
    return tmp_path


def test_imagenet_is_decoded_as_it_is_read(imagenet: Path) -> None:
    data = load(DataConfig(name="imagenet"), imagenet)
    assert (data.classes, data.image_px, data.channels) == (("tench", "goldfish"), 224, 3)
    assert (len(data.train), len(data.validation), len(data.test)) == (18, 2, 8)
    for images in (data.train, data.validation, data.test):
        batch = images_of(images)
        assert batch.shape == (len(images), 3, 224, 224)
        assert (batch[:, 0, 0, 0] > 100).tolist() == classes_of(images).bool().tolist()
    assert (
        load(DataConfig(name="imagenet", image_px=16), imagenet).test.read(torch.tensor([0]), "image").shape[-1] == 16
    )


def test_missing_imagenet_says_how_to_get_it(tmp_path: Path) -> None:
    message = (
        rf"^imagenet is not in {tmp_path}: there is no imagenet/meta.bin, imagenet/train, imagenet/val; ask for "
        rf"access .*ILSVRC2012_img_train.tar .* into {tmp_path}/imagenet and unpack them with "
        rf"`unlabeled data download imagenet --data-root {tmp_path}`$"
    )
    with pytest.raises(UserError, match=message):
        load(DataConfig(name="imagenet"), tmp_path)
    with pytest.raises(
        UserError, match=r"^imagenet can't be unpacked in .*ILSVRC2012_devkit_t12\.tar\.gz is not present"
    ):
        download("imagenet", tmp_path)


def test_imagenet_with_other_classes_in_val(imagenet: Path) -> None:
    (imagenet / "imagenet" / "val" / "n01443537").rename(imagenet / "imagenet" / "val" / "n99999999")
    with pytest.raises(UserError, match=r"^imagenet in .*/imagenet is damaged \(.*\); repair or unpack it again$"):
        load(DataConfig(name="imagenet"), imagenet)


def test_imagenet_is_unpacked_from_its_archives(imagenet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = imagenet / "imagenet"
    archive = home / "ILSVRC2012_img_val.tar"
    with tarfile.open(archive, "w") as tar:
        for number, picture in enumerate(sorted((home / "val").rglob("*.JPEG"))):
            tar.add(picture, arcname=f"ILSVRC2012_val_{number:08}.JPEG")
            picture.unlink()
    for folder in (home / "val").iterdir():
        folder.rmdir()
    (home / "val").rmdir()
    from torchvision.datasets import imagenet as reader

    torch.save((torch.load(home / "meta.bin")[0], ["n01440764"] * 4 + ["n01443537"] * 4), home / "meta.bin")
    monkeypatch.setitem(reader.ARCHIVE_META, "val", (archive.name, md5(archive)))
    assert download("imagenet", imagenet) == f"imagenet is in {home}"
    assert len(load(DataConfig(name="imagenet", image_px=8), imagenet).test) == 8
