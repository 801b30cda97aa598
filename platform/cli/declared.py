"""What a study or a search declares, as a terminal shows it."""

import json
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any, TextIO

import typer

from unlabeled.platform.errors import lookup
from unlabeled.platform.metrics import OURS

_WIDEST = 100  # of a line of text, which reads badly when it is longer


def say_json(value: Any, out: TextIO | None = None) -> None:
    """Print a value for a program."""
    print(json.dumps(value, indent=2, ensure_ascii=False), file=out or sys.stdout)


def say_list(entries: Iterable[tuple[str, str, str]]) -> None:
    """Print names, what each is, and a line more; on a terminal in its width, elsewhere a line each for ``grep``."""
    found = list(entries)
    indent = max((len(name) for name, *_ in found), default=0) + 2
    for name, what, more in found:
        say_beside(name, what, indent)
        if more:
            say_beside("", more, indent)


def say_beside(name: str, words: str, indent: int, color: str | None = None) -> None:
    """Print words beside a name, in color; on a terminal they are broken into lines that all begin at ``indent``."""
    lines = _lines(f"{name:{indent - 1}} ", words, indent)
    if color is not None and lines[0].startswith(name):
        lines[0] = typer.style(name, fg=color) + lines[0][len(name) :]
    print("\n".join(lines))


def say_text(words: str) -> None:
    """Print a paragraph; on a terminal in its width."""
    print(textwrap.fill(words, min(shutil.get_terminal_size().columns, _WIDEST)) if sys.stdout.isatty() else words)


def _lines(head: str, words: str, indent: int) -> list[str]:
    if not sys.stdout.isatty():
        return [(head + words).rstrip()]
    width = min(shutil.get_terminal_size().columns, indent + _WIDEST)
    if width - indent < 24:  # so narrow that the words go below
        return [head.rstrip(), *textwrap.wrap(words, max(width, 20), initial_indent="  ", subsequent_indent="  ")]
    return textwrap.wrap(words, width, initial_indent=head, subsequent_indent=" " * indent, break_on_hyphens=False) or [
        head.rstrip()
    ]


def say_question(one: Mapping[str, Any]) -> None:
    """Print what it asks, where that comes from, what is expected and what it costs."""
    print(f"{one['question']}\n")
    for what in ("source", "expected", "cost"):
        say_beside(what, one[what], 10)


def say_study(study: Mapping[str, Any], profile: str, can: Iterable[str]) -> None:
    """Print a study at a scale, whose name is known, with what its seeds ``can`` show."""
    say_question(study)
    seeds, profiles = (", ".join(map(str, study[name])) for name in ("seeds", "profiles"))
    say_beside("measure", f"{study['measure']}, seeds {seeds}, profiles {profiles}", 10)
    at = study["profiles"][profile]
    width = max(map(len, at["rows"]))
    print("\nrows")
    for row, fields in at["rows"].items():
        print(f"  {row:{width}}  {', '.join(f'{path}={value}' for path, value in fields.items())}")
    print("\nclaims")
    for claim in study["claims"]:
        whose = " Ours." if claim["source"] == OURS else ""
        published = f" Published: {claim['published']}." if claim["published"] else whose
        say_beside(" ", f"{claim['statement']}{published}", 2)
    if sentences := list(can):
        print("\nwhat its seeds can show")
        for sentence in sentences:
            say_beside(" ", sentence, 2)
    _say_base(at["base"], profile, "all but the seed")


def say_search(search: Mapping[str, Any], profile: str) -> None:
    """Print a search at a scale, whose name is known."""
    say_question(search)
    aims = ", ".join(search["objectives"])
    say_beside("objective", f"{aims}; trials {search['trials']}, pruned on {search['prune_on']}", 10)
    further = f"over {search['further_seeds']} further seeds, then test against the base"
    say_beside("winner", f"the best {search['best']} {further}", 10)
    print("\nspace")
    for path, summary in search["space"].items():
        say_beside(f"  {path}", summary, 35)
    print("\nconstraints")
    for sentence in search["constraints"]:
        say_beside(" ", sentence, 2)
    _say_base(search["profiles"][profile]["base"], profile, "what is not searched")


def check_profile(one: Mapping[str, Any], profile: str) -> None:
    """Raise what a declared value would, where it has no such scale."""
    lookup(f"profile of {one['name']}", profile, one["profiles"])


def _say_base(base: Mapping[str, str], profile: str, which: str) -> None:
    """Print the fields of a base run as ``--set`` takes them."""
    print(f"\nbase run, profile {profile}; {which} can be changed with --set PATH=VALUE")
    for path, text in base.items():
        print(f"  {path:32} {text}")


def as_set(value: Any, otherwise: Any = None) -> str:
    """Write a value as ``--set`` takes it, or ``otherwise`` where that is too long to read."""
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value)
    except TypeError:
        return str(value if otherwise is None else otherwise)
