"""Tux Paint's stamps: pictures of things, with their names written and spoken in many languages. GPL-2, not shipped.

They are the Debian package ``tuxpaint-stamps-default``, as it is installed (``/usr/share/tuxpaint/stamps``), or as
``unlabeled data download stamps:FILE.deb`` unpacked it into the data root; ``stamps:PATH`` names another such folder,
or the package's file itself, which is then unpacked into the user's cache. There are two data sets in it:

- ``stamps``: each picture, on white, made square, resized to ``data.image_px`` (64); ``class``, its category, one of
  sixteen; ``text``, its name in English. Pictures of equal names are a group. What is drawn as SVG alone is left out.
- ``stamps-spoken``: each name that is spoken in one of nine languages, as ``wave``: its first ``data.seconds`` (1.28)
  at ``data.rate`` (16,000), in mono, followed by silence where it is shorter, as loud as all others. ``class`` is its
  language; ``initial`` is how the name begins (:mod:`unlabeled.platform.data.readers.initials`), ``category`` one of
  the sixteen, ``text`` the name in its language, ``image`` the picture. A word in all its languages is a group, so no
  word that is trained on is tested, in whichever language.

What numbers of them can mean: each language has one voice's pitch, so "which language" is "whose voice and microphone",
as CPC's speakers are; loudness, which differs tenfold between them, is made equal, but noise and echo are not.
``initial`` is what is said, whoever says it: the test of whether features hold more than the voice. ``category`` can
hardly be heard in a word that was never trained on. Logistic regression of test from training sounds, on the log mel
spectrum's mean and deviation over time, tells 0.95 of the languages (the largest class is 0.13), 0.47 of the initials
(0.39) and 0.28 of the categories (0.24); on 480 ms from the onset, 40 ms at a time, 0.96, 0.58 and 0.31.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import final

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from unlabeled.platform.cached import cache_folder
from unlabeled.platform.data.contents import Contents, checksum
from unlabeled.platform.data.digests import file_digests, shown, unreadable
from unlabeled.platform.data.listing import existing_folder, path_of
from unlabeled.platform.data.pictures import check_picture, picture_named, three_channels
from unlabeled.platform.data.readers.deb import unpack
from unlabeled.platform.data.readers.initials import MANNERS, manner
from unlabeled.platform.data.readers.sounds import RATE, SECONDS, SoundPieces, measured_sounds, whole_rate
from unlabeled.platform.data.source import Field, Joined, Source
from unlabeled.platform.data.threads import in_threads
from unlabeled.platform.data.told import Classes, Texts
from unlabeled.platform.errors import UserError

NAMES = ("stamps", "stamps-spoken")
INSTALLED = Path("/usr/share/tuxpaint/stamps")
UNPACKED = "tuxpaint-stamps"  # below the data root
PX = 64
LEVEL = 0.05  # root mean square: 26 dB below full scale, so that peaks are hardly ever cut
LANGUAGES: Mapping[str, str] = {
    "be": "Belarusian",
    "bg": "Bulgarian",
    "ca": "Catalan",
    "da": "Danish",
    "el": "Greek",
    "es": "Spanish",
    "fr": "French",
    "ro": "Romanian",
    "ru": "Russian",
}  # of which some 300 names or more are spoken
CATEGORIES = (
    "animals", "clothes", "food", "hobbies", "household", "medical", "military", "naturalforces",
    "people", "plants", "seasonal", "space", "sports", "symbols", "town", "vehicles",
)  # fmt: skip
_BELOW = "usr/share/tuxpaint/stamps"
_KINDS = (".png", ".txt", ".ogg")


def read_stamps(name: str, root: Path, image_px: int | None) -> Contents:
    """List the pictures; none is decoded yet.

    Raises:
        UserError: they are not there, or one can't be read.
    """
    place = _place(name, root)
    paths = [path for path in _listed(place, ".png") if not path.endswith(("_mirror.png", "_flip.png"))]
    told = [_told(place, path.removesuffix(".png")) for path in paths]
    labels = [CATEGORIES.index(path.split("/")[0]) for path in paths]
    names = [each.get("", Path(path).stem.replace("_", " ")) for path, each in zip(paths, told, strict=True)]
    return Contents(
        train=Joined(PaddedImages(place, paths, image_px or PX), Classes(labels, CATEGORIES), Texts(names)),
        checksum=checksum(list(zip(paths, names, strict=True)), file_digests(place, paths, check_picture)),
        groups=_groups(list(map(str.casefold, names))),
    )


def read_spoken(name: str, root: Path, image_px: int | None, seconds: float | None, rate: float | None) -> Contents:
    """List the spoken names; none is decoded yet.

    Raises:
        UserError: they are not there, or one can't be read.
    """
    place, per_second = _place(name, root), whole_rate(rate or RATE)
    spoken = [
        (path, path.removesuffix(f"_desc_{language}.ogg"), language)
        for path in _listed(place, ".ogg")
        for language in LANGUAGES
        if path.endswith(f"_desc_{language}.ogg")
    ]
    if not spoken:
        raise UserError(f"no name is spoken in {shown(place)}; get the whole package tuxpaint-stamps-default")
    paths = [path for path, _, _ in spoken]
    digests, sizes = measured_sounds(place, paths)
    things = sorted({thing for _, thing, _ in spoken})
    told = {thing: _told(place, thing) for thing in things}
    texts = [told[thing].get(language) for _, thing, language in spoken]
    manners = [
        -1 if text is None else manner(text, language) for text, (_, _, language) in zip(texts, spoken, strict=True)
    ]
    pictures = {thing: f"{thing}.png" if (place / f"{thing}.png").is_file() else "" for thing in things}
    names = {thing: told[thing].get("", thing).casefold() for thing in things}
    count = len(spoken)
    train = Joined(
        SoundPieces(
            place,
            paths,
            [tuple(map(int, size)) for size in sizes],
            torch.arange(count),
            torch.zeros(count, dtype=torch.int64),
            max(1, round((seconds or SECONDS) * per_second)),
            per_second,
            level=LEVEL,
        ),
        Classes([list(LANGUAGES).index(language) for _, _, language in spoken], tuple(LANGUAGES.values())),
        Classes([max(0, each) for each in manners], MANNERS, known=[each >= 0 for each in manners], field="initial"),
        Classes([CATEGORIES.index(path.split("/")[0]) for path in paths], CATEGORIES, field="category"),
        Texts(texts),
        PaddedImages(place, [pictures[thing] for _, thing, _ in spoken], image_px or PX),
    )
    drawn = sorted(filter(None, pictures.values()))
    files = [*zip(paths, texts, strict=True), *((path, "") for path in drawn)]
    return Contents(
        train=train,
        checksum=checksum(files, [*digests, *file_digests(place, drawn, check_picture)]),
        groups=_groups([names[thing] for _, thing, _ in spoken]),
    )


def fetch_stamps(name: str, root: Path) -> str:
    """Unpack the Debian package into the data root, and say where it is.

    Raises:
        UserError: no package was named.
    """
    _, _, path = name.partition(":")
    package = path_of(name, root) if path else None
    if package is None or package.suffix != ".deb":
        raise UserError(
            "stamps come as a Debian package: `apt-get install tuxpaint-stamps-default`, or `apt-get download` it and "
            f"`unlabeled data download stamps:FILE.deb`, which unpacks it into {shown(root / UNPACKED)}"
        )
    if not (root / UNPACKED).is_dir():
        unpack(package, _BELOW, _KINDS, root / UNPACKED)
    return f"{name} is in {root / UNPACKED}"


@final
class PaddedImages(Source):
    """Picture files made square by white at two sides, decoded when they are read: the field ``image``."""

    def __init__(self, folder: Path, paths: Sequence[str], px: int) -> None:
        """Take files by their paths below ``folder``, "" where an item has none, and the size to resize to."""
        self._folder, self._paths, self._px = folder, tuple(paths), px
        self.fields: Mapping[str, Field] = {"image": Field(kind="image", shape=(3, px, px))}

    def __len__(self) -> int:
        return len(self._paths)

    def known(self, field: str) -> Tensor:
        """Return which items have a picture, bool [N]."""
        self.check_has(field)
        return torch.tensor([bool(path) for path in self._paths], dtype=torch.bool)

    def read(self, index: Tensor, field: str) -> Tensor:
        """Decode pictures ``index`` to uint8 [B, 3, px, px], on as many threads as torch may use.

        Raises:
            UserError: a picture can't be read; it is named.
        """
        self.check_has(field)
        x = torch.full((len(index), 3, self._px, self._px), 255, dtype=torch.uint8)
        rows = [(row, self._paths[item]) for row, item in enumerate(index.tolist()) if self._paths[item]]
        for (row, _), pixels in zip(rows, in_threads(self._decode, [path for _, path in rows]), strict=True):
            x[row] = torch.from_numpy(pixels)
        return x

    def take(self, rows: Tensor) -> "PaddedImages":
        """Return the pictures ``rows`` in that order."""
        return PaddedImages(self._folder, [self._paths[row] for row in rows.tolist()], self._px)

    def _decode(self, path: str) -> npt.NDArray[np.uint8]:
        file = self._folder / path
        with picture_named(file), Image.open(file) as picture:
            drawn = three_channels(picture)
            drawn.thumbnail((self._px, self._px), Image.Resampling.BILINEAR, reducing_gap=None)
            if max(drawn.size) < self._px:
                scale = self._px / max(drawn.size)
                size = (max(1, round(drawn.width * scale)), max(1, round(drawn.height * scale)))
                drawn = drawn.resize(size, Image.Resampling.BILINEAR)
            square = Image.new("RGB", (self._px, self._px), "white")
            square.paste(drawn, ((self._px - drawn.width) // 2, (self._px - drawn.height) // 2))
            return np.ascontiguousarray(np.asarray(square).transpose(2, 0, 1))


def _place(name: str, root: Path) -> Path:
    """Return the folder of the stamps.

    Raises:
        UserError: there is none.
    """
    _, _, path = name.partition(":")
    if not path:
        for place in (root / UNPACKED, INSTALLED):
            if place.is_dir():
                return place
        raise UserError(
            f"{name} is neither in {shown(root / UNPACKED)} nor in {INSTALLED}; `apt-get install "
            f"tuxpaint-stamps-default`, or `apt-get download` it and write {name}:FILE.deb"
        )
    place = path_of(name, root)
    if place.suffix == ".deb" and place.is_file():
        return _unpacked(place)
    place = existing_folder(name, root)
    return place / _BELOW if (place / _BELOW).is_dir() else place


def _unpacked(package: Path) -> Path:
    cache = cache_folder()
    if cache is None:
        raise UserError(f"there is no cache folder to unpack {shown(package)} to; set XDG_CACHE_HOME to one")
    try:
        with package.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(package, error) from error
    place = cache / f"stamps-{digest[:32]}"
    if not place.is_dir():
        unpack(package, _BELOW, _KINDS, place)
    return place


def _listed(place: Path, suffix: str) -> list[str]:
    """Return the paths of all files in the categories' folders that end so, sorted."""
    found = [
        os.path.relpath(os.path.join(folder, file), place)
        for category in CATEGORIES
        for folder, _, files in os.walk(place / category)
        for file in files
        if file.endswith(suffix)
    ]
    if not found:
        raise UserError(
            f"there are no stamps in {shown(place)}; it has folders such as {CATEGORIES[0]} and {CATEGORIES[1]} with "
            f"files that end in {suffix}"
        )
    return sorted(found)


def _told(place: Path, thing: str) -> dict[str, str]:
    """Return a thing's name by language, that in English under ""; empty where none is written."""
    try:
        lines = (place / f"{thing}.txt").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    told = {"": lines[0].strip()} if lines and lines[0].strip() else {}
    for line in lines[1:]:
        language, is_told, text = line.partition(".utf8=")
        if is_told and text.strip():
            told[language.strip()] = text.strip()
    return told


def _groups(names: Sequence[str]) -> Tensor:
    """Return a number for each name, equal names' equal, int64 [N]."""
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return torch.tensor([numbers[name] for name in names], dtype=torch.int64)
