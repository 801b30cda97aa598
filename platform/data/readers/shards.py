"""WebDataset's shards on disk, as ``wds:PATH``: tar archives of samples, read where they lie and never unpacked.

    PATH/train-0000.tar, PATH/train-0001.tar, PATH/val-0000.tar    or    PATH/train/0000.tar, PATH/val/0000.tar

A sample is the files of one archive whose paths are equal up to the first dot of the name: ``a/7.jpg``, ``a/7.cls``. It
has one picture (jpg, jpeg, png or webp); its class, if it has one, in ``cls`` (a number or a name) or under ``label``,
``class`` or ``cls`` in ``json``; its caption in ``txt`` or under ``text`` or ``caption`` in ``json``. Classes are
numbers or names throughout. Splits go by the names that ``folder:`` knows, of the archives (or of the last word of
theirs) or of the folders they are in, and archives of other splits are left out; where no name is a split's, all are to
train on.

Where each picture lies in its archive, how large it is and what is told of it is found out once, and kept.
"""

import io
import json
import re
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from unlabeled.platform.data.contents import Contents, checksum
from unlabeled.platform.data.digests import file_digests, keep_rows, kept_rows, shown, unreadable
from unlabeled.platform.data.images import StoredImages
from unlabeled.platform.data.listing import existing_folder, path_of, split_of
from unlabeled.platform.data.pictures import check_picture, picture_named
from unlabeled.platform.data.source import Joined, Source
from unlabeled.platform.data.told import Classes, Texts
from unlabeled.platform.data.windows import WINDOWED
from unlabeled.platform.errors import UserError

PREFIX = "wds:"
PX = 224
_PICTURES = ("jpg", "jpeg", "png", "webp")
_TOLD = ("cls", "json", "txt")
_LABELS = ("label", "class", "cls")
_TEXTS = ("text", "caption")
_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
_NUMBER = r"\d{1,5}"  # of a class; what is longer is a name
_BYTE = np.dtype("V1")
_REMEDY = "get that shard again, or take it out"


@dataclass(frozen=True)
class Shard:
    """What is in one archive: an entry of each list for a sample, in the archive's order.

    Attributes:
        offsets: in bytes, where each picture begins.
        lengths: in bytes.
        sizes: height and width in pixels.
        labels: a number, a name or None.
        texts: a caption or None.
    """

    offsets: list[int] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    sizes: list[list[int]] = field(default_factory=list)
    labels: list[int | str | None] = field(default_factory=list)
    texts: list[str | None] = field(default_factory=list)


def read_shards(name: str, root: Path, image_px: int | None) -> Contents:
    """List the samples of all archives; no picture is decoded yet.

    Raises:
        UserError: there are no archives, or one is compressed or damaged; it is named.
    """
    place = existing_folder(name, root)
    files = _files(place)
    flat = sorted(path for paths in files.values() for path in paths)
    digests = file_digests(place, flat)
    shards = {path: _shard(place, path, digest) for path, digest in zip(flat, digests, strict=True)}
    classes = _classes(place, shards)
    has_texts = any(text is not None for shard in shards.values() for text in shard.texts)
    splits = {}
    for split, paths in files.items():
        chosen = [shards[path] for path in paths]
        if not any(shard.offsets for shard in chosen):
            raise UserError(f"there are no pictures in the {split} split of {shown(place)}; they end in {_endings()}")
        told: list[Source] = []
        if classes:
            numbers = [classes.get(label) for shard in chosen for label in shard.labels]
            known = [number is not None for number in numbers]
            told.append(
                Classes([number or 0 for number in numbers], tuple(shown(str(label)) for label in classes), known=known)
            )
        if has_texts:
            told.append(Texts([text for shard in chosen for text in shard.texts]))
        splits[split] = Joined(ShardImages(place, paths, chosen, image_px or PX), *told)
    return Contents.of_splits(splits, checksum([(path, "") for path in flat], digests, WINDOWED))


def fetch_shards(name: str, root: Path) -> str:
    """Refuse: shards come from wherever they were written."""
    raise UserError(f"shards are not downloaded here; put their .tar files into {shown(path_of(name, root))}")


@final
class ShardImages(StoredImages):
    """Pictures in tar archives, decoded when they are read: the field ``image``."""

    def __init__(self, folder: Path, paths: Sequence[str], shards: Sequence[Shard], px: int) -> None:
        """Take archives by their paths below ``folder``, what is in each, and the size to read at."""
        super().__init__(px)
        self._folder, self._paths = folder, tuple(paths)
        counts = torch.tensor([len(shard.offsets) for shard in shards])
        self._shard = torch.arange(len(shards)).repeat_interleave(counts)
        self._begin = torch.tensor([each for shard in shards for each in shard.offsets], dtype=torch.int64)
        self._length = torch.tensor([each for shard in shards for each in shard.lengths], dtype=torch.int64)
        sizes = [each for shard in shards for each in shard.sizes]
        self._sizes = torch.tensor(sizes, dtype=torch.int64).view(-1, 2)

    def __len__(self) -> int:
        return len(self._shard)

    def extents(self, index: Tensor, field: str) -> Tensor:
        """Return the pictures' height and width as stored, int64 [B, 2]."""
        self.check_has(field)
        return self._sizes[index]

    def take(self, rows: Tensor) -> "ShardImages":
        """Return the pictures ``rows`` in that order, of the same archives."""
        part = object.__new__(ShardImages)
        part.__dict__.update(self.__dict__)
        for name in ("_shard", "_begin", "_length", "_sizes"):
            setattr(part, name, getattr(self, name)[rows])
        return part

    def stored(self, item: int) -> tuple[Path, io.BytesIO]:
        """Return what a picture is called, for errors, and what it holds."""
        file = self._folder / self._paths[int(self._shard[item])]
        begin, length = int(self._begin[item]), int(self._length[item])
        with picture_named(file), file.open("rb") as archive:
            archive.seek(begin)
            content = archive.read(length)
            if len(content) < length:
                raise ValueError(f"it ends before byte {begin + length}")
        return file / f"byte {begin}", io.BytesIO(content)


def _files(place: Path) -> dict[str, list[str]]:
    """Return the archives of each split by sorted path below ``place``."""
    found: dict[str | None, list[str]] = {}
    for file in sorted(place.rglob("*")):
        below = file.relative_to(place)
        if any(part.startswith(".") for part in below.parts) or not file.is_file():
            continue
        if file.name.lower().endswith(_COMPRESSED):
            raise UserError(f"{shown(file)} is compressed, and samples are read where they lie; unpack it to a .tar")
        if file.suffix.lower() == ".tar":
            words = re.split(r"[-_.]?\d+$|-\d+-of-\d+$", below.stem)[0]
            split = split_of(words) or split_of(re.split(r"[-_.]", words)[-1]) or split_of(below.parent.name)
            found.setdefault(split, []).append(below.as_posix())
    if not found:
        raise UserError(f"there are no shards in {shown(place)}; they end in .tar, such as train-0000.tar")
    if set(found) == {None}:
        return {"train": found[None]}
    if "train" not in found:
        raise UserError(f"there are no shards to train on in {shown(place)}; call them such as train-0000.tar")
    return {split: paths for split, paths in found.items() if split is not None}


def _shard(place: Path, path: str, digest: bytes) -> Shard:
    """Return what is in an archive, as it is kept or else as it is found out."""
    what = f"samples-{digest.hex()[:32]}"
    kept = kept_rows(place, what, _BYTE)
    if len(kept):
        return Shard(**json.loads(kept.tobytes()))
    try:
        with tarfile.open(place / path, "r:") as archive:
            found = _samples(place / path, archive)
    except OSError as error:
        raise unreadable(place / path, error) from error
    except (tarfile.TarError, EOFError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"the shard {shown(place / path)} is damaged ({reason}); {_REMEDY}") from error
    keep_rows(place, what, np.frombuffer(json.dumps(asdict(found)).encode(), _BYTE))
    return found


def _samples(file: Path, archive: tarfile.TarFile) -> Shard:
    """Read an archive from end to end.

    Raises:
        UserError: a picture can't be read, or something is told twice, or not as it should be.
    """
    pictures: dict[str, tarfile.TarInfo] = {}
    sizes: dict[str, list[int]] = {}
    told: dict[tuple[str, str], bytes] = {}
    end = 0
    for member in archive:
        end = member.offset_data + member.size
        folder, _, last = member.name.rpartition("/")
        stem, _, ending = last.partition(".")
        key, ending = f"{folder}/{stem}", ending.lower()
        if not member.isfile() or not stem or ending not in (*_PICTURES, *_TOLD):
            continue
        opened = archive.extractfile(member)
        content = b"" if opened is None else opened.read()
        if len(content) < member.size:
            raise ValueError(f"it ends within {shown(member.name)}")
        if ending in _TOLD:
            told[key, ending] = content
            continue
        if key in pictures:
            raise UserError(f"{shown(file)} has two pictures of the sample {shown(key)}; take one out")
        pictures[key] = member
        sizes[key] = list(check_picture(file / shown(member.name), content))
    with file.open("rb") as raw:  # tarfile takes a damaged head for the archive's end
        raw.seek(-(-end // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE)
        if raw.read(tarfile.BLOCKSIZE).strip(b"\0"):
            raise ValueError(f"the head of the file after byte {end} is none")
    shard = Shard()
    for key, member in pictures.items():
        label, text = _told(file, key, {ending: told[key, ending] for ending in _TOLD if (key, ending) in told})
        shard.offsets.append(member.offset_data)
        shard.lengths.append(member.size)
        shard.sizes.append(sizes[key])
        shard.labels.append(label)
        shard.texts.append(text)
    return shard


def _told(file: Path, key: str, told: Mapping[str, bytes]) -> tuple[int | str | None, str | None]:
    """Return the class and the caption of a sample, of what lies beside its picture."""
    try:
        told_json = json.loads(told.get("json", b"{}"))
        inside = told_json if isinstance(told_json, dict) else {}
        label = told["cls"].decode().strip() if "cls" in told else _first(inside, _LABELS)
        text = told["txt"].decode().strip() if "txt" in told else _first(inside, _TEXTS)
    except ValueError as error:
        raise UserError(f"{shown(file)}: what is told of {shown(key)} can't be read ({error}); {_REMEDY}") from error
    if isinstance(label, int) and not isinstance(label, bool):
        label = str(label)
    if not isinstance(label, str) or label in ("", "-1"):
        label = None
    elif re.fullmatch(_NUMBER, label):
        label = int(label)
    return label, text or None if isinstance(text, str) else None


def _first(inside: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((inside[name] for name in names if name in inside), None)


def _classes(place: Path, shards: Mapping[str, Shard]) -> dict[int | str | None, int]:
    """Return the number of each label: numbers stand for themselves, names are sorted; empty where nothing is told.

    Raises:
        UserError: there are both.
    """
    labels = {label for shard in shards.values() for label in shard.labels} - {None}
    numbers = {label for label in labels if isinstance(label, int)}
    names = sorted({label for label in labels if isinstance(label, str)})
    if numbers and names:
        raise UserError(
            f"in {shown(place)} some classes are numbers and some are names, such as {min(numbers)} and {names[0]}; "
            "write all as one or the other"
        )
    return dict(enumerate(range(max(numbers) + 1))) if numbers else {name: number for number, name in enumerate(names)}


def _endings() -> str:
    return " ".join(f".{each}" for each in _PICTURES)
