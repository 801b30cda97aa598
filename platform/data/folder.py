"""A user's own pictures, as ``folder:PATH``.

What a folder means is read from its shape:

    PATH/cat/1.jpg, PATH/dog/2.jpg   classes; test and validation pictures are carved from them
    PATH/1.jpg, PATH/2.jpg           no classes
    PATH/train/, test/, val/         splits, all with class folders or all without; a missing one is carved from train

Class folders may have folders in them; a single class folder is no class. Hidden files and folders are passed over, and
so is whatever does not end like a picture.
"""

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import torch

from unlabeled.platform.data.contents import Contents, file_checksum
from unlabeled.platform.data.images import FileImages
from unlabeled.platform.errors import UserError

PREFIX = "folder:"
FOLDER_PX = 224  # pictures of many sizes become squares of ImageNet's usual size
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm")
_SPLITS = {"train": "train", "test": "test", "val": "validation", "validation": "validation"}


def read_folder(name: str, root: Path, image_px: int | None) -> Contents:
    """List a folder's pictures and their classes; nothing is decoded yet.

    Raises:
        UserError: the folder is missing or has no pictures, or its shape is none of the above.
    """
    place = folder_path(name, root)
    if not place.is_dir():
        is_absolute = Path(name.removeprefix(PREFIX)).expanduser().is_absolute()
        start = "" if is_absolute else f"; write folder:PATH, where a relative PATH starts at {root}"
        raise UserError(f"there is no folder {place}{start}")
    try:
        found = {split: _pictures(place, below) for split, below in _splits(place).items()}
    except OSError as error:
        raise UserError(f"can't list the folder {place}: {error.strerror} at {error.filename}") from error
    for split, pictures in found.items():
        if not pictures:
            where = place if len(found) == 1 else f"the {split} split of {place}"
            raise UserError(f"there are no pictures in {where}; they end in {' '.join(SUFFIXES)}")

    classes = _classes(place, found)
    ids = {class_name: number for number, class_name in enumerate(classes)}
    images = {}
    for split, pictures in found.items():
        labels = torch.tensor([ids[class_name] for class_name in pictures.values()]) if classes else None
        images[split] = FileImages(place, list(pictures), labels, image_px or FOLDER_PX)
    labelled = [(path, ids.get(class_name, -1)) for part in found.values() for path, class_name in part.items()]
    return Contents(
        train=images["train"],
        validation=images.get("validation"),
        test=images.get("test"),
        classes=classes,
        checksum=file_checksum(place, labelled),
    )


def fetch_folder(name: str, root: Path) -> str:
    """Refuse: a user's own pictures come from nowhere else."""
    raise UserError(f"your own pictures are not downloaded; put them into {folder_path(name, root)}")


def folder_path(name: str, root: Path) -> Path:
    """Return where ``folder:PATH`` points; a relative PATH starts at the data root, which all workers agree on."""
    return root / Path(name.removeprefix(PREFIX)).expanduser()


def _splits(place: Path) -> Mapping[str, str]:
    """Return the folder of each split that the user made, below ``place``; "" is ``place`` itself."""
    folders = sorted(entry.name for entry in os.scandir(place) if entry.is_dir() and not entry.name.startswith("."))
    named = {folder: _SPLITS[folder.casefold()] for folder in folders if folder.casefold() in _SPLITS}
    if "train" not in named.values() or (len(named) == 1 and len(folders) > 1):
        return {"train": ""}  # a lone "train" among other folders is a class of trains
    others = sorted(set(folders) - set(named))
    if others or len(set(named.values())) < len(named):
        raise UserError(
            f"{place} has {', '.join(folders)}; beside train, test and val (one each) there may be no other folder"
        )
    return {split: folder for folder, split in named.items()}


def _pictures(place: Path, below: str) -> dict[str, str]:
    """Return the pictures of a split by sorted path below ``place``, each with its class folder, or "" without one."""

    def stop(error: OSError) -> None:
        raise error

    found = {}
    for current, folders, files in os.walk(place / below, onerror=stop, followlinks=True):
        folders[:] = [folder for folder in folders if not folder.startswith(".")]
        for file in files:
            if not file.startswith(".") and file.lower().endswith(SUFFIXES):
                path = Path(current, file).relative_to(place)
                parts = path.parts[1:] if below else path.parts
                found[path.as_posix()] = parts[0] if len(parts) > 1 else ""
    return dict(sorted(found.items()))


def _classes(place: Path, found: Mapping[str, Mapping[str, str]]) -> tuple[str, ...]:
    """Return the class names, the same for every split; none when pictures lie loose or in a single folder."""
    names = {split: sorted(set(pictures.values())) for split, pictures in found.items()}
    for split, present in names.items():
        if "" in present and len(present) > 1:
            loose = next(path for path, class_name in found[split].items() if not class_name)
            raise UserError(
                f"{place} has class folders ({', '.join(present[1:3])}, ...) and loose pictures beside them, such as "
                f"{PurePosixPath(loose)}; put every picture into a class folder, or none"
            )
    classes = tuple(names["train"])
    if len(classes) == 1:  # loose pictures, or one folder
        classes = ()
    for split, present in names.items():
        strange = [class_name for class_name in present if class_name not in classes]
        if classes and strange:
            what = f"the classes {', '.join(strange[:3])}" if strange != [""] else "pictures without a class folder"
            raise UserError(f"the {split} split of {place} has {what}; its train split has {', '.join(classes[:5])}")
        if not classes and len(present) > 1:
            raise UserError(f"the {split} split of {place} has class folders and its train split has none")
    return classes
