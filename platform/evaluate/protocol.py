"""What a run is measured by, and when: followed on validation while it trains, probed once at the end."""

from collections.abc import Mapping

import torch

from unlabeled.platform.augment import normalize
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import Encoder
from unlabeled.platform.evaluate import Features, alignment, deviation, extract, rankme, uniformity
from unlabeled.platform.processor import Processor


class Evaluation:
    """The measurements of one run."""

    def __init__(self, run: RunConfig, data: Data, processor: Processor) -> None:
        self.run, self.data, self.processor = run, data, processor

    def due(self, epoch: int) -> bool:
        """Tell whether the finished ``epoch`` (1 is the first) is one to look at."""
        return epoch % self.run.evaluation.every_epochs == 0 or epoch == self.run.epochs

    def follow(self, encoder: Encoder) -> dict[str, float]:
        """Measure health, and the followed probe, on the validation split."""
        config = self.run.evaluation
        validation = self._features(encoder, "validation", config.follow_images)
        found = {
            "health/rankme": rankme(validation.x),
            "health/uniformity": uniformity(validation.x),
            "health/deviation": deviation(validation.x),
        }
        views = self._views(encoder)
        if len(views) > 1:
            found["health/alignment"] = alignment(*views[:2])
        if config.follow is not None and validation.labels is not None:
            train = self._features(encoder, "train", 2 * config.follow_images)
            found |= prefixed(config.follow.name, config.follow(train, validation))
        return found

    def final(self, encoder: Encoder) -> dict[str, float]:
        """Measure every final probe on the run's splits."""
        found: dict[str, float] = {}
        if not self._can_probe:
            return found
        train = self._features(encoder, "train")
        splits = {split: self._features(encoder, split) for split in self.run.evaluation.splits}
        for probe in self.run.evaluation.final:
            score = probe.fit(train)
            for split, features in splits.items():
                found |= prefixed(f"{split}/{probe.name}", score(features))
        return found

    def untrained(self, encoder: Encoder) -> dict[str, float]:
        """Measure every final probe on test, on an encoder that has learned nothing; keys start with ``untrained/``.

        Nothing is measured where test is not one of the run's splits.
        """
        if not self._can_probe or "test" not in self.run.evaluation.splits:
            return {}
        train, test = self._features(encoder, "train"), self._features(encoder, "test")
        found: dict[str, float] = {}
        for probe in self.run.evaluation.final:
            found |= prefixed(f"untrained/{probe.name}", probe(train, test))
        return found

    def protocols(self) -> dict[str, str]:
        """Return metric -> how it is measured, for every ``top1`` metric that a run can have."""
        config = self.run.evaluation
        how = {}
        if config.follow is not None:
            how[f"{config.follow.name}/top1"] = (
                f"{config.follow.protocol} on up to {config.follow_images} validation pictures, "
                f"bank of up to {2 * config.follow_images} training pictures, encoder features, each epoch"
            )
        for probe in config.final:
            for split in config.splits:
                how[f"{split}/{probe.name}/top1"] = f"{probe.protocol} on {split}, encoder features, last epoch"
            if "test" in config.splits:
                how[f"untrained/{probe.name}/top1"] = f"{probe.protocol} on test, encoder features, before training"
        return how

    @property
    def _can_probe(self) -> bool:
        return bool(self.run.evaluation.final) and self.data.train.labels is not None

    def _features(self, encoder: Encoder, split: str, at_most: int | None = None) -> Features:
        return extract(encoder, getattr(self.data, split), self.data, self.processor, at_most)

    @torch.no_grad()
    def _views(self, encoder: Encoder) -> list[torch.Tensor]:
        index = torch.arange(min(len(self.data.validation), self.run.evaluation.follow_images))
        draws = Draws(self.processor.put(index), self.run.seed, "follow")
        images = self.processor.put(self.data.validation.batch(index))
        encoder.eval()
        with self.processor.autocast():
            made = [
                encoder(self.processor.layout(normalize(view, self.data.mean, self.data.std))).float()
                for view in self.run.method.views(images, draws)
            ]
        encoder.train()
        return made


def prefixed(area: str, found: Mapping[str, float]) -> dict[str, float]:
    """Put the area before each metric's name."""
    return {f"{area}/{what}": value for what, value in found.items()}
