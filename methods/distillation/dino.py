"""DINO: from any crop of an image, a student predicts what its own slow copy, the teacher, says of a large one.

Caron, Touvron, Misra, Jégou, Mairal, Bojanowski, Joulin (2021), "Emerging Properties in Self-Supervised Vision
Transformers", arXiv:2104.14294. Procedure: algorithm 1. Loss: eq. 1 to 3. Centre: eq. 4. Schedules: sec. 3.1 and 3.2.
Head: app. C. Attention: figure 1. Entropy and divergence: sec. 5.3.

Shapes: B images per worker, V views of each, the first G of them global, K prototypes (outputs of the head).

Differs from the paper: what it sets by epochs is set by shares of training, and moves at every step; weight decay stays
where it rises from 0.04 to 0.4; pictures that are smaller than 224 px need smaller local crops than the default. Probes
read the student, as every method's encoder; the teacher, which the paper evaluates, is the layer "teacher".
Differs from the authors' code: prototypes have length 1, where ``main_dino.py`` says that ViT-S is usually trained
without; no drop path (0.1 there), and clipping (3.0 there) only by ``optimizer.clip_norm``; the teacher's momentum goes
by the steps done, theirs by those before this one; crops are resized with a bilinear filter, theirs with a bicubic one;
a ViT's positions are resized to a local crop's patches by timm, bicubic with antialiasing, theirs without.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveFloat
from torch import Tensor, nn

from unlabeled.methods.losses.numerics import in_full_precision
from unlabeled.methods.parts import SMALL_JITTER, MomentumCopy, by_size, multi_crop
from unlabeled.methods.prototypes import PrototypeHead, across_views, gelu_head, warmed_up
from unlabeled.platform.augment import Crop, ViewPlan
from unlabeled.platform.augment.figure import Figure
from unlabeled.platform.collective import mean_over_workers
from unlabeled.platform.data import Data
from unlabeled.platform.encoder import Encoder, ViT
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Batch, Example, Method, MethodConfig, StepResult


class DINOConfig(MethodConfig):
    """Defaults are the paper's ViT-S settings for 100 epochs on ImageNet, but for what the module says.

    Attributes:
        views: the global crops first; the others may be smaller.
        global_views: G, how many the teacher sees.
        head: widths of the head's hidden layers and of its bottleneck.
        prototypes: K.
        student_temperature: tau_s in eq. 1.
        teacher_temperature: tau_t at the start, and after its linear warm-up.
        warmup: share of training that this takes.
        centering: subtract the centre from the teacher's outputs; without it, one output can win everywhere.
        center_momentum: m in eq. 4.
        momentum: the teacher's at the start, lambda; half a cosine leads it to 1.
        frozen: share of training in which the prototypes do not learn.
    """

    name = "dino"
    paper = "Caron et al. 2021, arXiv:2104.14294"
    cost = 3.02
    views: ViewPlan = multi_crop()
    global_views: int = Field(default=2, ge=2)
    head: tuple[int, ...] = Field(default=(2048, 2048, 256), min_length=1)
    prototypes: int = Field(default=65_536, ge=2)
    student_temperature: float = Field(default=0.1, gt=0.0)
    teacher_temperature: tuple[PositiveFloat, PositiveFloat] = (0.04, 0.07)
    warmup: float = Field(default=0.3, gt=0.0, le=1.0)
    centering: bool = True
    center_momentum: float = Field(default=0.9, ge=0.0, lt=1.0)
    momentum: float = Field(default=0.996, ge=0.0, le=1.0)
    frozen: float = Field(default=0.01, ge=0.0, lt=1.0)

    @classmethod
    def example(cls) -> Example:
        """Return a small run."""
        return Example(
            method=(
                small := cls(
                    views=ViewPlan(
                        views=(SMALL_JITTER,) * 2 + (SMALL_JITTER.replacing(Crop(area=(0.15, 0.5), size=16)),)
                    ),
                    head=(64, 32),
                    prototypes=64,
                    teacher_temperature=(0.02, 0.03),
                    center_momentum=0.5,
                    momentum=0.99,
                    frozen=0.0,
                )
            ),
            learning={"epochs": 10},
            others={"frozen": small.with_field("frozen", 0.3)},
        )

    def check(self, batch_size: int, workers: int, data: Data) -> None:
        """Raise UserError where the plan has not even the global views."""
        if len(self.views.views) < self.global_views:
            raise UserError(
                f"method.global_views {self.global_views} is more than the plan's {len(self.views.views)} views; set "
                f"method.views to a plan of {self.global_views} or more, the global ones first"
            )

    def build(self, encoder: Encoder, data: Data) -> "DINO":
        """Make DINO around an encoder."""
        return DINO(self, encoder)


class DINO(Method):
    """The student, which learns; the teacher, which follows it; and the centre of the teacher's outputs."""

    center: Tensor

    def __init__(self, config: DINOConfig, encoder: Encoder) -> None:
        super().__init__(encoder)
        self.config = config
        self.head = PrototypeHead(gelu_head(encoder.dim, config.head), config.head[-1], config.prototypes)
        self.teacher = MomentumCopy(nn.Sequential(encoder, self.head), config.momentum, final=1.0)
        self.register_buffer("center", torch.zeros(config.prototypes))

    def forward(self, batch: Batch) -> StepResult:
        """Return the loss and the two numbers that show a collapse; the centre moves after it was used."""
        config = self.config
        teacher = by_size(self.teacher, batch.views[: config.global_views])  # [G, B, K]
        student = self.head(by_size(self.encoder, batch.views))  # [V, B, K]
        centered = teacher - self.center if config.centering else teacher
        temperature = warmed_up(*config.teacher_temperature, batch.progress / config.warmup)
        loss, entropy = distillation(centered, student, temperature, config.student_temperature)
        logs = {"teacher_entropy": entropy, "kl": loss.detach() - entropy, "center_norm": self.center.norm()}
        mean_K = mean_over_workers(teacher.to(self.center.dtype).mean(dim=(0, 1)))
        self.center.lerp_(mean_K, 1.0 - config.center_momentum)  # eq. 4
        return StepResult(loss=loss, logs={f"distill/{name}": value for name, value in logs.items()})

    def before_step(self, progress: float) -> None:
        """Keep the prototypes as they are for the first steps."""
        if progress < self.config.frozen:
            self.head.cancel_gradient()

    def after_step(self, progress: float) -> None:
        """Let the teacher follow, the less the later."""
        self.teacher.follow(progress)

    def layers(self) -> Mapping[str, nn.Module]:
        """Return the student's outputs, and the features of the teacher."""
        return {**super().layers(), "teacher": self.teacher.twin[0]}  # type: ignore[index]

    def figures(self, batch: Batch) -> Mapping[str, Figure]:
        """Return where a plain ViT's class token looks, by each head and their mean; white is a picture's highest."""
        if not isinstance(self.encoder, ViT) or not self.encoder.shows_attention:
            return {}
        images = batch.views[0]
        columns, grid = {"picture": images}, [side // self.encoder.patch_px for side in images.shape[2:]]
        heads = self.encoder.attention(images)[:, :, 0, self.encoder.prefix :]
        maps = {f"head {number}": head for number, head in enumerate(heads.unbind(dim=1), start=1)}
        for title, weights in {**maps, "mean": heads.mean(dim=1)}.items():
            grey = (weights / weights.amax(dim=1, keepdim=True)).view(-1, 1, *grid)
            columns[title] = F.interpolate(grey, images.shape[2:], mode="nearest-exact")
        return {"attention": Figure(columns)}


@in_full_precision
def distillation(teacher: Tensor, student: Tensor, tau_t: float, tau_s: float) -> tuple[Tensor, Tensor]:
    """Return eq. 3 of outputs [G, B, K] and [V, B, K], a mean over pairs of different views, and P_t's entropy."""
    log_p, log_q = (teacher / tau_t).log_softmax(dim=2), (student / tau_s).log_softmax(dim=2)
    p = log_p.exp()
    return across_views(p, log_q), -(p * log_p).sum(dim=2).mean().detach()
