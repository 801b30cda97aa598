"""PASCAL VOC in a folder, as ``voc:PATH``: pictures, and what is in them: boxes, masks, a class.

    PATH/JPEGImages/*.jpg  Annotations/*.xml  SegmentationClass/*.png  ImageSets/{Main,Segmentation}/*.txt

Everingham, Van Gool, Williams, Winn, Zisserman (2010), The PASCAL Visual Object Classes (VOC) Challenge. PATH is the
folder of a year, such as ``VOCdevkit/VOC2012``.

Read whole, pictures are their centre square, resized to ``data.image_px`` (224); boxes and masks are moved with them,
and a box outside it is gone. Windows are of all of a picture, and of what lies in it. Objects that the annotators
called difficult are left out. The challenge's scores do not ask for them either, but there to find one is no mistake,
and here it is. Of a picture's objects the largest in the square is its ``class``. A mask is known only of the pictures
in ``ImageSets/Segmentation``; 255, the seam around things, stays 255. Where the test pictures' annotations are there
(2007), ``val`` is for validation and ``test`` for testing; elsewhere ``val`` is for testing, as in the literature.
"""

from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import torch
from torch import Tensor

from unlabeled.platform.data.contents import Contents, checksum
from unlabeled.platform.data.digests import shown, unreadable
from unlabeled.platform.data.images import FileImages
from unlabeled.platform.data.listing import existing_folder, path_of
from unlabeled.platform.data.measured import sized_digests
from unlabeled.platform.data.readers.lists import existing, names_in
from unlabeled.platform.data.readers.marked import Boxed, Boxes, FileMasks
from unlabeled.platform.data.source import Joined
from unlabeled.platform.data.told import Classes
from unlabeled.platform.data.windows import WINDOWED
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
    masked = set(_listed(place, "Segmentation", ("train", "val", "trainval", "test")))
    listed = {  # by the lists that it is in, which decide what is learned from as much as its contents do
        f"JPEGImages/{each}.jpg": f"{split}, masked" if each in masked else split
        for split, chosen in names.items()
        for each in chosen
    }
    told = [
        path
        for split in names.values()
        for each in split
        for path in (f"Annotations/{each}.xml", f"SegmentationClass/{each}.png")
        if (place / path).is_file()
    ]
    files = [*listed, *told]
    digests, measured = sized_digests(place, files, other=".xml")
    sizes = dict(zip(files, measured, strict=True))
    boxes = {each: _boxes(place / f"Annotations/{each}.xml") for chosen in names.values() for each in chosen}
    most = max([1, *(len(found) for found in boxes.values() if found is not None)])  # the same for every split
    splits = {}
    for split, chosen in names.items():
        of_pictures = torch.stack([sizes[f"JPEGImages/{each}.jpg"] for each in chosen])
        boxed = Boxed([boxes[each] for each in chosen], of_pictures, px, CLASSES, most)
        splits[split] = Joined(
            FileImages(place / "JPEGImages", [f"{each}.jpg" for each in chosen], px, of_pictures),
            boxed,
            _masks(place, chosen, masked, px, sizes),
            _largest(boxed),
        )
    return Contents.of_splits(splits, checksum([(path, listed.get(path, "")) for path in files], digests, WINDOWED))


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


def _masks(
    place: Path, names: Sequence[str], masked: Container[str], px: int, sizes: Mapping[str, Tensor]
) -> FileMasks:
    files = [
        [f"{each}.png"] if each in masked and (place / f"SegmentationClass/{each}.png").is_file() else []
        for each in names
    ]
    for each in files:
        for file in each:
            mask, picture = (tuple(sizes[path].tolist()) for path in (f"SegmentationClass/{file}", _picture_of(file)))
            if mask != picture:
                raise UserError(
                    f"the mask {shown(place / 'SegmentationClass' / file)} is {mask[1]} x {mask[0]} pixels and its "
                    f"picture {picture[1]} x {picture[0]}; get them again, or take the mask out"
                )
    return FileMasks(place / "SegmentationClass", files, px, ("background", *CLASSES))


def _picture_of(mask: str) -> str:
    return f"JPEGImages/{mask.removesuffix('.png')}.jpg"


def _largest(boxed: Boxed) -> Classes:
    """Return the class of each square's largest thing; none where it has no thing, or nothing is told."""
    left, top, right, bottom, number = boxed.tensor(boxed.rows, "boxes").unbind(-1)
    areas = ((right - left) * (bottom - top)).nan_to_num(-1.0)
    area, place = areas.max(dim=1)
    numbers = number.gather(1, place[:, None])[:, 0].nan_to_num(0.0).long()
    return Classes(numbers, CLASSES, known=area > 0)


def _boxes(file: Path) -> Boxes | None:
    """Return the boxes in an annotation in pixels of the picture, float32 [K, 5]; None where there is no annotation.

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
    return np.array(found, np.float32).reshape(-1, 5)


def _text(tree: ElementTree.Element, path: str) -> str:
    found = tree.findtext(path)
    if found is None:
        raise ValueError(f"it has no {path}")
    return found
