"""Mistakes that a user can mend, said in one line: the rule, the value received, what is allowed, the remedy."""

import difflib
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, TypeVar

from unlabeled.platform.addresses import scrub

if TYPE_CHECKING:  # it takes a moment to import
    from pydantic import ValidationError

Value = TypeVar("Value")


_RULES = {"tuple_type": "a list is needed, such as [512, 128] or 512,128"}  # where pydantic's words are of Python


class UserError(Exception):
    """A user's mistake. The command line prints its one line and exits with 2, without a traceback.

    Of addresses in it, users and passwords are left out, whoever's words they stand in.
    """

    def __init__(self, message: str) -> None:
        super().__init__(scrub(message))


def lacking(error: ModuleNotFoundError) -> str:
    """Say in a line what this Python lacks; one of our own modules is no user's mistake, and raised again."""
    if error.name is None or error.name.partition(".")[0] == "unlabeled":
        raise error
    return (
        f"unlabeled: {sys.executable} has no module {error.name!r}; install what pyproject.toml lists as dependencies, "
        "and on a cluster's nodes ray[default], into that Python"
    )


def unknown(what: str, name: str, known: Iterable[str]) -> UserError:
    """Make the error for a name that is none of ``known``: the nearest one first, then all of them.

    >>> print(unknown("study", "projection-haed", ["temperature", "projection-head"]))
    no study is called 'projection-haed'; did you mean 'projection-head'? There are: projection-head, temperature
    >>> print(unknown("field", "lr", ["learning_rate", "momentum"]))
    no field is called 'lr'; did you mean 'learning_rate'? There are: learning_rate, momentum
    """
    names = sorted(known)
    short = [long for long in names if len(parts := long.split("_")) > 1 and name == "".join(p[:1] for p in parts)]
    near = short or difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? There" if near else "there"
    return UserError(f"no {what} is called {name!r}; {hint} are: {', '.join(names) or 'none'}")


def lookup(what: str, name: str, known: Mapping[str, Value]) -> Value:
    """Return what is called so.

    Raises:
        UserError: nothing is, see :func:`unknown`.
    """
    if name not in known:
        raise unknown(what, name, known)
    return known[name]


def explain(error: "ValidationError", above: str = "") -> str:
    """Turn pydantic's report into one line: each wrong field, its rule and the value it got.

    ``above`` is put before each field's path.
    """
    lines = []
    for wrong in error.errors():
        where = ".".join(str(part) for part in wrong["loc"])
        where = f"{above}{where}" if where else above.removesuffix(".")
        if wrong["type"] == "extra_forbidden":
            lines.append(f"there is no field {where!r} in {error.title}")
        elif wrong["type"] == "missing":
            lines.append(f"{where}: a value is needed")
        else:
            rule = _RULES.get(wrong["type"], wrong["msg"].removeprefix("Value error, "))
            got = f", got {wrong['input']!r}"
            if (
                not wrong["loc"]
                or isinstance(wrong["input"], dict)
                or hasattr(type(wrong["input"]), "model_fields")
                or repr(wrong["input"]) in rule
            ):
                got = ""
            lines.append(f"{where + ': ' if where else ''}{rule}{got}")
    return "; ".join(lines)
