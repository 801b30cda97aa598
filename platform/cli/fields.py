"""``unlabeled fields`` and ``unlabeled methods``: what can be set, with defaults, ranges and words."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import typer

from unlabeled.platform.cli import complete
from unlabeled.platform.cli.declared import say_beside, say_json, say_text
from unlabeled.platform.cli.index import index
from unlabeled.platform.cli.options import Json
from unlabeled.platform.cli.spots import ROOT, Spot, at, below, of_class
from unlabeled.platform.errors import lookup

_INDENT = 34


def fields(
    path: Annotated[
        str,
        typer.Argument(
            help="A field, such as optimizer or data.image_px.",
            show_default="all of a run's",
            autocompletion=complete.paths,
        ),
    ] = "",
    json_: Json = False,
) -> None:
    """Say what can be set with --set: fields with type, range, default and meaning."""
    settings = index()["settings"]
    spots = list(at(settings, path)) if path else list(below(settings, "", ROOT, ""))
    if json_:
        say_json([spot.record() for spot in spots])
        return
    _say(settings, spots)
    if not path:
        print("\n`unlabeled fields optimizer` lists the kinds of one, and the fields of each")


def methods(
    name: Annotated[
        str | None,
        typer.Argument(
            help="Of this one its words and its fields.", show_default="all", autocompletion=complete.methods
        ),
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
    spots = list(of_class(settings, "method", method["settings"], ""))
    if json_:
        say_json({"name": name, **method, "fields": [spot.record() for spot in spots]})
        return
    before = ""
    for words in (method["idea"], *method["said"]):
        if before and not (before.startswith("- ") and words.startswith("- ")):
            print()
        if words.startswith("    "):
            print(words)
        else:
            say_text(words.replace("``", "`"))
        before = words
    print()
    print(f"family {method['family']}, cost {_cost(method)} times its encoder's; set with --set method.FIELD=VALUE\n")
    _say(settings, spots)


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
