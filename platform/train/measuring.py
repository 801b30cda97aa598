"""What a run is measured by, and when: followed on validation while it trains, probed once at the end."""

from collections.abc import Mapping

import torch

from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data, DataConfig
from unlabeled.platform.encoder import Encoder
from unlabeled.platform.evaluate import (
    Corruption,
    FeatureProbe,
    Features,
    Measurement,
    MethodProbe,
    ProbeConfig,
    Subject,
    alignment,
    deviation,
    extract,
    names,
    rankme,
    uniformity,
)
from unlabeled.platform.evaluate.features import encode, in_eval_mode
from unlabeled.platform.evaluate.layers import grids, layers
from unlabeled.platform.evaluate.measurement import Reading
from unlabeled.platform.evaluate.probe import Score, share_of_labels
from unlabeled.platform.evaluate.transformations import TRANSFORMATIONS
from unlabeled.platform.method import Method
from unlabeled.platform.processor import Processor
from unlabeled.platform.train.loggable import metric_name
from unlabeled.platform.train.notes import Notes
from unlabeled.platform.train.protocols import is_told, measured
from unlabeled.platform.train.reading import views_of


class Evaluation:
    """The measurements of one run. One that fails is left out, and the others are made.

    Attributes:
        notes: what could not be measured, and why.
    """

    def __init__(
        self, run: RunConfig, data: Data, processor: Processor, other: Mapping[DataConfig, Data] | None = None
    ) -> None:
        """Take what ``load_other`` returns as ``other``."""
        self.run, self.data, self.processor = run, data.showing(run.method.field), processor
        self.other = other or {}
        self.notes = Notes()

    def due(self, epoch: int) -> bool:
        """Tell whether the finished ``epoch`` (1 is the first) is one to look at."""
        return epoch % self.run.evaluation.every_epochs == 0 or epoch == self.run.epochs

    def follow(self, method: Method, when: str = "") -> dict[str, float]:
        """Measure health, and what is followed, on the validation split; ``when`` tells notes: " in epoch 3"."""
        config, guard = self.run.evaluation, self.notes.guard
        found: dict[str, float] = {}
        read: dict[Reading, Features] = {}
        plain = Reading(layer="", data=None, told="class", places=False)
        with guard(f"health was not measured{when}"):
            read[plain] = self._read(method, plain, "validation", config.follow_images)
            found |= {
                "health/rankme": rankme(read[plain].x),
                "health/uniformity": uniformity(read[plain].x),
                "health/deviation": deviation(read[plain].x),
            }
        with guard(f"health/alignment was not measured{when}"):
            if len(self.run.method.views.views) > 1:
                found["health/alignment"] = alignment(*self._views(method.encoder))
        for each, name in names(config.follow).items():
            reading, probe = each.reading, each.probe
            assert isinstance(probe, FeatureProbe)
            if not is_told(each, self.data) or (reading == plain and plain not in read):
                continue  # the latter is noted
            with guard(f"{name} was not measured{when}"):
                if reading not in read:
                    read[reading] = self._read(method, reading, "validation", config.follow_images)
                train = self._read(method, reading, "train", 2 * config.follow_images)
                found |= prefixed(name, probe(_with_labels_of(probe, train), read[reading]))
        return self.notes.measured(found, when)

    def final(self, method: Method) -> dict[str, float]:
        """Measure every final probe on the run's splits."""
        return self._measure(method, {split: split for split in self.run.evaluation.splits})

    def untrained(self, method: Method) -> dict[str, float]:
        """Measure every final probe on test, on a method that has learned nothing; keys start with ``untrained/``.

        Nothing is measured where test is not one of the run's splits.

        Raises:
            UserError: a probe refuses the method or the data.
        """
        areas = {"test": "untrained"} if "test" in self.run.evaluation.splits else {}
        return self._measure(method, areas, refuses=True)

    def _measure(self, method: Method, areas: Mapping[str, str], *, refuses: bool = False) -> dict[str, float]:
        """Make the final measurements on some splits, each of which has an area of metric names."""
        found: dict[str, float] = {}
        called = measured(self.run.evaluation, self.data) if areas else {}
        for reading in dict.fromkeys(each.reading for each in called):
            group = {each: name for each, name in called.items() if each.reading == reading}
            found |= self._of_reading(method, reading, group, areas, refuses)
        return self.notes.measured(found)

    def _of_reading(
        self,
        method: Method,
        reading: Reading,
        group: Mapping[Measurement, str],
        areas: Mapping[str, str],
        refuses: bool,
    ) -> dict[str, float]:
        """Return the metrics of measurements that read the same: each probe is fitted once, however it is scored."""
        found: dict[str, float] = {}
        read: dict[tuple[str, Corruption | None], Features] = {}
        scores: dict[ProbeConfig, Score] = {}
        asked = {each.shown: each.of for each in group if isinstance(each.probe, FeatureProbe)}
        wanted: dict[tuple[str, Corruption | None], str] = {}
        if asked:
            wanted["train", None] = f"train/{next(iter(group)).of_train}"
        wanted |= {(split, shown): f"{area}/{of}" for shown, of in asked.items() for split, area in areas.items()}
        for (split, shown), name in wanted.items():
            with self.notes.guard(f"features of {name.strip('/')} were not computed", refuses=refuses):
                read[split, shown] = self._read(method, reading, split, shown=shown)
        for each, name in group.items():
            called = {split: f"{area}/{name}" for split, area in areas.items()}
            missing = f"{' and '.join(called.values())} {'was' if len(called) == 1 else 'were'} not measured"
            if isinstance(each.probe, MethodProbe):
                with self.notes.guard(missing, refuses=refuses):
                    for split, values in each.probe.measure(self._subject(method, each), tuple(areas)).items():
                        found |= prefixed(called[split], values)
                continue
            there = [split for split in areas if (split, each.shown) in read]
            if ("train", None) not in read or not there:
                continue  # which is noted
            if each.probe not in scores:
                with self.notes.guard(missing, refuses=refuses):
                    assert isinstance(each.probe, FeatureProbe)
                    scores[each.probe] = each.probe.fit(_with_labels_of(each.probe, read["train", None]))
            for split in there if each.probe in scores else ():
                with self.notes.guard(f"{called[split]} was not measured", refuses=refuses):
                    found |= prefixed(called[split], scores[each.probe](read[split, each.shown]))
        return found

    def _subject(self, method: Method, measurement: Measurement) -> Subject:
        data = self._data(measurement.data)
        return Subject(
            method=method,
            encoder=self._copy(method.encoder),
            data=data,
            processor=self.processor,
            seed=self.run.seed,
            field=data.field,
            told=measurement.told,
            shown=measurement.shown,
        )

    def _copy(self, encoder: Encoder) -> Encoder:
        with torch.random.fork_rng():
            copy = self.run.method.make_encoder(self.run.encoder, self.data.format)
        copy.load_state_dict(encoder.state_dict())
        device = self.processor.device
        return copy.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    def _data(self, config: DataConfig | None) -> Data:
        return self.data if config is None else self.other[config]

    def _read(
        self,
        method: Method,
        reading: Reading,
        split: str,
        max_items: int | None = None,
        shown: Corruption | None = None,
    ) -> Features:
        modules = grids(method) if reading.places else {"": method.encoder, **layers(method)}
        data, change = self._data(reading.data), TRANSFORMATIONS.get(reading.told)
        return extract(
            modules[reading.layer],
            getattr(data, split),
            self.processor,
            max_items,
            change,
            field=data.field,
            told="class" if change is not None else reading.told,
            shown=shown,
        )

    @torch.no_grad()
    def _views(self, encoder: Encoder) -> list[torch.Tensor]:
        index = self.data.validation.rows[: self.run.evaluation.follow_images]
        plan = self.run.method.views.model_copy(update={"views": self.run.method.views.views[:2]})
        views = views_of(plan, self.data.validation, index, (self.run.seed, "follow"), self.processor.put)
        with in_eval_mode(encoder), self.processor.autocast():
            made = [encode(encoder, view, self.processor).float() for view in views]
        return made


def _with_labels_of(probe: ProbeConfig, train: Features) -> Features:
    """Leave the share of the training labels that the probe may see."""
    assert train.labels is not None
    return train if probe.labels == 1.0 else train.take(share_of_labels(train.labels, probe.labels))


def prefixed(area: str, found: Mapping[str, float]) -> dict[str, float]:
    """Put the area before each metric's name; a layer's or a score's may hold what no tracking store takes."""
    return {metric_name(f"{area}/{what}"): value for what, value in found.items()}
