"""A home that was moved, renamed or copied: its store names the artifacts by the place where the home was before.

MLflow keeps absolute addresses: of each experiment's artifacts, ``file:///HOME/artifacts/STUDY``, and of each run's.
Here the store of a home has its artifacts in that home and nowhere else, so what we read and write is found from the
home as it is now (:func:`resolved`). For MLflow's own UI and client the addresses in the store are mended too, when the
home is opened (:func:`mend`); a home that can't be written is read all the same.
"""

import contextlib
import os
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.request import url2pathname

_EXPERIMENT = re.compile(r"file://(?P<home>/.*)/artifacts/[^/]+")
_RUN = re.compile(r"file://(?P<home>/.*)(?P<rest>/artifacts/[^/]+/[^/]+/artifacts)")
_ADDRESSES = (  # of files in MLflow's tables; not every version has them all
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
    ("trace_tags", "value"),
)
_OURS = """
    SELECT DISTINCT artifact_location FROM experiments JOIN experiment_tags USING (experiment_id)
    WHERE key = 'unlabeled.ledger'
"""


def resolved(address: str, home: Path) -> str:
    """Return a run's artifact address in the home as it is now.

    >>> resolved("file:///before/artifacts/heads/4f1c/artifacts", Path("/after"))
    'file:///after/artifacts/heads/4f1c/artifacts'
    """
    matched = _RUN.fullmatch(address)
    return f"{home.absolute().as_uri()}{matched['rest']}" if matched else address


def mend(database: Path, home: Path) -> None:
    """Let a home's store name the artifacts where they are: all of it or nothing, once if several do it at once.

    Nothing is done where the home has no artifacts, nor where another name of the same folder stands there. What can't
    be written stays as it is.
    """
    if not (home / "artifacts").is_dir():
        return
    with contextlib.suppress(sqlite3.Error), _opened(database) as store:
        if not _stale(store, home):
            return
        store.execute("BEGIN IMMEDIATE")
        for old in _stale(store, home):  # another command may have been quicker
            _replace(store, f"{old}/artifacts/", f"{home.absolute().as_uri()}/artifacts/")
        store.execute("COMMIT")


@contextlib.contextmanager
def _opened(database: Path) -> Iterator[sqlite3.Connection]:
    store = sqlite3.connect(f"{database.absolute().as_uri()}?mode=rw", uri=True, timeout=30, isolation_level=None)
    try:
        yield store
    finally:
        store.close()  # what is not committed is undone


def _stale(store: sqlite3.Connection, home: Path) -> list[str]:
    """Return the addresses of homes that the store names and that are not this home."""
    found = (_EXPERIMENT.fullmatch(address) for (address,) in store.execute(_OURS) if address)
    olds = {matched["home"] for matched in found if matched}
    return sorted(f"file://{old}" for old in olds if not _is_same(Path(url2pathname(old)), home))


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one == other.absolute() or os.path.samefile(one, other)
    except OSError:  # there is nothing any more
        return False


def _replace(store: sqlite3.Connection, old: str, new: str) -> None:
    done = new if new.startswith(old) else None  # a home that was moved into its own artifacts
    for table, column in _ADDRESSES:
        if column in {row[1] for row in store.execute(f"PRAGMA table_info({table})")}:
            store.execute(
                f"UPDATE {table} SET {column} = :new || substr({column}, length(:old) + 1) "
                f"WHERE substr({column}, 1, length(:old)) = :old "
                f"AND (:done IS NULL OR substr({column}, 1, length(:done)) != :done)",
                {"old": old, "new": new, "done": done},
            )
