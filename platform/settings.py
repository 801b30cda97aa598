"""Values that describe an experiment: frozen, checked when made, kept as JSON, changed by path.

Everything that decides a result is a :class:`Settings`; everything that comes in several kinds (methods, augmentations,
probes) is a :class:`Variant`, told apart in JSON by its ``name``.

A value's identity leaves out the fields that have their defaults, so that a new field changes no identity; and it names
the version of its code, so that mended code does.
"""

import enum
import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from typing import Any, ClassVar, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    ModelWrapValidatorHandler,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)
from pydantic_core import to_jsonable_python

from unlabeled.platform.errors import UserError, explain, unknown

logger = logging.getLogger(__name__)
_LOADED: set[str] = set()  # groups of entry points


class Settings(BaseModel):
    """A frozen value. Unknown fields are refused, and so are NaN and infinity.

    Attributes:
        opens: whether :meth:`flat` lists the fields of such a value, or the value whole. (A policy is read whole.)
        version: of what the value stands for; raised whenever the same settings would give other numbers, or a default
            changes.
    """

    opens: ClassVar[bool] = True
    version: ClassVar[int] = 1

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)

    @classmethod
    def checked(cls, **fields: Any) -> Self:
        """Make the value from what a user gave.

        Raises:
            UserError: one line that names each wrong field, its rule and the value it got.
        """
        try:
            return cls(**fields)
        except ValidationError as error:
            raise UserError(explain(error)) from None

    def canonical_json(self) -> str:
        """Return the one JSON text that equal values share: keys sorted, no white space."""
        return json.dumps(self.model_dump(mode="json", serialize_as_any=True), sort_keys=True, separators=(",", ":"))

    def identity(self) -> dict[str, Any]:
        """Return what tells this value from others, as JSON has it: the fields that differ from their defaults.

        A kind is written with its version, ``simclr@1``; other settings with theirs once it is raised. A field that has
        its default is there nevertheless if a version in it is raised.
        """
        found: dict[str, Any] = {} if self.version == 1 else {"@": self.version}
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            is_default = not field.is_required() and value == field.get_default(call_default_factory=True)
            if not is_default or _is_raised(value):
                found[name] = _identity(value)
        return found

    def digest(self, *more: str, without: str = "") -> str:
        """Return 16 hexadecimal digits that name this value, less one field, together with the texts in ``more``."""
        identity = {name: value for name, value in self.identity().items() if name != without}
        text = "\n".join([json.dumps(identity, sort_keys=True, separators=(",", ":")), *more])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def with_field(self, path: str, value: Any, *, above: str = "") -> Self:
        """Return a copy with the field at a dotted path set to ``value``, checked like any other value.

        Args:
            path: such as "optimizer.learning_rate"; of a list a part is named by its place, from 0:
                "evaluation.follow.0.probe.neighbors".
            value: as JSON or Python has it.
            above: what an error puts before the path, where this value is itself a field of another.

        Raises:
            UserError: the path names no field (the nearest valid one is named), or the value is not allowed there.
        """
        head, _, rest = path.partition(".")
        if head not in type(self).model_fields:
            raise unknown(f"field of {type(self).__name__}", head, type(self).model_fields)
        if rest:
            inner = getattr(self, head)
            place, _, further = rest.partition(".")
            parts = list(inner) if isinstance(inner, tuple) else []
            if place.isdecimal() and further and int(place) < len(parts) and isinstance(parts[int(place)], Settings):
                parts[int(place)] = parts[int(place)].with_field(further, value, above=f"{above}{head}.{place}.")
                return self.with_field(head, tuple(parts), above=above)
            if not isinstance(inner, Settings):
                raise UserError(
                    f"{type(self).__name__}.{head} is {inner!r} and has no field {rest!r}; set {head} itself"
                )
            value = inner.with_field(rest, value, above=f"{above}{head}.")
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        try:
            return type(self)(**{**fields, head: value})
        except ValidationError as error:
            raise UserError(explain(error, above)) from None

    def flat(self) -> dict[str, Any]:
        """Return every field by its dotted path, nested settings opened up where they open."""
        found: dict[str, Any] = {}
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, Settings) and value.opens:
                found |= {f"{name}.{path}": inner for path, inner in value.flat().items()}
            else:
                found[name] = value
        return found


class Variant(Settings):
    """One kind of a family of settings. A direct subclass is a family; its subclasses are the kinds, by ``name``.

    Where a kind is wanted, its name alone stands for it with its defaults.

    Attributes:
        group: the entry points by which installed packages bring kinds of the family, loaded when one is first asked
            for.
        family: the kinds that are loaded, by name.
    """

    name: ClassVar[str]
    group: ClassVar[str] = ""
    family: ClassVar[dict[str, type[Any]]]

    @classmethod
    def kinds(cls) -> Mapping[str, type[Any]]:
        """Return the family's kinds by name, those that installed packages bring among them."""
        if cls.group and cls.group not in _LOADED:
            _LOADED.add(cls.group)
            root = next(base for base in cls.__mro__ if Variant in base.__bases__)
            for _ in brought(cls.group, root):  # each joined the family when its class was made
                pass
        return cls.family

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Open a family, or join the one that the class derives from."""
        if Variant in cls.__bases__:
            cls.family = {}
        elif "name" in cls.__dict__:
            other = cls.family.get(cls.name)
            if other is not None and (other.__module__, other.__qualname__) != (cls.__module__, cls.__qualname__):
                raise UserError(f"{cls.__qualname__} and {other.__qualname__} are both called {cls.name!r}; rename one")
            cls.family[cls.name] = cls

    @model_validator(mode="wrap")
    @classmethod
    def _pick_kind(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        value = {"name": value} if isinstance(value, str) else value
        if isinstance(value, Mapping) and "name" in value:
            rest = {key: inner for key, inner in value.items() if key != "name"}
            kind = cls.kinds().get(value["name"])
            if kind is None or not issubclass(kind, cls):
                raise ValueError(str(unknown(cls.__name__, str(value["name"]), cls.kinds())))
            return handler(rest) if kind is cls else kind.model_validate(rest)
        if isinstance(value, Mapping) and cls not in cls.family.values():
            raise ValueError(f"its name says which kind it is, and there is none; there are: {', '.join(cls.kinds())}")
        return handler(value)

    @model_serializer(mode="wrap")
    def _name_kind(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {"name": self.name, **handler(self)}

    def identity(self) -> dict[str, Any]:
        """Return the kind with its version, and what else tells this value from others."""
        rest = {name: value for name, value in super().identity().items() if name != "@"}
        return {"name": f"{self.name}@{self.version}", **rest}

    def with_field(self, path: str, value: Any, *, above: str = "") -> Self:
        """Return a copy with a field changed; setting ``name`` gives another kind of the family, with its defaults."""
        if path != "name":
            return super().with_field(path, value, above=above)
        if value not in self.kinds():
            raise unknown(self.__class__.__mro__[1].__name__, str(value), self.kinds())
        kind: type[Self] = self.kinds()[value]
        return self if value == self.name else kind.checked()

    def flat(self) -> dict[str, Any]:
        """Return the kind's name and its fields by dotted path."""
        return {"name": self.name, **super().flat()}


def brought(group: str, family: type[Any]) -> Iterator[tuple[str, Any]]:
    """Load what installed packages bring by entry points: name and subclass, or value, of a family.

    What can't be loaded is left out with a warning.
    """
    for point in entry_points(group=group):
        try:
            found = point.load()
        except Exception as error:  # whatever another package does must not stop our commands
            reason = f"{type(error).__name__}: {error}"
        else:
            if isinstance(found, family) or (isinstance(found, type) and issubclass(found, family)):
                yield point.name, found
                continue
            reason = f"{point.value} is no {family.__name__}"
        what, where = group.removeprefix("unlabeled.").removesuffix("s"), point.dist.name if point.dist else "a package"
        logger.warning("the %s %r of %s can't be used: %s", what, point.name, where, reason)


def _identity(value: Any) -> Any:
    if isinstance(value, Settings):
        return value.identity()
    if isinstance(value, tuple | list):
        return [_identity(part) for part in value]
    if isinstance(value, Mapping):
        return {str(name): _identity(part) for name, part in value.items()}
    return to_jsonable_python(value)


def _is_raised(value: Any) -> bool:
    """Tell whether a version in a value is above the first."""
    if isinstance(value, Settings):
        return value.version > 1 or any(_is_raised(getattr(value, name)) for name in type(value).model_fields)
    if isinstance(value, Mapping):
        return any(map(_is_raised, value.values()))
    return isinstance(value, tuple | list) and any(map(_is_raised, value))


def plain_value(value: Any) -> Any:
    """Return the value with nothing but what JSON and settings know, so that it can be recorded as it is used.

    A float of fewer bits than Python's becomes the shortest decimal that rounds to it: 0.1 in 32 bits is 0.1.

    Raises:
        ValueError: it is, or contains, something else. (pydantic makes a user's error of it.)

    >>> import numpy as np
    >>> plain_value({"batch_size": np.arange(32, 65, 32), "temperature": np.float32(0.1)})
    {'batch_size': (32, 64), 'temperature': 0.1}
    """
    if isinstance(value, enum.Enum):
        return plain_value(value.value)
    if value is None or isinstance(value, Settings) or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, Mapping):
        return {str(name): plain_value(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [plain_value(inner) for inner in value]
    if isinstance(value, tuple | range):
        return tuple(plain_value(inner) for inner in value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if callable(getattr(value, "tolist", None)):  # NumPy's and torch's, and what wraps them
        return _of_array(value)
    for kind in (int, float, str):  # somebody's own kind of one
        if isinstance(value, kind):
            return kind(value)
    raise ValueError(f"{value!r} is a {type(value).__name__}, which can't be recorded; give numbers, text or lists")


def _of_array(array: Any) -> Any:
    import numpy as np

    if callable(getattr(array, "detach", None)):  # torch's, one kind of which NumPy does not know
        array = array.detach().cpu()
        array = array.float().numpy() if array.is_floating_point() and array.itemsize < 4 else array.numpy()
    array = np.asarray(array)
    if array.dtype.kind == "f" and array.dtype.itemsize < 8:
        array = array.astype(str).astype(float)
    return plain_value(_as_tuples(array.tolist()))


def _as_tuples(value: Any) -> Any:
    return tuple(_as_tuples(inner) for inner in value) if isinstance(value, list) else value
