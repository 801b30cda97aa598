"""PASCAL VOC in a folder, as ``voc:PATH``: pictures, and what is in them: boxes, masks, a class.

    PATH/JPEGImages/*.jpg  Annotations/*.xml  SegmentationClass/*.png  ImageSets/{Main,Segmentation}/*.txt

Everingham, Van Gool, Williams, Winn, Zisserman (2010), The PASCAL Visual Object Classes (VOC) Challenge. PATH is the
folder of a year, such as ``VOCdevkit/VOC2012``.

Pictures are their centre square, resized to ``data.image_px`` (224); boxes and masks are moved with them, and a box
outside it is gone. Objects that the annotators called difficult are left out, as in the challenge's scores. Of a
picture's objects the largest in the square is its ``class``. A mask is known only of the pictures in
``ImageSets/Segmentation``; 255, the seam around things, stays 255. Where the test pictures' annotations are there
(2007), ``val`` is for validation and ``test`` for testing; elsewhere ``val`` is for testing, as in the literature.
"""

from collections.abc import Container, Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from unlabeled.platform.data.contents import Contents, checksum
from unlabeled.platform.data.digests import file_digests, shown, unreadable
from unlabeled.platform.data.images import FileImages
from unlabeled.platform.data.listing import existing_folder, path_of
from unlabeled.platform.data.pictures import check_picture
from unlabeled.platform.data.readers.lists import existing, names_in
from unlabeled.platform.data.readers.marked import Boxed, Boxes, FileMasks, boxes_square
from unlabeled.platform.data.source import Joined
from unlabeled.platform.data.told import Classes
from unlabeled.platform.errors import UserError

PREFIX = "voc:"
PX = 224
CLASSES = (
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)
_SHAPE = "PATH is a year's folder, such as VOCdevkit/VOC2012, with JPEGImages, Annotations and ImageSets"
_LARGEST_XML = 2**20


def read_voc(name: str, root: Path, image_px: int | None) -> Contents:
    """Read lists and annotations; no picture is decoded yet.

    Raises:
        UserError: something is missing or damaged; it is named.
    """
    place, px = existing_folder(name, root), image_px or PX
    for path in ("JPEGImages", "Annotations", "ImageSets/Main"):
        existing(place, path, _SHAPE)
    names = _splits(place)
    files = [f"JPEGImages/{each}.jpg" for split in names.values() for each in split]
    told = [
        path
        for split in names.values()
        for each in split
        for path in (f"Annotations/{each}.xml", f"SegmentationClass/{each}.png")
        if (place / path).is_file()
    ]
    digests = file_digests(place, files + told, _check)
    masked = set(_listed(place, "Segmentation", ("train", "val", "trainval", "test")))
    boxes = {each: _boxes(place / f"Annotations/{each}.xml", px) for chosen in names.values() for each in chosen}
    most = max(1, *(len(found) for found in boxes.values() if found is not None))  # the same for every split
    splits = {
        split: Joined(
            FileImages(place / "JPEGImages", [f"{each}.jpg" for each in chosen], px),
            Boxed([boxes[each] for each in chosen], CLASSES, most),
            _masks(place, chosen, masked, px),
            _largest([boxes[each] for each in chosen]),
        )
        for split, chosen in names.items()
    }
    return Contents.of_splits(splits, checksum([(path, "") for path in files + told], digests))


def fetch_voc(name: str, root: Path) -> str:
    """Refuse: the challenge's pictures are had from its own site."""
    raise UserError(
        f"get VOC from host.robots.ox.ac.uk/pascal/VOC and unpack it, so that {path_of(name, root)} has JPEGImages, "
        "Annotations and ImageSets"
    )


def _splits(place: Path) -> dict[str, list[str]]:
    """Return the names of each split's pictures; no picture is in two of them."""
    parts = ("train", "val", "test")
    found = {part: [*_listed(place, "Main", (part,)), *_listed(place, "Segmentation", (part,))] for part in parts}
    if not found["train"] or not found["val"]:
        raise UserError(f"there is no ImageSets/Main/train.txt or val.txt in {shown(place)}; {_SHAPE}")
    is_told = bool(found["test"]) and all((place / f"Annotations/{each}.xml").is_file() for each in found["test"])
    order = {"test": "test", "validation": "val", "train": "train"} if is_told else {"test": "val", "train": "train"}
    taken: set[str] = set()
    splits = {}
    for split, part in order.items():  # what is tested is in no other split, whichever list names it too
        splits[split] = sorted(set(found[part]) - taken)
        taken.update(splits[split])
    return splits


def _listed(place: Path, task: str, parts: tuple[str, ...]) -> list[str]:
    return [each for part in parts for each in names_in(place, f"ImageSets/{task}/{part}.txt") or ()]


def _masks(place: Path, names: Sequence[str], masked: Container[str], px: int) -> FileMasks:
    files = [
        [f"{each}.png"] if each in masked and (place / f"SegmentationClass/{each}.png").is_file() else []
        for each in names
    ]
    return FileMasks(place / "SegmentationClass", files, px, ("background", *CLASSES))


def _largest(boxes: Sequence[Boxes | None]) -> Classes:
    """Return the class of each picture's largest thing; none where it has no thing, or nothing is told."""
    known = [each is not None and len(each) > 0 for each in boxes]
    numbers = [
        int(each[((each[:, 2] - each[:, 0]) * (each[:, 3] - each[:, 1])).argmax(), 4])
        if each is not None and len(each)
        else 0
        for each in boxes
    ]
    return Classes(numbers, CLASSES, known=known)


def _boxes(file: Path, px: int) -> Boxes | None:
    """Return the boxes in an annotation as they lie in the square, float32 [K, 5]; None where there is no annotation.

    Raises:
        UserError: it can't be read, or says something else.
    """
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unreadable(file, error) from error
    try:
        if len(content) > _LARGEST_XML or b"<!" in content.replace(b"<!--", b""):
            raise ValueError("it is very long, or declares types or entities, as no annotation does")
        tree = ElementTree.fromstring(content)
        width, height = (int(float(_text(tree, f"size/{side}"))) for side in ("width", "height"))
        if min(width, height) < 1:
            raise ValueError(f"its picture is {width} x {height} pixels")
        found = []
        for thing in tree.findall("object"):
            if (thing.findtext("difficult") or "0").strip() == "1":
                continue
            class_name = _text(thing, "name").strip()
            if class_name not in CLASSES:
                raise ValueError(f"it has a {class_name[:40]}, which is none of VOC's classes")
            edges = [float(_text(thing, f"bndbox/{side}")) for side in ("xmin", "ymin", "xmax", "ymax")]
            # Pixels are counted from 1, and the last is within the box.
            found.append([edges[0] - 1, edges[1] - 1, edges[2], edges[3], CLASSES.index(class_name)])
    except (ElementTree.ParseError, ValueError) as error:
        raise UserError(
            f"can't read the annotation {shown(file)}: {error}; get it again, or take it and its picture out"
        ) from error
    return boxes_square(np.array(found, np.float32).reshape(-1, 5), width, height, px)


def _text(tree: ElementTree.Element, path: str) -> str:
    found = tree.findtext(path)
    if found is None:
        raise ValueError(f"it has no {path}")
    return found


def _check(path: Path, content: bytes) -> None:
    if path.suffix != ".xml":
        check_picture(path, content)
