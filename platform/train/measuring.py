"""What a run is measured by, and when: followed on validation while it trains, probed once at the end."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import torch

from unlabeled.platform.collective.waiting import by_first
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data, DataConfig
from unlabeled.platform.encoder import Encoder
from unlabeled.platform.evaluate import (
    FeatureProbe,
    Features,
    Measurement,
    MethodProbe,
    ProbeConfig,
    Subject,
    alignment,
    deviation,
    names,
    rankme,
    uniformity,
)
from unlabeled.platform.evaluate.features import CHUNK, encode, in_eval_mode
from unlabeled.platform.evaluate.measurement import Reading
from unlabeled.platform.evaluate.probe import Score, share_of_labels
from unlabeled.platform.evaluate.sharing import sharing
from unlabeled.platform.method import Method
from unlabeled.platform.processor import Processor
from unlabeled.platform.train.loggable import metric_name
from unlabeled.platform.train.notes import Notes
from unlabeled.platform.train.protocols import is_told, measured
from unlabeled.platform.train.readings import Readings
from unlabeled.platform.train.views import views_of

_PLAIN = Reading(layer="", data=None, told="class", places=False)


class Evaluation:
    """The measurements of one run. One that fails is left out, and the others are made.

    Workers that train together measure together: all call the same, each reads a share of what is measured, and the
    first one measures it and is told what was found.

    Attributes:
        notes: what could not be measured, and why.
    """

    def __init__(
        self,
        run: RunConfig,
        data: Data,
        processor: Processor,
        other: Mapping[DataConfig, Data] | None = None,
        folder: Path | None = None,
    ) -> None:
        """Take what ``load_other`` returns as ``other``; large features lie in ``folder`` while they are needed."""
        self.run, self.data, self.processor = run, data.showing(run.method.field), processor
        self.other = other or {}
        self.notes = Notes()
        self.readings = Readings(processor, self.notes, folder)

    def due(self, epoch: int) -> bool:
        """Tell whether the finished ``epoch`` (1 is the first) is one to look at."""
        return epoch % self.run.evaluation.every_epochs == 0 or epoch == self.run.epochs

    def follow(self, method: Method, when: str = "") -> dict[str, float]:
        """Measure health, and what is followed, on the validation split; ``when`` tells notes: " in epoch 3"."""
        config = self.run.evaluation
        found: dict[str, float] = {}
        called = {each: name for each, name in names(config.follow).items() if is_told(each, self.data)}
        missing = {_PLAIN: ["health was not measured" + when]}  # first, and for all that reads the same
        for each, name in called.items():
            if each.reading != _PLAIN:
                missing.setdefault(each.reading, []).append(f"{name} was not measured{when}")
        read = self.readings.read(method, self.data, "validation", missing, max_items=config.follow_images)
        views: list[torch.Tensor] = []
        with self.notes.guard(f"health/alignment was not measured{when}"):
            if len(self.run.method.views.views) > 1:
                views = self._views(method.encoder)
        banks = {
            reading: [f"{name} was not measured{when}" for each, name in called.items() if each.reading == reading]
            for reading in dict.fromkeys(each.reading for each in called)
            if reading in read
        }
        train = self.readings.read(method, self.data, "train", banks, max_items=2 * config.follow_images)

        by_first(partial(self._followed, found, called, read, train, views, when))
        return self.notes.measured(found, when)

    def _followed(
        self,
        found: dict[str, float],
        called: Mapping[Measurement, str],
        read: Mapping[Reading, Features],
        train: Mapping[Reading, Features],
        views: Sequence[torch.Tensor],
        when: str,
    ) -> None:
        """Measure what was read while a run trains."""
        if _PLAIN in read:
            with self.notes.guard(f"health was not measured{when}"):
                x = read[_PLAIN].x
                found |= {
                    "health/rankme": rankme(x),
                    "health/uniformity": uniformity(x),
                    "health/deviation": deviation(x),
                }
        if views:
            with self.notes.guard(f"health/alignment was not measured{when}"):
                found["health/alignment"] = alignment(*views)
        for each, name in called.items():
            if each.reading in train:
                with self.notes.guard(f"{name} was not measured{when}"):
                    assert isinstance(each.probe, FeatureProbe)
                    bank = _with_labels_of(each.probe, train[each.reading])
                    found |= prefixed(name, each.probe(bank, read[each.reading]))

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
        called = measured(self.run.evaluation, self.data) if areas else {}
        found: dict[Measurement, dict[str, float]] = {each: {} for each in called}
        for data in dict.fromkeys(each.data for each in called):
            group = {each: name for each, name in called.items() if each.data == data}
            self._of_features(method, self._data(data), group, areas, refuses, found)
            by_first(partial(self._of_method, method, group, areas, refuses, found))
        by_reading = [
            values
            for reading in dict.fromkeys(each.reading for each in called)
            for each, values in found.items()
            if each.reading == reading
        ]
        return self.notes.measured({name: value for values in by_reading for name, value in values.items()})

    def _of_features(
        self,
        method: Method,
        data: Data,
        group: Mapping[Measurement, str],
        areas: Mapping[str, str],
        refuses: bool,
        found: Mapping[Measurement, dict[str, float]],
    ) -> None:
        """Measure what reads features of one data set.

        The training split is read once, and each probe fitted once, however it is scored; then each split is read once
        for each way to show it, and its features go before the next are made.
        """
        asked = {each: name for each, name in group.items() if each.probe.is_frozen}
        if not asked:
            return
        train = self.readings.read(method, data, "train", _unread(asked, "train", clean=True), refuses=refuses)
        scores = by_first(partial(self._fitted, asked, train, areas, refuses)) or {}
        del train
        for shown in dict.fromkeys(each.shown for each in asked):
            alike = {each: name for each, name in asked.items() if each.shown == shown}
            for split, area in areas.items():
                missing = _unread(alike, area)
                read = self.readings.read(method, data, split, missing, shown=shown, refuses=refuses)
                by_first(partial(self._scored, alike, read, scores, area, refuses, found))

    def _fitted(
        self,
        asked: Mapping[Measurement, str],
        train: Mapping[Reading, Features],
        areas: Mapping[str, str],
        refuses: bool,
    ) -> dict[tuple[Reading, ProbeConfig], Score]:
        """Fit each probe once."""
        scores: dict[tuple[Reading, ProbeConfig], Score] = {}
        for each, name in asked.items():
            if each.reading in train and (each.reading, each.probe) not in scores:
                with self.notes.guard(_unmeasured(areas, name), refuses=refuses):
                    assert isinstance(each.probe, FeatureProbe)
                    scores[each.reading, each.probe] = each.probe.fit(_with_labels_of(each.probe, train[each.reading]))
        return scores

    def _scored(
        self,
        alike: Mapping[Measurement, str],
        read: Mapping[Reading, Features],
        scores: Mapping[tuple[Reading, ProbeConfig], Score],
        area: str,
        refuses: bool,
        found: Mapping[Measurement, dict[str, float]],
    ) -> None:
        """Score what was read of a split."""
        for each, name in alike.items():
            if each.reading in read and (each.reading, each.probe) in scores:
                with self.notes.guard(f"{area}/{name} was not measured", refuses=refuses):
                    score = scores[each.reading, each.probe]
                    found[each].update(prefixed(f"{area}/{name}", score(read[each.reading])))

    def _of_method(
        self,
        method: Method,
        group: Mapping[Measurement, str],
        areas: Mapping[str, str],
        refuses: bool,
        found: Mapping[Measurement, dict[str, float]],
    ) -> None:
        """Measure what scores the method as a whole."""
        for each, name in group.items():
            if not each.probe.is_frozen:
                with self.notes.guard(_unmeasured(areas, name), refuses=refuses):
                    assert isinstance(each.probe, MethodProbe)
                    for split, values in each.probe.measure(self._subject(method, each), tuple(areas)).items():
                        found[each].update(prefixed(f"{areas[split]}/{name}", values))

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

    @torch.no_grad()
    def _views(self, encoder: Encoder) -> list[torch.Tensor]:
        """Return the features of two views of the items that are followed, [N, D] each; nothing to other workers."""
        plan = self.run.method.views.model_copy(update={"views": self.run.method.views.views[:2]})

        def make(index: torch.Tensor) -> list[torch.Tensor]:
            views = views_of(plan, self.data.validation, index, (self.run.seed, "follow"), self.processor.put)
            return [encode(encoder, view, self.processor).float() for view in views]

        made: list[list[torch.Tensor]] = [[], []]
        parts = torch.split(self.data.validation.rows[: self.run.evaluation.follow_images], CHUNK)
        with sharing(parts) as shares, in_eval_mode(encoder), self.processor.autocast():
            for turn, index in enumerate(shares.own):
                for kept, view in zip(made, shares.agreed(make, index), strict=True):
                    kept.extend(some for _, some in shares.every(turn, view))
        return [torch.cat(kept) for kept in made if kept]


def _with_labels_of(probe: ProbeConfig, train: Features) -> Features:
    """Leave the share of the training labels that the probe may see."""
    assert train.labels is not None
    return train if probe.labels == 1.0 else train.take(share_of_labels(train.labels, probe.labels))


def _unread(group: Mapping[Measurement, str], area: str, *, clean: bool = False) -> dict[Reading, list[str]]:
    """Return what is noted of each reading of a group where it fails."""
    of = {each.reading: each.of_train if clean else each.of for each in reversed(list(group))}
    order = dict.fromkeys(each.reading for each in group)
    return {reading: [f"features of {f'{area}/{of[reading]}'.strip('/')} were not computed"] for reading in order}


def _unmeasured(areas: Mapping[str, str], name: str) -> str:
    called = [f"{area}/{name}" for area in areas.values()]
    return f"{' and '.join(called)} {'was' if len(called) == 1 else 'were'} not measured"


def prefixed(area: str, found: Mapping[str, float]) -> dict[str, float]:
    """Put the area before each metric's name; a layer's or a score's may hold what no tracking store takes."""
    return {metric_name(f"{area}/{what}"): value for what, value in found.items()}
