"""What an encoder is made for: the shape of pictures or sounds, and their statistics."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, TypeVar, final

import torch
from torch import Tensor

from unlabeled.platform.data.source import Field, Source
from unlabeled.platform.errors import UserError

SEEN = ("image", "clip", "wave")  # kinds of fields that an encoder can see
_STEPS = 2**15  # of a sound between 0 and 1, when its statistics are taken


class Statistics(NamedTuple):
    """Mean and standard deviation per channel."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


class _Format(ABC):
    """What an encoder sees: pictures or sounds. Abstract.

    Attributes:
        channels: of a picture 1 or 3; an encoder of some channels of a colour space may get 2.
        mean: per channel, of values as the encoder gets them.
        std: per channel, above 0.

    Raises:
        UserError: there are not as many means and deviations as channels, or a deviation is not above 0.
    """

    kind: ClassVar[str]
    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """Of one of them."""

    def __post_init__(self) -> None:
        """Check the statistics."""
        if len(self.mean) != self.channels or len(self.std) != self.channels or not min(self.std) > 0:
            raise UserError(
                f"{self.kind} of {self.channels} channels need {self.channels} means and as many standard deviations "
                f"above 0, got "
                f"mean {self.mean} and std {self.std}"
            )


@final
@dataclass(frozen=True)
class PictureFormat(_Format):
    """Pictures, or the frames of clips: float [B, C, H, W], pixels in [0, 1].

    Attributes:
        image_px: height and width.
    """

    kind = "pictures"
    channels: int
    image_px: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one of them: (C, H, W)."""
        return self.channels, self.image_px, self.image_px


@final
@dataclass(frozen=True)
class WaveFormat(_Format):
    """Sounds: float [B, C, S] in [-1, 1].

    Attributes:
        num_samples: S, how many each has.
        rate: samples per second.
    """

    kind = "sounds"
    channels: int
    num_samples: int
    rate: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one of them: (C, S)."""
        return self.channels, self.num_samples


FORMATS: Mapping[str, type[Any]] = {each.kind: each for each in (PictureFormat, WaveFormat)}
Format = PictureFormat | WaveFormat
F = TypeVar("F", PictureFormat, WaveFormat)


def taken(given: Format, kind: type[F], encoder: str) -> F:
    """Return the format that an encoder is asked to see, where it is of the kind that it sees.

    Raises:
        UserError: it is not.
    """
    if not isinstance(given, kind):
        raise UserError(
            f"{encoder} sees {kind.kind}, and method.views shows it {given.kind}; choose another encoder, such as "
            f"{'wave' if given.kind == 'sounds' else 'convnet'}"
        )
    return given


def format_of(field: Field, statistics: Statistics) -> Format:
    """Return the format of a field of one of the kinds :data:`SEEN`."""
    if field.kind == "wave":
        assert field.rate is not None
        channels, num_samples = field.shape
        return WaveFormat(channels, num_samples, field.rate, *statistics)
    channels, height, _ = field.shape[-3:]
    return PictureFormat(channels, height, *statistics)


def described(field: Field) -> str:
    """Say what items of one of the kinds :data:`SEEN` are.

    >>> described(Field(kind="clip", shape=(16, 3, 48, 48), rate=8.0))
    'clips of 16 frames (2 s) of 48 px, colour'
    >>> described(Field(kind="wave", shape=(1, 20480), rate=16000.0))
    'sounds of 1.28 s at 16 kHz'
    """
    if field.kind == "wave":
        assert field.rate is not None
        return f"sounds of {field.shape[-1] / field.rate:.3g} s at {field.rate / 1000:.4g} kHz"
    channels, height, _ = field.shape[-3:]
    pictures = f"of {height} px, {'grey' if channels == 1 else 'colour'}"
    if field.kind == "image":
        return f"pictures {pictures}"
    seconds = f" ({field.shape[0] / field.rate:.3g} s)" if field.rate else ""
    return f"clips of {field.shape[0]} frames{seconds} {pictures}"


def measure(source: Source, field: str) -> Statistics:
    """Return mean and standard deviation per channel of a field, over what :meth:`Source.sample` gives of it.

    Of pixels they are of values in [0, 1]. Sums are of whole numbers, so the result depends on neither order nor
    machine. A channel that never changes gets 1/255 instead of 0, so that dividing by it stays finite.
    """
    is_wave = source.fields[field].kind == "wave"
    one = _STEPS if is_wave else 255
    total, squares, count = torch.zeros((), dtype=torch.int64), torch.zeros((), dtype=torch.int64), 0
    for values_CN in _by_channel(source, field):
        whole = values_CN.mul(_STEPS).round_().to(torch.int32) if is_wave else values_CN.to(torch.int32)
        total = total + whole.sum(dim=1, dtype=torch.int64)
        squares = squares + whole.square_().sum(dim=1, dtype=torch.int64)
        count += whole.shape[1]
    mean = total.double() / count
    std = (squares.double() / count - mean.square()).clamp(min=0).sqrt().clamp(min=one / 255)
    return Statistics(tuple((mean / one).tolist()), tuple((std / one).tolist()))


def _by_channel(source: Source, field: str) -> Iterator[Tensor]:
    """Yield a field's values in parts, [C, N]."""
    channel = 1 if source.fields[field].kind == "wave" else -3
    for values in source.sample(field):
        yield values.movedim(channel, 0).flatten(1)
