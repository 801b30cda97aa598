"""An encoder that is there already, exported here or trained by somebody else: what a user names, and data as it sees.

To measure it, it stands in a method that learns nothing (:class:`AsGiven`).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from pydantic import ModelWrapValidatorHandler, model_validator

from unlabeled.platform.augment import PLAIN, View, ViewPlan
from unlabeled.platform.data import Data, DataConfig, Format, PictureFormat, with_channels
from unlabeled.platform.encoder import Encoder, EncoderConfig
from unlabeled.platform.encoder.weights import WEIGHTS, exported
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Batch, Method, MethodConfig, StepResult
from unlabeled.platform.settings import Settings
from unlabeled.platform.train.export import read_card
from unlabeled.platform.train.loaded import load_cached

TIMM = "timm:"  # before a name of timm's


@dataclass(frozen=True)
class GivenEncoder:
    """An encoder to measure, to take features from or to hand on.

    Attributes:
        called: how people know it.
        config: its architecture, and the weights that it has.
        eyes: the method that makes it around the architecture; None where none does.
        shown: what it was made for; None where that is not told.
    """

    called: str
    config: EncoderConfig
    eyes: MethodConfig | None = None
    shown: Format | None = None

    def data(self, config: DataConfig) -> tuple[DataConfig, Data]:
        """Load data as the encoder sees it: pictures at its size and in its channels, sounds at its rate.

        Returns:
            Also the settings that they are loaded by, the size among them.

        Raises:
            UserError: the data are missing, or have nothing that it sees.
        """
        if isinstance(self.shown, PictureFormat) and config.image_px is None:
            config = config.with_field("image_px", self.shown.image_px)
        data = load_cached(config)
        kinds = ("wave",) if self._hears else ("image", "clip")
        fields = data.train.fields
        field = next((name for name, each in fields.items() if each.kind in kinds), None)
        if field is None:
            sees = " or ".join({"image": "pictures", "clip": "clips", "wave": "sounds"}[kind] for kind in kinds)
            raise UserError(
                f"{self.called} sees {sees}, and {data.name} has only {', '.join(fields)}; take other --data"
            )
        data = data.showing(field)
        weights = self.config.weights
        channels = self.shown.channels if self.shown is not None else weights and weights.channels
        if channels not in (None, data.format.channels):
            if fields[field].kind != "image" or channels not in (1, 3):
                raise UserError(
                    f"{self.called} takes {channels} channels, and {field} of {data.name} has {data.format.channels}; "
                    "take other --data"
                )
            data = with_channels(data, channels)
        if self.shown is not None and not isinstance(self.shown, PictureFormat):
            rate = getattr(data.format, "rate", None)
            if rate != self.shown.rate:
                raise UserError(
                    f"{self.called} hears {self.shown.rate:g} samples per second, and {data.name} has {rate:g}; add "
                    f"--set data.rate={self.shown.rate:g}"
                )
        return config, data

    @property
    def _hears(self) -> bool:
        if self.shown is not None:
            return not isinstance(self.shown, PictureFormat)
        mean = self.config.weights.shapes().get("mean", ()) if self.config.weights else ()
        return len(mean) == 2

    def build(self, data: Data) -> Encoder:
        """Build it for what :meth:`data` returned, with its weights, in eval mode on the CPU."""
        with torch.random.fork_rng():
            encoder = self.method(data.field).make_encoder(self.config, data.format)
        if self.config.weights is not None:
            self.config.weights.give(encoder, self.config.called)
        return encoder.eval()

    def around(self, encoder: Encoder, data: Data) -> Method:
        """Return a built encoder in the method that it stands in, whose layers are the encoder's blocks."""
        return self.method(data.field).build(encoder, data).eval()

    def method(self, field: str) -> "AsGiven":
        """Return the method that the encoder stands in, where it is shown a field of the data."""
        return AsGiven(views=ViewPlan(views=(View(field=field, policy=PLAIN),)), eyes=self.eyes)


def given_encoder(name: str, encoder: str | None = None, weights: str | Path | None = None) -> GivenEncoder:
    """Return what a user names: the folder of an exported encoder, a file of weights, or ``timm:NAME``.

    Args:
        name: one of these.
        encoder: the architecture that the weights in a file are of: a name, as ``encoder=`` takes it.
        weights: the file with the weights of ``timm:NAME``.

    Raises:
        UserError: it is none of these, or lacks what the others say.
    """
    if name.startswith(TIMM):
        if weights is None:
            raise UserError(f"{name} needs its weights, which are not downloaded here; give them with --weights FILE")
        name, encoder, weights = str(weights), encoder or name.removeprefix(TIMM), None
    if weights is not None:
        raise UserError("--weights are those of timm:NAME, and would be ignored; leave them out")
    place = Path(name).expanduser()
    folder = exported(place) if place.is_dir() else place.parent
    if encoder is None:
        is_exported = place.exists() and (folder / "encoder.json").is_file()
        if not is_exported or (place.is_file() and place.name != WEIGHTS):
            what = "a folder without encoder.json" if place.is_dir() else "no run, folder or file here"
            what = "weights alone" if place.is_file() else what
            raise UserError(
                f"{name} is {what}; give a finished run's id, the folder of an exported encoder, or a .safetensors "
                "file with --encoder NAME, such as resnet18"
            )
        card = read_card(folder)
        config = card.encoder.with_field("weights", str(folder / WEIGHTS))
        return GivenEncoder(_called(config, folder.name), config, card.method, card.shown)
    config = _Of.checked(encoder={"name": encoder, "weights": str(place)}).encoder
    return GivenEncoder(_called(config, place.name), config)


class _Of(Settings):
    """Takes an encoder by its fields."""

    encoder: EncoderConfig


def _called(config: EncoderConfig, place: str) -> str:
    """Name an encoder by its architecture, the file, and what is in that: two files may be called alike."""
    assert config.weights is not None
    return f"{config.called} of {place} ({config.weights.sha256[:8]})"


class _Named:
    """Has a name by inheritance, so that what derives from it joins no family: nobody can ask for it by name."""

    name: ClassVar[str] = "as-given"


class AsGiven(_Named, MethodConfig):
    """An encoder as it is. It can't be trained.

    Attributes:
        eyes: the method that makes the encoder.
    """

    eyes: MethodConfig | None = None

    @model_validator(mode="wrap")
    @classmethod
    def _pick_kind(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        return handler(value)  # there is this one alone

    def make_encoder(self, config: EncoderConfig, shown: Format) -> Encoder:
        """Make it as the method does that trained it."""
        return super().make_encoder(config, shown) if self.eyes is None else self.eyes.make_encoder(config, shown)

    def build(self, encoder: Encoder, data: Data) -> "_AsGiven":
        """Make what probes read."""
        return _AsGiven(encoder)


class _AsGiven(Method):
    def forward(self, batch: Batch) -> StepResult:
        raise AssertionError("it is measured, and not trained")
