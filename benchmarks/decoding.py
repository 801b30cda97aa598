"""How fast do pictures come from files?

Measured: the CPU time, on one thread, from JPEG files of 500 x 375 pixels to random boxes of 0.08 to 1 of them, resized
to 224 or 96 px, one box a picture and two of the same picture; ours against Pillow, which decodes all of the picture
and resizes the box, as torchvision's transforms do it on Pillow's pictures; and against torchvision's own decoder and
resizing of uint8 tensors. Decoding alone is measured, too: what lies before the resizing on either side.
Targets: decoding alone for 224 px at least 1.5 times Pillow's, and more for 96 px.
"""

import statistics
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from PIL import Image
from torchvision.io import ImageReadMode, decode_jpeg, read_file
from torchvision.transforms.v2 import functional

from benchmarks.compare import Row, cpu_in_turns, one_thread, paired_ratio
from benchmarks.photographs import HEIGHT, WIDTH, photographs
from unlabeled.platform.augment import Crop, Extent
from unlabeled.platform.data import FileImages
from unlabeled.platform.data.source import Window
from unlabeled.platform.data.windows import decoded
from unlabeled.platform.draws import Draws

PICTURES = 48
ROUNDS = 9
TARGETS = {224: 1.5, 96: 1.5}
Boxes = list[list[int]]


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as place, one_thread():
        folder = Path(place)
        files = [folder / name for name in photographs(folder, PICTURES)]
        for px in TARGETS:
            for views in (1, 2):
                yield from _rows(files, px, [_boxes(view) for view in range(views)])


def _rows(files: list[Path], px: int, boxes: list[Boxes]) -> Iterator[Row]:
    source = FileImages(
        files[0].parent, [file.name for file in files], px, torch.tensor([(HEIGHT, WIDTH)] * len(files))
    )
    windows = [Window(torch.tensor(each), (px, px)) for each in boxes]
    works: dict[str, Callable[[], object]] = {
        "ours": lambda: source.read_windows(source.rows, "image", windows),
        "Pillow": lambda: [_pillow(file, of, px) for file, of in zip(files, zip(*boxes, strict=True), strict=True)],
        "torchvision": lambda: [
            _tensors(file, of, px) for file, of in zip(files, zip(*boxes, strict=True), strict=True)
        ],
        "ours, decoding": lambda: [
            decoded(file, file.read_bytes(), of, [(px, px)] * len(of))
            for file, of in zip(files, zip(*boxes, strict=True), strict=True)
        ],
        "Pillow, decoding": lambda: [_opened(file) for file in files],
    }
    seconds = dict(zip(works, cpu_in_turns(*works.values(), rounds=ROUNDS), strict=True))
    what = f"{len(boxes)} x {px} px"
    for name, reference, target in (
        ("ours, decoding", "Pillow, decoding", TARGETS[px]),
        ("ours", "Pillow", None),
        ("ours", "torchvision", None),
    ):
        ratio = paired_ratio(seconds[reference], seconds[name])
        is_asked = target is not None and len(boxes) == 1
        yield Row.of_ratio(
            what=f"{what}: decoding alone" if "decoding" in name else f"{what}: from file to window",
            ours=f"{_milliseconds(seconds[name]):.2f} ms",
            reference=f"{_milliseconds(seconds[reference]):.2f} ms, {reference.split(',')[0]}",
            ratio=ratio,
            least=target if is_asked else None,
        )


def _milliseconds(seconds: list[float]) -> float:
    return 1000 * statistics.median(seconds) / PICTURES


def _boxes(view: int) -> Boxes:
    draws = Draws(torch.arange(PICTURES), "decoding", view)
    (found,) = Crop(area=(0.08, 1.0)).parameters(Extent(3, (HEIGHT, WIDTH)), draws)
    boxes: Boxes = found.tolist()
    return boxes


def _opened(file: Path) -> Image.Image:
    with Image.open(file) as picture:
        return picture.convert("RGB")


def _pillow(file: Path, boxes: tuple[list[int], ...], px: int) -> list[torch.Tensor]:
    picture = _opened(file)
    return [functional.pil_to_tensor(functional.resized_crop(picture, *box, size=[px, px])) for box in boxes]


def _tensors(file: Path, boxes: tuple[list[int], ...], px: int) -> list[torch.Tensor]:
    picture = decode_jpeg(read_file(str(file)), mode=ImageReadMode.RGB)
    return [functional.resized_crop(picture, *box, size=[px, px], antialias=True) for box in boxes]
