"""The method's own classifier: how often is it right, on clean pictures?

What a supervised or semi-supervised method is published with, beside which a linear probe on its features is another
measurement (Chen et al. 2020, arXiv:2002.05709, table 1, compare the one's with the other's).
"""

from collections.abc import Mapping
from typing import ClassVar, Self

from pydantic import model_validator

from unlabeled.platform.errors import UserError
from unlabeled.platform.evaluate.probe import MethodProbe, Subject
from unlabeled.platform.method import Method
from unlabeled.platform.metrics import Metric, scores_of

LAYER = "logits"


class Classifier(MethodProbe):
    """What the method's layer ``logits`` says; ``top1`` is the share of pictures whose largest logit is their class's.

    Of a clip, the logits of its frames are averaged.
    """

    name = "classifier"
    asks_method: ClassVar[bool] = True
    scores: ClassVar[Mapping[str, Metric]] = scores_of("classifier", "top1")

    @model_validator(mode="after")
    def _takes_no_labels(self) -> Self:
        if self.labels != 1.0:
            raise ValueError(
                f"labels {self.labels:g} would be ignored by classifier, which looks at none; leave it out"
            )
        return self

    def check(self, method: Method) -> None:
        """Raise UserError where the method has no classifier."""
        if LAYER not in method.layers():
            raise UserError(
                f"classifier needs a method that classifies, such as supervised, and {type(method).__name__} has no "
                f"layer {LAYER!r}; take it out of evaluation.final"
            )

    def measure(self, subject: Subject, splits: tuple[str, ...]) -> Mapping[str, Mapping[str, float]]:
        """Return each split's ``top1``."""
        self.check(subject.method)
        found = {}
        for split in splits:
            logits = subject.features(subject.method.layers()[LAYER], split)
            assert logits.labels is not None
            found[split] = {"top1": logits.x.argmax(dim=1).eq(logits.labels).double().mean().item()}
        return found
