"""Pictures and sound of a film at given times, by PyAV (FFmpeg).

A film is decoded from the keyframe before the first time that is asked for. Times are those of its frames' own
timestamps, so films of any rate, of a changing one too, are read alike: what is shown at a time is the frame that is on
the screen then. Pixels become RGB by FFmpeg's exact, whole-number method and are resized by Pillow, so they are the
same on every processor where the film's format says what decoding gives (H.264, HEVC, VP8, VP9, AV1).
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from unlabeled.platform.data.digests import shown, unreadable
from unlabeled.platform.data.pictures import centre_box
from unlabeled.platform.data.readers.resampled import Samples, resampled
from unlabeled.platform.errors import UserError

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer

_SOON = 1e-4  # seconds: a frame that comes by so much too late is there
_BEFORE = 0.5  # seconds that are decoded before what is wanted: frames are stored in another order than they are shown
_CUT_OFF = 1.0, 0.05  # seconds, and part of its length, that a film may end before its head says so


def span(path: Path) -> tuple[float, float, float]:
    """Return when a film's first frame is shown and its last one goes, in seconds, and its sound's rate, or 0.

    All of it is read, and nothing decoded.

    Raises:
        UserError: it can't be read, shows nothing, or was cut off; it is named.
    """
    with opened(path) as film:
        if not film.streams.video:
            raise ValueError("it shows no pictures")
        video = film.streams.video[0]
        video_times: list[float] = []
        ends: dict[int, float] = {}
        for packet in film.demux():
            at = packet.pts if packet.pts is not None else packet.dts
            if at is None or packet.size == 0:
                continue
            if packet.is_corrupt:
                raise ValueError("it is cut off or damaged")
            length = float((packet.duration or 0) * packet.time_base)
            seconds = float(at * packet.time_base)
            ends[packet.stream_index] = max(ends.get(packet.stream_index, 0.0), seconds + length)
            if packet.stream_index == video.index and not packet.is_discard:
                video_times.append(seconds)
        if not video_times:
            raise ValueError("it shows no pictures")
        times = np.unique(video_times)
        last = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
        said, start = (film.duration or 0) / 1e6, (film.start_time or 0) / 1e6
        seconds, part = _CUT_OFF
        if max(ends.values()) - start < said - max(seconds, part * said):
            raise ValueError(f"it is cut off after {max(ends.values()) - start:.3g} of {said:.3g} seconds")
        rate = float(film.streams.audio[0].rate) if film.streams.audio else 0.0
        return float(times[0]), float(times[-1]) + last, rate


def frames_at(path: Path, times: Sequence[float], px: int) -> npt.NDArray[np.uint8]:
    """Return what a film shows at some times, upright: the centre square, resized, uint8 [T, 3, px, px].

    Args:
        path: of the film.
        times: in seconds, rising.
        px: height and width.

    Raises:
        UserError: it can't be read; it is named.
    """
    x = np.empty((len(times), 3, px, px), np.uint8)
    with opened(path) as film:
        place, on_screen, is_new, pixels = 0, None, True, None
        for frame in _frames_from(film, times[0]):
            while place < len(times) and on_screen is not None and times[place] < _time(frame) - _SOON:
                pixels = _square(on_screen, px, _aspect(film)) if is_new or pixels is None else pixels
                x[place], place, is_new = pixels, place + 1, False
            if place == len(times):
                break
            on_screen, is_new = frame, True
        if on_screen is None:
            raise ValueError("nothing in it can be decoded")
        if place < len(times):
            x[place:] = _square(on_screen, px, _aspect(film))
    return x


def sound_at(path: Path, start: float, count: int, rate: int) -> Samples:
    """Return ``count`` samples of a film's sound from a time on, in mono; silence where it has none.

    Raises:
        UserError: it can't be read; it is named.
    """
    with opened(path) as film:
        stream = film.streams.audio[0]
        own_rate = int(stream.rate)
        begin, end = start - _BEFORE, start + count / rate + _BEFORE
        first = max(0, int(begin * own_rate))
        heard = np.zeros(int(end * own_rate) - first, np.float32)
        if begin > 0 and stream.time_base is not None:
            film.seek(int(begin / stream.time_base), stream=stream)
        for frame in film.decode(stream):
            if frame.pts is None or frame.time_base is None:
                continue
            at = round(float(frame.pts * frame.time_base) * own_rate) - first
            if at >= len(heard):
                break
            samples = _mono(frame)
            skipped = max(0, -at)
            fitting = samples[skipped : skipped + len(heard) - max(0, at)]
            heard[max(0, at) : max(0, at) + len(fitting)] = fitting

    def read(begin: int, length: int) -> Samples:
        inside = heard[max(0, begin - first) : max(0, begin - first + length)]
        return np.pad(inside, (max(0, first - begin), 0))[:length] if len(inside) < length else inside

    return resampled(read, first + len(heard), own_rate, rate, round(start * rate), count).clip(-1, 1)


@contextmanager
def opened(path: Path) -> "Iterator[InputContainer]":
    """Open a film; what is wrong with it while it is open is said in one line that names it.

    Raises:
        UserError: it can't be read.
    """
    av = package()
    try:
        # A list of films that poses as one may name any address; only files are opened.
        with av.open(os.fspath(path), options={"protocol_whitelist": "file"}) as film:
            for stream in film.streams.video:
                stream.thread_type = "NONE"  # there is a thread for each film already
            yield film
    except (FileNotFoundError, PermissionError) as error:
        raise unreadable(path, error) from error
    except (OSError, ValueError, EOFError, av.FFmpegError) as error:
        reason = "it is empty" if path.is_file() and path.stat().st_size == 0 else _reason(error)
        raise UserError(f"can't read the film {shown(path)}: {reason}; repair it or take it out") from error


def package() -> Any:
    """Return the package that decodes films.

    Raises:
        UserError: it is not installed.
    """
    try:
        import av
    except ImportError as error:
        raise UserError(
            f"films need the package av ({error}); get it with `pip install 'unlabeled[films-and-sounds]'`"
        ) from error
    return av


def _reason(error: Exception) -> str:
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(said).splitlines()[0].rstrip(".")


def _frames_from(film: "InputContainer", time: float) -> "Iterator[VideoFrame]":
    """Yield frames as they are shown, from the one on the screen at a time, or one before it, on."""
    stream = film.streams.video[0]
    base = stream.time_base
    if base is not None and time > _BEFORE:
        film.seek(int((time - _BEFORE) / base), stream=stream)
        frames = _shown(film)
        first = next(frames, None)
        if first is not None and _time(first) <= time + _SOON:
            yield first
            yield from frames
            return
        film.seek(0, stream=stream)  # the film's index leads astray
    yield from _shown(film)


def _shown(film: "InputContainer") -> "Iterator[VideoFrame]":
    return (frame for frame in film.decode(film.streams.video[0]) if frame.pts is not None)


def _time(frame: "VideoFrame") -> float:
    assert frame.pts is not None
    assert frame.time_base is not None
    return float(frame.pts * frame.time_base)


def _aspect(film: "InputContainer") -> float:
    """Return how much wider than high a pixel is."""
    return float(film.streams.video[0].sample_aspect_ratio or 1)


def _square(frame: "VideoFrame", px: int, aspect: float) -> npt.NDArray[np.uint8]:
    """Return a frame's centre square, upright, as uint8 [3, px, px]."""
    from av.video.reformatter import Interpolation

    # With each colour at full width: the usual way is up to three levels too dark.
    exact = Interpolation.BILINEAR | Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND | Interpolation.BITEXACT
    picture = Image.fromarray(frame.to_ndarray(format="rgb24", interpolation=exact, threads=1))
    left, top, right, bottom = centre_box(max(1, round(picture.width * aspect)), picture.height)
    narrowed = picture.width / max(1, round(picture.width * aspect))
    box = (left * narrowed, top, right * narrowed, bottom)
    small = np.asarray(picture.resize((px, px), Image.Resampling.BILINEAR, box=box))
    return np.ascontiguousarray(_upright(small, frame).transpose(2, 0, 1))


def _upright(pixels: npt.NDArray[np.uint8], frame: "VideoFrame") -> npt.NDArray[np.uint8]:
    """Turn and mirror a square [px, px, 3] as the film says that it is to be shown.

    What it says is a matrix [[a, b], [c, d]]: a pixel at x, y is shown at a x + c y, b x + d y. Only turns by right
    angles are done.
    """
    said: Any = frame.side_data  # PyAV's own type for it names none of what there may be
    if "DISPLAYMATRIX" not in said:
        return pixels
    (a, b), (c, d) = np.frombuffer(said["DISPLAYMATRIX"], np.int32).reshape(3, 3)[:2, :2].tolist()
    if a == d == 0:
        pixels, a, d = pixels.transpose(1, 0, 2), c, b
    elif b or c:
        return pixels
    return pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]


def _mono(frame: Any) -> Samples:
    """Return the mean of the channels, in [-1, 1]."""
    samples = frame.to_ndarray()  # planar [C, S], packed [1, S * C]
    channels = frame.layout.nb_channels
    if samples.shape[0] != channels:
        samples = samples.reshape(-1, channels).T
    if samples.dtype == np.uint8:
        samples = (samples.astype(np.float32) - 128) / 128
    elif samples.dtype.kind == "i":
        samples = samples.astype(np.float32) / (2.0 ** (8 * samples.dtype.itemsize - 1))
    return np.ascontiguousarray(samples.mean(axis=0, dtype=np.float32))
