"""FixMatch: what a classifier is sure of on a picture that was changed little, it has to say of one changed a lot, too.

Sohn, Berthelot, Li, Zhang, Carlini, Cubuk, Kurakin, Zhang, Raffel (2020), "FixMatch: Simplifying Semi-Supervised
Learning with Consistency and Confidence", arXiv:2001.07685. With p(y|x) the classes' probabilities, weak(.) and
strong(.) the two augmentations, (x_b, y_b) the B labelled pictures of a step and u_b the mu B others, algorithm 1 is

    q_b = p(y | weak(u_b)), without gradient
    l_s = 1/B sum_b H(y_b, p(y | weak(x_b)))                                                        (eq. 3)
    l_u = 1/(mu B) sum_b 1[max q_b >= tau] H(argmax q_b, p(y | strong(u_b)))                        (eq. 4)
    loss = l_s + lambda_u l_u

The batch is the u_b, the stream "labelled" the x_b, one beside each mu of them. As in the paper all labelled pictures
are among the u_b, too, and the weights' moving average is what is scored: the layer "logits" has it, for the probe
"classifier". Other probes read the encoder in training.

Shapes: B labelled images per worker, N = mu B others, K classes.

Differs from the paper:
- Strong views: theirs change by two of RandAugment's fourteen operations, or by CTAugment's, before the cutout. Here
  every picture is cropped, jittered, and some are made grey or solarised; no shearing, turning, posterising, sharpening
  or equalising is in it, and magnitudes are those of SimCLR.
- Weak views: theirs are flipped and moved by up to an eighth of the side, which crops of 0.77 of the area stand for.
- The averaged weights go with the batch norm statistics of the weights in training.
- Optimiser and schedule are the run's; theirs are SGD with Nesterov's momentum, and 7/16 of a cosine.
"""

from collections.abc import Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import nn

from unlabeled.methods.few_labels import LABELLED, check_labelled, labelled_beside
from unlabeled.methods.losses.numerics import in_full_precision
from unlabeled.methods.parts import MomentumCopy, classify
from unlabeled.platform.augment import ColorDrop, ColorJitter, Crop, Cutout, Flip, Policy, Solarize, ViewPlan
from unlabeled.platform.data import Data
from unlabeled.platform.encoder import Encoder
from unlabeled.platform.method import Batch, Example, Method, MethodConfig, StepResult

WEAK = Policy(ops=(Crop(area=(0.77, 0.77), aspect=(1.0, 1.0)), Flip()))
STRONG = Policy(
    ops=(
        Crop(area=(0.4, 1.0)),
        Flip(),
        ColorJitter.of_strength(0.5),
        ColorDrop(p=0.2),
        Solarize(p=0.2),
        Cutout(side=0.5),
    )
)
cross_entropy, softmax = in_full_precision(F.cross_entropy), in_full_precision(F.softmax)


def weak_and_strong(beside: int, per_class: int) -> ViewPlan:
    """Plan a weak and a strong view of each picture, and a weak one of a labelled one beside each so many."""
    return labelled_beside((WEAK, STRONG), WEAK, beside=beside, per_class=per_class)


class FixMatchConfig(MethodConfig):
    """Defaults are the paper's on CIFAR-10 with 250 labels (sec. 4.1, app. B).

    Attributes:
        views: the weak and the strong view of each picture, and the stream "labelled", whose ``beside`` is mu.
        threshold: tau, how sure a prediction has to be to become a label.
        weight: lambda_u.
        ema: how much of the averaged weights stays, at each step.
    """

    name = "fixmatch"
    paper = "Sohn et al. 2020, arXiv:2001.07685"
    cost = 2.25
    num_views: ClassVar[int | None] = 2
    views: ViewPlan = weak_and_strong(beside=7, per_class=25)
    threshold: float = Field(default=0.95, ge=0.0, le=1.0)
    weight: float = Field(default=1.0, ge=0.0)
    ema: float = Field(default=0.999, ge=0.0, lt=1.0)

    @classmethod
    def example(cls) -> Example:
        """Return a small run."""
        method = cls(views=weak_and_strong(beside=4, per_class=10), threshold=0.8, ema=0.9)
        return Example(method=method, others={"all": method.with_field("threshold", 0.0)})

    def check(self, batch_size: int, workers: int, data: Data) -> None:
        """Raise UserError where there is no labelled stream, or its pictures do not go with the others."""
        check_labelled(self.name, self.views, data)

    def build(self, encoder: Encoder, data: Data) -> "FixMatch":
        """Make the classifier of the data's classes around an encoder."""
        return FixMatch(self, encoder, len(data.classes))


class FixMatch(Method):
    """An encoder and a linear classifier, trained together, and the moving average of both."""

    cut = "per-sample"

    def __init__(self, config: FixMatchConfig, encoder: Encoder, classes: int) -> None:
        super().__init__(encoder)
        self.config = config
        self.classifier = nn.Linear(encoder.dim, classes)
        self.average = MomentumCopy(nn.Sequential(encoder, self.classifier), config.ema)

    def forward(self, batch: Batch) -> StepResult:
        """Return the loss of algorithm 1, how good the labelled ones are told, and how many others count."""
        (weak, strong), labelled = batch.views, batch.streams[LABELLED]
        classes_B, (shown,) = labelled.targets["class"], labelled.views
        logits = self.classifier(self.encoder(torch.cat([shown, weak, strong])))  # one batch to batch norm, as theirs
        logits_BK, weak_NK, strong_NK = logits.split([len(shown), len(weak), len(strong)])
        supervised, top1 = classify(logits_BK, classes_B)
        sure_N, label_N = softmax(weak_NK.detach(), dim=1).max(dim=1)
        counts_N = sure_N >= self.config.threshold
        unsupervised = (cross_entropy(strong_NK, label_N, reduction="none") * counts_N).mean()
        logs = {
            "labelled/loss": supervised.detach(),
            "labelled/top1": top1,
            "pseudo/loss": unsupervised.detach(),
            "pseudo/share": counts_N.float().mean(),
        }
        return StepResult(loss=supervised + self.config.weight * unsupervised, logs=logs)

    def after_step(self, progress: float) -> None:
        """Let the average follow, with the statistics of batch norm as they are."""
        self.average.follow(buffers=True)

    def layers(self) -> Mapping[str, nn.Module]:
        """Return the averaged network's logits, which the paper scores, and those of the weights in training."""
        return {"logits": self.average.twin, "logits-in-training": nn.Sequential(self.encoder, self.classifier)}
