"""A Hugging Face data set on disk, as ``hf:PATH``, read by PyArrow alone: no package ``datasets``, none of its scripts.

PATH is what ``save_to_disk`` wrote (``dataset_dict.json`` or ``dataset_info.json`` with Arrow files, which are mapped
into memory), or holds Parquet files as a repository on the hub does (``data/train-00000-of-00001.parquet``), which are
read into memory whole.

Fields are ``image``, the first column of pictures, decoded when it is read: the centre square, resized to
``data.image_px`` (224), or windows of the whole; ``class``, the column of class labels that is called label or else the
first; and ``text``, the first column that is called text, caption or sentence. A label of -1 is none. Splits go by the
names that ``folder:`` knows, and others are left out. Nothing is ever unpickled or run.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unlabeled.platform.data.contents import Contents, checksum, damage_named
from unlabeled.platform.data.digests import file_digests, shown, unreadable
from unlabeled.platform.data.listing import existing_folder, path_of, split_of
from unlabeled.platform.data.readers.arrow import ArrowImages, inside, open_table
from unlabeled.platform.data.source import Joined, Source
from unlabeled.platform.data.told import Classes, Texts
from unlabeled.platform.data.windows import WINDOWED
from unlabeled.platform.errors import UserError

PREFIX = "hf:"
PX = 224
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
    files = {split: tuple(paths) for split, paths in _files(place).items()}
    splits, pictures = {}, set[str]()
    with damage_named(name, place, "save or download it again"):
        tables = {split: open_table(place, paths) for split, paths in files.items()}
        columns = _columns(list(tables.values()), place)
        for split, paths in files.items():
            images = ArrowImages(place, paths, columns.image, px)
            pictures.update(images.paths())
            splits[split] = Joined(images, *_told(tables[split], columns))
    flat = sorted({path for paths in files.values() for path in paths})
    digests = file_digests(place, flat + sorted(pictures))
    return Contents.of_splits(splits, checksum([(path, "") for path in flat + sorted(pictures)], digests, WINDOWED))


def fetch_hf(name: str, root: Path) -> str:
    """Refuse: the hub has a client of its own."""
    raise UserError(
        f"Hugging Face data sets are not downloaded here; get one with `hf download --repo-type dataset NAME "
        f"--local-dir {shown(path_of(name, root))}`, or put there what save_to_disk wrote"
    )


def _files(place: Path) -> dict[str, list[str]]:
    """Return the table files of each split, below ``place``."""
    splits: dict[str, list[str]] = {}
    if (place / "dataset_dict.json").is_file():
        said = _json(place / "dataset_dict.json").get("splits")
        names = said if isinstance(said, list) else []
        files = {str(name): _saved(place, inside(place, str(name))) for name in names}
    elif (place / "state.json").is_file():
        files = {"train": _saved(place, "")}
    else:
        files, configurations = {}, set[Path]()
        for path in sorted(place.rglob("*.parquet")):
            below = path.relative_to(place)
            words = re.split(r"-\d+-of-\d+$|-\d+$", below.stem)[0]
            name = words if split_of(words) else below.parent.name or words
            files.setdefault(name, []).append(below.as_posix())
            above = below.parent if split_of(words) else below.parent.parent
            configurations.add(Path() if above == Path("data") else above)
        if len(configurations) > 1:
            several = ", ".join(shown(each.as_posix()) for each in sorted(configurations))
            raise UserError(
                f"{shown(place)} has several configurations ({several}); name one, as hf:PATH/CONFIGURATION"
            )
        if len(files) == 1 and split_of(next(iter(files))) is None:
            files = {"train": next(iter(files.values()))}
    for name, paths in files.items():
        split = split_of(name)
        if split is not None and paths:
            if split in splits:
                raise UserError(f"{shown(place)} has two {split} splits ({shown(name)} is one); take one out")
            splits[split] = paths
    if "train" not in splits:
        raise UserError(
            f"there is no train split in {shown(place)}{f', only {shown(chr(44).join(files))}' if files else ''}; PATH "
            "holds what save_to_disk wrote, or Parquet files such as data/train-00000-of-00001.parquet"
        )
    return splits


def _saved(place: Path, below: str) -> list[str]:
    """Return the Arrow files of one split that was saved, in order."""
    state = _json(place / below / "state.json")
    files = [inside(place, str(Path(below) / str(each["filename"]))) for each in state.get("_data_files") or ()]
    if not files or state.get("_indices_data_files"):
        raise UserError(f"{shown(place / below)} names no data files, or rows of others; save it with save_to_disk")
    return files


def _json(file: Path) -> dict[str, Any]:
    with damage_named(file.name, file.parent, "save or download it again"):
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise unreadable(file, error) from error
        if not isinstance(found, dict):
            raise ValueError("it is no JSON object")
        return found


def _columns(tables: Sequence[Any], place: Path) -> Columns:
    """Choose columns by what the tables' metadata say of them.

    Raises:
        UserError: none holds pictures, or the tables differ in columns or classes.
    """
    import pyarrow as pa

    schema = tables[0].schema
    said = [_features(table) for table in tables]
    if any(table.schema.names != schema.names or other != said[0] for table, other in zip(tables, said, strict=True)):
        raise UserError(f"the splits of {shown(place)} have other columns or classes; they must be the same")
    features = said[0]
    kinds = {name: what.get("_type") for name, what in features.items() if isinstance(what, dict)}
    images = [
        field.name
        for field in schema
        if kinds.get(field.name) == "Image"
        or (field.name not in kinds and pa.types.is_struct(field.type) and field.type.get_field_index("bytes") >= 0)
    ]
    if not images:
        raise UserError(f"{shown(place)} has no column of pictures; its columns are {', '.join(schema.names)}")
    whole = [field.name for field in schema if pa.types.is_integer(field.type)]
    named = [name for name in schema.names if kinds.get(name) == "ClassLabel"]
    labels = [name for name in _LABELS if name in (named or whole)] + named
    classes: tuple[str, ...] = ()
    if labels:
        classes = tuple(map(str, features.get(labels[0], {}).get("names") or ()))
        if not classes:
            highest = max((n for table in tables for n in table[labels[0]].to_pylist() if n is not None), default=-1)
            classes = tuple(map(str, range(highest + 1)))
    texts = [name for name in _TEXTS if name in schema.names and _is_text(schema.field(name).type)]
    return Columns(images[0], labels[0] if classes else "", classes, texts[0] if texts else "")


def _features(table: Any) -> dict[str, Any]:
    said = json.loads((table.schema.metadata or {}).get(b"huggingface", b"{}"))
    return dict(said.get("info", {}).get("features", {}))


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _told(table: Any, columns: Columns) -> list[Source]:
    """Return the class and the text of each row, as far as there are."""
    told: list[Source] = []
    if columns.label:
        numbers = [-1 if number is None else number for number in table[columns.label].to_pylist()]
        told.append(Classes(numbers, columns.classes, known=[number != -1 for number in numbers]))
    if columns.text:
        # Of several captions the first: an item has one text.
        texts = [text[0] if isinstance(text, list) and text else text for text in table[columns.text].to_pylist()]
        told.append(Texts([text or None for text in texts]))
    return told
