"""What a study or a search declares, as a terminal shows it."""

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unlabeled.platform.config import RunConfig
    from unlabeled.platform.search import Search
    from unlabeled.platform.study import Study


def say_questions(declared: "Mapping[str, Study] | Mapping[str, Search]") -> None:
    """Print the names, and what each asks."""
    for name, one in declared.items():
        print(f"{name:24} {one.question}")


def say_question(one: "Study | Search") -> None:
    """Print what it asks, where that comes from, what is expected and what it costs."""
    print(f"{one.question}\n\nsource    {one.source}\nexpected  {one.expected}\ncost      {one.cost}")


def say_base(base: "RunConfig", profile: str, which: str, elsewhere: Iterable[str]) -> None:
    """Print the fields of a base run as ``--set`` takes them, except those that are set ``elsewhere``, and their parts.

    Args:
        base: the run.
        profile: its scale.
        which: which fields can be changed, in words.
        elsewhere: dotted paths.
    """
    print(f"\nbase run, profile {profile}; {which} can be changed with --set PATH=VALUE")
    own, whole = tuple(elsewhere), base.parameters()
    for path, value in base.flat().items():
        if not any(path == other or path.startswith(f"{other}.") for other in own):
            print(f"  {path:32} {as_set(value, otherwise=whole[path])}")


def as_set(value: Any, otherwise: Any = None) -> str:
    """Write a value as ``--set`` takes it, or ``otherwise`` where that is too long to read."""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value)
    except TypeError:
        return str(value if otherwise is None else otherwise)
