"""DINOv2: DINO of class tokens, iBOT of hidden patches, all prototypes in even use, and pictures kept apart.

Oquab, Darcet, Moutakanni et al. (2023), "DINOv2: Learning Robust Visual Features without Supervision",
arXiv:2304.07193, sec. 4, as in facebookresearch/dinov2 (``train/ssl_meta_arch.py``). Patches: iBOT (Zhou et al. 2021,
arXiv:2111.07832). Evenness: SwAV's Sinkhorn-Knopp in the place of DINO's centre. Distance: KoLeo (Sablayrolles et al.
2018, arXiv:1806.03198). Components: figure 1.

The teacher, a slow copy of the student, sees two large crops. The student sees these, one of them with blocks of
patches hidden behind a token, and small ones. Two heads end in cosines with K prototypes: h for class tokens, g for
patches. Over all images of the batch, p = Sinkhorn(h(teacher) / tau_t), and so of g's over all hidden patches.

    loss = mean over crops g of the teacher, and v != g, of -p_g log softmax(h(student v) / tau_s)     (DINO)
         + 1/2 mean over hidden patches of -p log softmax(g(student) / tau_s)                           (iBOT)
         - weight * sum over both crops of mean log |c - nearest other image's c|,  c = unit(class token)  (KoLeo)

Shapes: B images per worker, V crops of each, the first two large; T patches of a large crop, M of them hidden at most.

Differs from the authors' code: one of each image's two crops is masked, theirs are any half of a batch's; KoLeo's
neighbours are among all workers' images, theirs among a worker's; no drop path, no rate that falls from layer to layer.
What DINO's module says of schedules and crops holds here, too.
"""

from collections.abc import Mapping
from typing import Annotated, cast

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveFloat
from torch import Tensor, nn

from unlabeled.methods.distillation.components import components
from unlabeled.methods.distillation.ibot import Hidden
from unlabeled.methods.losses.koleo import log_distance
from unlabeled.methods.losses.numerics import in_full_precision
from unlabeled.methods.masked.patches import maskable
from unlabeled.methods.parts import SMALL_JITTER, MomentumCopy, by_size, multi_crop
from unlabeled.methods.prototypes import PrototypeHead, across_views, gelu_head, sinkhorn, warmed_up
from unlabeled.platform.augment import Crop, ViewPlan
from unlabeled.platform.augment.figure import Figure
from unlabeled.platform.data import Data, Format
from unlabeled.platform.encoder import Encoder, EncoderConfig, ViT, ViTConfig
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Batch, Example, Method, MethodConfig, StepResult

Share = Annotated[float, Field(gt=0.0, lt=1.0)]


class DINOv2Config(MethodConfig):
    """Defaults are the authors' for ViT-L/16 on ImageNet, with Sinkhorn-Knopp and a head of the patches' own.

    What is not named here is as in DINO.

    Attributes:
        views: the two large crops first; the others may be smaller.
        head: widths of each head's hidden layers and of its bottleneck.
        prototypes: K, of each head.
        mask_ratio: the least and the largest share of a crop's patches that are hidden.
        koleo: weight of the distance.
    """

    name = "dinov2"
    paper = "Oquab et al. 2023, arXiv:2304.07193"
    cost = 3.85
    one_size = slice(2)
    views: ViewPlan = multi_crop(area=0.32)
    head: tuple[int, ...] = Field(default=(2048, 2048, 256), min_length=1)
    prototypes: int = Field(default=65_536, ge=2)
    student_temperature: float = Field(default=0.1, gt=0.0)
    teacher_temperature: tuple[PositiveFloat, PositiveFloat] = (0.04, 0.07)
    warmup: float = Field(default=0.3, gt=0.0, le=1.0)
    mask_ratio: tuple[Share, Share] = (0.1, 0.5)
    koleo: float = Field(default=0.1, ge=0.0)
    momentum: float = Field(default=0.992, ge=0.0, le=1.0)
    frozen: float = Field(default=0.01, ge=0.0, lt=1.0)

    @classmethod
    def example(cls) -> Example:
        """Return a small run, of crops of one size: timm resizes positions in float32, which no float64 makes good."""
        views = (SMALL_JITTER,) * 2 + (SMALL_JITTER.replacing(Crop(area=(0.15, 0.5))),)
        small = cls(views=ViewPlan(views=views), head=(64, 32), prototypes=64, momentum=0.99, frozen=0.0)
        return Example(method=small, encoder=ViTConfig(width=4, depth=2), learning={"epochs": 10})

    def check(self, batch_size: int, workers: int, data: Data) -> None:
        """Raise UserError where there is no other crop to predict, or no range of shares."""
        if len(self.views.views) < 2:
            raise UserError("dinov2 needs two views or more, got 1; set method.views to a plan of two or more")
        if self.mask_ratio[0] > self.mask_ratio[1]:
            raise UserError(f"method.mask_ratio {self.mask_ratio} falls; give the least share first")

    def make_encoder(self, config: EncoderConfig, shown: Format) -> Encoder:
        """Make the encoder; UserError where it is no ViT that can hide patches and has a class token."""
        return maskable(self.name, config.build(shown), config)

    def build(self, encoder: Encoder, data: Data) -> "DINOv2":
        """Make DINOv2 around a ViT."""
        assert isinstance(encoder, ViT)
        return DINOv2(self, encoder)


class DINOv2(Method):
    """The student with its two heads and the token that hides patches, and the teacher, which follows it."""

    encoder: ViT

    def __init__(self, config: DINOv2Config, encoder: ViT) -> None:
        super().__init__(encoder)
        self.config = config
        self.head, self.patch_head = (
            PrototypeHead(gelu_head(encoder.dim, config.head), config.head[-1], config.prototypes) for _ in range(2)
        )
        self.token = nn.Parameter(torch.zeros(encoder.channels))
        self.teacher = MomentumCopy(nn.ModuleList([encoder, self.head, self.patch_head]), config.momentum, final=1.0)

    def forward(self, batch: Batch) -> StepResult:
        """Return the three losses' sum, and each."""
        config, large, small = self.config, torch.cat(batch.views[:2]), batch.views[2:]
        hidden = Hidden.draw(batch.draws, large.shape[2] // self.encoder.patch_px, config.mask_ratio)
        tokens = self.encoder.masked(large, hidden.of_crops(), self.token)
        class_VBD = self.encoder.model.forward_head(tokens, pre_logits=True).view(2, len(batch.index), -1)
        koleo = torch.stack([log_distance(class_BD) for class_BD in class_VBD]).sum()
        class_VBD = torch.cat([class_VBD, by_size(self.encoder, small)]) if small else class_VBD
        with torch.no_grad():
            temperature = warmed_up(*config.teacher_temperature, batch.progress / config.warmup)
            p, p_patch = self._taught(large, hidden, temperature)
        log_q = in_full_precision(F.log_softmax)(self.head(class_VBD) / config.student_temperature, dim=2)
        images = across_views(p, log_q)
        logits = self.patch_head(hidden.of(tokens[:, self.encoder.prefix :])) / config.student_temperature
        patches = hidden.nats(p_patch, logits)
        logs = {"classes/nats": images, "patches/nats": patches, "koleo/log_distance": koleo / 2.0}
        loss = images + 0.5 * patches - config.koleo * koleo  # a half, as one of two crops has hidden ones
        return StepResult(loss=loss, logs={name: value.detach() for name, value in logs.items()})

    def _taught(self, large: Tensor, hidden: Hidden, temperature: float) -> tuple[Tensor, Tensor]:
        """Return what the teacher says of the large crops, [2, B, K], and of hidden patches, [B, M, K]."""
        encoder, head, patch_head = cast(tuple[ViT, PrototypeHead, PrototypeHead], tuple(self.teacher.twin.children()))
        pooled, _, tokens = encoder.maps(large)
        p = sinkhorn(head(pooled), temperature).view(2, len(hidden.crop), -1)
        of_patches = patch_head(hidden.of(tokens[:, encoder.prefix :])).flatten(0, 1)
        return p, sinkhorn(of_patches, temperature, weight_B=hidden.counts.flatten()).view(*hidden.places.shape, -1)

    def before_step(self, progress: float) -> None:
        """Keep the prototypes as they are for the first steps."""
        for head in (self.head, self.patch_head) if progress < self.config.frozen else ():
            head.cancel_gradient()

    def after_step(self, progress: float) -> None:
        """Let the teacher follow, the less the later."""
        self.teacher.follow(progress)

    def layers(self) -> Mapping[str, nn.Module]:
        """Return the student's outputs, and the features of the teacher."""
        return {**super().layers(), "teacher": self.teacher.twin.get_submodule("0")}

    def figures(self, batch: Batch) -> Mapping[str, Figure]:
        """Return the teacher's patches of related pictures by their first three principal components."""
        return {"components": components(cast(ViT, self.teacher.twin.get_submodule("0")), batch.views[0])}
