"""The published data sets that torchvision knows how to fetch, check and read.

Where they lie below the data root is where torchvision puts them; SVHN and ImageNet, which torchvision would strew over
the root itself, have folders of their own:

    cifar-10-batches-py/  cifar-100-python/  stl10_binary/  FashionMNIST/raw/
    svhn/{train,test}_32x32.mat
    imagenet/{meta.bin, train/, val/}
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import numpy.typing as npt
import torch

from unlabeled.platform.data.contents import Contents, array_checksum, checksum, damage_named, how_to_get
from unlabeled.platform.data.images import ArrayImages, FileImages
from unlabeled.platform.data.mapped import Decoded, decoded_once
from unlabeled.platform.data.measured import sized_digests
from unlabeled.platform.data.source import Joined
from unlabeled.platform.data.told import Classes
from unlabeled.platform.data.windows import WINDOWED
from unlabeled.platform.errors import UserError

IMAGENET_PX = 224  # what published ImageNet numbers are read at
_TRAIN: Mapping[str, Any] = {"train": True}
_TEST: Mapping[str, Any] = {"train": False}


@dataclass(frozen=True)
class Archive:
    """How torchvision reads one set.

    Attributes:
        reader: torchvision's class.
        folder: below the data root, what shows that the set is there.
        home: below the data root, what torchvision takes for its root.
        train: torchvision's arguments for the training split.
        test: and for the test split.
        classes: names by label, for a set that has none in its files.
    """

    reader: str
    folder: str
    home: str = "."
    train: Mapping[str, Any] = field(default_factory=lambda: _TRAIN)
    test: Mapping[str, Any] = field(default_factory=lambda: _TEST)
    classes: tuple[str, ...] = ()


ARCHIVES: Mapping[str, Archive] = {
    "fashion-mnist": Archive("FashionMNIST", folder="FashionMNIST/raw"),
    "cifar10": Archive("CIFAR10", folder="cifar-10-batches-py"),
    "cifar100": Archive("CIFAR100", folder="cifar-100-python"),
    "stl10": Archive(
        "STL10",
        folder="stl10_binary",
        train={"split": "train+unlabeled"},
        test={"split": "test"},
        classes=("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"),
    ),
    "svhn": Archive(
        "SVHN",
        folder="svhn",
        home="svhn",
        train={"split": "train"},
        test={"split": "test"},
        classes=tuple("0123456789"),
    ),
}


def read_archive(name: str, root: Path, image_px: int | None) -> Contents:
    """Read a set that fits in memory; STL-10's unlabelled pictures are training rows without a class.

    Raises:
        UserError: it is not below ``root``, or is damaged there.
    """
    archive = ARCHIVES[name]
    folder = root / archive.folder
    if not folder.is_dir():
        raise UserError(f"{name} is not in {root}: there is no {archive.folder}/; get it with {how_to_get(name, root)}")
    with damage_named(name, folder, f"delete that folder and get it again with {how_to_get(name, root)}"):
        found = decoded_once(folder, f"{name} 1", lambda: _decoded(archive, root))
        return Contents(
            train=Joined(ArrayImages(found.train_images, image_px), _classes(found.train_labels, found.classes)),
            test=Joined(ArrayImages(found.test_images, image_px), _classes(found.test_labels, found.classes)),
            checksum=found.checksum,
        )


def _decoded(archive: Archive, root: Path) -> Decoded:
    from torchvision import datasets

    reader = getattr(datasets, archive.reader)
    with warnings.catch_warnings():
        # CIFAR's pickles, of 2009, hold dtypes in a form that NumPy 2.4 deprecates.
        warnings.simplefilter("ignore", np.exceptions.VisibleDeprecationWarning)
        train = reader(root / archive.home, **archive.train)
        test = reader(root / archive.home, **archive.test)
    arrays = (*_arrays(train), *_arrays(test))
    return Decoded(*arrays, archive.classes or tuple(train.classes), array_checksum(arrays))


def fetch_archive(name: str, root: Path) -> str:
    """Download a set, check it, and say where it is; what is already there and whole is left alone.

    Raises:
        UserError: it can't be fetched or written.
    """
    from torchvision import datasets

    archive = ARCHIVES[name]
    try:
        (root / archive.home).mkdir(parents=True, exist_ok=True)
        for split in (archive.train, archive.test):
            getattr(datasets, archive.reader)(root / archive.home, download=True, **split)
    except (URLError, OSError, RuntimeError, EOFError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{name} could not be downloaded to {root} ({reason}); try again, or copy it there") from error
    return f"{name} is in {root / archive.folder}"


def read_imagenet(name: str, root: Path, image_px: int | None) -> Contents:
    """Read ImageNet's file names; its published validation pictures are the test split, as in the literature.

    Raises:
        UserError: it is not below ``root``, unpacked, or is damaged there.
    """
    from torchvision import datasets

    home = root / "imagenet"
    lacking = [part for part in ("meta.bin", "train", "val") if not (home / part).exists()]
    if lacking:
        raise UserError(
            f"{name} is not in {root}: there is no {', '.join(f'imagenet/{part}' for part in lacking)}; "
            f"{_imagenet_remedy(root)}"
        )
    with damage_named(name, home, "repair or unpack it again"):
        train, test = (datasets.ImageNet(home, split=split) for split in ("train", "val"))
        if train.wnids != test.wnids:
            raise ValueError(f"train/ has {len(train.wnids)} classes and val/ {len(test.wnids)}, or other ones")
        samples = [
            [(Path(path).relative_to(home).as_posix(), label) for path, label in part.samples] for part in (train, test)
        ]
        classes = tuple(names[0] for names in train.classes)
        files = samples[0] + samples[1]
        digests, sizes = sized_digests(home, [path for path, _ in files])
        splits = [
            Joined(
                FileImages(home, [path for path, _ in part], image_px or IMAGENET_PX, of),
                Classes([number for _, number in part], classes),
            )
            for part, of in zip(samples, torch.split(sizes, [len(part) for part in samples]), strict=True)
        ]
        return Contents(
            train=splits[0],
            test=splits[1],
            checksum=checksum(files, digests, WINDOWED),
        )


def fetch_imagenet(name: str, root: Path) -> str:
    """Unpack ImageNet's archives, which nobody may download for somebody else, and say where it is.

    Raises:
        UserError: the archives are not there yet; the line says how to get them.
    """
    from torchvision import datasets

    home = root / "imagenet"
    try:
        for split in ("train", "val"):
            datasets.ImageNet(home, split=split)
    except (OSError, RuntimeError, EOFError) as error:
        raise UserError(
            f"{name} can't be unpacked in {home} ({str(error).splitlines()[0]}); {_imagenet_remedy(root)}"
        ) from error
    return f"{name} is in {home}"


def _imagenet_remedy(root: Path) -> str:
    return (
        "ask for access at image-net.org, put ILSVRC2012_devkit_t12.tar.gz, ILSVRC2012_img_train.tar and "
        f"ILSVRC2012_img_val.tar into {root / 'imagenet'} and unpack them with {how_to_get('imagenet', root)}"
    )


def _classes(labels: npt.NDArray[np.int64], names: tuple[str, ...]) -> Classes:
    """Take torchvision's labels, where -1 is a picture without one."""
    return Classes(labels, names, known=labels != -1)


def _arrays(dataset: Any) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """Return torchvision's pictures as [N, C, H, W] and their labels."""
    images = np.asarray(dataset.data)
    if images.ndim == 3:
        images = images[:, None]
    elif images.shape[-1] == 3:
        images = images.transpose(0, 3, 1, 2)
    labels = dataset.targets if hasattr(dataset, "targets") else dataset.labels
    return np.ascontiguousarray(images), np.asarray(labels).astype(np.int64)
