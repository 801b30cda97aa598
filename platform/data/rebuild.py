"""Rebuild the two shipped data sets from their sources, array for array as they ship.

    python -m unlabeled.platform.data.rebuild fashion-mnist-12k --source DIR --out DIR
    python -m unlabeled.platform.data.rebuild emoji --source DIR --out DIR

Sources, to be fetched and unpacked into the source folder first, with the usual clients:

- fashion-mnist-12k: the Debian package ``dataset-fashion-mnist`` (``apt-get download``, ``dpkg -x``), or any folder
  that holds Fashion-MNIST's four published ``*-ubyte.gz`` files, at any depth.
- emoji: the npm packages ``emoji-datasource-twitter`` and ``emoji-datasource-google``, both 16.0.0, each in a folder of
  its name (``npm install`` makes such folders in ``node_modules``; ``npm pack`` and ``tar`` make one called
  ``package``, to be renamed).
"""

import argparse
import gzip
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from unlabeled.platform.data.pictures import on_white
from unlabeled.platform.data.shipped import EMOJI_CLASSES, EMOJI_FILE, FASHION_FILE
from unlabeled.platform.errors import UserError

Arrays = dict[str, npt.NDArray[Any]]

EMOJI_PX = 32
VENDORS = {"twemoji": "twitter", "noto": "google"}  # a row's vendor -> the package that has its drawings
PER_CLASS = {"train": 1000, "test": 200}


def fashion_arrays(source: Path) -> Arrays:
    """Choose 1,000 training and 200 test pictures of each class at random, and keep them in the published order."""
    arrays: Arrays = {}
    for split, prefix in (("train", "train"), ("test", "t10k")):
        images = _idx(source, f"{prefix}-images-idx3-ubyte.gz", header=16).reshape(-1, 28, 28)
        labels = _idx(source, f"{prefix}-labels-idx1-ubyte.gz", header=8)
        generator = np.random.default_rng(0)
        chosen = [generator.permutation(np.flatnonzero(labels == c))[: PER_CLASS[split]] for c in range(10)]
        rows = np.sort(np.concatenate(chosen))
        arrays |= {f"{split}_images": images[rows], f"{split}_labels": labels[rows]}
    return arrays


def emoji_arrays(source: Path) -> Arrays:
    """Draw every emoji but the five skin tones as both vendors do, on white, in the order of ``emoji.json``."""
    listing = _existing(source / "emoji-datasource-twitter" / "emoji.json")
    rows = [
        (
            _drawing(source, package, emoji["image"]),
            EMOJI_CLASSES.index(emoji["category"]),
            emoji["name"],
            vendor,
            number,
        )
        for number, emoji in enumerate(json.loads(listing.read_text(encoding="utf-8")))
        if emoji["category"] in EMOJI_CLASSES
        for vendor, package in VENDORS.items()
    ]
    images, labels, captions, vendors, numbers = zip(*rows, strict=True)
    return {
        "images": np.stack(images),
        "labels": np.array(labels, dtype=np.uint8),
        "captions": np.array(captions),
        "vendor": np.array(vendors),
        "emoji": np.array(numbers, dtype=np.int32),
    }


REBUILT = {"fashion-mnist-12k": (FASHION_FILE, fashion_arrays), "emoji": (EMOJI_FILE, emoji_arrays)}


def rebuild(name: str, source: Path, out: Path) -> Path:
    """Build one shipped file in the folder ``out``, which is made if need be, and return its path.

    Raises:
        UserError: a source is missing.
    """
    file, build = REBUILT[name]
    arrays = build(source)
    out.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(out / file, allow_pickle=False, **arrays)
    return out / file


def _idx(source: Path, file: str, header: int) -> npt.NDArray[np.uint8]:
    found = sorted(source.rglob(file))
    if not found:
        raise UserError(f"there is no {file} in {source}; unpack the package dataset-fashion-mnist there")
    return np.frombuffer(gzip.decompress(found[0].read_bytes()), dtype=np.uint8, offset=header)


def _drawing(source: Path, package: str, file: str) -> npt.NDArray[np.uint8]:
    path = _existing(source / f"emoji-datasource-{package}" / "img" / package / "64" / file)
    with Image.open(path) as picture:
        return np.asarray(on_white(picture).resize((EMOJI_PX, EMOJI_PX), Image.Resampling.LANCZOS))


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise UserError(
            f"there is no {path}; unpack emoji-datasource-twitter and -google 16.0.0 into folders of their names"
        )
    return path


def main() -> int:
    """Run the command line; see the module's docstring."""
    parser = argparse.ArgumentParser(description="Rebuild a shipped data set from its source.")
    parser.add_argument("name", choices=list(REBUILT))
    parser.add_argument("--source", type=Path, required=True, help="folder with the unpacked packages")
    parser.add_argument("--out", type=Path, required=True, help="folder to write the .npz file to")
    arguments = parser.parse_args()
    try:
        print(rebuild(arguments.name, arguments.source, arguments.out))
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
