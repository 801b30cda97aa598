"""A measurement: a probe, and what it scores: which features, of which data, told by what, shown how."""

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import SerializerFunctionWrapHandler, model_serializer, model_validator

from unlabeled.platform.data import DataConfig
from unlabeled.platform.evaluate.corruptions import Corruption
from unlabeled.platform.evaluate.probe import ProbeConfig, keys
from unlabeled.platform.evaluate.transformations import TRANSFORMATIONS
from unlabeled.platform.settings import Settings


@dataclass(frozen=True)
class Reading:
    """What a probe reads; measurements that share it share their features.

    Attributes:
        layer: nothing is the encoder's output.
        data: None is the run's own.
        told: what the items are told by: a field of the data, or a transformation.
        places: whether features stay in their places.
        encoder: which of the method's encoders; nothing is the one that is kept.
    """

    layer: str
    data: DataConfig | None
    told: str
    places: bool
    encoder: str = ""

    @property
    def of_data(self) -> str:
        """The data's name in metrics; nothing of the run's own."""
        return "" if self.data is None else name_of(self.data)


class Measurement(Settings):
    """One thing that is measured of a run. A probe alone stands for the measurement by it, and so it is written.

    Attributes:
        probe: how.
        encoder: whose features it reads, where that is not the encoder that is kept: a further one of the method's, by
            the name that the method gives it.
        layer: what it reads, where that is not the encoder's output: one of the encoder's blocks (``block1``, ...), or
            what the method names: ``head``.
        data: a further data set that it is fitted and scored on, on its own splits, with this run's encoder. Its
            pictures are shown as the encoder takes them: at the run's size and in its channels.
        told: what it has to tell: a field of the data, or a transformation, in whose ways all pictures are shown. Not
            given, it is the field that is called as what the probe needs: "class", of a segmentation "mask".
        shown: a corruption of what is scored; what is learned from is clean.
    """

    opens: ClassVar[bool] = False

    probe: ProbeConfig
    encoder: str = ""
    layer: str = ""
    data: DataConfig | None = None
    told: str = "class"
    shown: Corruption | None = None

    @model_validator(mode="before")
    @classmethod
    def _of_a_probe_alone(cls, value: Any) -> Any:
        if isinstance(value, ProbeConfig | str) or (isinstance(value, Mapping) and "name" in value):
            value = {"probe": value}
        if not isinstance(value, Mapping) or "probe" not in value:
            return value
        probe = value["probe"]
        name = probe.get("name") if isinstance(probe, Mapping) else probe
        kind = ProbeConfig.kinds().get(name) if isinstance(name, str) else type(probe)
        return {"told": getattr(kind, "target", "class"), **value}

    @model_validator(mode="after")
    def _ignores_nothing(self) -> Self:
        probe, name = self.probe, self.probe.name
        if self.data is not None and self.data.image_px is not None:
            raise ValueError(
                f"{self.data.name} is brought to the run's size, so its image_px {self.data.image_px} would be "
                "ignored; leave it out"
            )
        if not probe.is_frozen:
            if self.encoder:
                raise ValueError(
                    f"{name} scores the encoder that is kept, so {self.encoder} would be ignored; leave it"
                )
            if self.layer:
                raise ValueError(f"{name} scores the whole encoder, so layer {self.layer} would be ignored; leave it")
            if self.told in TRANSFORMATIONS:
                raise ValueError(f"{name} can't be told {self.told}, only what the data have; take knn or linear")
            if self.data is not None and probe.asks_method:
                raise ValueError(
                    f"{name} asks what the method learned besides its encoder, which is of its own data only; "
                    f"leave {self.data.name} out"
                )
        elif probe.target != "class" and self.told in TRANSFORMATIONS:
            raise ValueError(f"{name} is told by {probe.target}, not by {self.told}; leave it out")
        return self

    @model_serializer(mode="wrap")
    def _as_a_probe_alone(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = handler(self)
        probe: dict[str, Any] = fields["probe"]
        return probe if self.is_plain else fields

    def identity(self) -> dict[str, Any]:
        """Return what tells this measurement from others: of one that has nothing but a probe, what tells the probe."""
        if self.is_plain:
            return self.probe.identity()
        found = super().identity()
        if self.told == self.probe.target:
            found.pop("told", None)
        return found

    @property
    def is_plain(self) -> bool:
        """Whether it has nothing but a probe."""
        return not (self.encoder or self.layer or self.data or self.told != self.probe.target or self.shown)

    @property
    def reading(self) -> Reading:
        """What its probe reads."""
        return Reading(self.layer, self.data, self.told, self.probe.reads == "grid", self.encoder)

    @property
    def of(self) -> str:
        """What stands before the probe in metrics' names: ``emoji``, ``head/rotation``, ``noise-3``; or nothing."""
        told = "" if self.told == self.probe.target else self.told
        shown = "" if self.shown is None else self.shown.key
        return "/".join(part for part in (self.reading.of_data, self.encoder, self.layer, told, shown) if part)

    @property
    def of_train(self) -> str:
        """The same of what is learned from, which is clean."""
        return self.model_copy(update={"shown": None}).of

    @property
    def key(self) -> str:
        """Its name in metrics where no other is called so: ``knn``, ``head/grey/linear-1pct``; see :func:`names`."""
        return f"{self.of}/{self.probe.key}".lstrip("/")

    def protocol(self, split: str, when: str, at_size: str = "") -> str:
        """Say how it is measured: the probe's protocol, on which split of what, of which features, and when.

        Behind it stands what is done otherwise at this size of the data.
        """
        of = "" if self.data is None else f" of {_in_words(self.data)}"
        shown = "" if self.shown is None else f" shown with {self.shown.kind} of severity {self.shown.severity}"
        return f"{self.probe.protocol} on {split}{of}{shown}, {self.features}, {when}{at_size and f', {at_size}'}"

    @property
    def features(self) -> str:
        """What of the run the probe scores, in words: ``head features of pictures changed by rotation``."""
        told = "" if self.told == self.probe.target else f" told by {self.told}"
        if not self.probe.is_frozen:
            return f"the whole {'method' if self.probe.asks_method else 'encoder'}{told}"
        of = f"{self.layer or f'encoder {self.encoder}'.strip()} features"
        of += f" of encoder {self.encoder}" if self.encoder and self.layer else ""
        of += " in their places" if self.probe.reads == "grid" else ""
        return of + (f" of pictures changed by {self.told}" if self.told in TRANSFORMATIONS else told)

    @property
    def summary(self) -> str:
        """What it has besides its probe: ``layer head, told rotation``."""
        found = {
            "encoder": self.encoder,
            "layer": self.layer,
            "data": "" if self.data is None else _in_words(self.data),
        }
        found |= {"told": "" if self.told == self.probe.target else self.told}
        found |= {"shown": "" if self.shown is None else self.shown.key}
        return ", ".join(f"{name} {value}" for name, value in found.items() if value)


def every(
    probes: Iterable[ProbeConfig],
    *,
    encoders: Sequence[str] = ("",),
    layers: Sequence[str] = ("",),
    data: Sequence[DataConfig | None] = (None,),
    told: Sequence[str] = (),
    shown: Sequence[Corruption | None] = (None,),
) -> tuple[Measurement, ...]:
    """Return each probe with each encoder, layer, data set, thing to tell and corruption, but what it can't have.

    Args:
        probes: those of the whole encoder or method read no layers or further encoders and tell no transformations; and
            those that ask the method are of the run's own data alone.
        encoders: an empty name is the encoder that is kept.
        layers: an empty name is the encoder's output.
        data: None is the run's own.
        told: fields and transformations; none is what each probe is told by default.
        shown: None is clean.

    >>> from unlabeled.platform.evaluate import KNN, FineTune
    >>> [each.key for each in every((KNN(), FineTune()), layers=("", "head"), told=("class", "rotation"))]
    ['knn', 'fine-tune', 'rotation/knn', 'head/knn', 'head/rotation/knn']
    """
    found = []
    probes = tuple(probes)
    for of, encoder, layer, asked, corruption in itertools.product(data, encoders, layers, told or ("",), shown):
        for probe in probes:
            told_by = asked or probe.target
            is_whole = not probe.is_frozen
            if is_whole and (encoder or layer or told_by in TRANSFORMATIONS or (of is not None and probe.asks_method)):
                continue
            found.append(
                Measurement(probe=probe, encoder=encoder, layer=layer, data=of, told=told_by, shown=corruption)
            )
    return tuple(found)


def names(measurements: Sequence[Measurement]) -> dict[Measurement, str]:
    """Return what measurements of one run are called in metrics, a name for each.

    Where probes that read the same have the same key, their settings tell them apart: see
    :func:`~unlabeled.platform.evaluate.probe.keys`.

    Raises:
        ValueError: one is listed twice, or two would have one name, or two data sets.
    """
    data = [name_of(of) for of in dict.fromkeys(each.data for each in measurements) if of is not None]
    if len(set(data)) < len(data):
        raise ValueError(f"its data sets' names in metrics must differ, and are {', '.join(data)}; leave one out")
    alike: dict[tuple[Reading, Corruption | None], list[Measurement]] = {}
    for each in measurements:
        alike.setdefault((each.reading, each.shown), []).append(each)
    found: dict[Measurement, str] = {}
    for group in alike.values():
        probes = keys([each.probe for each in group])
        found |= {each: f"{each.of}/{probes[each.probe]}".lstrip("/") for each in group}
    called: dict[str, Measurement] = {}
    for each in measurements:
        if called.setdefault(found[each], each) != each:
            raise ValueError(f"two measurements would be called {found[each]}; leave one out")
    return {each: found[each] for each in measurements}


def name_of(data: DataConfig) -> str:
    """Return a data set's name in metrics; of a folder it is made of the path's last part.

    >>> name_of(DataConfig(name="folder:~/pictures/my flowers"))
    'folder-my-flowers'
    """
    kind, is_folder, path = data.name.partition(":")
    if not is_folder:
        return data.name
    return f"{kind}-{re.sub(r'[^A-Za-z0-9._]+', '-', Path(path).name).strip('-')}".rstrip("-")


def _in_words(data: DataConfig) -> str:
    """Name a data set with the settings that are not the default: ``emoji (train_images 500)``."""
    usual = DataConfig()
    settings = ", ".join(
        f"{name} {value}" for name, value in data.flat().items() if name != "name" and value != getattr(usual, name)
    )
    return data.name + (f" ({settings})" if settings else "")
