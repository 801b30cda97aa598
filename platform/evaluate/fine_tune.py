"""Fine-tuning: how good a start is the encoder for training on labels, when there are only some?

A linear layer is put on a copy of the encoder, and both are trained on the labelled pictures: SimCLR's semi-supervised
protocol (Chen et al. 2020, arXiv:2002.05709, sec. 6 and app. B.5), which fine-tunes with crops and flips alone. Of an
encoder that has learned nothing it is training from scratch on the same labels, in the same order, by the same rule.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from unlabeled.platform.augment import Crop, Flip, Policy, View, ViewPlan
from unlabeled.platform.draws import Draws, key
from unlabeled.platform.evaluate.features import encode
from unlabeled.platform.evaluate.fitting import Fit
from unlabeled.platform.evaluate.probe import MethodProbe, Subject, labelled_rows
from unlabeled.platform.metrics import Metric, scores_of
from unlabeled.platform.optim import AdamW, OptimizerConfig


class FineTune(MethodProbe):
    """Training of a copy of the encoder, with a linear layer on it; ``top1`` is how often its largest logit is right.

    What is not trained in the encoder stays so. All that is random is drawn from the run's seed.

    Attributes:
        epochs: passes over the labelled pictures; each drops the last batch if it is incomplete and not the only one.
        min_steps: passes go on until so many steps are done: a hundred pictures take more of them than all.
        batch_size: pictures a step, where there are so many.
        optimizer: how; the schedule ends with the last step.
        augmentation: what is done to the pictures that it learns from.
    """

    name = "fine-tune"
    sees: ClassVar[tuple[str, ...]] = ("image", "clip")
    scores: ClassVar[Mapping[str, Metric]] = scores_of("fine-tune", "top1")
    version = 2
    epochs: int = Field(default=5, ge=1)
    min_steps: int = Field(default=150, ge=0)
    batch_size: int = Field(default=64, ge=2)
    optimizer: OptimizerConfig = AdamW(learning_rate=1e-3, weight_decay=1e-4)
    augmentation: Policy = Policy(ops=(Crop(area=(0.5, 1.0)), Flip()))

    def flat(self) -> dict[str, Any]:
        """Return every field by its dotted path, the augmentation in one line."""
        fields = {path: value for path, value in super().flat().items() if not path.startswith("augmentation.")}
        return {**fields, "augmentation": self.augmentation.summary}

    def measure(self, subject: Subject, splits: tuple[str, ...]) -> Mapping[str, Mapping[str, float]]:
        """Train on the training split's share of labels, and score on ``splits``."""
        with torch.random.fork_rng(), torch.enable_grad():
            classifier = self._train(subject)
        found = {}
        for split in splits:
            logits = subject.features(classifier, split)
            assert logits.labels is not None
            found[split] = {"top1": logits.x.argmax(dim=1).eq(logits.labels).double().mean().item()}
        return found

    def _train(self, subject: Subject) -> nn.Module:
        train, processor = subject.data.train, subject.processor
        torch.manual_seed(key(subject.seed, "fine-tune"))  # the linear layer's weights, and dropout
        encoder = subject.encoder
        linear = nn.Linear(encoder.dim, len(subject.classes)).to(processor.device)
        classifier = nn.Sequential(encoder, linear).train()
        plan = ViewPlan(views=(View(policy=self.augmentation, field=subject.field),))

        def loss(rows: Tensor, draws: Draws) -> Tensor:
            items = {subject.field: processor.put(train.tensor(rows, subject.field))}
            (view,) = plan(items, draws.to(processor.device))
            with processor.autocast():
                logits = encode(classifier, view, processor)
            return F.cross_entropy(logits.float(), processor.put(train.tensor(rows, subject.told)))

        fit = Fit(self.epochs, self.min_steps, self.batch_size, self.optimizer)
        fit(classifier, labelled_rows(train, subject.told, self.labels), loss, subject.seed, "fine-tune")
        return classifier
