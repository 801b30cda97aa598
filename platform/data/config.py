"""Which pictures, films or sounds a run takes."""

from pathlib import Path
from typing import Self

from pydantic import Field, field_validator, model_validator

from unlabeled.platform.data.catalogue import find
from unlabeled.platform.data.contents import Contents
from unlabeled.platform.errors import UserError
from unlabeled.platform.settings import Settings


class DataConfig(Settings):
    """Which pictures, films or sounds a run takes.

    Attributes:
        name: a data set's name, or ``folder:PATH`` for one's own pictures, ``films:PATH`` for one's films and so on; a
            relative PATH starts at the data root.
        train_images: use only so many of the labelled training pictures, equally many of each class while each has
            enough; validation and test do not change with it, and a smaller number's pictures are among a larger one's.
            None takes all.
        validation_fraction: how much of each class's training pictures is kept for choosing. A set's own
            validation split is taken instead where there is one.
        image_px: height and width to resize to. None keeps the set's own; pictures of many sizes take 224, films 112,
            stamps 64.
        frames: of a clip that films are cut into. None takes 16.
        rate: of such a clip, in frames per second, or of a sound, in samples per second. None takes the set's own or,
            of films 8, of sounds 16,000.
        seconds: of a piece that sounds are cut into. None takes 1.28.
    """

    name: str = "fashion-mnist-12k"
    train_images: int | None = Field(default=None, ge=1)
    validation_fraction: float = Field(default=0.1, gt=0, lt=1)
    image_px: int | None = Field(default=None, ge=1)
    frames: int | None = Field(default=None, ge=1)
    rate: float | None = Field(default=None, gt=0)
    seconds: float | None = Field(default=None, gt=0)

    @field_validator("name")
    @classmethod
    def _name_known(cls, name: str) -> str:
        try:
            find(name)
        except UserError as error:
            raise ValueError(str(error)) from None
        return name

    @model_validator(mode="after")
    def _settings_heeded(self) -> Self:
        entry = find(self.name)
        for name in ("image_px", "frames", "rate", "seconds"):
            value = getattr(self, name)
            if value is not None and name not in entry.settings:
                has = ", ".join(entry.settings)
                raise ValueError(
                    f"{self.name} has no {name}, and {value} would be ignored; leave it out (it has {has})"
                )
        return self

    def read(self, root: Path) -> Contents:
        """Return what is on disk below the data root.

        Raises:
            UserError: the set is missing or damaged.
        """
        entry = find(self.name)
        return entry.read(self.name, root, **{name: getattr(self, name) for name in entry.settings})
