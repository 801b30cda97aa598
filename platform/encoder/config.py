"""Which encoder: a family of settings, one kind for each that there is."""

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, cast

from pydantic import ModelWrapValidatorHandler, model_validator

from unlabeled.platform.data import Format
from unlabeled.platform.encoder.encoder import StandardisingEncoder
from unlabeled.platform.encoder.weights import Weights
from unlabeled.platform.errors import UserError
from unlabeled.platform.settings import Variant

TIMM = "timm"


class EncoderConfig(Variant):
    """Which encoder, and how it is cut to the pictures. Abstract.

    A name alone stands for a kind with its defaults, and a name that no kind has for timm's model of that name:
    ``encoder=vit``, ``encoder=resnet18``, ``encoder.name=resnet18``.

    Attributes:
        weights: what it starts from; None starts from chance. It is part of a run's identity by its contents.
    """

    group = "unlabeled.encoders"
    weights: Weights | None = None

    @property
    def called(self) -> str:
        """The name that a user gave it."""
        return self.name

    @abstractmethod
    def build(self, shown: Format) -> StandardisingEncoder:
        """Make the encoder for such pictures or sounds, weights from torch's global generator.

        Raises:
            UserError: it can't see them.
        """

    def kept_in(self, folder: Path) -> Self:
        """Return it with the weights that it starts from, if any, in a folder; see :meth:`Weights.kept_in`."""
        return self if self.weights is None else self.model_copy(update={"weights": self.weights.kept_in(folder)})

    @model_validator(mode="wrap")
    @classmethod
    def _pick_kind(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        fields = {"name": value} if isinstance(value, str) else value
        if isinstance(fields, Mapping) and isinstance(name := fields.get("name"), str) and name not in cls.kinds():
            fields = {**fields, "name": TIMM, "model": name}
        return cast(Self, super()._pick_kind(fields, handler))  # type: ignore[operator]

    def with_field(self, path: str, value: Any, *, above: str = "") -> Self:
        """Return a copy with a field changed; setting ``name`` gives another encoder, with its defaults."""
        if path != "name" or not isinstance(value, str):
            return super().with_field(path, value, above=above)
        if value == TIMM:
            raise UserError(f"{above}name={TIMM} does not say which model; write its name, as in {above}name=resnet18")
        if value in self.kinds():
            return super().with_field(path, value, above=above)
        return self if value == self.called else cast(Self, self.kinds()[TIMM].checked(model=value))
