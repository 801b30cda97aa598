"""A user's own films, as ``films:PATH``, in folders as ``folder:`` has them (and UCF-101: a folder for each class).

An item is a clip of ``data.frames`` frames (16) at ``data.rate`` frames per second (8): the centre square, resized to
``data.image_px`` (112), whatever the film's own rate and size are. A film gives as many clips as fit into it, one after
the other; they are a group and stay in one split, and what is left over is left out. If every film has sound, a clip's
is the field ``wave``, in mono at 16 kHz. Films that a telephone turned or mirrored are shown upright.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from unlabeled.platform.data.contents import Contents, checksum
from unlabeled.platform.data.digests import shown
from unlabeled.platform.data.listing import listed, path_of
from unlabeled.platform.data.measured import measured
from unlabeled.platform.data.readers.decoded import frames_at, package, sound_at, span
from unlabeled.platform.data.source import Field, Joined, Source
from unlabeled.platform.data.threads import in_threads
from unlabeled.platform.data.told import Classes
from unlabeled.platform.errors import UserError

PREFIX = "films:"
SUFFIXES = (".avi", ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".mpg", ".mpeg", ".ogv", ".ts", ".wmv", ".3gp")
FRAMES = 16
RATE = 8.0
PX = 112
SOUND_RATE = 16_000
SAMPLE = 128  # clips that statistics are taken of: as many frames as of pictures, where a clip has 16


def read_films(name: str, root: Path, image_px: int | None, frames: int | None, rate: float | None) -> Contents:
    """List a folder's films, and cut them into clips; nothing is decoded yet.

    Raises:
        UserError: there are none, one can't be read or is shorter than a clip, or their folders' shape is none that
            may be.
    """
    package()  # here rather than once a thread
    frames, rate = frames or FRAMES, rate or RATE
    listing = listed(name, root, "films", SUFFIXES)
    labels = listing.labelled
    paths = [path for path, _ in labels]
    digests, found = measured(listing.place, paths, "films-1", 3, span)
    counts = ((found[:, 1] - found[:, 0]) * rate / frames + 1e-6).astype(np.int64)
    if not counts.all():
        raise _too_short(listing.place, paths, found[:, 1] - found[:, 0], frames, rate)
    has_sound = bool(found[:, 2].all())
    splits, groups, done = {}, {}, 0
    for split in listing.splits:
        names, numbers = zip(*listing.numbered(split), strict=True)
        rows = slice(done, done + len(names))
        done += len(names)
        film = torch.arange(len(names)).repeat_interleave(torch.from_numpy(counts[rows]))
        starts = np.concatenate(
            [start + np.arange(n) * frames / rate for start, n in zip(found[rows, 0], counts[rows], strict=True)]
        )
        clips = FilmClips(
            listing.place, names, film, torch.from_numpy(starts), (frames, rate, image_px or PX), has_sound
        )
        groups[split] = film
        classes = [Classes(torch.tensor(numbers)[film], listing.names)] if listing.classes else []
        splits[split] = Joined(clips, *classes)
    return Contents.of_splits(splits, checksum(labels, digests, 2), groups["train"])


def fetch_films(name: str, root: Path) -> str:
    """Refuse: a user's own films come from nowhere else."""
    raise UserError(f"your own films are not downloaded; put them into {path_of(name, root)}")


@final
class FilmClips(Source):
    """Clips of films, decoded when they are read: the field ``clip``, and ``wave`` where they have sound."""

    def __init__(
        self,
        folder: Path,
        paths: Sequence[str],
        film: Tensor,
        starts: Tensor,
        shape: tuple[int, float, int],
        has_sound: bool,
    ) -> None:
        """Take films, and where the clips are in them.

        Args:
            folder: that the films lie in.
            paths: of each, below it.
            film: int64 [N], that each clip is of.
            starts: float64 [N], when it begins, in seconds.
            shape: frames, frames per second, height and width.
            has_sound: whether they have the field ``wave``.
        """
        self._files = (folder, tuple(paths), shape)
        self._film, self._starts = film, starts
        frames, rate, px = shape
        self.fields: Mapping[str, Field] = {"clip": Field(kind="clip", shape=(frames, 3, px, px), rate=rate)}
        if has_sound:
            length = round(frames / rate * SOUND_RATE)
            self.fields = {**self.fields, "wave": Field(kind="wave", shape=(1, length), rate=float(SOUND_RATE))}

    def __len__(self) -> int:
        return len(self._film)

    def read(self, index: Tensor, field: str) -> Tensor:
        """Decode clips ``index``, or their sounds, on as many threads as torch may use.

        Raises:
            UserError: a film can't be read; it is named.
        """
        self.check_has(field)
        package()
        decode = self._frames if field == "clip" else self._sound
        dtype = torch.uint8 if field == "clip" else torch.float32
        x = torch.empty(len(index), *self.fields[field].shape, dtype=dtype)
        for row, values in enumerate(in_threads(decode, index.tolist())):
            x[row] = torch.from_numpy(values)
        return x

    def files(self, index: Tensor, field: str) -> list[str]:
        """Return the paths of the clips' films."""
        self.check_has(field)
        return [str(self._where(clip)[0]) for clip in index.tolist()]

    def take(self, rows: Tensor) -> "FilmClips":
        """Return the clips ``rows`` in that order."""
        part = object.__new__(FilmClips)
        part.fields, part._files = self.fields, self._files
        part._film, part._starts = self._film[rows], self._starts[rows]
        return part

    def sample(self, field: str) -> Iterator[Tensor]:
        """Yield what the field's statistics are taken from, in parts: the first 128 clips."""
        self.check_has(field)
        for index in torch.split(self.rows[:SAMPLE], 8):
            yield self.read(index, field)

    def _where(self, clip: int) -> tuple[Path, float]:
        folder, paths, _ = self._files
        return folder / paths[int(self._film[clip])], float(self._starts[clip])

    def _frames(self, clip: int) -> npt.NDArray[np.uint8]:
        path, start = self._where(clip)
        frames, rate, px = self._files[2]
        return frames_at(path, [start + n / rate for n in range(frames)], px)

    def _sound(self, clip: int) -> npt.NDArray[np.float32]:
        path, start = self._where(clip)
        return sound_at(path, start, self.fields["wave"].shape[-1], SOUND_RATE)


def _too_short(
    place: Path, paths: Sequence[str], seconds: npt.NDArray[np.float64], frames: int, rate: float
) -> UserError:
    shortest, wanted = int(seconds.argmin()), frames / rate
    count = int((seconds < wanted).sum())
    fitting = f"set data.frames to {int(seconds.min() * rate)} or fewer, " if seconds.min() * rate >= 1 else ""
    faster = np.ceil(frames / max(seconds.min(), 1e-3) * 10) / 10
    return UserError(
        f"{count} of {len(paths)} films in {shown(place)} {'is' if count == 1 else 'are'} shorter than a clip of "
        f"{wanted:.3g} seconds ({frames} frames at {rate:g} per second), such as {shown(paths[shortest])} of "
        f"{seconds.min():.3g}; {fitting}data.rate to {faster:g} or more, or take "
        f"{'it' if count == 1 else 'them'} out"
    )
