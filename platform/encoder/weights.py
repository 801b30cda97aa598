"""Weights that an encoder starts from: a safetensors file of ours or of timm, known by what is in it."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import torch
from pydantic import Field, model_validator
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from unlabeled.platform.encoder.encoder import StandardisingEncoder
from unlabeled.platform.errors import UserError
from unlabeled.platform.settings import Settings

WEIGHTS = "encoder.safetensors"  # in the folder of an exported encoder
_SUFFIX = ".safetensors"
_COUNTERS = "num_batches_tracked"  # older files lack them, and nothing computes by them

Shapes = Mapping[str, tuple[int, ...]]


class Weights(Settings):
    """A file of weights. Its contents are its identity, its place is not. The path alone stands for it.

    Attributes:
        source: its absolute path; of the folder of an exported encoder, that of the file in it.
        sha256: of its contents, hexadecimal.
    """

    opens = False

    source: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")

    @model_validator(mode="before")
    @classmethod
    def _of_a_path(cls, value: Any) -> Any:
        if not isinstance(value, str | os.PathLike):
            return value
        try:
            path = found(value)
            return {"source": str(path), "sha256": _sha256(path)}
        except UserError as error:
            raise ValueError(str(error)) from None

    def identity(self) -> dict[str, Any]:
        """Return what tells these weights from others."""
        return {"sha256": self.sha256}

    def __str__(self) -> str:
        """Say which file, and the beginning of its checksum."""
        return f"{self.source} ({self.sha256[:12]})"

    def kept_in(self, folder: Path) -> Self:
        """Return the same weights in a folder, copied there where they are not; all who see the folder see them.

        Raises:
            UserError: the file is gone or was changed, or can't be copied.
        """
        place = folder / f"{self.sha256}{_SUFFIX}"
        if not place.is_file():
            self._check_is_the_same()
            try:
                folder.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryDirectory(dir=folder) as beside:
                    shutil.copyfile(self.source, half := Path(beside) / place.name)
                    half.replace(place)
            except OSError as error:
                raise UserError(f"{self.source} can't be copied to {folder} ({error.strerror}); make room") from None
        return self.model_copy(update={"source": str(place)})

    def shapes(self) -> Shapes:
        """Return what the file holds: name -> shape, without reading the weights.

        Raises:
            UserError: it can't be read.
        """
        with _readable(self.source), safe_open(self.source, framework="pt") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118, no mapping

    @property
    def channels(self) -> int | None:
        """Channels of the pictures or sounds that the weights were made for; None where that can't be seen."""
        shapes = self.shapes()
        if "mean" in shapes:
            return shapes["mean"][0]
        seen = [shape[1] for shape in shapes.values() if len(shape) == 4 and shape[1] in (1, 2, 3)]
        return max(seen, default=None)  # depthwise convolutions look like those of one channel

    def give(self, encoder: nn.Module, called: str) -> None:
        """Let an encoder start from these weights; one on the meta device is only asked whether they fit it.

        They are those of the encoder, of the one in it where a method wraps it, or of timm's model in that, whose
        classifier is left out. A file of ours holds the mean and deviation that the encoder standardises by; with one
        of timm it takes those that the file's head or timm knows of the model, where it has as many channels.

        Args:
            encoder: built for the data.
            called: its name, for errors.

        Raises:
            UserError: the file can't be read or was changed, or its names and shapes are not the encoder's.
        """
        place = _place(encoder, self.shapes(), self.source, called)
        if any(parameter.is_meta for parameter in encoder.state_dict().values()):
            return
        self._check_is_the_same()
        with _readable(self.source):
            given = load_file(self.source)
        own = place.state_dict()
        place.load_state_dict({**own, **{name: tensor for name, tensor in given.items() if name in own}})
        around = next((m for m in encoder.modules() if isinstance(m, StandardisingEncoder) and _in(m) is place), None)
        if around is not None:
            self._standardise_as_before(around)

    def _standardise_as_before(self, around: StandardisingEncoder) -> None:
        """Let an encoder around timm's model subtract what that was trained with."""
        with _readable(self.source), safe_open(self.source, framework="pt") as file:
            told = file.metadata() or {}
        known = getattr(around.model, "pretrained_cfg", None) or {}
        for name, buffer in (("mean", around.mean), ("std", around.std)):
            values = self._numbers(name, told[name]) if name in told else known.get(name)
            if values is not None and len(values) == len(buffer):
                buffer.copy_(torch.tensor(values).view_as(buffer))

    def _numbers(self, name: str, text: str) -> list[float]:
        """Read what the file's head says."""
        try:
            return [float(value) for value in json.loads(text)]
        except (ValueError, TypeError):
            raise UserError(
                f"{name} in the head of {self.source} is {text[:60]!r}, no list of numbers; save the weights without "
                "it, or with one as JSON, such as [0.5, 0.5, 0.5]"
            ) from None

    def _check_is_the_same(self) -> None:
        if _sha256(found(self.source)) != self.sha256:
            raise UserError(f"{self.source} was changed since its checksum was taken; name it again, or put it back")


def exported(folder: Path) -> Path:
    """Return the folder of an exported encoder: the one that is given, or that among a run's artifacts in it."""
    return folder / "encoder" if (folder / "encoder" / WEIGHTS).is_file() else folder


def found(path: str | os.PathLike[str]) -> Path:
    """Return the absolute path of a file of weights, or of that in the folder of an exported encoder.

    Raises:
        UserError: there is none, or it is of another kind.
    """
    place = Path(path).expanduser().absolute()
    if place.is_dir() and (file := exported(place) / WEIGHTS).is_file():
        place = file
    if not place.is_file():
        what = f"no {WEIGHTS} in the folder" if place.is_dir() else "no file"
        raise UserError(
            f"there is {what} {place}; give a .safetensors file, an exported encoder's folder or a run's id"
        )
    if place.suffix != _SUFFIX:
        raise UserError(
            f"{place} is no .safetensors file, and a pickle could run any code; of your own, make one by "
            "safetensors.torch.save_file(torch.load(FILE, weights_only=True), NEW)"
        )
    return place


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path} can't be read ({error.strerror}); make it readable") from None


@contextlib.contextmanager
def _readable(path: str) -> Iterator[None]:
    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = re.sub(r"\s+", " ", str(error)) or type(error).__name__
        raise UserError(f"{path} can't be read as safetensors ({reason}); fetch it again") from None


def _in(encoder: nn.Module) -> nn.Module | None:
    """Return timm's model in an encoder, where it has one."""
    model = getattr(encoder, "model", None)
    return model if isinstance(model, nn.Module) else None


def _places(encoder: nn.Module) -> list[nn.Module]:
    """Return the encoder, the one in it where a method wraps one alone, and timm's model in that."""
    inner = [module for module in encoder.modules() if isinstance(module, StandardisingEncoder)]
    if len(inner) != 1:
        return [encoder]
    model = _in(inner[0])
    return list(dict.fromkeys([encoder, *inner, *([] if model is None else [model])]))


def _place(encoder: nn.Module, shapes: Shapes, source: str, called: str) -> nn.Module:
    """Return the part of an encoder that has these weights' names and shapes."""
    odd = {place: _odd(place, shapes) for place in _places(encoder)}
    fitting = [place for place, words in odd.items() if not words]
    if fitting:
        return fitting[0]
    words = min(odd.values(), key=lambda words: sum(count for _, count in words))
    said = "; ".join(text if count == 1 else f"{text} and {count - 1} more" for text, count in words)
    raise UserError(
        f"the weights in {source} are not those of {called}: {said}; name the encoder that they are of, with the "
        f"settings, and pictures of the size and channels (data.image_px), that it was trained with"
    )


def _odd(place: nn.Module, shapes: Shapes) -> list[tuple[str, int]]:
    """Say what keeps weights from being a module's: an example and a count of each kind of difference."""
    own: Mapping[str, Tensor] = place.state_dict()
    left_out = _classifier(place)
    lacking = [name for name in own if name not in shapes and not name.endswith(_COUNTERS)]
    strange = [name for name in shapes if name not in own and name.partition(".")[0] not in left_out]
    other = [name for name in own if name in shapes and tuple(own[name].shape) != shapes[name]]
    words = []
    if other:
        name = other[0]
        words.append((f"{name} has shape {list(shapes[name])}, not {list(own[name].shape)}", len(other)))
    if lacking:
        words.append((f"{lacking[0]} is missing", len(lacking)))
    if strange:
        words.append((f"{strange[0]} is not one of its weights", len(strange)))
    return words


def _classifier(place: nn.Module) -> set[str]:
    """Return the parts of timm's model that an encoder is built without."""
    if isinstance(place, StandardisingEncoder):
        return set()
    named = (getattr(place, "pretrained_cfg", None) or {}).get("classifier") or ()
    names = (named,) if isinstance(named, str) else named
    return {"head", "fc", "head_dist", *(name.partition(".")[0] for name in names)}
