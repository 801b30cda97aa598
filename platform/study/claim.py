"""A claim: what a source says of a study's rows, as a value."""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from unlabeled.platform.metrics import (
    BEST,
    COLLAPSE,
    DIFFERENCE,
    DOUBLE_DIFFERENCE,
    NEGLIGIBLE,
    NO_DIFFERENCE,
    ORDER,
    OURS,
    unit_of,
)
from unlabeled.platform.settings import Settings


class Claim(Settings):
    """A statement as a comparison of rows, as short as the sentence that it stands for.

    ``Claim(higher="a", lower="b")`` says that a beats b; with ``at_least=0.03``, by three points or more; with
    ``kind="no difference"``, that the two hardly differ; with ``than=("c", "d")``, by more than c beats d.
    ``Claim(order=("a", "b", "c"))`` says that it rises from a to c, ``Claim(best=("a", "b"))`` that one of these is the
    best of all rows, and ``Claim(collapsed="a")`` that a is no better than its untrained encoder.

    Attributes:
        statement: what the source says, in a sentence.
        source: where it says so; ``OURS`` where no paper does.
        higher: the row that should measure more.
        lower: the row that should measure less.
        at_least: by how much, in the measure's own unit (0.03 of a ``top1`` is three points); 0 asks for the direction
            only.
        negligible: the difference that is as good as none, in the measure's own unit; None is one point of a fraction,
            and nothing of other units.
        measure: the metric that it is about; empty is the study's measure.
        lower_measure: the metric that the lower row is read by, where that is another one: a layer against the next.
        kind: what is compared; told by the fields that are given, but for ``no difference``.
        than: the higher and the lower row of a second pair.
        order: rows from the one that should measure least to the one that should measure most.
        best: rows of which one should be the best.
        among: the rows that it is the best of; empty is all rows of the study.
        collapsed: the row that should have learnt nothing.
        published: the difference as published, in the source's words; empty for a claim of ours.
        published_difference: the same as a number, in the measure's own unit; None where the source gives none.
    """

    statement: str
    source: str
    higher: str = ""
    lower: str = ""
    at_least: float = Field(default=0.0, ge=0.0)
    negligible: float | None = Field(default=None, ge=0.0)
    measure: str = ""
    lower_measure: str = ""
    kind: Literal["difference", "no difference", "difference of differences", "order", "best in a set", "collapse"] = (
        DIFFERENCE
    )
    than: tuple[str, str] | None = None
    order: tuple[str, ...] = ()
    best: tuple[str, ...] = ()
    among: tuple[str, ...] = ()
    collapsed: str = ""
    published: str = ""
    published_difference: float | None = None

    @model_validator(mode="before")
    @classmethod
    def _kind_is_told_by_what_is_given(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        told = [kind for name, kind in _TELLS.items() if given.get(name)]
        if len(told) > 1:
            raise ValueError(f"a claim says one thing, this one both {told[0]} and {told[1]}; make it two")
        found = {"kind": told[0] if told else DIFFERENCE, **given}
        if order := given.get("order"):
            found = {"lower": order[0], "higher": order[-1], **found}
        if collapsed := given.get("collapsed"):
            found = {"lower": collapsed, "higher": collapsed, **found}
        if best := given.get("best"):
            found = {"higher": best[0], **found}
        return found

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if (self.than is not None) != (self.kind == DOUBLE_DIFFERENCE):
            raise ValueError(f"a claim on a {self.kind} has {'no second pair' if self.than else 'a second pair: than'}")
        if self.than == (self.higher, self.lower):
            raise ValueError(f"a difference is not larger than itself: both pairs are {self.higher} and {self.lower}")
        for name, kind in _TELLS.items():
            if name != "than" and bool(getattr(self, name)) != (self.kind == kind):
                raise ValueError(f"a claim of the kind {kind} says so by {name}, and no other does")
        if not self.best and not (self.higher and self.lower):
            raise ValueError("a claim compares two rows: higher and lower; or give order, best or collapsed")
        for name in ("order", "best", "among"):
            if len(set(rows := getattr(self, name))) < len(rows):
                raise ValueError(f"{name} has a row twice: {', '.join(rows)}")
        if self.order and len(self.order) < 3:
            raise ValueError(
                f"an order is of three rows or more, got {', '.join(self.order)}; of two, say higher, lower"
            )
        if self.among and not set(self.best) < set(self.among):
            raise ValueError("among has all rows of best, and others to compare them with")
        if self.kind in (NO_DIFFERENCE, COLLAPSE, BEST) and self.at_least:
            raise ValueError(f"a claim on {self.kind} asks for no size, got at_least {self.at_least}")
        if self.at_least and self.at_least <= (self.negligible or 0.0):
            raise ValueError(f"at_least is more than what is negligible, got {self.at_least} and {self.negligible}")
        if self.source == OURS and (self.published or self.published_difference is not None):
            raise ValueError("a claim of ours has nothing published; name the source, or leave published out")
        return self

    @property
    def rows(self) -> tuple[str, ...]:
        """The rows that it names."""
        named = (self.higher, self.lower, *(self.than or ()), *self.order, *self.best, *self.among)
        return tuple(row for row in dict.fromkeys(named) if row)

    def record(self, measure: str, rows: tuple[str, ...]) -> dict[str, Any]:
        """Return it as JSON values with everything filled in.

        Args:
            measure: the study's.
            rows: all rows of the study.
        """
        record = self.model_dump(mode="json", exclude={"collapsed"})
        record["measure"] = measure = self.measure or measure
        of_untrained = untrained(measure) if self.collapsed else measure
        record["lower_measure"] = self.lower_measure or of_untrained
        if self.negligible is None:
            record["negligible"] = NEGLIGIBLE if unit_of(measure).is_fraction else 0.0
        if self.best:
            record["among"] = list(self.among or rows)
            record["lower"] = next(row for row in record["among"] if row not in self.best)
        return record


_TELLS = {"than": DOUBLE_DIFFERENCE, "order": ORDER, "best": BEST, "collapsed": COLLAPSE}
"""Field -> the kind of claim that giving it makes."""


def untrained(measure: str) -> str:
    """Return the metric of the same encoders before any training.

    >>> untrained("test/linear/top1")
    'untrained/linear/top1'
    """
    return f"untrained/{measure.removeprefix('test/')}"
