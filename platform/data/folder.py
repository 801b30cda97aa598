"""A user's own pictures, as ``folder:PATH``.

What a folder means is read from its shape:

    PATH/cat/1.jpg, PATH/dog/2.jpg   classes; test and validation pictures are carved from them
    PATH/1.jpg, PATH/2.jpg           no classes
    PATH/train/, test/, val/         splits, all with class folders or all without; a missing one is carved from train

Splits go by their usual names too (training, valid, validation, dev, eval, testing; in any case, in the plural, with
"set", "images" or a year), and are never taken for classes. Class folders may have folders in them; a single class
folder is no class. Hidden files and folders are passed over, what systems leave behind (``__MACOSX``, ``@eaDir``), and
whatever does not end like a picture. Links are followed.
"""

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

from unlabeled.platform.data.contents import Contents, file_checksum
from unlabeled.platform.data.digests import shown, unreadable
from unlabeled.platform.data.images import FileImages
from unlabeled.platform.data.source import Joined
from unlabeled.platform.data.told import Classes
from unlabeled.platform.errors import UserError

PREFIX = "folder:"
FOLDER_PX = 224  # pictures of many sizes become squares of ImageNet's usual size
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm")
_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(
        ("val", "valid", "validation", "validate", "dev", "development", "eval", "evaluation"), "validation"
    ),
    **dict.fromkeys(("test", "testing"), "test"),
}
_ABOUT_SPLITS = {"", "set", "split", "data", "image", "img", "picture"}  # as in "Training Set" or "test_images"
_LEFT_BEHIND = {"__macosx", "@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found"}


def read_folder(name: str, root: Path, image_px: int | None) -> Contents:
    """List a folder's pictures and their classes; nothing is decoded yet.

    Raises:
        UserError: the folder is missing or has no pictures, or its shape is none of the above.
    """
    place = folder_path(name, root)
    try:
        mode = os.stat(place).st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):
        mode = 0
    except OSError as error:
        raise unreadable(place, error) from error
    if not stat.S_ISDIR(mode):
        if os.path.islink(place) and not os.path.exists(place):
            raise unreadable(place, FileNotFoundError())
        is_absolute = Path(name.removeprefix(PREFIX)).expanduser().is_absolute()
        start = "" if is_absolute else f"; write folder:PATH, where a relative PATH starts at {shown(root)}"
        raise UserError(f"there is no folder {shown(place)}{start}")
    found = {split: _pictures(place, below) for split, below in _splits(place).items()}
    for split, pictures in found.items():
        if not pictures:
            where = shown(place) if len(found) == 1 else f"the {split} split of {shown(place)}"
            raise UserError(f"there are no pictures in {where}; they end in {' '.join(SUFFIXES)}")

    classes = _classes(place, found)
    ids = {class_name: number for number, class_name in enumerate(classes)}
    names = tuple(map(shown, classes))
    splits = {}
    for split, pictures in found.items():
        images = FileImages(place, list(pictures), image_px or FOLDER_PX)
        numbers = [ids.get(class_name, -1) for class_name in pictures.values()]
        splits[split] = Joined(images, Classes(numbers, names)) if classes else Joined(images)
    labelled = [(path, ids.get(class_name, -1)) for part in found.values() for path, class_name in part.items()]
    return Contents(
        train=splits["train"],
        validation=splits.get("validation"),
        test=splits.get("test"),
        checksum=file_checksum(place, labelled),
    )


def fetch_folder(name: str, root: Path) -> str:
    """Refuse: a user's own pictures come from nowhere else."""
    raise UserError(f"your own pictures are not downloaded; put them into {folder_path(name, root)}")


def folder_path(name: str, root: Path) -> Path:
    """Return where ``folder:PATH`` points; a relative PATH starts at the data root, which all workers agree on."""
    try:
        return root / Path(name.removeprefix(PREFIX)).expanduser()
    except RuntimeError:  # of a ~ or ~name
        raise UserError(f"{shown(name)} starts in a home folder that nobody has here; write the whole path") from None


def _splits(place: Path) -> Mapping[str, str]:
    """Return the folder of each split that the user made, below ``place``; "" is ``place`` itself."""
    folders = sorted(entry.name for entry in _entries(place) if entry.is_dir())
    named = {folder: split for folder in folders if (split := _split_of(folder))}
    if not named:
        return {"train": ""}
    others = sorted(set(folders) - set(named))
    some = [*map(shown, sorted([*named, *others[:5]])), *(["..."] if others[5:] else [])]
    listed = f"{shown(place)} has {', '.join(some)}"
    if "train" not in named.values():
        raise UserError(f"{listed}, but no train; rename a folder to train, or, if these are classes, to other names")
    if others or len(set(named.values())) < len(named):
        raise UserError(
            f"{listed}; beside train, test and val (one each) there may be no other folder: if these are splits, "
            f"take the others out; if {shown(next(iter(named)))} is a class, give it another name"
        )
    return {split: folder for folder, split in named.items()}


def _split_of(folder: str) -> str | None:
    """Return the split that a folder's name says, such as "Training", "val2017" or "test_images"; None for others."""
    words = {word.removesuffix("s") for word in re.split(r"[^a-z]+", folder.casefold())} - _ABOUT_SPLITS
    words = {word.removesuffix("set") for word in words}
    return _SPLITS.get(words.pop()) if len(words) == 1 else None


def _pictures(place: Path, below: str) -> dict[str, str]:
    """Return the pictures of a split by sorted path below ``place``, each with its class folder, or "" without one."""
    found = {}
    left: list[tuple[str, tuple[str, ...]]] = [("", ())]  # folders below the split, and the real ones around each
    while left:
        inside, around = left.pop()
        folder = place / below / inside
        real = os.path.realpath(folder)
        if real in around:
            raise UserError(f"{shown(folder)} is a link to a folder that it lies in; take it out")
        for entry in _entries(folder):
            path = f"{inside}/{entry.name}" if inside else entry.name
            if entry.is_dir():
                left.append((path, (*around, real)))
            elif entry.name.lower().endswith(SUFFIXES):
                found[f"{below}/{path}" if below else path] = path.split("/")[0] if "/" in path else ""
    return dict(sorted(found.items()))


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """List a folder without what is hidden or was left behind.

    Raises:
        UserError: it can't be listed, or a link in it leads nowhere.
    """
    try:
        with os.scandir(folder) as listing:
            entries = [
                entry
                for entry in listing
                if not entry.name.startswith(".") and entry.name.casefold() not in _LEFT_BEHIND
            ]
    except OSError as error:
        raise unreadable(folder, error) from error
    for entry in entries:
        if entry.is_symlink():
            try:
                os.stat(entry.path)
            except OSError as error:  # it may have been a class or a split
                raise unreadable(entry.path, error) from error
    return entries


def _classes(place: Path, found: Mapping[str, Mapping[str, str]]) -> tuple[str, ...]:
    """Return the class names, the same for every split; none when pictures lie loose or in a single folder."""
    names = {split: sorted(set(pictures.values())) for split, pictures in found.items()}
    for split, present in names.items():
        if "" in present and len(present) > 1:
            loose = next(path for path, class_name in found[split].items() if not class_name)
            raise UserError(
                f"{shown(place)} has class folders ({', '.join(map(shown, present[1:3]))}, ...) and loose pictures "
                "beside them, such as "
                f"{shown(loose)}; put every picture into a class folder, or none"
            )
    classes = tuple(names["train"])
    if len(classes) == 1:  # loose pictures, or one folder
        classes = ()
    for split, present in names.items():
        strange = [class_name for class_name in present if class_name not in classes]
        if classes and strange:
            what = (
                f"the classes {', '.join(map(shown, strange[:3]))}"
                if strange != [""]
                else "pictures without a class folder"
            )
            raise UserError(
                f"the {split} split of {shown(place)} has {what}; "
                f"its train split has {', '.join(map(shown, classes[:5]))}"
            )
        if not classes and len(present) > 1:
            raise UserError(f"the {split} split of {shown(place)} has class folders and its train split has none")
    return classes
