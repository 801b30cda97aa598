"""What a search may choose: a dimension for each field, which asks a sampler for a value and knows its own extremes."""

import json
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Protocol, Self

from pydantic import Field, field_validator, model_validator

from unlabeled.platform.settings import Variant, plain_value


class Ask(Protocol):
    """Whoever answers a dimension's questions; an Optuna trial does."""

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """Choose a number."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """Choose a whole number."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Choose one of several plain values."""


class Dimension(Variant):
    """What one field may be."""

    @abstractmethod
    def draw(self, path: str, ask: Ask) -> Any:
        """Ask for a value of the field at ``path``, the parameter's name in every log."""

    @abstractmethod
    def corners(self) -> tuple[Any, ...]:
        """Return values that are allowed if all are: both ends of a range, each of several choices."""

    @property
    @abstractmethod
    def summary(self) -> str:
        """What the field may be, in a few words."""

    def parameters(self, path: str) -> tuple[str, ...]:
        """Return the names of all parameters that it may ask for."""
        return (path,)


class Uniform(Dimension):
    """A number in [low, high], each as likely as the other; in steps from ``low`` where there is one."""

    name: ClassVar[str] = "uniform"

    low: float
    high: float
    step: float | None = Field(default=None, gt=0.0)

    @model_validator(mode="after")
    def _rises_in_whole_steps(self) -> Self:
        _check_range(self.low, self.high, self.step)
        return self

    def draw(self, path: str, ask: Ask) -> float:
        """Ask for a number."""
        return ask.suggest_float(path, self.low, self.high, step=self.step)

    def corners(self) -> tuple[float, ...]:
        """Return both ends."""
        return (self.low, self.high)

    @property
    def summary(self) -> str:
        """Its range: ``0.1 to 1 in steps of 0.1``."""
        return f"{self.low:g} to {self.high:g}" + (f" in steps of {self.step:g}" if self.step else "")


class LogUniform(Dimension):
    """A number in [low, high], its logarithm uniform: for what is a matter of magnitude, such as learning rates."""

    name: ClassVar[str] = "log-uniform"

    low: float = Field(gt=0.0)
    high: float

    @model_validator(mode="after")
    def _rises(self) -> Self:
        _check_range(self.low, self.high)
        return self

    def draw(self, path: str, ask: Ask) -> float:
        """Ask for a number."""
        return ask.suggest_float(path, self.low, self.high, log=True)

    def corners(self) -> tuple[float, ...]:
        """Return both ends."""
        return (self.low, self.high)

    @property
    def summary(self) -> str:
        """Its range: ``0.001 to 0.1, logarithmic``."""
        return f"{self.low:g} to {self.high:g}, logarithmic"


class Integer(Dimension):
    """A whole number from ``low`` to ``high``, both included: in steps from ``low``, or logarithmic, not both."""

    name: ClassVar[str] = "integer"

    low: int
    high: int
    step: int = Field(default=1, ge=1)
    log: bool = False

    @model_validator(mode="after")
    def _rises_in_whole_steps(self) -> Self:
        _check_range(self.low, self.high, self.step)
        if self.log and (self.step > 1 or self.low < 1):
            raise ValueError(f"a logarithmic integer starts at 1 or more and has no step, got {self.summary}")
        return self

    def draw(self, path: str, ask: Ask) -> int:
        """Ask for a whole number."""
        return ask.suggest_int(path, self.low, self.high, step=self.step, log=self.log)

    def corners(self) -> tuple[int, ...]:
        """Return both ends."""
        return (self.low, self.high)

    @property
    def summary(self) -> str:
        """Its range: ``64 to 512 in steps of 64``."""
        how = ", logarithmic" if self.log else ""
        return f"{self.low} to {self.high}" + (f" in steps of {self.step}" if self.step > 1 else "") + how


class Choice(Dimension):
    """One of several values, in no order. What is not a plain value is known to the sampler by its JSON text."""

    name: ClassVar[str] = "choice"

    values: tuple[Any, ...] = Field(min_length=2)

    @field_validator("values", mode="before")
    @classmethod
    def _can_be_recorded(cls, values: Any) -> Any:
        return plain_value(values)

    @model_validator(mode="after")
    def _differ(self) -> Self:
        if len(set(self._labels())) < len(self.values):
            raise ValueError(f"the values of a choice must differ from each other, got {self.summary}")
        return self

    def draw(self, path: str, ask: Ask) -> Any:
        """Ask for one of the values."""
        labels = self._labels()
        return self.values[labels.index(ask.suggest_categorical(path, labels))]

    def corners(self) -> tuple[Any, ...]:
        """Return all values."""
        return self.values

    @property
    def summary(self) -> str:
        """Its values: ``64, 128 or 256``."""
        *others, last = (str(label) for label in self._labels())
        return f"{', '.join(others)} or {last}"

    def _labels(self) -> list[Any]:
        return [
            value if value is None or isinstance(value, bool | int | float | str) else json.dumps(value)
            for value in self.values
        ]


def _check_range(low: float, high: float, step: float | None = None) -> None:
    if low >= high:
        raise ValueError(f"a range goes from low to high and has more than one value, got {low:g} to {high:g}")
    steps = (high - low) / (step or high - low)
    if abs(steps - round(steps)) > 1e-9:
        near = low + int(steps) * (step or 0)
        raise ValueError(f"a range ends on a step, got {low:g} to {high:g} in steps of {step:g}; end it at {near:g}")
