"""Every data set by name: what it is, where it comes from, who reads it.

Other packages bring theirs by the entry point group ``unlabeled.data``: a :class:`CatalogueEntry` under the set's name.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from unlabeled.platform.data.archives import fetch_archive, fetch_imagenet, read_archive, read_imagenet
from unlabeled.platform.data.contents import Contents
from unlabeled.platform.data.folder import PREFIX, fetch_folder, read_folder
from unlabeled.platform.data.readers import davis, films, hub, shards, sounds, stamps, voc
from unlabeled.platform.data.shipped import fetch_nothing, read_emoji, read_fashion
from unlabeled.platform.data.worlds import read_films, read_scenes
from unlabeled.platform.errors import lookup
from unlabeled.platform.settings import brought


@dataclass(frozen=True)
class CatalogueEntry:
    """A data set that has a name.

    Attributes:
        description: one line.
        size: how many pictures to train on and to test, of which size, and what they take on disk.
        licence: who allows what.
        source: whom to cite, or where it comes from.
        read: takes name, data root and the settings, and returns what is on disk.
        fetch: takes name and data root, downloads, and returns a line that says what is where.
        settings: fields of a data set's configuration, beyond those of all sets, that this one has.
    """

    description: str
    size: str
    licence: str
    source: str
    read: Callable[..., Contents]
    fetch: Callable[[str, Path], str]
    settings: tuple[str, ...] = ("image_px",)


_EMOJI_LICENCE = "Twemoji graphics CC-BY 4.0, Noto emoji Apache-2.0, names and categories MIT"
_EMOJI_SOURCE = "emoji-datasource-twitter and emoji-datasource-google 16.0.0, Cal Henderson"

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
        _EMOJI_LICENCE,
        _EMOJI_SOURCE,
        read_emoji,
        fetch_nothing,
    ),
    "emoji-scenes": CatalogueEntry(
        "one to five emoji that overlap on a textured ground, with masks, boxes, captions and their number",
        "20,000 + 1,000 + 2,000 of 64 px, colour; composed as they are read; test emoji are in no other split",
        _EMOJI_LICENCE,
        _EMOJI_SOURCE,
        read_scenes,
        fetch_nothing,
    ),
    "emoji-films": CatalogueEntry(
        "emoji thrown and bouncing, by two cameras that pan, with sound, masks, boxes, points and captions",
        "6,000 + 500 + 1,000 of 16 frames of 48 px, colour; made as they are read; test emoji are in no other split",
        _EMOJI_LICENCE,
        _EMOJI_SOURCE,
        read_films,
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
    f"{films.PREFIX}PATH": CatalogueEntry(
        "your own films, in class folders or loose, cut into clips; with their sound where all have some",
        "what is there, in clips of 16 frames at 8 per second, cut to 112 px squares",
        "yours",
        "you",
        films.read_films,
        films.fetch_films,
        ("image_px", "frames", "rate"),
    ),
    f"{sounds.PREFIX}PATH": CatalogueEntry(
        "your own sounds, in class folders or loose, cut into pieces",
        "what is there, in pieces of 1.28 seconds at 16 kHz, mono",
        "yours",
        "you",
        sounds.read_sounds,
        sounds.fetch_sounds,
        ("seconds", "rate"),
    ),
    f"{voc.PREFIX}PATH": CatalogueEntry(
        "PASCAL VOC: things of 20 classes in pictures, with boxes, and masks of some pictures",
        "2007: 5,011 + 4,952; 2012: 5,717 + 5,823; cut to 224 px squares; 2 GB",
        "flickr's terms of use",
        "Everingham et al. (2010), The PASCAL Visual Object Classes (VOC) Challenge",
        voc.read_voc,
        voc.fetch_voc,
    ),
    f"{davis.PREFIX}PATH": CatalogueEntry(
        "DAVIS 2017: films with a mask of what moves on each frame",
        "60 + 30 films, in clips of 16 frames at 24 per second, cut to 112 px squares; 1 GB",
        "BSD-3-Clause for the annotations; the films are of many authors",
        "Pont-Tuset et al. (2017), The 2017 DAVIS Challenge on Video Object Segmentation, arXiv 1704.00675",
        davis.read_davis,
        davis.fetch_davis,
        ("image_px", "frames", "rate"),
    ),
    f"{hub.PREFIX}PATH": CatalogueEntry(
        "a Hugging Face data set of pictures on disk: what save_to_disk wrote, or Parquet files",
        "what is there, cut to 224 px squares",
        "the data set's own",
        "the data set's own",
        hub.read_hf,
        hub.fetch_hf,
    ),
    f"{shards.PREFIX}PATH": CatalogueEntry(
        "WebDataset shards on disk: tar archives of pictures with classes and captions, read where they lie",
        "what is there, cut to 224 px squares",
        "the data set's own",
        "the data set's own",
        shards.read_shards,
        shards.fetch_shards,
    ),
    "stamps": CatalogueEntry(
        "pictures of things in 16 classes with their English names, of the Debian package tuxpaint-stamps-default",
        "785 in all, of many sizes, brought to 64 px, colour; 220 MB installed",
        "GPL-2",
        "Tux Paint stamps 2022.06.04, Bill Kendrick and many others",
        stamps.read_stamps,
        stamps.fetch_stamps,
    ),
    "stamps-spoken": CatalogueEntry(
        "those things' names, spoken in 9 languages, one voice each; with how they begin, their text and picture",
        "7,190 in all, of 1.28 seconds at 16 kHz, mono; the same package",
        "GPL-2",
        "Tux Paint stamps 2022.06.04, Bill Kendrick and many others",
        stamps.read_spoken,
        stamps.fetch_stamps,
        ("image_px", "seconds", "rate"),
    ),
}

WITH_PATH: Mapping[str, str] = {
    **{name.removesuffix("PATH"): name for name in DATASETS if name.endswith(":PATH")},
    **{f"{name}:": name for name in stamps.NAMES},  # where they are not installed
}
"""What a name may begin with that goes on with a path, and the entry's name."""


@functools.cache
def datasets() -> Mapping[str, CatalogueEntry]:
    """Return all entries by name: ours, and after them those that installed packages bring under other names."""
    others = {name: entry for name, entry in brought("unlabeled.data", CatalogueEntry) if name not in DATASETS}
    return {**DATASETS, **others}


def find(name: str) -> CatalogueEntry:
    """Return the entry for a data set's name, or for a kind of folder and its path such as ``folder:PATH``.

    Raises:
        UserError: there is none; the nearest name is given.
    """
    prefix, colon, path = name.partition(":")
    kind = WITH_PATH.get(prefix + colon)
    return DATASETS[kind] if kind is not None and path else lookup("data set", name, datasets())
