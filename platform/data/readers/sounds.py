"""A user's own sounds, as ``sounds:PATH``: wav, flac, ogg and mp3, in folders as ``folder:`` has them.

An item is a piece of ``data.seconds`` (1.28, which at 16 kHz are the 20,480 samples of Contrastive Predictive Coding:
van den Oord, Li, Vinyals, 2018, arXiv 1807.03748), at ``data.rate`` samples per second (16,000), in mono: the mean of
the channels. A sound of another rate is resampled. A longer one gives as many whole pieces as it has, which are a group
and stay in one split; what is left over is left out. A shorter one gives a piece that ends in silence. Of an mp3 all
that comes before a piece is decoded with it, so long ones are better kept as flac.

A class is a folder right below PATH (or below its ``train/``), as everywhere: of LibriSpeech's ``train-clean-100`` a
speaker. Splits are then cut file by file, so that every split has every speaker, as in the paper above.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from unlabeled.platform.data.contents import Contents, checksum
from unlabeled.platform.data.digests import shown, unreadable
from unlabeled.platform.data.listing import listed, path_of
from unlabeled.platform.data.measured import measured
from unlabeled.platform.data.readers.resampled import Samples, length_at, resampled
from unlabeled.platform.data.source import Field, Joined, Source
from unlabeled.platform.data.threads import in_threads
from unlabeled.platform.data.told import Classes
from unlabeled.platform.errors import UserError

PREFIX = "sounds:"
SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3")
SECONDS = 1.28
RATE = 16_000
SAMPLE = 512  # pieces that statistics are taken of


def read_sounds(name: str, root: Path, seconds: float | None, rate: float | None) -> Contents:
    """List a folder's sounds, and cut them into pieces; nothing is decoded yet.

    Raises:
        UserError: there are none, one can't be read, or their folders' shape is none that may be.
    """
    per_second = whole_rate(RATE if rate is None else rate)
    length = max(1, round((seconds or SECONDS) * per_second))
    listing = listed(name, root, "sounds", SUFFIXES)
    labels = listing.labelled
    digests, found = measured_sounds(listing.place, [path for path, _ in labels])
    at = {path: tuple(map(int, row)) for (path, _), row in zip(labels, found, strict=True)}
    splits, groups = {}, {}
    for split in listing.splits:
        paths, numbers = zip(*listing.numbered(split), strict=True)
        whole = [max(1, length_at(at[path][0], at[path][1], per_second) // length) for path in paths]
        file = torch.arange(len(paths)).repeat_interleave(torch.tensor(whole))
        starts = torch.cat([torch.arange(count) * length for count in whole])
        pieces = SoundPieces(listing.place, paths, [at[path] for path in paths], file, starts, length, per_second)
        groups[split] = file
        classes = Classes(torch.tensor(numbers)[file], listing.names) if listing.classes else None
        splits[split] = Joined(pieces, *([] if classes is None else [classes]))
    return Contents.of_splits(splits, checksum(labels, digests), groups["train"])


def fetch_sounds(name: str, root: Path) -> str:
    """Refuse: a user's own sounds come from nowhere else."""
    raise UserError(f"your own sounds are not downloaded; put them into {path_of(name, root)}")


def whole_rate(rate: float) -> int:
    """Return samples per second as a whole number.

    Raises:
        UserError: it is none, or lower or higher than sounds have.
    """
    if rate != int(rate) or not 1_000 <= rate <= 192_000:
        raise UserError(f"data.rate of sounds is a whole number of samples per second, 1000 to 192000; got {rate:g}")
    return int(rate)


def measured_sounds(place: Path, paths: Sequence[str]) -> tuple[list[bytes], Any]:
    """Return the sha256 of each sound, and int64 [N, 2]: its number of samples, and how many it has per second.

    Raises:
        UserError: one can't be read, or is not whole; it is named.
    """
    soundfile()  # here rather than once a thread
    digests, found = measured(place, paths, "sounds-1", 2, _measure)
    return digests, found.astype(np.int64)


@final
class SoundPieces(Source):
    """Pieces of sound files, decoded when they are read, in mono: the field ``wave``."""

    def __init__(
        self,
        folder: Path,
        paths: Sequence[str],
        sizes: Sequence[tuple[int, ...]],
        file: Tensor,
        starts: Tensor,
        length: int,
        rate: int,
        level: float | None = None,
    ) -> None:
        """Take files, and where the pieces are in them.

        Args:
            folder: that the files lie in.
            paths: of each, below it.
            sizes: of each, its number of samples and how many it has per second.
            file: int64 [N], that each piece is of.
            starts: int64 [N], its first sample, at ``rate``.
            length: of each piece, in samples at ``rate``.
            rate: samples per second.
            level: root mean square that each piece is brought to, in which silence takes no part; None leaves it.
        """
        self._files = (folder, tuple(paths), tuple(sizes), length, rate, level)
        self._file, self._starts = file, starts
        self.fields: Mapping[str, Field] = {"wave": Field(kind="wave", shape=(1, length), rate=float(rate))}

    def __len__(self) -> int:
        return len(self._file)

    def read(self, index: Tensor, field: str) -> Tensor:
        """Decode pieces ``index`` to float32 [B, 1, S], on as many threads as torch may use.

        Raises:
            UserError: a sound can't be read; it is named.
        """
        self.check_has(field)
        soundfile()
        x = torch.empty(len(index), *self.fields["wave"].shape)
        for row, samples in enumerate(in_threads(self._decode, index.tolist())):
            x[row, 0] = torch.from_numpy(samples)
        return x

    def files(self, index: Tensor, field: str) -> list[str]:
        """Return the paths of the pieces' sounds."""
        self.check_has(field)
        folder, paths = self._files[:2]
        return [str(folder / paths[int(self._file[piece])]) for piece in index.tolist()]

    def take(self, rows: Tensor) -> "SoundPieces":
        """Return the pieces ``rows`` in that order."""
        part = object.__new__(SoundPieces)
        part.fields, part._files, part._file, part._starts = (
            self.fields,
            self._files,
            self._file[rows],
            self._starts[rows],
        )
        return part

    def sample(self, field: str) -> Iterator[Tensor]:
        """Yield what the field's statistics are taken from, in parts: the first 512 pieces."""
        self.check_has(field)
        for index in torch.split(self.rows[:SAMPLE], 64):
            yield self.read(index, field)

    def _decode(self, piece: int) -> Samples:
        folder, paths, sizes, length, rate, level = self._files
        file = int(self._file[piece])
        path, (frames, own_rate) = folder / paths[file], sizes[file]

        def read(start: int, count: int) -> Samples:
            sf = soundfile()
            try:
                with sf.SoundFile(path) as sound:
                    # An mp3's frames lean on those before them: after a jump libsndfile decodes something else.
                    passed = start if _is_mp3(path) else 0
                    sound.seek(start - passed)
                    samples = sound.read(passed + count, dtype="float32", always_2d=True)[passed:]
            except (OSError, RuntimeError, ValueError) as error:
                raise _damaged(path, error) from error
            if len(samples) < count or not np.isfinite(samples).all():
                raise _damaged(path, "it is cut off, or has samples that are no numbers")
            return np.ascontiguousarray(samples.mean(axis=1))

        made = resampled(read, frames, own_rate, rate, int(self._starts[piece]), length)
        if level is not None:
            told = length_at(frames, own_rate, rate) - int(self._starts[piece])
            power = float(np.square(made, dtype=np.float64).sum()) / max(1, min(length, told))
            made = made * np.float32(level / max(power**0.5, 1e-4))
        return made.clip(-1, 1)


def soundfile() -> Any:
    """Return the package that decodes sounds.

    Raises:
        UserError: it is not installed.
    """
    try:
        import soundfile as package
    except (ImportError, OSError) as error:  # OSError: it finds no libsndfile
        raise UserError(
            f"sounds need the package soundfile ({error}); get it with `pip install 'unlabeled[films-and-sounds]'`"
        ) from error
    return package


def _measure(path: Path) -> tuple[int, int]:
    """Return a sound's number of samples and its rate, after a look at its end."""
    sf = soundfile()
    if path.stat().st_size == 0:
        raise _damaged(path, "it is empty")
    try:
        with path.open("rb") as file:
            head = file.read(12)
        said = int.from_bytes(head[4:8], "little")  # all ones where whoever wrote it did not know
        if head[:4] == b"RIFF" and path.stat().st_size + 1 < said + 8 < 2**32:
            raise _damaged(path, "it is cut off")  # which libsndfile takes for a shorter one
        with sf.SoundFile(path) as sound:
            frames, rate = int(sound.frames), int(sound.samplerate)
            if 0 < frames < 2**62:
                if _is_mp3(path):
                    return frames, rate
                sound.seek(frames - 1)
                if len(sound.read(1)) == 1:
                    return frames, rate
    except OSError as error:
        raise unreadable(path, error) from error
    except (RuntimeError, ValueError) as error:
        raise _damaged(path, error) from error
    raise _damaged(path, "it has no samples, or is cut off")


def _is_mp3(path: Path) -> bool:
    return path.suffix.lower() == ".mp3"


def _damaged(path: Path, reason: object) -> UserError:
    said = str(reason).splitlines()[0].replace(repr(str(path)), "the file").removeprefix("Error opening the file: ")
    return UserError(f"can't read the sound {shown(path)}: {said.rstrip('.')}; repair it or take it out")
