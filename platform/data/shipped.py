"""The two data sets that ship with Unlabeled, in ``bundled/``; ``rebuild.py`` makes them from their sources."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from unlabeled.platform.data.contents import Contents, array_checksum, damage_named
from unlabeled.platform.data.images import ArrayImages
from unlabeled.platform.data.source import Joined
from unlabeled.platform.data.told import Classes, Texts

BUNDLED = Path(__file__).parent / "bundled"
FASHION_FILE = "fashion_mnist_12k.npz"
EMOJI_FILE = "emoji_32.npz"
FASHION_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
EMOJI_CLASSES = (
    "Smileys & Emotion",
    "People & Body",
    "Animals & Nature",
    "Food & Drink",
    "Travel & Places",
    "Activities",
    "Objects",
    "Symbols",
    "Flags",
)
REMEDY = "install Unlabeled again"


def read_fashion(name: str, root: Path, image_px: int | None) -> Contents:
    """Read Fashion-MNIST's 12,000: 10,000 to train on, 2,000 to test, 28 px, grey."""
    with damage_named(name, BUNDLED / FASHION_FILE, REMEDY):
        keys = ("train_images", "train_labels", "test_images", "test_labels")
        train, train_labels, test, test_labels = arrays = _arrays(BUNDLED / FASHION_FILE, keys)
        return Contents(
            train=Joined(ArrayImages(train[:, None], image_px), Classes(train_labels, FASHION_CLASSES)),
            test=Joined(ArrayImages(test[:, None], image_px), Classes(test_labels, FASHION_CLASSES)),
            checksum=array_checksum(arrays),
        )


def read_emoji(name: str, root: Path, image_px: int | None) -> Contents:
    """Read the emoji: each drawn by two vendors, 32 px, in colour; the two drawings of one emoji are a group."""
    with damage_named(name, BUNDLED / EMOJI_FILE, REMEDY):
        images, labels, captions, vendor, emoji = emoji_arrays()
        return Contents(
            train=Joined(
                ArrayImages(np.ascontiguousarray(images.transpose(0, 3, 1, 2)), image_px),
                Classes(labels, EMOJI_CLASSES),
                Texts(captions.tolist()),
            ),
            checksum=array_checksum((images, labels, captions, vendor, emoji)),
            groups=torch.from_numpy(emoji.astype(np.int64)),
        )


def emoji_arrays() -> list[npt.NDArray[Any]]:
    """Return the emoji's pictures [N, 32, 32, 3], classes [N], captions [N], vendors [N] and emoji numbers [N].

    Raises:
        ValueError, OSError and others: the file is damaged; see :func:`damage_named`.
    """
    arrays = _arrays(BUNDLED / EMOJI_FILE, ("images", "labels", "captions", "vendor", "emoji"))
    _, labels, _, _, emoji = arrays
    if emoji.shape != labels.shape:
        raise ValueError(f"{len(labels)} pictures have emoji numbers {list(emoji.shape)}")
    return arrays


def fetch_nothing(name: str, root: Path) -> str:
    """Say that a shipped set is there already."""
    return f"{name} ships with Unlabeled: there is nothing to download"


def _arrays(file: Path, keys: tuple[str, ...]) -> list[npt.NDArray[Any]]:
    with file.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
        return [archive[key] for key in keys]
