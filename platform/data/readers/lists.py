"""Lists of names in text files, as VOC and DAVIS have them; no name leads out of the data set's folder."""

from pathlib import Path

from unlabeled.platform.data.digests import shown, unreadable
from unlabeled.platform.errors import UserError


def names_in(place: Path, path: str) -> list[str] | None:
    """Return the first word of each line of a list; None where there is no such list.

    Raises:
        UserError: it can't be read, is empty, or has a name that is no plain name.
    """
    file = place / path
    try:
        lines = file.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unreadable(file, error) from error
    names = list(dict.fromkeys(line.split()[0] for line in lines if line.strip()))
    for name in names:
        if "/" in name or "\\" in name or name.startswith("."):
            raise UserError(f"{shown(file)} names {shown(name)}, which is no plain name; mend that line")
    if not names:
        raise UserError(f"{shown(file)} names nothing; get it again, or take it out")
    return names


def existing(place: Path, path: str, shape: str) -> Path:
    """Return a file or folder that has to be there.

    Raises:
        UserError: it is not; the line says which shape was expected.
    """
    if not (place / path).exists():
        raise UserError(f"there is no {path} in {shown(place)}; {shape}")
    return place / path
