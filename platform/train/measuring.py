"""What a run is measured by, and when: followed on validation while it trains, probed once at the end."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from unlabeled.platform.config import RunConfig, transfer_name
from unlabeled.platform.data import Data, DataConfig
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import Encoder
from unlabeled.platform.evaluate import (
    FeatureProbe,
    Features,
    MethodProbe,
    ProbeConfig,
    Subject,
    alignment,
    deviation,
    extract,
    rankme,
    uniformity,
)
from unlabeled.platform.evaluate.features import in_eval_mode
from unlabeled.platform.evaluate.layers import layers
from unlabeled.platform.evaluate.probe import Score, share_of_labels
from unlabeled.platform.evaluate.transformations import TRANSFORMATIONS
from unlabeled.platform.method import Method
from unlabeled.platform.processor import Processor
from unlabeled.platform.train.loggable import metric_name
from unlabeled.platform.train.notes import Notes

_COSTS = {
    "system/training_memory_mb": "what the steps after the first add to the process, and the size of weights, "
    "gradients and the optimiser's state (of a GPU: its tensors)",
    "system/training_seconds": "in training steps, their views included; not in evaluation and checkpoints",
}


@dataclass(frozen=True)
class _Reading:
    """What a probe reads: a layer's features (none named: the encoder's output), of the class or a transformation.

    Attributes:
        layer: its name, or nothing.
        transformation: likewise.
        other: a further data set's name in metrics; nothing for the run's own.
    """

    layer: str = ""
    transformation: str = ""
    other: str = ""

    def metric(self, area: str, probe: str) -> str:
        """Return the metric's name without its last part: ``test/head/rotation/linear``."""
        return "/".join(part for part in (area, self.other, self.layer, self.transformation, probe) if part)

    def suits(self, probe: ProbeConfig) -> bool:
        """Tell whether the probe is run here: one of the method reads no layer and no transformation.

        And what the method has learned besides its encoder is of its own data only.
        """
        if isinstance(probe, FeatureProbe):
            return True
        return not (self.layer or self.transformation or (self.other and probe.asks_method))

    def words(self, probe: ProbeConfig) -> str:
        """Say what of the run the probe scores."""
        if not isinstance(probe, FeatureProbe):
            return "the whole method" if probe.asks_method else "the whole encoder"
        of = f"{self.layer} features" if self.layer else "encoder features"
        return f"{of} of pictures changed by {self.transformation}" if self.transformation else of


class Evaluation:
    """The measurements of one run. One that fails is left out, and the others are made.

    Attributes:
        notes: what could not be measured, and why.
    """

    def __init__(
        self, run: RunConfig, data: Data, processor: Processor, transfer: Mapping[str, Data] | None = None
    ) -> None:
        """Take what ``load_transfer`` returns as ``transfer``; to ask for protocols it may be left out."""
        self.run, self.data, self.processor, self.transfer = run, data, processor, transfer or {}
        self.notes = Notes()
        self._keys = run.evaluation.keys

    def due(self, epoch: int) -> bool:
        """Tell whether the finished ``epoch`` (1 is the first) is one to look at."""
        return epoch % self.run.evaluation.every_epochs == 0 or epoch == self.run.epochs

    def follow(self, encoder: Encoder, when: str = "") -> dict[str, float]:
        """Measure health, and the followed probe, on the validation split; ``when`` tells notes: " in epoch 3"."""
        config, guard = self.run.evaluation, self.notes.guard
        found: dict[str, float] = {}
        validation: Features | None = None
        with guard(f"health was not measured{when}"):
            validation = self._features(encoder, "validation", config.follow_images)
            found |= {
                "health/rankme": rankme(validation.x),
                "health/uniformity": uniformity(validation.x),
                "health/deviation": deviation(validation.x),
            }
        with guard(f"health/alignment was not measured{when}"):
            views = self._views(encoder)
            if len(views) > 1:
                found["health/alignment"] = alignment(*views[:2])
        if config.follow is not None and validation is not None and validation.labels is not None:
            with guard(f"{config.follow.key} was not measured{when}"):
                train = self._features(encoder, "train", 2 * config.follow_images)
                found |= prefixed(config.follow.key, config.follow(_with_labels_of(config.follow, train), validation))
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

    def protocols(self) -> dict[str, str]:
        """Return metric -> how it is measured, for every score that a run can have, and for its costs."""
        config = self.run.evaluation
        how = dict(_COSTS)
        if config.follow is not None:
            how |= _of_each_score(
                config.follow.key,
                config.follow,
                f"on up to {config.follow_images} validation pictures, "
                f"bank of up to {2 * config.follow_images} training pictures, encoder features, each epoch",
            )
        of_other = {transfer_name(other): f" of {_in_words(other)}" for other in config.transfer}
        for reading, probe in self._measured():
            of, what = of_other.get(reading.other, ""), reading.words(probe)
            for split in config.splits:
                how |= _of_each_score(
                    reading.metric(split, self._keys[probe]), probe, f"on {split}{of}, {what}, last epoch"
                )
            if "test" in config.splits:
                area = reading.metric("untrained", self._keys[probe])
                how |= _of_each_score(area, probe, f"on test{of}, {what}, before training")
        return how

    def _measured(self) -> list[tuple[_Reading, ProbeConfig]]:
        """List which probe reads what."""
        every = itertools.product(self._readings(), self.run.evaluation.final)
        return [(reading, probe) for reading, probe in every if reading.suits(probe)]

    def _measure(self, method: Method, areas: Mapping[str, str], *, refuses: bool = False) -> dict[str, float]:
        """Measure the final probes on some splits, each of which has an area of metric names."""
        found: dict[str, float] = {}
        measured = self._measured() if areas else []
        for reading, group in itertools.groupby(measured, key=lambda each: each[0]):
            probes = [probe for _, probe in group]
            read: dict[str, Features] = {}
            if any(isinstance(probe, FeatureProbe) for probe in probes):
                for split, area in {"train": "train", **areas}.items():
                    missing = f"features of {reading.metric(area, '')} were not computed"
                    with self.notes.guard(missing, refuses=refuses):
                        read[split] = self._read(method, reading, split)
            for probe in probes:
                found |= self._score(probe, method, reading, read, areas, refuses)
        return self.notes.measured(found)

    def _score(
        self,
        probe: ProbeConfig,
        method: Method,
        reading: _Reading,
        read: Mapping[str, Features],
        areas: Mapping[str, str],
        refuses: bool,
    ) -> dict[str, float]:
        """Return the metrics of one probe on the splits that could be ``read``."""
        names = {split: reading.metric(area, self._keys[probe]) for split, area in areas.items()}
        all_missing = f"{' and '.join(names.values())} {'was' if len(names) == 1 else 'were'} not measured"
        found: dict[str, float] = {}
        if isinstance(probe, MethodProbe):
            with self.notes.guard(all_missing, refuses=refuses):
                subject = Subject(
                    method, self._copy(method.encoder), self._data(reading), self.processor, self.run.seed
                )
                for split, scores in probe.measure(subject, tuple(areas)).items():
                    found |= prefixed(names[split], scores)
            return found
        assert isinstance(probe, FeatureProbe)
        if "train" not in read or not any(split in read for split in areas):
            return found  # which is noted
        score: Score | None = None
        with self.notes.guard(all_missing, refuses=refuses):
            score = probe.fit(_with_labels_of(probe, read["train"]))
        for split, name in names.items():
            if score is not None and split in read:
                with self.notes.guard(f"{name} was not measured", refuses=refuses):
                    found |= prefixed(name, score(read[split]))
        return found

    def _copy(self, encoder: Encoder) -> Encoder:
        with torch.random.fork_rng():
            copy = self.run.method.make_encoder(self.run.encoder, self.data.format)
        copy.load_state_dict(encoder.state_dict())
        device = self.processor.device
        return copy.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    def _readings(self) -> list[_Reading]:
        """List what the final probes read: of the encoder's output, of each further layer, of each further data set."""
        config = self.run.evaluation
        told = ["", *config.transformations] if "class" in self.data.train.fields else list(config.transformations)
        own = [_Reading(layer, of) for layer in ("", *config.layers) for of in told]
        return own + [_Reading(other=transfer_name(other)) for other in config.transfer]

    def _data(self, reading: _Reading) -> Data:
        return self.transfer[reading.other] if reading.other else self.data

    def _read(self, method: Method, reading: _Reading, split: str) -> Features:
        module = layers(method)[reading.layer] if reading.layer else method.encoder
        change = TRANSFORMATIONS[reading.transformation] if reading.transformation else None
        data = self._data(reading)
        return extract(module, getattr(data, split), self.processor, change=change)

    def _features(self, encoder: Encoder, split: str, at_most: int) -> Features:
        return extract(encoder, getattr(self.data, split), self.processor, at_most)

    @torch.no_grad()
    def _views(self, encoder: Encoder) -> list[torch.Tensor]:
        index = self.data.validation.rows[: self.run.evaluation.follow_images]
        draws = Draws(self.processor.put(index), self.run.seed, "follow")
        plan, validation = self.run.method.views, self.data.validation
        items = {field: self.processor.put(validation.tensor(index, field)) for field in plan.fields}
        with in_eval_mode(encoder), self.processor.autocast():
            made = [encoder(self.processor.layout(view)).float() for view in plan(items, draws)]
        return made


def _with_labels_of(probe: ProbeConfig, train: Features) -> Features:
    """Leave the share of the training labels that the probe may see."""
    assert train.labels is not None
    return train if probe.labels == 1.0 else train.take(share_of_labels(train.labels, probe.labels))


def _of_each_score(area: str, probe: ProbeConfig, where: str) -> dict[str, str]:
    scores = probe.scores
    return {metric_name(f"{area}/{score}"): f"{probe.protocol} {where}" for score in scores}


def _in_words(data: DataConfig) -> str:
    """Name a data set with the settings that are not the default: ``emoji (train_images 500)``."""
    usual = DataConfig()
    settings = ", ".join(
        f"{name} {value}" for name, value in data.flat().items() if name != "name" and value != getattr(usual, name)
    )
    return data.name + (f" ({settings})" if settings else "")


def prefixed(area: str, found: Mapping[str, float]) -> dict[str, float]:
    """Put the area before each metric's name; a layer's or a score's may hold what no tracking store takes."""
    return {metric_name(f"{area}/{what}"): value for what, value in found.items()}
