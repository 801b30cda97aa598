"""A Hugging Face data set on disk, as ``hf:PATH``, read by PyArrow alone: no package ``datasets``, none of its scripts.

PATH is what ``save_to_disk`` wrote (``dataset_dict.json`` or ``dataset_info.json`` with Arrow files, which are mapped
into memory), or holds Parquet files as a repository on the hub does (``data/train-00000-of-00001.parquet``), which are
read into memory whole.

Fields are ``image``, the first column of pictures, decoded when it is read: the centre square, resized to
``data.image_px`` (224); ``class``, the column of class labels that is called label or else the first; and ``text``, the
first column that is called text, caption or sentence. A label of -1 is none. Splits go by the names that ``folder:``
knows; ``unsupervised`` ones are pictures without a class. Nothing is ever unpickled or run.
"""

import functools
import io
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from unlabeled.platform.data.contents import Contents
from unlabeled.platform.data.digests import file_digests, shown
from unlabeled.platform.data.images import centre_square, check_picture, picture_named, three_channels
from unlabeled.platform.data.listing import existing_folder, path_of, split_of
from unlabeled.platform.data.readers.measured import checksum
from unlabeled.platform.data.source import Field, Joined, Source
from unlabeled.platform.data.told import Classes, Texts
from unlabeled.platform.errors import UserError

PREFIX = "hf:"
PX = 224
MOST_PARQUET = 4 * 2**30  # bytes, of one split
_LABELS = ("label", "labels", "fine_label", "class")
_TEXTS = ("text", "caption", "captions", "sentence", "sentences")


@dataclass(frozen=True)
class Columns:
    """Which columns of a data set are read.

    Attributes:
        image: holds pictures.
        label: holds class labels; "" for none.
        classes: their names.
        text: holds texts; "" for none.
    """

    image: str
    label: str
    classes: tuple[str, ...]
    text: str


def read_hf(name: str, root: Path, image_px: int | None) -> Contents:
    """Read tables, labels and texts; no picture is decoded yet.

    Raises:
        UserError: there is no such data set, or it has no column of pictures, or is damaged.
    """
    place, px = existing_folder(name, root), image_px or PX
    files = _files(place)
    columns = None
    splits = {}
    for split, paths in files.items():
        with _damage_named(place):
            rows = table(place, tuple(paths))
            found = _columns(rows, _features(place, paths, rows), place)
            if columns is not None and columns != found:
                raise UserError(f"the splits of {shown(place)} have other columns or classes; they must be the same")
            columns = found
            splits[split] = _items(place, tuple(paths), rows, columns, px)
    flat = sorted({path for paths in files.values() for path in paths})
    return Contents(
        train=splits["train"],
        validation=splits.get("validation"),
        test=splits.get("test"),
        checksum=checksum([(path, "") for path in flat], file_digests(place, flat, lambda path, content: None)),
    )
