"""``unlabeled fields`` and ``unlabeled methods``: what can be set, with defaults, ranges and words."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from unlabeled.platform.cli.declared import say_beside, say_json, say_text
from unlabeled.platform.cli.index import index
from unlabeled.platform.cli.options import Json
from unlabeled.platform.errors import lookup, unknown

ROOT = "RunConfig"
_INDENT = 34


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


def fields(
    path: Annotated[
        str, typer.Argument(help="A field, such as optimizer or data.image_px.", show_default="all of a run's")
    ] = "",
    json_: Json = False,
) -> None:
    """Say what can be set with --set: fields with type, range, default and meaning."""
    settings = index()["settings"]
    spots = list(at(settings, path)) if path else list(_below(settings, "", ROOT, ""))
    if json_:
        say_json([spot.record() for spot in spots])
        return
    _say(settings, spots)
    if not path:
        print("\n`unlabeled fields optimizer` lists the kinds of one, and the fields of each")


def methods(
    name: Annotated[
        str | None, typer.Argument(help="Of this one its words and its fields.", show_default="all")
    ] = None,
    json_: Json = False,
) -> None:
    """List the methods with family, cost and paper; of one, what it is and what can be set.

    The cost is that of a training step beside its encoder's alone on each item, counted of the method's own example.
    """
    known = index()["methods"]
    if name is None:
        if json_:
            say_json(
                [{"name": each, **{f: m[f] for f in ("family", "cost", "paper", "idea")}} for each, m in known.items()]
            )
            return
        width = max(map(len, known))
        print(f"{'method':{width}} {'family':15} {'cost':>5}  paper")
        for each, method in known.items():
            say_beside(f"{each:{width}} {method['family']:15} {_cost(method):>5}", method["paper"], width + 24)
        return
    method, settings = lookup("method", name, known), index()["settings"]
    spots = list(_of_class(settings, "method", method["settings"], ""))
    if json_:
        say_json({"name": name, **method, "fields": [spot.record() for spot in spots]})
        return
    for words in (method["idea"], *method["said"]):
        say_text(words.replace("``", "`"))
        print()
    print(f"family {method['family']}, cost {_cost(method)} times its encoder's; set with --set method.FIELD=VALUE\n")
    _say(settings, spots)


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
            if not here:
                for _, kind, field in having if several else having[:1]:
                    yield Spot(done, kind if several else "", field)
                return
            yield Spot(done, "", having[0][2])
            for cls, _ in here:
                yield from _below(settings, done, cls, "")


def names_below(settings: Mapping[str, Any], path: str) -> Iterator[Spot]:
    """Give the fields directly in what a path names, of all its kinds; the root's where it is empty."""
    held = {ROOT} if not path else {spot.field["holds"] for spot in at(settings, path) if spot.path == path}
    for cls in held - {None}:
        for inner, kind in _kinds(settings, cls, ""):
            for name, field in settings[inner]["fields"].items():
                yield Spot(f"{path}.{name}".removeprefix("."), kind, field)


def _below(settings: Mapping[str, Any], path: str, cls: str, kind: str) -> Iterator[Spot]:
    """Give the fields of a class, or of each kind of a family."""
    for inner, of in _kinds(settings, cls, kind):
        yield from _of_class(settings, path, inner, of)


def _of_class(settings: Mapping[str, Any], path: str, cls: str, kind: str) -> Iterator[Spot]:
    for name, field in settings[cls]["fields"].items():
        inner = f"{path}.{name}".removeprefix(".")
        holds = field["holds"]
        if holds and not field["many"] and "fields" in settings[holds] and field["default"] == "":
            yield from _of_class(settings, inner, holds, kind)  # it is there, and opens
        else:
            yield Spot(inner, kind, field)


def _kinds(settings: Mapping[str, Any], cls: str, kind: str) -> list[tuple[str, str]]:
    kinds = settings[cls].get("kinds")
    return [(cls, kind)] if kinds is None else [(inner, name) for name, inner in kinds.items()]


def _say(settings: Mapping[str, Any], spots: Iterable[Spot]) -> None:
    """Print fields; what several kinds have alike once, with the default of each."""
    alike: dict[tuple[str, ...], list[Spot]] = {}
    for spot in spots:
        alike.setdefault((spot.path, *(str(spot.field[name]) for name in ("type", "rule", "doc"))), []).append(spot)
    every = {spot.kind for same in alike.values() for spot in same} - {""}
    for (path, *_), same in alike.items():
        field, kinds = same[0].field, dict.fromkeys(spot.kind for spot in same if spot.kind)
        family = settings[field["holds"]].get("kinds") if field["holds"] else None
        what = f"{'list of ' if field['many'] else ''}{', '.join(family)}" if family else field["type"]
        rule = f", {field['rule']}" if field["rule"] else ""
        of = f"{', '.join(kinds)}: " if kinds and set(kinds) != every else ""
        say_beside(path, f"{of}{what}{rule}{_defaults(same)}", _INDENT)
        if field["doc"]:
            say_beside("", field["doc"], _INDENT)


def _defaults(same: Sequence[Spot]) -> str:
    of: dict[str, list[str]] = {}
    for spot in same:
        if spot.field["default"] not in (None, ""):
            of.setdefault(spot.field["default"], []).append(spot.kind)
    if len(of) < 2:
        return "".join(f"; default {value}" for value in of)
    return "; default " + ", ".join(f"{value} ({', '.join(kinds)})" for value, kinds in of.items())


def _cost(method: Mapping[str, Any]) -> str:
    return "?" if method["cost"] is None else f"{method['cost']:.2f}"
