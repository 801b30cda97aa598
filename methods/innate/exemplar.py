"""Exemplar networks: cut a patch out of each picture, distort it in many ways, and tell whose patch it is.

Dosovitskiy, Springenberg, Riedmiller, Brox (2014), "Discriminative Unsupervised Feature Learning with Convolutional
Neural Networks", arXiv:1406.6909. Seeds and distortions: sec. 2.1. Loss: eq. 1 and 2.

Each picture n has one seed: a square of it, always the same, where much is to be seen. It is a class of its own:

    loss = -log softmax(W f(T seed_n))[n],    T: shift, scale, rotation, contrast, saturation, value and hue by chance

What differs between the distorted patches of one class the features learn to leave out. There are as many classes as
pictures, so that this is for thousands of them, by ``data.train_images``; for more, see instance discrimination.

Shapes: B images per worker, N in the data, p pixels of a patch's side.

Differs from the paper: each picture gives one seed, theirs 8,000 to 32,000 of 100,000 pictures; it is the best of eight
squares by its gradients, theirs is drawn by them. Principal components of colours are taken to be grey, red against
blue, and green against both, for all data. Every distorted patch is a new one, theirs 150 of each seed. The encoder is
any, pooled over places; no dropout.
"""

import math
from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from unlabeled.methods.innate.distortions import recolored, sample, seeds
from unlabeled.methods.parts import classify, one_view
from unlabeled.platform.augment import PLAIN, ViewPlan
from unlabeled.platform.augment.figure import Figure
from unlabeled.platform.data import Data
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import Encoder, ViT
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Batch, Example, Method, MethodConfig, StepResult


class ExemplarConfig(MethodConfig):
    """Defaults are the paper's.

    Attributes:
        views: the whole picture; seeds are cut out of it, so that they are the same at each step.
        patch_px: p; seeds have as many pixels of the picture, up to twice as many where it has them.
        shift: at most, as a share of the seed's side.
        scale: from and to, of the seed's side.
        degrees: of rotation, at most.
    """

    name = "exemplar"
    paper = "Dosovitskiy et al. 2014, arXiv:1406.6909"
    cost = 0.55
    num_views: ClassVar[int | None] = 1
    views: ViewPlan = one_view(PLAIN)
    patch_px: int = Field(default=32, ge=4)
    shift: float = Field(default=0.2, ge=0.0, le=1.0)
    scale: tuple[float, float] = (0.7, 1.4)
    degrees: float = Field(default=20.0, ge=0.0, le=180.0)

    @classmethod
    def example(cls) -> Example:
        """Return a small run."""
        return Example(method=cls(patch_px=20), learning={"epochs": 64, "data.train_images": 512})

    def check(self, batch_size: int, workers: int, data: Data) -> None:
        """Raise UserError where patches are larger than pictures, or the range of scales falls."""
        if self.patch_px > (px := data.image_px):
            raise UserError(f"method.patch_px {self.patch_px} exceeds the pictures' {px} px; set it to {px} or less")
        if not 0.0 < self.scale[0] <= self.scale[1]:
            raise UserError(f"method.scale {self.scale} is not above 0, or falls; give the smallest first")

    def check_encoder(self, encoder: Encoder, image_px: int) -> None:
        """Raise UserError where the encoder can't see patches, or whole pictures, which probes show it."""
        super().check_encoder(encoder, image_px)
        if isinstance(encoder, ViT) and self.patch_px % encoder.patch_px:
            near = self.patch_px + -self.patch_px % encoder.patch_px
            rule = f"method.patch_px {self.patch_px} is no multiple of encoder.patch_px {encoder.patch_px}"
            raise UserError(f"{rule}; set it to {near}")
        encoder.check_size(self.patch_px)

    def build(self, encoder: Encoder, data: Data) -> "Exemplar":
        """Make the classifier of the data's items around an encoder."""
        return Exemplar(self, encoder, len(data.pretrain))


class Exemplar(Method):
    """An encoder and a linear classifier with a class for each picture."""

    cut = "per-sample"

    def __init__(self, config: ExemplarConfig, encoder: Encoder, items: int) -> None:
        super().__init__(encoder)
        self.config = config
        self.classifier = nn.Linear(encoder.dim, items)

    def forward(self, batch: Batch) -> StepResult:
        """Return the cross-entropy of the pictures that patches are of, and how often the likeliest is right."""
        patches = self.distorted(batch.views[0], batch.index, batch.draws)
        loss, top1 = classify(self.classifier(self.encoder(patches)), batch.index)
        return StepResult(loss=loss, logs={"exemplar/top1": top1})

    @torch.no_grad()
    def distorted(self, images: Tensor, index: Tensor, draws: Draws | None) -> Tensor:
        """Return each picture's seed, [B, C, p, p], distorted by chance; without draws as it is."""
        config, seed_B3 = self.config, seeds(images, index, self.config.patch_px)
        if draws is None:
            return sample(images, seed_B3, torch.zeros_like(seed_B3[:, 0]), config.patch_px)
        shift, turn, size = (draws.uniform(what, 2).to(images.dtype) * 2.0 - 1.0 for what in ("shift", "turn", "size"))
        low, high = (math.log(end) for end in config.scale)
        side_B1 = seed_B3[:, 2:] * (low + (size[:, :1] + 1.0) / 2.0 * (high - low)).exp()
        moved_B3 = torch.cat([seed_B3[:, :2] + config.shift * seed_B3[:, 2:] * shift, side_B1], dim=1)
        patches = sample(images, moved_B3, math.radians(config.degrees) * turn[:, 0], config.patch_px)
        return recolored(patches, draws)

    def figures(self, batch: Batch) -> Mapping[str, Figure]:
        """Return pictures, their seeds, and some of what becomes of these."""
        (images,) = batch.views
        columns = {"picture": images, "seed": self.distorted(images, batch.index, None)}
        for number in range(1, 5):
            columns[f"distorted {number}"] = self.distorted(images, batch.index, batch.draws.fold_in(number))
        return {"exemplars": Figure(columns)}
