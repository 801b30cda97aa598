"""Counting: what a picture holds is what its quarters hold together, however large it is shown.

Noroozi, Pirsiavash, Favaro (2017), "Representation Learning by Learning to Count", ICCV, arXiv:1708.06734. With D that
halves a picture's sides, T_1 .. T_4 that cut it into quarters, so that all are of one size, phi >= 0 the counts of an
encoder, and y another picture than x, the loss is (sec. 3)

    |phi(D x) - sum_j phi(T_j x)|^2 + max(0, M - |phi(D y) - sum_j phi(T_j x)|^2)

Without the second term, counts of nothing would be right. By default most pictures lose their colours, so that a lens'
chromatic aberration does not tell a quarter from the whole.

Shapes: B images per worker, F counts, H a view's side.

Differs from the paper:
- The counts stand on an encoder of any kind, theirs on an AlexNet, which has no batch norm: so here what is counted in
  a quarter depends a little on the others.
- Pictures are halved by the mean of four pixels.
"""

from collections.abc import Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from unlabeled.methods.losses.numerics import in_full_precision
from unlabeled.platform.augment import ColorDrop, Crop, Policy, View, ViewPlan
from unlabeled.platform.augment.figure import Figure
from unlabeled.platform.data import Data
from unlabeled.platform.encoder import Encoder
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Batch, Example, Method, MethodConfig, StepResult

QUARTERS = 4


def another_beside(policy: Policy) -> ViewPlan:
    """Plan a view of the picture, and one of another."""
    return ViewPlan(views=(View(policy=policy), View(policy=policy, of=1)))


class CountingConfig(MethodConfig):
    """Defaults are the paper's: 1,000 counts, and a margin of 10.

    Attributes:
        views: x and y: a view of each image, and one of another; square, with an even side.
        counts: F.
        margin: M, the squared distance from which on two pictures' counts differ enough.
    """

    name = "counting"
    paper = "Noroozi et al. 2017, arXiv:1708.06734"
    cost = 1.66
    num_views: ClassVar[int | None] = 2
    one_size, takes_others = slice(None), True
    views: ViewPlan = another_beside(Policy(ops=(Crop(area=(0.33, 1.0), aspect=(1.0, 1.0)), ColorDrop(p=0.67))))
    counts: int = Field(default=1000, ge=1)
    margin: float = Field(default=10.0, gt=0.0)

    @classmethod
    def planned(cls, policy: Policy) -> ViewPlan:
        """Return the plan of both views by one policy."""
        return another_beside(policy)

    @classmethod
    def example(cls) -> Example:
        """Return a small run."""
        small = another_beside(Policy(ops=(Crop(area=(0.6, 1.0), aspect=(1.0, 1.0)),)))
        return Example(
            method=cls(views=small, counts=64, margin=1.0),
            tells_classes=False,  # so early that kNN gains 0.00 to 0.08 in 16 epochs, by the seed, and less in 5
        )

    def check(self, batch_size: int, workers: int, data: Data) -> None:
        """Raise UserError where a view has no quarters, or the second is not another picture's."""
        x, y = self.views.views
        if x.of or not y.of:
            raise UserError(
                f"{self.name} takes a view of a picture and one of another, and method.views has of {x.of} and {y.of}; "
                "set them to 0 and 1, or name a policy for both: --set method.views=simclr"
            )
        for number, view in enumerate(self.views.views, start=1):
            if (px := view.output_px(data.image_px)) % 2:
                raise UserError(
                    f"view {number} of method.views has {px} px, which are no two halves; crop it to {px + 1}, or set "
                    f"data.image_px"
                )

    def check_encoder(self, encoder: Encoder, image_px: int) -> None:
        """Raise UserError where an encoder can't see a quarter, as where the patches of a ViT do not divide it."""
        encoder.check_size(self.views.views[0].output_px(image_px) // 2)

    def build(self, encoder: Encoder, data: Data) -> "Counting":
        """Make the layer that counts on an encoder."""
        return Counting(self, encoder)


class Counting(Method):
    """An encoder, and a layer that counts what there is in a picture."""

    cut = "per-sample"

    def __init__(self, config: CountingConfig, encoder: Encoder) -> None:
        super().__init__(encoder)
        self.margin = config.margin
        self.head = nn.Sequential(nn.Linear(encoder.dim, config.counts), nn.ReLU())

    def forward(self, batch: Batch) -> StepResult:
        """Return how far the counts of quarters are from their picture's, and how near to another's."""
        x, y = batch.views
        counts: Tensor = self.head(self.encoder(torch.cat([halved(x), halved(y), *quarters(x)])))
        whole, other, *parts = counts.chunk(2 + QUARTERS)
        loss, right = counted(whole, other, torch.stack(parts), self.margin)
        return StepResult(loss=loss, logs={"counts/top1": right, "counts/sum": whole.detach().sum(dim=1).mean()})

    def figures(self, batch: Batch) -> Mapping[str, Figure]:
        """Return what is counted: the picture, its quarters, and the other picture."""
        x, y = batch.views
        if x.shape[-1] % 2:
            x, y = x[..., :-1, :-1], y[..., :-1, :-1]
        tiles = {f"quarter {number}": tile for number, tile in enumerate(quarters(x), start=1)}
        return {"counted": Figure({"whole": halved(x), **tiles, "another": halved(y)})}


def halved(x: Tensor) -> Tensor:
    """Halve the sides of [B, C, H, H], even."""
    return F.avg_pool2d(x, 2)


def quarters(x: Tensor) -> list[Tensor]:
    """Cut [B, C, H, H], H even, into four, row by row, each [B, C, H/2, H/2]."""
    return [quarter for half in x.chunk(2, dim=2) for quarter in half.chunk(2, dim=3)]


@in_full_precision
def counted(whole_BF: Tensor, other_BF: Tensor, parts_TBF: Tensor, margin: float) -> tuple[Tensor, Tensor]:
    """Return the loss, and how often parts are nearer to their whole than to the other, detached."""
    sums_BF = parts_TBF.sum(dim=0)
    own_B, other_B = ((counts - sums_BF).square().sum(dim=1) for counts in (whole_BF, other_BF))
    return (own_B + (margin - other_B).relu()).mean(), (own_B < other_B).detach().float().mean()
