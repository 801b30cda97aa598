"""The bases of a study: what its rows were made from. Runs of one base may be compared, and have a page of their own.

Running a study with other settings (``--set epochs=16``, another profile) gives runs of another base in the same
experiment. Which one is meant, which runs are its, and what tells bases apart for people is decided here.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from unlabeled.dashboards import sections
from unlabeled.dashboards.counted import counted, parameters
from unlabeled.dashboards.wording import count, plain
from unlabeled.platform.errors import UserError

MOST_TOLD = 3  # settings by which a base is called
_DIGITS = 8


@dataclass(frozen=True)
class Base:
    """A base that a study has runs of.

    Attributes:
        digest: its identity, as runs are tagged with.
        settings: path -> value of what tells it from the study's other bases; nothing where there is one.
        num_runs: how many runs were begun.
        num_finished: how many of those count: finished ones, one per row and seed.
        dates: when its runs were started.
    """

    digest: str
    settings: dict[str, str]
    num_runs: int
    num_finished: int
    dates: str

    @property
    def place(self) -> str:
        """The name of its folder, by which ``--base`` takes it, too."""
        return place_of(self.digest)

    @property
    def words(self) -> str:
        """What tells it from the others."""
        told = [f"{sections.field_name(path)} {value}" for path, value in self.settings.items()]
        more = [f"{len(told) - MOST_TOLD} more"] if len(told) > MOST_TOLD else []
        return ", ".join([*told[:MOST_TOLD], *more]) or f"base {self.place}"

    @property
    def summary(self) -> str:
        """The same, with how far it is and from when."""
        return f"{self.words}: {self.num_finished} of {count(self.num_runs, 'run')} finished, {self.dates}"


def bases_of(table: pd.DataFrame) -> list[Base]:
    """List the bases of all runs of a study, the one whose run was begun last first.

    Args:
        table: every run, the oldest first, as :func:`unlabeled.platform.track.frame` gives them.
    """
    if table.empty:
        return []
    of_each = {digest: runs_of(table, digest) for digest in _digests(table)}
    told = _told(of_each)
    return [
        Base(digest, told[digest], len(runs), len(counted(runs)), sections.dates(runs))
        for digest, runs in of_each.items()
    ]


def find_base(table: pd.DataFrame, base: str = "") -> str:
    """Return the digest of the base that is meant: the newest where none is named.

    Args:
        table: every run, the oldest first.
        base: the beginning of its digest, or the name of its folder.

    Raises:
        UserError: there is none, or there are several.
    """
    digests = _digests(table)
    if not base:
        return digests[0]
    found = matching(digests, base)
    if len(found) != 1:
        raise not_one(table["study"].iloc[-1], bases_of(table), base, len(found))
    return found[0]


def matching(digests: Iterable[str], base: str) -> list[str]:
    """Return the digests that may be meant: that begin so, or whose folder is called so; a whole one alone."""
    found = [digest for digest in digests if digest.startswith(base) or place_of(digest) == base]
    return [base] if base in found else found


def not_one(study: str, listed: Iterable[Base], base: str, found: int) -> UserError:
    """Return what is said where ``base`` means none of a study's bases, or several."""
    words = ", ".join(f"{one.digest} ({one.words})" for one in listed)
    many = f"begins like {found} of them" if found else "is none of them"
    return UserError(f"{study!r} was run around the bases {words}, the newest first; {base!r} {many}")


def runs_of(table: pd.DataFrame, digest: str, rows: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Return the runs of a base that differ by row and seed alone: of each row those that are as its newest run is.

    Of ``rows``, row -> what tells its settings apart, it is those that have these.
    """
    runs = table[table["base"] == digest]
    newest = runs.groupby("row", sort=False)["row_digest"].transform("last")
    wanted = [(rows or {}).get(row, last) for row, last in zip(runs["row"], newest, strict=True)]
    return runs[runs["row_digest"] == wanted].reset_index(drop=True).dropna(axis="columns", how="all")


def place_of(digest: str) -> str:
    """Return the name of a base's folder: its first digits, and nothing that a path could be made from."""
    if not re.fullmatch(rf"[0-9a-f]{{{_DIGITS},64}}", digest):
        digest = hashlib.sha256(digest.encode()).hexdigest()
    return digest[:_DIGITS]


def _digests(table: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys(table["base"].iloc[::-1].astype(str)))


def _told(of_each: dict[str, pd.DataFrame]) -> dict[str, dict[str, str]]:
    """Return, of each base, the settings that all its rows share and another base has otherwise."""
    paths = dict.fromkeys([*sections.SHOWN_SETTINGS, "profile"])
    paths |= dict.fromkeys(path for runs in of_each.values() for path in sorted(parameters(runs)))
    values = {digest: {path: _values(runs, path) for path in paths} for digest, runs in of_each.items()}
    telling = [
        path
        for path in paths
        if all(len(of_base[path]) < 2 for of_base in values.values())
        and len({tuple(of_base[path]) for of_base in values.values()}) > 1
    ]
    return {
        digest: {path: (of_base[path] or ["not logged"])[0] for path in telling} for digest, of_base in values.items()
    }


def _values(runs: pd.DataFrame, path: str) -> list[str]:
    values: list[Any] = runs[path].dropna().unique().tolist() if path in runs else []
    return list(dict.fromkeys(plain(value) for value in values))
