"""What can be set, read off the settings' classes: each field's type, range, default and words, as plain values."""

import inspect
import re
import types
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from unlabeled.platform.cli.declared import as_set
from unlabeled.platform.config import plain
from unlabeled.platform.settings import Settings, Variant

_WORDS = {int: "whole number", float: "number", bool: "true or false", str: "text", Any: "anything"}
_MANY = {"whole number": "whole numbers", "number": "numbers", "text": "texts"}
_RULES = {"ge": "at least {}", "gt": "above {}", "le": "at most {}", "lt": "below {}", "min_length": "{} or more"}


def described(root: type[Settings]) -> dict[str, Any]:
    """Return class name -> its words and fields, or its kinds where it comes in several, of all that a class holds.

    A field has ``type``, ``rule`` and ``default`` in words, its ``doc``, the class that it ``holds`` if its value is
    made of settings, and whether it is a list of such (``many``).
    """
    found: dict[str, Any] = {}
    waiting: list[type[Settings]] = [root]
    while waiting:
        cls = waiting.pop(0)
        name = name_of(cls)
        if name in found:
            continue
        if _is_family(cls):
            kinds: Mapping[str, type[Settings]] = cls.kinds()  # type: ignore[attr-defined]
            found[name] = {"doc": _first(cls), "kinds": {each: name_of(kind) for each, kind in kinds.items()}}
            waiting += kinds.values()
            continue
        docs = _docs(cls)
        words = _words(cls)  # of operations, say, which have few fields
        fields = {each: _field(info, docs.get(each, words)) for each, info in cls.model_fields.items()}
        found[name] = {"doc": _first(cls), "fields": {each: words for each, (words, _) in fields.items()}}
        waiting += [held for _, held in fields.values() if held is not None]
    return found


def name_of(cls: type[Settings]) -> str:
    """Return what a class is known by: of other packages with its module, as they may call theirs like ours."""
    is_ours = cls.__module__.startswith("unlabeled.")
    return cls.__name__ if is_ours else f"{cls.__module__}.{cls.__qualname__}"


def _is_family(cls: type[Settings]) -> bool:
    """Tell whether a class is one of those whose values come in several kinds."""
    return Variant in cls.__bases__


def _field(info: FieldInfo, doc: str) -> tuple[dict[str, Any], type[Settings] | None]:
    words, held, many = _type(info.annotation)
    rules = [
        rule.format(f"{limit:g}" if isinstance(limit, float) else limit)
        for each in info.metadata
        for name, rule in _RULES.items()
        if (limit := getattr(each, name, None)) is not None
    ]
    default = None if info.is_required() else _default(info.get_default(call_default_factory=True))
    found = {"type": words, "rule": ", ".join(rules), "default": default, "doc": doc}
    return {**found, "holds": name_of(held) if held else None, "many": many}, held


def _default(value: Any) -> str:
    if isinstance(value, Variant):
        return value.name
    if isinstance(value, Settings) and value.opens:
        return ""
    return as_set(value, otherwise=plain(value))


def _type(annotation: Any) -> tuple[str, type[Settings] | None, bool]:
    """Return a type in words, the settings that it holds, and whether it is a list of them."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(parts[0])
    if origin is Literal:
        return " or ".join(str(part) for part in parts), None, False
    if origin in (Union, types.UnionType):
        each = [_type(part) for part in parts if part is not type(None)]
        words = " or ".join([*(words for words, *_ in each), *(["null"] if type(None) in parts else [])])
        return words, next((held for _, held, _ in each if held), None), any(many for *_, many in each)
    if origin in (tuple, list):
        each = [_type(part) for part in parts if part is not Ellipsis]
        inner = each[0][0] if each else "anything"
        if Ellipsis not in parts and origin is tuple:
            return f"[{', '.join(words for words, *_ in each)}]", None, False
        return f"list of {_MANY.get(inner, inner)}", each[0][1] if each else None, bool(each and each[0][1])
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"{{name: {_type(parts[1])[0]}}}", None, False
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return annotation.__name__, annotation, False
    return _WORDS.get(annotation, getattr(annotation, "__name__", str(annotation))), None, False


def _first(cls: type[Settings]) -> str:
    return " ".join(inspect.cleandoc(cls.__doc__ or "").partition("\n\n")[0].split())


def _words(cls: type[Settings]) -> str:
    """Return what a class says of itself, without its list of fields."""
    said, _, _ = inspect.cleandoc(cls.__doc__ or "").partition("Attributes:\n")
    return " ".join(said.replace("``", "`").split())


def _docs(cls: type[Settings]) -> dict[str, str]:
    """Read each field's words off the ``Attributes`` of the class and of those that it derives from."""
    found: dict[str, str] = {}
    for each in reversed(cls.__mro__):
        if not issubclass(each, Settings):
            continue
        _, _, attributes = inspect.cleandoc(each.__dict__.get("__doc__") or "").partition("Attributes:\n")
        for paragraph in re.split(r"\n(?=    \S)", f"\n{attributes}"):
            name, colon, words = paragraph.strip().partition(": ")
            if colon and name.isidentifier():
                found[name] = " ".join(words.replace("``", "`").split())
    return found
