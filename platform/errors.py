"""Mistakes that a user can mend, said in one line: the rule, the value received, what is allowed, the remedy."""

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeVar

from unlabeled.platform.addresses import scrub

Value = TypeVar("Value")


class UserError(Exception):
    """A user's mistake. The command line prints its one line and exits with 2, without a traceback.

    Of addresses in it, users and passwords are left out, whoever's words they stand in.
    """

    def __init__(self, message: str) -> None:
        super().__init__(scrub(message))


def unknown(what: str, name: str, known: Iterable[str]) -> UserError:
    """Make the error for a name that is none of ``known``: the nearest one first, then all of them.

    >>> print(unknown("study", "projection-haed", ["temperature", "projection-head"]))
    no study is called 'projection-haed'; did you mean 'projection-head'? There are: projection-head, temperature
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return UserError(f"no {what} is called {name!r}; {hint}There are: {', '.join(names) or 'none'}")


def lookup(what: str, name: str, known: Mapping[str, Value]) -> Value:
    """Return what is called so.

    Raises:
        UserError: nothing is, see :func:`unknown`.
    """
    if name not in known:
        raise unknown(what, name, known)
    return known[name]
