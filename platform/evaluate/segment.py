"""Segmentation probe: what class is each pixel, read off the frozen grid by one linear layer?

As DINOv2 probes (Oquab et al. 2023, arXiv:2304.07193, sec. 7.4, "linear"): a 1x1 convolution on the grid of features,
whose logits are upsampled to the picture. Scored as Pascal VOC scores (Everingham et al. 2015, "The Pascal Visual
Object Classes Challenge: A Retrospective", sec. 2.5): intersection over union of each class, of all pixels of the split
together, pixels that nothing is told of left out.

Differs from it: features are standardised by the training set's mean and deviation of each channel, instead of by a
batch norm; one size of pictures, no crops.
"""

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from unlabeled.platform.data.source import IGNORED
from unlabeled.platform.draws import Draws
from unlabeled.platform.evaluate.features import Features
from unlabeled.platform.evaluate.fitting import Fit
from unlabeled.platform.evaluate.places import flat_frames, upsampled
from unlabeled.platform.evaluate.probe import FeatureProbe, Score
from unlabeled.platform.metrics import Metric, scores_of
from unlabeled.platform.optim import AdamW, OptimizerConfig

CHUNK = 64  # pictures upsampled at a time


class Segment(FeatureProbe):
    """A linear layer on the grid; ``miou`` is the mean over the classes that the scored masks have.

    ``accuracy`` is the share of told pixels whose largest logit is their class's. A class that the training masks lack
    is never found, and counts with 0.

    Attributes:
        epochs: passes over the training pictures; each drops the last batch if it is incomplete and not the only one.
        min_steps: passes go on until so many steps are done.
        batch_size: pictures a step, where there are so many.
        optimizer: how; the schedule ends with the last step. The layer starts from zero.
    """

    name = "segment"
    reads: ClassVar[Literal["pooled", "grid", "method"]] = "grid"
    target: ClassVar[str] = "mask"
    sees: ClassVar[tuple[str, ...]] = ("image", "clip")
    scores: ClassVar[Mapping[str, Metric]] = scores_of("segment", "miou", "accuracy")
    epochs: int = Field(default=10, ge=1)
    min_steps: int = Field(default=300, ge=0)
    batch_size: int = Field(default=32, ge=1)
    optimizer: OptimizerConfig = AdamW(learning_rate=1e-2, weight_decay=1e-4)

    def learn(self, train: Features) -> Score:
        """Train the layer on masks uint8 [N, H, W], of clips [N, T, H, W]."""
        x_NDhw, mask_NHW = flat_frames(train)
        mean = x_NDhw.mean(dim=(0, 2, 3), keepdim=True)
        deviation = x_NDhw.std(dim=(0, 2, 3), keepdim=True).clamp_min(1e-6)
        told = mask_NHW[mask_NHW != IGNORED]
        if not len(told):
            raise ValueError("no training pixel has a class")
        layer = nn.Conv2d(x_NDhw.shape[1], int(told.max()) + 1, 1).to(x_NDhw.device)
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

        def logits(x: Tensor, size: tuple[int, ...]) -> Tensor:
            return upsampled(layer((x - mean) / deviation), size)

        def loss(rows: Tensor, _: Draws) -> Tensor:
            mask = mask_NHW[rows].long()
            made = logits(x_NDhw[rows], mask.shape[1:])
            count = (mask != IGNORED).sum().clamp_min(1)
            return F.cross_entropy(made, mask, ignore_index=IGNORED, reduction="sum") / count

        with torch.enable_grad():
            rows = torch.arange(len(x_NDhw), device=x_NDhw.device)
            Fit(self.epochs, self.min_steps, self.batch_size, self.optimizer)(layer, rows, loss, "segment")

        @torch.no_grad()
        def score(test: Features) -> Mapping[str, float]:
            x, mask = flat_frames(test)
            shared = torch.zeros(256, 256, dtype=torch.int64, device=x.device)
            for some, true in zip(torch.split(x, CHUNK), torch.split(mask, CHUNK), strict=True):
                shared += confusion(logits(some, true.shape[1:]).argmax(dim=1), true)
            return {"miou": mean_iou(shared), "accuracy": float(shared.diagonal().sum() / shared.sum())}

        return score


def confusion(found: Tensor, true: Tensor) -> Tensor:
    """Count pixels by true (row) and found (column) class, int64 [256, 256]; those that nothing is told of are not."""
    told = true != IGNORED
    pairs = true[told].long() * 256 + found[told].long()
    return torch.bincount(pairs, minlength=256 * 256).view(256, 256)


def mean_iou(shared: Tensor) -> float:
    """Return the mean intersection over union of the classes that truly are there; NaN where none is."""
    both = shared.diagonal().double()
    either = shared.sum(dim=0) + shared.sum(dim=1) - both
    there = shared.sum(dim=1) > 0
    return float((both / either)[there].mean())
