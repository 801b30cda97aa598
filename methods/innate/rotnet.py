"""RotNet: to tell by which quarter turn a picture was turned, one has to know what it shows.

Gidaris, Singh, Komodakis (2018), "Unsupervised Representation Learning by Predicting Image Rotations", ICLR,
arXiv:1803.07728. Loss: eq. 2 and 3. All four rotations of a picture in one batch: sec. 3.1. Attention: figure 3. Views:
the authors' code on ImageNet (gidariss/FeatureLearningRotNet, ``config/ImageNet_RotNet_AlexNet.py``).

Shapes: B images per worker.

Differs from the paper:
- A classifier of one linear layer stands on the encoder's features. The paper's networks end in layers of their own.
- On CIFAR-10 the authors crop out of pictures padded by 4 pixels, which no operation does here.
"""

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from unlabeled.methods.parts import SMALL_JITTER, classify, one_view
from unlabeled.platform.augment import Crop, Flip, Policy, ViewPlan
from unlabeled.platform.augment.figure import Figure, heat
from unlabeled.platform.data import Data
from unlabeled.platform.encoder import Encoder
from unlabeled.platform.method import Batch, Example, Method, MethodConfig, StepResult

ROTATIONS = 4  # by 0, 90, 180 and 270 degrees


class RotNetConfig(MethodConfig):
    """Defaults are the authors' on ImageNet: a random crop, and a flip.

    Attributes:
        views: one view of each image, which is then turned; square.
    """

    name = "rotnet"
    paper = "Gidaris et al. 2018, arXiv:1803.07728"
    cost = 4.0
    num_views: ClassVar[int | None] = 1
    views: ViewPlan = one_view(Policy(ops=(Crop(area=(0.08, 1.0)), Flip())))

    @classmethod
    def example(cls) -> Example:
        """Return a small run."""
        return Example(method=cls(views=one_view(SMALL_JITTER)))

    def build(self, encoder: Encoder, data: Data) -> "RotNet":
        """Make the classifier of rotations around an encoder."""
        return RotNet(encoder)


class RotNet(Method):
    """An encoder and a linear classifier of the four rotations, trained together."""

    cut = "per-sample"

    def __init__(self, encoder: Encoder) -> None:
        super().__init__(encoder)
        self.classifier = nn.Linear(encoder.dim, ROTATIONS)

    def forward(self, batch: Batch) -> StepResult:
        """Return the cross-entropy of all four rotations, and how often the likeliest is right."""
        (view,) = batch.views
        turned, turns = all_rotations(view)
        logits = self.classifier(self.encoder(turned))
        loss, top1 = classify(logits, turns)
        return StepResult(loss=loss, logs={"rotation/top1": top1})

    def figures(self, batch: Batch) -> Mapping[str, Figure]:
        """Return each picture in its four rotations, and where in each the encoder's last map is strong (figure 3)."""
        turned, _ = all_rotations(batch.views[0])
        shown = {"rotations": turned, "attention": heat(turned, attention(self.encoder.maps(turned).grid))}
        titles = [f"{90 * turns} degrees" for turns in range(ROTATIONS)]
        return {name: Figure(dict(zip(titles, each.chunk(ROTATIONS), strict=True))) for name, each in shown.items()}


def attention(grid: Tensor) -> Tensor:
    """Return how strong a map [B, C, h, w] is in each place, [B, h, w]: the sum over channels of the fourth powers."""
    return grid.float().pow(4).sum(dim=1)


def all_rotations(images: Tensor) -> tuple[Tensor, Tensor]:
    """Turn all of [B, C, H, H] counter-clockwise by 0, then all by 1, 2 and 3 quarters: [4B, C, H, H], int64 [4B]."""
    turned = torch.cat([images.rot90(turns, dims=(2, 3)) for turns in range(ROTATIONS)])
    return turned, torch.arange(ROTATIONS, device=images.device).repeat_interleave(len(images))
