"""What lies in a folder of a user's own files, whatever they hold: splits, classes, paths.

    PATH/cat/1.jpg, PATH/dog/2.jpg   a class for each folder
    PATH/1.jpg, PATH/2.jpg           no classes
    PATH/train/, test/, val/         splits, all with class folders or all without; a missing one is carved from train

Splits go by their usual names too (training, valid, validation, dev, eval, testing; in any case, in the plural, with
"set", "images" or a year), and are never taken for classes. Class folders may have folders in them; a single class
folder is no class. Hidden files and folders are passed over, what systems leave behind (``__MACOSX``, ``@eaDir``), and
whatever does not end like what is looked for. Links are followed.
"""

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from unlabeled.platform.data.digests import shown, unreadable
from unlabeled.platform.errors import UserError

_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(
        ("val", "valid", "validation", "validate", "dev", "development", "eval", "evaluation"), "validation"
    ),
    **dict.fromkeys(("test", "testing"), "test"),
}
_ABOUT_SPLITS = {
    "",
    "set",
    "split",
    "data",
    "image",
    "img",
    "picture",
    "film",
    "video",
    "clip",
    "audio",
    "sound",
}  # as in "Training Set" or "test_images"
_LEFT_BEHIND = {"__macosx", "@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found"}


@dataclass(frozen=True)
class Listing:
    """Files of a folder.

    Attributes:
        place: the folder.
        splits: of each split ("train", "validation", "test") the files by sorted path below ``place``, each with its
            class folder, or "" without one.
        classes: names of the class folders; none when files lie loose or in a single folder.
    """

    place: Path
    splits: Mapping[str, Mapping[str, str]]
    classes: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The classes as any terminal shows them."""
        return tuple(map(shown, self.classes))

    @property
    def labelled(self) -> list[tuple[str, int]]:
        """All files by path, each with its class's number, or -1."""
        return [(path, number) for split in self.splits for path, number in self.numbered(split)]

    def numbered(self, split: str) -> list[tuple[str, int]]:
        """Return a split's files by path, each with its class's number, or -1."""
        ids = {class_name: number for number, class_name in enumerate(self.classes)}
        return [(path, ids.get(class_name, -1)) for path, class_name in self.splits[split].items()]


def listed(name: str, root: Path, what: str, suffixes: tuple[str, ...]) -> Listing:
    """List the files of ``PREFIX:PATH`` by how they end; a relative PATH starts at the data root.

    Args:
        name: of the data set, its prefix too.
        root: the data root.
        what: they are, in the plural: "pictures".
        suffixes: in lower case.

    Raises:
        UserError: the folder is missing or has none, or its shape is none of the above.
    """
    place = existing_folder(name, root)
    found = {split: _files(place, below, suffixes) for split, below in _splits(place).items()}
    for split, files in found.items():
        if not files:
            where = shown(place) if len(found) == 1 else f"the {split} split of {shown(place)}"
            raise UserError(f"there are no {what} in {where}; they end in {' '.join(suffixes)}")
    return Listing(place, found, _classes(place, found, what))


def existing_folder(name: str, root: Path) -> Path:
    """Return the folder that ``PREFIX:PATH`` points to.

    Raises:
        UserError: it is no folder, or can't be read.
    """
    place = path_of(name, root)
    try:
        mode = os.stat(place).st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):
        mode = 0
    except OSError as error:
        raise unreadable(place, error) from error
    if not stat.S_ISDIR(mode):
        if os.path.islink(place) and not os.path.exists(place):
            raise unreadable(place, FileNotFoundError())
        prefix, path = name.split(":", 1)
        is_absolute = Path(path).expanduser().is_absolute()
        start = "" if is_absolute else f"; write {prefix}:PATH, where a relative PATH starts at {shown(root)}"
        raise UserError(f"there is no folder {shown(place)}{start}")
    return place


def path_of(name: str, root: Path) -> Path:
    """Return where ``PREFIX:PATH`` points; a relative PATH starts at the data root, which all workers agree on."""
    try:
        return root / Path(name.split(":", 1)[1]).expanduser()
    except RuntimeError:  # of a ~ or ~name
        raise UserError(f"{shown(name)} starts in a home folder that nobody has here; write the whole path") from None


def _splits(place: Path) -> Mapping[str, str]:
    """Return the folder of each split that the user made, below ``place``; "" is ``place`` itself."""
    folders = sorted(entry.name for entry in _entries(place) if entry.is_dir())
    named = {folder: split for folder in folders if (split := split_of(folder))}
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


def split_of(folder: str) -> str | None:
    """Return the split that a folder's name says, such as "Training", "val2017" or "test_images"; None for others."""
    words = {word.removesuffix("s") for word in re.split(r"[^a-z]+", folder.casefold())} - _ABOUT_SPLITS
    words = {word.removesuffix("set") for word in words}
    return _SPLITS.get(words.pop()) if len(words) == 1 else None


def _files(place: Path, below: str, suffixes: tuple[str, ...]) -> dict[str, str]:
    """Return the files of a split by sorted path below ``place``, each with its class folder, or "" without one."""
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
            elif entry.name.lower().endswith(suffixes):
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


def _classes(place: Path, found: Mapping[str, Mapping[str, str]], what: str) -> tuple[str, ...]:
    """Return the class names, the same for every split; none when files lie loose or in a single folder."""
    names = {split: sorted(set(files.values())) for split, files in found.items()}
    for split, present in names.items():
        if "" in present and len(present) > 1:
            loose = next(path for path, class_name in found[split].items() if not class_name)
            raise UserError(
                f"{shown(place)} has class folders ({', '.join(map(shown, present[1:3]))}, ...) and loose {what} "
                "beside them, such as "
                f"{shown(loose)}; put all {what} into class folders, or none"
            )
    classes = tuple(names["train"])
    if len(classes) == 1:  # loose files, or one folder
        classes = ()
    for split, present in names.items():
        strange = [class_name for class_name in present if class_name not in classes]
        if classes and strange:
            what = (
                f"the classes {', '.join(map(shown, strange[:3]))}"
                if strange != [""]
                else f"{what} without a class folder"
            )
            raise UserError(
                f"the {split} split of {shown(place)} has {what}; "
                f"its train split has {', '.join(map(shown, classes[:5]))}"
            )
        if not classes and len(present) > 1:
            raise UserError(f"the {split} split of {shown(place)} has class folders and its train split has none")
    return classes
