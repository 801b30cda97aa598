"""DAVIS in a folder, as ``davis:PATH``: films as pictures, with a mask of the things that move on each frame.

    PATH/JPEGImages/480p/bear/00000.jpg  Annotations/480p/bear/00000.png  ImageSets/2017/{train,val}.txt

Pont-Tuset et al. (2017), The 2017 DAVIS Challenge on Video Object Segmentation, arXiv 1704.00675.

An item is a clip of ``data.frames`` frames (16), at 24 frames per second or, with ``data.rate``, a whole part of that:
the centre square, resized to ``data.image_px`` (112), and masks with it. A film gives as many clips as fit into it;
they are a group. Things are numbered as they are in a film, so a number means nothing between films. ``val`` is for
testing, as in the literature.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import final

import torch
from torch import Tensor

from unlabeled.platform.data.contents import Contents, checksum
from unlabeled.platform.data.digests import file_digests, shown
from unlabeled.platform.data.images import FileImages
from unlabeled.platform.data.listing import existing_folder, path_of
from unlabeled.platform.data.pictures import check_picture
from unlabeled.platform.data.readers.lists import existing, names_in
from unlabeled.platform.data.readers.marked import FileMasks
from unlabeled.platform.data.source import Field, Joined, Source
from unlabeled.platform.errors import UserError

PREFIX = "davis:"
FRAMES = 16
RATE = 24
PX = 112
THINGS = ("background", *(f"thing {n}" for n in range(1, 11)))  # no film has more than ten
_PICTURES, _MASKS = "JPEGImages/480p", "Annotations/480p"
_SHAPE = "PATH has JPEGImages/480p, Annotations/480p and ImageSets/2017, as DAVIS 2017 (trainval, 480p) is unpacked"


def read_davis(name: str, root: Path, image_px: int | None, frames: int | None, rate: float | None) -> Contents:
    """List the films' frames, and cut them into clips; nothing is decoded yet.

    Raises:
        UserError: something is missing or damaged; it is named.
    """
    place, px, frames, rate = existing_folder(name, root), image_px or PX, frames or FRAMES, rate or RATE
    step = round(RATE / rate)
    if step < 1 or RATE / step != rate:
        raise UserError(f"data.rate of DAVIS is a whole part of {RATE} frames per second (24, 12, 8, 6); got {rate:g}")
    for path in (_PICTURES, _MASKS):
        existing(place, path, _SHAPE)
    splits, groups, files = {}, {}, dict[str, str]()  # with the list that each file's film is in
    for split, part in (("train", "train"), ("test", "val")):
        clips, film = _clips(place, part, frames, step)
        masks = [clip if all((place / _MASKS / f"{frame}.png").is_file() for frame in clip) else [] for clip in clips]
        splits[split] = Joined(
            PictureClips(place / _PICTURES, [[f"{frame}.jpg" for frame in clip] for clip in clips], px, float(rate)),
            FileMasks(place / _MASKS, [[f"{frame}.png" for frame in each] for each in masks], px, THINGS, frames),
        )
        groups[split] = torch.tensor(film)
        files |= {f"{_PICTURES}/{frame}.jpg": split for clip in clips for frame in clip}
        files |= {f"{_MASKS}/{frame}.png": split for each in masks for frame in each}
    return Contents(
        train=splits["train"],
        test=splits["test"],
        checksum=checksum(list(files.items()), file_digests(place, list(files), check_picture)),
        groups=groups["train"],
    )


def fetch_davis(name: str, root: Path) -> str:
    """Refuse: the films are had from the challenge's own site."""
    raise UserError(
        f"get DAVIS 2017 (trainval, 480p) from davischallenge.org and unpack it, so that {path_of(name, root)} has "
        "JPEGImages, Annotations and ImageSets"
    )


@final
class PictureClips(Source):
    """Clips whose frames are picture files, decoded when they are read: the field ``clip``."""

    def __init__(self, folder: Path, clips: Sequence[Sequence[str]], px: int, rate: float) -> None:
        """Take of each clip its frames' paths below ``folder``, equally many of each."""
        frames = len(clips[0])
        self._frames = FileImages(folder, [path for clip in clips for path in clip], px)
        self._clips = torch.arange(len(clips))
        self.fields: Mapping[str, Field] = {"clip": Field(kind="clip", shape=(frames, 3, px, px), rate=rate)}

    def __len__(self) -> int:
        return len(self._clips)

    def read(self, index: Tensor, field: str) -> Tensor:
        """Decode clips ``index`` to uint8 [B, T, 3, image_px, image_px].

        Raises:
            UserError: a picture can't be read; it is named.
        """
        self.check_has(field)
        shape = self.fields[field].shape
        frames = self._clips[index][:, None] * shape[0] + torch.arange(shape[0])
        return self._frames.read(frames.flatten(), "image").view(len(index), *shape)

    def take(self, rows: Tensor) -> "PictureClips":
        """Return the clips ``rows`` in that order."""
        part = object.__new__(PictureClips)
        part.fields, part._frames, part._clips = self.fields, self._frames, self._clips[rows]
        return part


def _clips(place: Path, part: str, frames: int, step: int) -> tuple[list[list[str]], list[int]]:
    """Return the frames of each clip of a part, as ``film/00000``, and the number of the film that each clip is of."""
    films = names_in(place, f"ImageSets/2017/{part}.txt")
    if films is None:
        raise UserError(f"there is no ImageSets/2017/{part}.txt in {shown(place)}; {_SHAPE}")
    clips, number = [], []
    for film_number, film in enumerate(sorted(films)):
        pictures = sorted(path.stem for path in existing(place, f"{_PICTURES}/{film}", _SHAPE).glob("*.jpg"))
        seen = pictures[::step]
        if len(seen) < frames:
            raise UserError(
                f"{film} in {shown(place)} has {len(seen)} frames at {RATE / step:g} per second, and a clip {frames}; "
                f"set data.frames to {len(seen)} or fewer, or take it out of ImageSets/2017/{part}.txt"
            )
        for start in range(0, len(seen) - frames + 1, frames):
            clips.append([f"{film}/{frame}" for frame in seen[start : start + frames]])
            number.append(film_number)
    return clips, number
