"""What a driver hands to another process: a value, and where the code of its classes lies if that is a user's own.

A study's file may declare a method, or import the module beside it that does. Python finds such a module by the folder,
which no process of a cluster knows of itself.
"""

import base64
import pickle
import sys
import zlib
from pathlib import Path
from typing import Any

_folders: list[str] = []  # of a user's own code, the last one first


def use_folder(folder: Path) -> None:
    """Import modules from this folder before others, here as with a script, and wherever a parcel is opened."""
    place = str(folder.absolute())
    for known in (_folders, sys.path):
        if place not in known:
            known.insert(0, place)


def packed(value: Any) -> str:
    """Return the value as a short text."""
    words = zlib.compress(pickle.dumps((_folders, pickle.dumps(value))))
    return base64.b64encode(words).decode("ascii")


def unpacked(text: str) -> Any:
    """Return the value that was :func:`packed`, by this project and none else: it may name any code."""
    folders, value = pickle.loads(zlib.decompress(base64.b64decode(text)))
    for folder in reversed(folders):
        use_folder(Path(folder))
    return pickle.loads(value)
