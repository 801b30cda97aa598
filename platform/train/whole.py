"""A file or folder for a person: it appears when it is whole, and takes the place of nothing."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from unlabeled.platform.errors import UserError


def check_free(out: Path) -> None:
    """Raise UserError where something is there already."""
    if out.exists():
        raise UserError(f"{out} is there already; give another place with --out")


@contextlib.contextmanager
def whole(out: Path) -> Iterator[Path]:
    """Give a path of the same name to write to, which is moved to ``out`` at the end; of a failure nothing is left.

    Raises:
        UserError: there is something, from the beginning or meanwhile, or it can't be written.
    """
    check_free(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.absolute().parent, prefix=f".{out.name}-") as beside:
            yield Path(beside) / out.name
            check_free(out)
            (Path(beside) / out.name).rename(out)
    except OSError as error:
        raise UserError(f"{out} can't be written ({error.strerror or error}); give another place with --out") from None
