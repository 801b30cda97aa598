"""What a shell offers on Tab: names of what is declared, and paths of fields with their values."""

from collections.abc import Container, Iterator
from typing import Any

import typer

from unlabeled.platform.cli.index import index
from unlabeled.platform.cli.spots import at, names_below
from unlabeled.platform.errors import UserError

Offer = tuple[str, str]  # what would be typed, and what it is


def studies(incomplete: str) -> list[Offer]:
    """Offer studies."""
    return _of("studies", "question", incomplete)


def searches(incomplete: str) -> list[Offer]:
    """Offer searches."""
    return _of("searches", "question", incomplete)


def methods(incomplete: str) -> list[Offer]:
    """Offer methods."""
    return _of("methods", "paper", incomplete)


def data_sets(incomplete: str) -> list[Offer]:
    """Offer data sets."""
    return _of("data", "description", incomplete)


def policies(incomplete: str) -> list[Offer]:
    """Offer augmentation policies."""
    return _starting(index()["policies"].items(), incomplete)


def reported(incomplete: str) -> list[Offer]:
    """Offer what may have a report."""
    return [*studies(incomplete), *searches(incomplete), *_starting([("runs", "single runs")], incomplete)]


def profiles(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """Offer the scales of the study or search that is typed before; of all where none is."""
    every = {**index()["studies"], **index()["searches"]}
    name = _typed(ctx, "name", every)
    of = list(every.values()) if name is None else [every[name]]
    return _starting(((profile, "") for profile in dict.fromkeys(p for one in of for p in one["profiles"])), incomplete)


def rows(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """Offer the rows of the study that is typed before."""
    studies = index()["studies"]
    name = _typed(ctx, "name", studies)
    known = {} if name is None else studies[name]["profiles"]["laptop"]["rows"]
    told = ((row, ", ".join(f"{path}={value}" for path, value in fields.items())) for row, fields in known.items())
    return _starting(told, incomplete)


def paths(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """Offer fields of a run by their dotted paths, one level at a time."""
    return [(offer.removesuffix("="), words) for offer, words in _fields(ctx, incomplete)]


def changes(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """Offer PATH=, and behind the sign the values where there are few."""
    path, equals, start = incomplete.partition("=")
    if not equals:
        return list(_fields(ctx, incomplete))
    return [(f"{path}={value}", words) for value, words in _values(path, start)]


def _fields(ctx: typer.Context, incomplete: str) -> Iterator[Offer]:
    settings = index()["settings"]
    above, _, start = incomplete.rpartition(".")
    method = _typed(ctx, "method", index()["methods"])
    seen: set[str] = set()
    try:
        spots = list(names_below(settings, above))
    except UserError:
        return
    for spot in spots:
        name = spot.path.rpartition(".")[2]
        if not name.startswith(start) or name in seen or (above == "method" and method and spot.kind != method):
            continue
        seen.add(name)
        holds = spot.field["holds"]
        opens = bool(holds) and not spot.field["many"] and spot.field["default"] != "null"
        yield f"{spot.path}{'.' if opens else '='}", spot.field["doc"]
    is_family = any("kinds" in settings[spot.field["holds"]] for spot in _at(above) if spot.field["holds"])
    if is_family and "name".startswith(start):
        yield f"{above}.name=", "which kind it is"


def _typed(ctx: typer.Context, what: str, known: Container[str]) -> str | None:
    """Return the name that is typed already; behind an option without its value it is not parsed yet."""
    words = [ctx.params.get(what), *ctx.args]
    return next((word for word in words if word is not None and word in known), None)


def _values(path: str, start: str) -> list[Offer]:
    if path in ("data", "data.name"):
        return data_sets(start)
    if path in ("method", "method.name"):
        return methods(start)
    if path.rpartition(".")[2] in ("views", "policy"):
        return policies(start)
    words = " or ".join(spot.field["type"] for spot in _at(path) if spot.path == path or not spot.field["holds"])
    plain = ("whole number", "number", "text", "list of", "[", "{", "anything")
    known = dict.fromkeys(word for word in words.split(" or ") if word and not word.startswith(plain))
    return _starting(((word, "") for word in known if word[:1].islower()), start)


def _at(path: str) -> list[Any]:
    try:
        return list(at(index()["settings"], path)) if path else []
    except UserError:
        return []


def _of(kind: str, words: str, incomplete: str) -> list[Offer]:
    return _starting(((name, one[words]) for name, one in index()[kind].items()), incomplete)


def _starting(offers: Any, incomplete: str) -> list[Offer]:
    return [(name, words) for name, words in offers if name.startswith(incomplete)]
