"""The augmentation composition as a dimension: which operations are in, how strong, and how often they fire."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import Field, field_validator, model_validator

from unlabeled.platform.augment import (
    ColorJitter,
    Crop,
    Cutout,
    GaussianBlur,
    GaussianNoise,
    Op,
    Policy,
    Solarize,
    ViewPlan,
)
from unlabeled.platform.errors import UserError
from unlabeled.platform.search.space import Ask, Dimension
from unlabeled.platform.settings import Settings

_STRONG = (ColorJitter, Crop, Cutout, GaussianBlur, GaussianNoise, Solarize)


class Part(Settings):
    """One operation of a composition.

    Attributes:
        op: the operation, with the settings that are not searched.
        vary: its field -> what it may be. ``p`` is how often it fires; ``strength`` is what :func:`strengthened` says.
        optional: whether the composition may leave it out.
    """

    op: Op
    vary: Mapping[str, Dimension] = {}
    optional: bool = True

    @field_validator("vary")
    @classmethod
    def _parameters_are_numbers(cls, vary: Mapping[str, Dimension]) -> Mapping[str, Dimension]:
        for field, dimension in vary.items():
            if isinstance(dimension, Composition):
                raise ValueError(f"{field}: a composition can't be part of a composition")
        return vary

    @property
    def key(self) -> str:
        """The operation's name as parameters have it: ``color_jitter``."""
        return self.op.name.replace("-", "_")

    def drawn(self, prefix: str, ask: Ask) -> Op | None:
        """Ask whether the operation is in, and how; None where it is left out."""
        if self.optional and not ask.suggest_categorical(prefix, [True, False]):
            return None
        op = self.op
        for field, dimension in self.vary.items():
            op = _with(op, field, dimension.draw(f"{prefix}.{field}", ask))
        return op

    def corners(self) -> list[Op]:
        """Return the operation with each of its fields at each extreme.

        Raises:
            UserError: the operation doesn't allow one of them.
        """
        return [self.op, *(_with(self.op, f, value) for f, d in self.vary.items() for value in d.corners())]


class Composition(Dimension):
    """Views that all follow one policy, made of the given parts in their order.

    Its parameters are named by the last word of the field's path: ``views.color_jitter`` is whether the operation is
    in, ``views.color_jitter.strength`` how strong. An operation that is left out has no strength: it is not asked for.

    Attributes:
        parts: the operations, at most one of each kind.
        num_views: how many views follow the policy.
    """

    name: ClassVar[str] = "composition"

    parts: tuple[Part, ...] = Field(min_length=1)
    num_views: int = Field(default=2, ge=1)

    @model_validator(mode="after")
    def _something_varies_within_the_operations_ranges(self) -> Self:
        keys = [part.key for part in self.parts]
        if len(set(keys)) < len(keys):
            raise ValueError(f"a composition has one part for each operation, got {', '.join(keys)}")
        if not any(part.optional or part.vary for part in self.parts):
            raise ValueError("a composition varies something: make a part optional, or vary one of its fields")
        for part in self.parts:
            try:
                part.corners()
            except UserError as error:
                raise ValueError(f"{part.key}: {error}") from None
        return self

    def draw(self, path: str, ask: Ask) -> ViewPlan:
        """Ask for the composition."""
        prefix = path.rpartition(".")[2]
        drawn = (part.drawn(f"{prefix}.{part.key}", ask) for part in self.parts)
        return self._views(*(op for op in drawn if op is not None))

    def corners(self) -> tuple[ViewPlan, ...]:
        """Return the composition with everything in, and with all left out that may be."""
        return (
            self._views(*(part.op for part in self.parts)),
            self._views(*(part.op for part in self.parts if not part.optional)),
        )

    def parameters(self, path: str) -> tuple[str, ...]:
        """Return the names of all parameters that it may ask for."""
        prefix = path.rpartition(".")[2]
        names: list[str] = []
        for part in self.parts:
            names += [f"{prefix}.{part.key}"] if part.optional else []
            names += [f"{prefix}.{part.key}.{field}" for field in part.vary]
        return tuple(names)

    @property
    def summary(self) -> str:
        """Its parts in order: ``crop (strength 0.2 to 0.9), color_jitter or not (p 0.2 to 1)``."""
        described = []
        for part in self.parts:
            fields = ", ".join(f"{field} {dimension.summary}" for field, dimension in part.vary.items())
            described.append(f"{part.key}{' or not' if part.optional else ''}{f' ({fields})' if fields else ''}")
        return ", ".join(described)

    def _views(self, *ops: Op) -> ViewPlan:
        return ViewPlan(views=(Policy(ops=ops),) * self.num_views)


def strengthened(op: Op, strength: float) -> Op:
    """Return the operation with one number for how strong it is.

    Of a colour jitter, SimCLR's s (arXiv:2002.05709, appendix A); of a crop, 1 less the smallest area; of a blur, the
    largest sigma; of noise, its sigma; of cutout, its side; of solarisation, 1 less the threshold.

    Raises:
        UserError: the operation has no such number, or doesn't allow this one.
    """
    if isinstance(op, ColorJitter):
        return op.of_strength(strength, op.p)
    if isinstance(op, Crop):
        return op.with_field("area", (1.0 - strength, op.area[1]))
    if isinstance(op, GaussianBlur):
        return op.with_field("sigma", (op.sigma[0], strength))
    if isinstance(op, GaussianNoise):
        return op.with_field("sigma", strength)
    if isinstance(op, Cutout):
        return op.with_field("side", strength)
    if isinstance(op, Solarize):
        return op.with_field("threshold", 1.0 - strength)
    strong = ", ".join(kind.name for kind in _STRONG)
    raise UserError(f"{op.name} has no strength; vary its p. These have one: {strong}")


def _with(op: Op, field: str, value: Any) -> Op:
    if field != "strength":
        return op.with_field(field, value)
    try:
        return strengthened(op, value)
    except UserError as error:
        raise UserError(f"strength {value!r}: {error}") from None
