"""Every data set by name: what it is, where it comes from, who reads it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from unlabeled.platform.data.archives import fetch_archive, fetch_imagenet, read_archive, read_imagenet
from unlabeled.platform.data.contents import Contents
from unlabeled.platform.data.folder import PREFIX, fetch_folder, read_folder
from unlabeled.platform.data.shipped import fetch_nothing, read_emoji, read_fashion
from unlabeled.platform.errors import lookup


@dataclass(frozen=True)
class CatalogueEntry:
    """A data set that has a name.

    Attributes:
        description: one line.
        size: how many pictures to train on and to test, of which size, and what they take on disk.
        licence: who allows what.
        source: whom to cite, or where it comes from.
        read: takes name, data root and image_px, and returns what is on disk.
        fetch: takes name and data root, downloads, and returns a line that says what is where.
    """

    description: str
    size: str
    licence: str
    source: str
    read: Callable[[str, Path, int | None], Contents]
    fetch: Callable[[str, Path], str]


DATASETS: Mapping[str, CatalogueEntry] = {
    "fashion-mnist-12k": CatalogueEntry(
        "articles of clothing in 10 classes: a class-balanced part of Fashion-MNIST",
        "10,000 + 2,000 of 28 px, grey; ships with Unlabeled",
        "MIT, Zalando SE",
        "Xiao, Rasul, Vollgraf (2017), Fashion-MNIST, arXiv 1708.07747",
        read_fashion,
        fetch_nothing,
    ),
    "emoji": CatalogueEntry(
        "emoji in 9 classes, each drawn by two vendors, with their names as captions; split by emoji",
        "3,048 + 764 of 32 px, colour; ships with Unlabeled",
        "Twemoji graphics CC-BY 4.0, Noto emoji Apache-2.0, names and categories MIT",
        "emoji-datasource-twitter and emoji-datasource-google 16.0.0, Cal Henderson",
        read_emoji,
        fetch_nothing,
    ),
    "fashion-mnist": CatalogueEntry(
        "articles of clothing in 10 classes",
        "60,000 + 10,000 of 28 px, grey; 85 MB",
        "MIT, Zalando SE",
        "Xiao, Rasul, Vollgraf (2017), Fashion-MNIST, arXiv 1708.07747",
        read_archive,
        fetch_archive,
    ),
    "cifar10": CatalogueEntry(
        "animals and vehicles in 10 classes",
        "50,000 + 10,000 of 32 px, colour; 350 MB",
        "none stated",
        "Krizhevsky (2009), Learning Multiple Layers of Features from Tiny Images",
        read_archive,
        fetch_archive,
    ),
    "cifar100": CatalogueEntry(
        "things and living beings in 100 classes",
        "50,000 + 10,000 of 32 px, colour; 350 MB",
        "none stated",
        "Krizhevsky (2009), Learning Multiple Layers of Features from Tiny Images",
        read_archive,
        fetch_archive,
    ),
    "stl10": CatalogueEntry(
        "animals and vehicles in 10 classes, and 100,000 unlabelled pictures that only methods see",
        "5,000 (+ 100,000 unlabelled) + 8,000 of 96 px, colour; 6 GB",
        "none stated; drawn from ImageNet",
        "Coates, Lee, Ng (2011), An Analysis of Single-Layer Networks in Unsupervised Feature Learning",
        read_archive,
        fetch_archive,
    ),
    "svhn": CatalogueEntry(
        "digits of house numbers in 10 classes",
        "73,257 + 26,032 of 32 px, colour; 250 MB",
        "non-commercial use only",
        "Netzer et al. (2011), Reading Digits in Natural Images with Unsupervised Feature Learning",
        read_archive,
        fetch_archive,
    ),
    "imagenet": CatalogueEntry(
        "ImageNet 2012 in 1,000 classes, decoded as it is read",
        "1,281,167 + 50,000 of many sizes, colour; 150 GB",
        "non-commercial research and education, on ImageNet's terms of access",
        "Russakovsky et al. (2015), ImageNet Large Scale Visual Recognition Challenge, arXiv 1409.0575",
        read_imagenet,
        fetch_imagenet,
    ),
    f"{PREFIX}PATH": CatalogueEntry(
        "your own pictures, in class folders or loose, decoded as they are read",
        "what is there, cut to 224 px squares",
        "yours",
        "you",
        read_folder,
        fetch_folder,
    ),
}


def find(name: str) -> CatalogueEntry:
    """Return the entry for a data set's name or for ``folder:PATH``.

    Raises:
        UserError: there is none; the nearest name is given.
    """
    if name.startswith(PREFIX) and name != PREFIX:
        return DATASETS[f"{PREFIX}PATH"]
    return lookup("data set", name, DATASETS)
