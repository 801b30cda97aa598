"""Where fields are: the dotted paths of a run's settings, in all kinds of what comes in several."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from unlabeled.platform.errors import unknown

ROOT = "RunConfig"


@dataclass(frozen=True)
class Spot:
    """A field by its dotted path, as far as it is one kind's.

    Attributes:
        path: as ``--set`` takes it.
        kind: whose field it is, where several kinds have one of that name; else empty.
        field: what is known of it, see :func:`~unlabeled.platform.cli.described.described`.
    """

    path: str
    kind: str
    field: Mapping[str, Any]

    def record(self) -> dict[str, Any]:
        """Return it for programs."""
        kept = {name: self.field[name] for name in ("type", "rule", "default", "doc")}
        return {"path": self.path, "kind": self.kind, **kept}


def at(settings: Mapping[str, Any], path: str) -> Iterator[Spot]:
    """Give what a dotted path names: a field, in each kind that has it; of a value with fields of its own all of those.

    Raises:
        UserError: no kind has such a field; the nearest one is named.
    """
    here, done = [(ROOT, "")], ""
    parts = [part for part in path.split(".") if not part.isdecimal()]  # a place in a list
    for number, part in enumerate(parts):
        inside = [pair for cls, kind in here for pair in _kinds(settings, cls, kind)]
        if part == "name" and done:
            family = next((settings[cls] for cls, _ in here if "kinds" in settings[cls]), None)
            if family is not None:
                kinds = {"type": " or ".join(family["kinds"]), "rule": "", "default": None, "doc": family["doc"]}
                yield Spot(f"{done}.name", "", {**kinds, "holds": None, "many": False})
                return
        having = [(cls, kind, settings[cls]["fields"][part]) for cls, kind in inside if part in settings[cls]["fields"]]
        if not having:
            names = dict.fromkeys(name for cls, _ in inside for name in settings[cls]["fields"])
            raise unknown(f"field of {done}" if done else "field", part, names)
        done = f"{done}.{part}".removeprefix(".")
        here = list(dict.fromkeys((field["holds"], kind) for _, kind, field in having if field["holds"]))
        if number == len(parts) - 1:
            several = len({repr(field) for *_, field in having}) > 1
            plain = [(kind, field) for _, kind, field in having if not field["holds"]]
            for kind, field in plain if several else plain[:1]:
                yield Spot(done, kind if several else "", field)
            if here:  # of one kind it may be plain, and hold fields of its own of another
                yield Spot(done, "", next(field for *_, field in having if field["holds"]))
            for cls, _ in here:
                yield from below(settings, done, cls, "")


def names_below(settings: Mapping[str, Any], path: str) -> Iterator[Spot]:
    """Give the fields directly in what a path names, of all its kinds; the root's where it is empty."""
    held = {ROOT} if not path else {spot.field["holds"] for spot in at(settings, path) if spot.path == path}
    for cls in held - {None}:
        for inner, kind in _kinds(settings, cls, ""):
            for name, field in settings[inner]["fields"].items():
                yield Spot(f"{path}.{name}".removeprefix("."), kind, field)


def below(settings: Mapping[str, Any], path: str, cls: str, kind: str) -> Iterator[Spot]:
    """Give the fields of a class, or of each kind of a family."""
    for inner, of in _kinds(settings, cls, kind):
        yield from of_class(settings, path, inner, of)


def of_class(settings: Mapping[str, Any], path: str, cls: str, kind: str) -> Iterator[Spot]:
    """Give the fields of one class; those of what it holds of itself are opened up."""
    for name, field in settings[cls]["fields"].items():
        inner = f"{path}.{name}".removeprefix(".")
        holds = field["holds"]
        if holds and not field["many"] and "fields" in settings[holds] and field["default"] == "":
            yield from of_class(settings, inner, holds, kind)  # it is there, and opens
        else:
            yield Spot(inner, kind, field)


def _kinds(settings: Mapping[str, Any], cls: str, kind: str) -> list[tuple[str, str]]:
    kinds = settings[cls].get("kinds")
    return [(cls, kind)] if kinds is None else [(inner, name) for name, inner in kinds.items()]
