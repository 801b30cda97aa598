"""Fine-tuning: how good a start is the encoder for training on labels, when there are only some?

A linear layer is put on a copy of the encoder, and both are trained on the labelled pictures: SimCLR's semi-supervised
protocol (Chen et al. 2020, arXiv:2002.05709, sec. 6 and app. B.5), which fine-tunes with crops and flips alone. Of an
encoder that has learned nothing it is training from scratch on the same labels, in the same order, by the same rule.
"""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from unlabeled.platform.augment import Crop, Flip, Policy, ViewPlan
from unlabeled.platform.data import Source
from unlabeled.platform.draws import Draws, key
from unlabeled.platform.evaluate.features import extract
from unlabeled.platform.evaluate.probe import MethodProbe, Subject, share_of_labels
from unlabeled.platform.optim import AdamW, OptimizerConfig


class FineTune(MethodProbe):
    """Training of a copy of the encoder, with a linear layer on it; ``top1`` is how often its largest logit is right.

    What is not trained in the encoder stays so. All that is random is drawn from the run's seed.

    Attributes:
        epochs: passes over the labelled pictures; each drops the last batch if it is incomplete and not the only one.
        least_steps: passes go on until so many steps are done: a hundred pictures take more of them than all.
        batch_size: pictures a step, where there are so many.
        optimizer: how; the schedule ends with the last step.
        augmentation: what is done to the pictures that it learns from.
    """

    name = "fine-tune"
    epochs: int = Field(default=5, ge=1)
    least_steps: int = Field(default=150, ge=0)
    batch_size: int = Field(default=64, ge=2)
    optimizer: OptimizerConfig = AdamW(learning_rate=1e-3, weight_decay=1e-4)
    augmentation: Policy = Policy(ops=(Crop(area=(0.5, 1.0)), Flip()))

    def flat(self) -> dict[str, Any]:
        """Return every field by its dotted path, the augmentation in one line."""
        fields = {path: value for path, value in super().flat().items() if not path.startswith("augmentation.")}
        return {**fields, "augmentation": self.augmentation.summary}

    def measure(self, subject: Subject, splits: tuple[str, ...]) -> Mapping[str, Mapping[str, float]]:
        """Train on the training split's share of labels, and score on ``splits``."""
        data, processor = subject.data, subject.processor
        with torch.random.fork_rng(), torch.enable_grad():
            classifier = self._train(subject)
        found = {}
        for split in splits:
            logits = extract(classifier, getattr(data, split), processor)
            assert logits.labels is not None
            found[split] = {"top1": logits.x.argmax(dim=1).eq(logits.labels).double().mean().item()}
        return found

    def _train(self, subject: Subject) -> nn.Module:
        data, processor = subject.data, subject.processor
        torch.manual_seed(key(subject.seed, "fine-tune"))  # the linear layer's weights, and dropout
        encoder = subject.encoder
        classifier = nn.Sequential(encoder, nn.Linear(encoder.dim, len(data.classes)).to(processor.device)).train()
        optimizer = self.optimizer.build(classifier)
        chosen = self._labelled(data.train)
        steps_per_epoch = len(self._batches(chosen))
        total_steps = max(self.epochs * steps_per_epoch, self.least_steps)
        for step, (rows, draws) in enumerate(itertools.islice(self._passes(chosen, subject.seed), total_steps)):
            learning_rate = self.optimizer.learning_rate_at(step, steps_per_epoch, total_steps, self.batch_size)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate
            (view,) = ViewPlan(views=(self.augmentation,))(
                {"image": processor.put(data.train.tensor(rows, "image"))}, Draws(processor.put(rows), *draws)
            )
            with processor.autocast():
                logits = classifier(processor.layout(view))
            optimizer.zero_grad(set_to_none=True)
            classes = processor.put(data.train.tensor(rows, "class"))
            F.cross_entropy(logits.float(), classes).backward()  # type: ignore[no-untyped-call]
            if self.optimizer.clip_norm is not None:
                torch.nn.utils.clip_grad_norm_(classifier.parameters(), self.optimizer.clip_norm)
            optimizer.step()
        return classifier

    def _labelled(self, train: Source) -> Tensor:
        known = train.rows[train.known("class")]
        return known[share_of_labels(train.tensor(known, "class"), self.labels)]

    def _passes(self, chosen: Tensor, seed: int) -> Iterator[tuple[Tensor, tuple[int | str, ...]]]:
        """Yield the rows of each batch, pass after pass without end, and what their draws are keyed by."""
        for epoch in itertools.count():
            scope = (seed, "fine-tune", epoch)
            order = Draws(chosen, *scope).uniform("order").argsort(stable=True)
            for rows in self._batches(chosen[order]):
                yield rows, scope

    def _batches(self, rows: Tensor) -> tuple[Tensor, ...]:
        batches = torch.split(rows, self.batch_size)
        return batches[:-1] if len(batches) > 1 and len(batches[-1]) < self.batch_size else batches
