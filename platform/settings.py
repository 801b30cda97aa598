"""Values that describe an experiment: frozen, checked when made, kept as JSON, changed by path.

Everything that decides a result is a :class:`Settings`; everything that comes in several kinds (methods, augmentations,
probes) is a :class:`Variant`, told apart in JSON by its ``name``.
"""

import hashlib
import json
from collections.abc import Mapping
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

from unlabeled.platform.errors import UserError, unknown


class Settings(BaseModel):
    """A frozen value. Unknown fields are refused, and so are NaN and infinity.

    Attributes:
        opens: whether :meth:`flat` lists the fields of such a value, or the value whole. (A policy is read whole.)
    """

    opens: ClassVar[bool] = True

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

    def digest(self, *more: str) -> str:
        """Return 16 hexadecimal digits that name this value together with the texts in ``more``."""
        text = "\n".join([self.canonical_json(), *more])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def with_field(self, path: str, value: Any, *, above: str = "") -> Self:
        """Return a copy with the field at a dotted path set to ``value``, checked like any other value.

        Args:
            path: such as "optimizer.learning_rate".
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
    """One kind of a family of settings. A direct subclass is a family; its subclasses are the kinds, by ``name``."""

    name: ClassVar[str]
    family: ClassVar[dict[str, type[Any]]]

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Open a family, or join the one that the class derives from."""
        if Variant in cls.__bases__:
            cls.family = {}
        elif "name" in cls.__dict__:
            cls.family[cls.name] = cls

    @model_validator(mode="wrap")
    @classmethod
    def _pick_kind(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if isinstance(value, Mapping) and "name" in value:
            rest = {key: inner for key, inner in value.items() if key != "name"}
            kind = cls.family.get(value["name"])
            if kind is None or not issubclass(kind, cls):
                raise ValueError(str(unknown(cls.__name__, str(value["name"]), cls.family)))
            return handler(rest) if kind is cls else kind.model_validate(rest)
        return handler(value)

    @model_serializer(mode="wrap")
    def _name_kind(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {"name": self.name, **handler(self)}

    def with_field(self, path: str, value: Any, *, above: str = "") -> Self:
        """Return a copy with a field changed; setting ``name`` gives another kind of the family, with its defaults."""
        if path != "name":
            return super().with_field(path, value, above=above)
        if value not in self.family:
            raise unknown(self.__class__.__mro__[1].__name__, str(value), self.family)
        kind: type[Self] = self.family[value]
        return self if value == self.name else kind.checked()

    def flat(self) -> dict[str, Any]:
        """Return the kind's name and its fields by dotted path."""
        return {"name": self.name, **super().flat()}


def explain(error: ValidationError, above: str = "") -> str:
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
            rule = wrong["msg"].removeprefix("Value error, ")
            got = f", got {wrong['input']!r}"
            if not wrong["loc"] or isinstance(wrong["input"], dict | Settings) or repr(wrong["input"]) in rule:
                got = ""
            lines.append(f"{where + ': ' if where else ''}{rule}{got}")
    return "; ".join(lines)
