"""A user's own pictures, as ``folder:PATH``; :mod:`unlabeled.platform.data.listing` says what may lie where."""

from pathlib import Path

from unlabeled.platform.data.contents import Contents, checksum
from unlabeled.platform.data.images import FileImages
from unlabeled.platform.data.listing import listed, path_of
from unlabeled.platform.data.measured import sized_digests
from unlabeled.platform.data.source import Joined
from unlabeled.platform.data.told import Classes
from unlabeled.platform.data.windows import WINDOWED
from unlabeled.platform.errors import UserError

PREFIX = "folder:"
FOLDER_PX = 224  # pictures of many sizes become squares of ImageNet's usual size
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm")


def read_folder(name: str, root: Path, image_px: int | None) -> Contents:
    """List a folder's pictures and their classes; nothing is decoded yet.

    Raises:
        UserError: the folder is missing or has no pictures, or its shape is none that may be.
    """
    listing = listed(name, root, "pictures", SUFFIXES)
    digests, sizes = sized_digests(listing.place, [path for path, _ in listing.labelled])
    splits, done = {}, 0
    for split in listing.splits:
        paths, numbers = zip(*listing.numbered(split), strict=True)
        images = FileImages(listing.place, paths, image_px or FOLDER_PX, sizes[done : done + len(paths)])
        splits[split] = Joined(images, Classes(numbers, listing.names)) if listing.classes else Joined(images)
        done += len(paths)
    return Contents.of_splits(splits, checksum(listing.labelled, digests, WINDOWED))


def fetch_folder(name: str, root: Path) -> str:
    """Refuse: a user's own pictures come from nowhere else."""
    raise UserError(f"your own pictures are not downloaded; put them into {path_of(name, root)}")
