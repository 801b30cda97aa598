"""Which pictures a run takes."""

from pydantic import Field, field_validator

from unlabeled.platform.data.catalogue import find
from unlabeled.platform.errors import UserError
from unlabeled.platform.settings import Settings


class DataConfig(Settings):
    """Which pictures a run takes.

    Attributes:
        name: a data set's name, or ``folder:PATH`` for one's own pictures; a relative PATH starts at the data root.
        train_images: use only so many of the labelled training pictures, equally many of each class while each has
            enough; validation and test do not change with it, and a smaller number's pictures are among a larger one's.
            None takes all.
        validation_fraction: how much of each class's training pictures is kept for choosing. A folder's own ``val/``
            is taken instead where there is one.
        image_px: height and width to resize to. None keeps the set's own; ImageNet and folders have none and take 224.
    """

    name: str = "fashion-mnist-12k"
    train_images: int | None = Field(default=None, ge=1)
    validation_fraction: float = Field(default=0.1, gt=0, lt=1)
    image_px: int | None = Field(default=None, ge=1)

    @field_validator("name")
    @classmethod
    def _name_known(cls, name: str) -> str:
        try:
            find(name)
        except UserError as error:
            raise ValueError(str(error)) from None
        return name
