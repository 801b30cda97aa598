"""Films, sounds and data sets of other shapes, small and of known content."""

import base64
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import soundfile
from PIL import Image

CODECS = {".avi": "mpeg4", ".mp4": "libx264", ".mkv": "libx264", ".webm": "libvpx"}
JPEG = base64.b64decode(  # 64 x 44, colours at half the size, made for these tests
    "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABsSFBcUERsXFhceHBsgKEIrKCUlKFE6PTBCYFVlZF9VXVtqeJmBanGQc1tdhbWGkJ6jq62rZ4C8"
    "ybqmx5moq6T/2wBDARweHigjKE4rK06kbl1upKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKT/wAAR"
    "CAAsAEADASIAAhEBAxEB/8QAFwABAQEBAAAAAAAAAAAAAAAAAgMFBv/EABYQAQEBAAAAAAAAAAAAAAAAAAEAAv/EABcBAQEBAQAAAAAAAAAA"
    "AAAAAAQCAQb/xAAWEQEBAQAAAAAAAAAAAAAAAAAAAhH/2gAMAwEAAhEDEQA/AOeMTMVDFQxZrJtMxMxUMTMVaTNpmKhioYmYt0ibTMTMVTEz"
    "FWkTbPMTMVDFQxH1zk2mYmYqGJmKtIm0zFQxUMTMW6TNpmJmKpiZirSJtnmJmJgVAI+ucmgMTMTAmBVpE0BioYmBMC3SZoDEzEwKgFWkTT//"
    "2Q=="
)


def grey(number: int) -> int:
    """Return the grey level of a film's frame by its number, below 50."""
    return 20 + 4 * number


def film(
    path: Path,
    frames: int = 20,
    rate: int = 10,
    size: tuple[int, int] = (48, 32),
    codec: str = "",
    pix_fmt: str = "yuv420p",
    times: Sequence[int] | None = None,
    pictures: npt.NDArray[np.uint8] | None = None,
    sound: npt.NDArray[np.float32] | None = None,
    aspect: Fraction | None = None,
    b_frames: int | None = None,
) -> Path:
    """Write a film whose frames are grey, each lighter than the one before, or the pictures [T, H, W, 3].

    Args:
        path: its ending says the format.
        frames: how many.
        rate: of them, per second.
        size: width and height.
        codec: the usual one of the format if "".
        pix_fmt: how pixels are stored.
        times: of each frame, in milliseconds; equally far apart if None.
        pictures: instead of grey ones.
        sound: samples [S] at 16 kHz.
        aspect: how much wider than high a pixel is.
        b_frames: how many frames may lean on later ones, and are stored after them; the format's own if None.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = size
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec or CODECS[path.suffix], rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        stream.codec_context.gop_size = 6
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        if b_frames is not None:
            stream.codec_context.max_b_frames = b_frames
        base = Fraction(1, rate) if times is None else Fraction(1, 1000)
        stream.codec_context.time_base = base
        audio: Any = None
        if sound is not None:
            audio = container.add_stream("aac" if path.suffix == ".mp4" else "pcm_s16le", rate=16_000, layout="mono")
        for number in range(frames if pictures is None else len(pictures)):
            pixels = np.full((height, width, 3), grey(number), np.uint8) if pictures is None else pictures[number]
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
            frame.pts = number if times is None else times[number]
            frame.time_base = base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound is not None:
            for start in range(0, len(sound), 1024):
                part = np.ascontiguousarray(sound[None, start : start + 1024] * 32767).astype(np.int16)
                heard = av.AudioFrame.from_ndarray(part, "s16", "mono")
                heard.rate, heard.pts, heard.time_base = 16_000, start, Fraction(1, 16_000)
                container.mux(audio.encode(heard))
            container.mux(audio.encode(None))
    return path


def turned(path: Path, degrees: int, *, mirrored: bool = False) -> Path:
    """Say in an mp4's head that its pictures are to be turned clockwise, as telephones do, and mirrored before that."""
    matrix = {0: (1, 0, 0, 1), 90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}[degrees]
    if mirrored:
        matrix = (-matrix[0], -matrix[1], matrix[2], matrix[3])
    content = bytearray(path.read_bytes())
    start = content.index(b"tkhd") + 4 + 4 + 20 + 16  # version and flags; times, track, length; layer to volume
    a, b, c, d = (value * 2**16 for value in matrix)
    words = (a, b, 0, c, d, 0, 0, 0, 2**30)
    content[start : start + 36] = b"".join(word.to_bytes(4, "big", signed=True) for word in words)
    path.write_bytes(content)
    return path


def tone(hertz: float, seconds: float, rate: int = 16_000, level: float = 0.5) -> npt.NDArray[np.float32]:
    """Return a sine, float32 [S]."""
    return (level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def pitch(wave: npt.NDArray[np.float32], rate: float = 16_000) -> float:
    """Return the strongest frequency, in Hz."""
    return float(np.abs(np.fft.rfft(wave * np.hanning(len(wave)))).argmax() * rate / len(wave))


def sound(path: Path, samples: npt.NDArray[np.float32], rate: int = 16_000) -> Path:
    """Write a sound [S] or [S, C]; the path's ending says the format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate)
    return path


def picture(path: Path, pixels: npt.NDArray[np.uint8]) -> Path:
    """Write a picture; numbers [H, W] in a .png get a palette, as masks have."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    if pixels.ndim == 2 and path.suffix == ".png":
        image.putpalette([value for number in range(256) for value in (number, 255 - number, number // 2)])
    image.save(path)
    return path


def lines(path: Path, *names: str) -> Path:
    """Write a list of names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{name}\n" for name in names))
    return path


def voc(place: Path, splits: dict[str, int], masked: int = 1) -> Path:
    """Write a VOC whose pictures are 60 x 40, each with a cat that fills the left half and a small dog at the right."""
    names = {split: [f"{split}{number:03}" for number in range(count)] for split, count in splits.items()}
    for split, each in names.items():
        lines(place / f"ImageSets/Main/{split}.txt", *each)
        lines(place / f"ImageSets/Segmentation/{split}.txt", *each[:masked])
        for name in each:
            pixels = np.zeros((40, 60, 3), np.uint8)
            pixels[:, :30] = 200
            picture(place / f"JPEGImages/{name}.jpg", pixels)
            annotation(place / f"Annotations/{name}.xml", ("cat", 1, 1, 30, 40), ("dog", 41, 11, 48, 20))
        for name in each[:masked]:
            mask = np.zeros((40, 60), np.uint8)
            mask[:, :30], mask[10:20, 40:48], mask[:, 30] = 8, 12, 255
            picture(place / f"SegmentationClass/{name}.png", mask)
    return place


def annotation(path: Path, *things: tuple[str, int, int, int, int], difficult: int = 0, size: str = "60 40") -> Path:
    """Write what VOC says of a picture: names and edges, counted from 1, of which the last are within."""
    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = size.split()
    objects = "".join(
        f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox><xmin>{left}</xmin><ymin>{top}</ymin>"
        f"<xmax>{right}</xmax><ymax>{bottom}</ymax></bndbox></object>"
        for name, left, top, right, bottom in things
    )
    path.write_text(f"<annotation><size><width>{width}</width><height>{height}</height></size>{objects}</annotation>")
    return path


def davis(place: Path, films: dict[str, int], test: Sequence[str], frames: int = 9) -> Path:
    """Write a DAVIS of films, 54 x 48, each frame lighter than the one before, with a thing that moves to the right."""
    lines(place / "ImageSets/2017/train.txt", *(name for name in films if name not in test))
    lines(place / "ImageSets/2017/val.txt", *test)
    for name, things in films.items():
        for number in range(frames):
            pixels, mask = np.full((48, 54, 3), grey(number), np.uint8), np.zeros((48, 54), np.uint8)
            for thing in range(things):
                mask[8 * thing : 8 * thing + 8, 3 + number : 11 + number] = thing + 1
            picture(place / f"JPEGImages/480p/{name}/{number:05}.jpg", pixels)
            picture(place / f"Annotations/480p/{name}/{number:05}.png", mask)
    return place
