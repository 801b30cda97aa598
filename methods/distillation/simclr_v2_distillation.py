"""SimCLR v2's last steps: a teacher learns from few labels, then a student from what the teacher says of all pictures.

Chen, Kornblith, Swersky, Norouzi, Hinton (2020), "Big Self-Supervised Models are Strong Semi-Supervised Learners",
arXiv:2006.10029. Fine-tuning and distillation are its second and third step (see ``simclr_v2.py``):

    P(y | x) = exp(f(x)_y / tau) / sum_y' exp(f(x)_y' / tau)
    L_teacher = -mean_(x, y) log P_T(y | x),  tau 1, over labelled pictures, in the first ``tuning`` of the steps
    L_student = -(1 - alpha) mean_(x, y) log P_S(y | x) - alpha mean_x sum_y P_T(y | x) log P_S(y | x)

Teacher and student are of one architecture and start from the same weights: those of ``encoder.weights``, an encoder
that ``simclr-v2`` trained, with the first layer of its head, from which it is fine-tuned. The encoder that is kept and
probed is the student's; the teacher's is the further encoder ``teacher``.

Shapes: B labelled images per worker, N others, K classes.

Differs from the paper: both steps are one run, under one schedule; the student follows from the start, when the teacher
still learns, and goes on when that stays as it is, which in the paper it does all the time. The student is as large
as the teacher ("self-distillation"): a run has one kind of encoder, so no smaller one can be told by it.
"""

import contextlib
import copy
from collections.abc import Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from unlabeled.methods.few_labels import LABELLED, check_labelled, labelled_beside
from unlabeled.methods.kept_layers import Deeper, with_layers
from unlabeled.methods.losses.numerics import in_full_precision
from unlabeled.methods.parts import SMALL, classify, left_alone, nothing_of
from unlabeled.platform.augment import Crop, Flip, Policy, ViewPlan
from unlabeled.platform.data import Data, Format
from unlabeled.platform.encoder import Encoder, EncoderConfig
from unlabeled.platform.method import Batch, Example, Method, MethodConfig, StepResult

CROPPED = Policy(ops=(Crop(area=(0.08, 1.0)), Flip()))


class SimCLRV2DistillationConfig(MethodConfig):
    """Defaults are the paper's with 1 % of ImageNet's labels, 13 of each class: crops and flips alone.

    Attributes:
        views: one view of each picture, and the stream "labelled".
        head: widths of the head's layers that belong to the encoder: as many as the pre-training kept.
        tuning: share of the steps in which the teacher learns.
        temperature: tau of the student's loss; the paper has 1 where the student is smaller than its teacher.
        alpha: what the teacher's word weighs; the rest is the labels'.
    """

    name = "simclr-v2-distillation"
    version = 3  # the temperature is the paper's for a student as large as its teacher
    paper = "Chen et al. 2020, arXiv:2006.10029"
    cost = 2.36
    num_views: ClassVar[int | None] = 1
    views: ViewPlan = labelled_beside((CROPPED,), CROPPED, beside=1, per_class=13)
    head: tuple[int, ...] = (2048,)
    tuning: float = Field(default=0.5, ge=0.0, lt=1.0)
    temperature: float = Field(default=0.1, gt=0.0)
    alpha: float = Field(default=1.0, ge=0.0, le=1.0)

    @classmethod
    def example(cls) -> Example:
        """Return a small run."""
        small = cls(views=labelled_beside((SMALL,), SMALL, beside=2, per_class=20), head=(64,), temperature=1.0)
        return Example(method=small, others={"labels too": small.with_field("alpha", 0.5)})

    def check(self, batch_size: int, workers: int, data: Data) -> None:
        """Raise UserError where there is no labelled stream of one view, or its pictures do not go with the others."""
        check_labelled(self.name, self.views, data)

    def make_encoder(self, config: EncoderConfig, shown: Format) -> Encoder:
        """Make the encoder, with the layers of the head that it was trained with."""
        return with_layers(config.build(shown), self.head)

    def check_encoder(self, encoder: Encoder, image_px: int) -> None:
        """Raise UserError where the network can't see the views."""
        super().check_encoder(encoder.inner if isinstance(encoder, Deeper) else encoder, image_px)

    def build(self, encoder: Encoder, data: Data) -> "SimCLRV2Distillation":
        """Make teacher and student, both of what the encoder is now."""
        return SimCLRV2Distillation(self, encoder, len(data.classes))


class SimCLRV2Distillation(Method):
    """The student, and the teacher: an encoder each, and a linear classifier on it."""

    cut = "per-sample"

    def __init__(self, config: SimCLRV2DistillationConfig, encoder: Encoder, classes: int) -> None:
        super().__init__(encoder)
        self.config = config
        self.teacher = copy.deepcopy(encoder)
        self.classifier, self.says = (nn.Linear(encoder.dim, classes) for _ in range(2))

    def encoders(self) -> Mapping[str, Encoder]:
        """Return the student's encoder, which is kept, and the teacher's."""
        return {"": self.encoder, "teacher": self.teacher}

    def layers(self) -> Mapping[str, nn.Module]:
        """Return what the student says of each class, ``logits``, and what the teacher does."""
        student, teacher = nn.Sequential(self.encoder, self.classifier), nn.Sequential(self.teacher, self.says)
        return {"logits": student, "teacher-logits": teacher}

    def forward(self, batch: Batch) -> StepResult:
        """Return both losses, how often the teacher is right, and how often the student says what the teacher does."""
        config, (view,), labelled = self.config, batch.views, batch.streams[LABELLED]
        (shown,), classes_B = labelled.views, labelled.targets["class"]
        learns = batch.progress < config.tuning
        with contextlib.nullcontext() if learns else left_alone(self.teacher):
            tuned, top1 = classify(self.says(self.teacher(shown)), classes_B)
        with left_alone(self.teacher):
            teacher_NK = self.says(self.teacher(view))
        student_NK, labelled_BK = self.classifier(self.encoder(torch.cat([view, shown]))).split([len(view), len(shown)])
        told = imitation(student_NK, teacher_NK, config.temperature)
        known = imitation(labelled_BK, classes_B, config.temperature)
        agree = student_NK.detach().argmax(dim=1).eq(teacher_NK.argmax(dim=1)).float().mean()
        loss = tuned + (1.0 - config.alpha) * known + config.alpha * told
        loss = loss if learns else loss + nothing_of(self.teacher, self.says)
        logs = {"teacher/loss": tuned.detach(), "teacher/top1": top1, "student/top1": agree}
        return StepResult(loss=loss, logs=logs)

    def before_step(self, progress: float) -> None:
        """Keep the teacher as it is, once it has learned."""
        if progress >= self.config.tuning:
            for part in (self.teacher, self.says):
                part.zero_grad(set_to_none=True)


@in_full_precision
def imitation(student_NK: Tensor, told: Tensor, temperature: float) -> Tensor:
    """Return the cross-entropy of the student's choice at a temperature, for the teacher's logits or for classes."""
    target = told if told.ndim == 1 else (told / temperature).softmax(dim=1)
    return F.cross_entropy(student_NK / temperature, target)
