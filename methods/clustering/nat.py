"""NAT: give each picture a point on the sphere, drawn by chance, and move it there; now and then swap close by.

Bojanowski, Joulin (2017), "Unsupervised Learning by Predicting Noise", arXiv:1704.05310. Loss and assignment: eq. 3 to
5. Targets: sec. 3.2. Batches that swap: sec. 3.3, algorithm 1. As in facebookresearch/noise-as-targets (``main.lua``).

    c_1 ... c_N uniform on the unit sphere, fixed;  z_n = unit(g(f(view n)))
    minimise over f and g    1/N sum_n |z_n - c_P(n)|^2 / 2 = 1/N sum_n (1 - z_n c_P(n))
    every few epochs, in groups of items:  P = the permutation of the group's own targets that minimises it (Hungarian)

The targets are spread out, and each is one picture's, so that not all pictures can come to the same place. Which place
is whose is free: pictures that look alike can come to lie side by side.

Shapes: B images per worker, N in the data, D width of the sphere's space.

Differs from the paper: the encoder is any and sees colours, theirs sees Sobel-filtered grey. Groups are swapped between
epochs, by what clean pictures are at that time, so that no step waits for it; theirs by each batch's own views, in the
same epoch, as it comes.
Differs from the authors' code: targets are drawn by their number whenever they are needed, so that they take no memory,
and are the same in all runs: a seed decides whose they are. No dropout; the loss is a mean, theirs a sum.
"""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from unlabeled.methods.losses.numerics import in_full_precision, unit
from unlabeled.methods.parts import SMALL, one_view, projection_head
from unlabeled.platform.augment import Crop, Flip, Policy, ViewPlan
from unlabeled.platform.collective import of_first
from unlabeled.platform.data import Data
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import Encoder
from unlabeled.platform.method import Batch, Example, Method, MethodConfig, StepResult, Survey

CROP = (224 / 256) ** 2  # the authors': 224 px of a picture whose shorter side has 256


class NATConfig(MethodConfig):
    """Defaults are the paper's for ImageNet.

    Attributes:
        views: one view of each image.
        head: widths of the hidden layers of g, which have batch norm, and D.
        every: epochs from one assignment to the next.
        together: items that swap their targets among each other; the paper's are a batch.
    """

    name = "nat"
    paper = "Bojanowski & Joulin 2017, arXiv:1704.05310"
    cost = 1.01
    num_views: ClassVar[int | None] = 1
    views: ViewPlan = one_view(Policy(ops=(Crop(area=(CROP, CROP), aspect=(1.0, 1.0)), Flip())))
    head: tuple[int, ...] = Field(default=(4096, 4096, 2048), min_length=1)
    every: int = Field(default=3, ge=1)
    together: int = Field(default=256, ge=2)

    @classmethod
    def example(cls) -> Example:
        """Return a small run."""
        return Example(method=cls(views=one_view(SMALL), head=(64, 16), every=1, together=64), learning={"epochs": 10})

    def build(self, encoder: Encoder, data: Data) -> "NAT":
        """Make NAT around an encoder, for the data's items."""
        return NAT(self, encoder, len(data.pretrain))


class NAT(Method):
    """An encoder, a head that leads to the sphere, and which target is whose.

    Attributes:
        target: int64 [N], the number of each item's.
        moved: float scalar, the share of items that got another when it was last asked.
    """

    cut = "per-sample"
    target: Tensor
    moved: Tensor

    def __init__(self, config: NATConfig, encoder: Encoder, items: int) -> None:
        super().__init__(encoder)
        self.config = config
        self.head = projection_head(encoder.dim, config.head)
        self.register_buffer("target", torch.randperm(items))
        self.register_buffer("moved", torch.zeros(()))

    def before_epoch(self, epoch: int, survey: Survey) -> None:
        """Let the items of each group, which are drawn anew, swap their targets."""
        if epoch % self.config.every:
            return
        z_ND = unit(survey.features(nn.Sequential(self.encoder, self.head)))
        new_N = self.target.clone()
        for rows in torch.split(survey.draws.uniform("group").argsort(stable=True), self.config.together):
            new_N[rows] = assigned(z_ND[rows], self.target[rows])
        new_N = of_first(new_N)
        self.moved.copy_(new_N.ne(self.target).float().mean())
        self.target.copy_(new_N)

    def forward(self, batch: Batch) -> StepResult:
        """Return half the mean squared distance to the targets."""
        z_BD = self.head(self.encoder(batch.views[0]))
        loss = _distance(z_BD, noise(self.target[batch.index], z_BD.shape[1]))
        return StepResult(loss=loss, logs={"noise/moved": self.moved.clone()})


@in_full_precision
def _distance(z_BD: Tensor, target_BD: Tensor) -> Tensor:
    return (1.0 - (unit(z_BD) * target_BD).sum(dim=1)).mean()


def noise(number_B: Tensor, width: int) -> Tensor:
    """Return the targets of these numbers: points uniform on the unit sphere, float32 [B, width]."""
    return unit(Draws(number_B, "noise as targets").normal("target", width))


def assigned(z_BD: Tensor, number_B: Tensor) -> Tensor:
    """Return the permutation of targets' numbers, int64 [B], under which unit vectors are closest to their targets."""
    from scipy.optimize import linear_sum_assignment  # here, because it takes a while to import

    closeness_BB = z_BD.double() @ noise(number_B, z_BD.shape[1]).double().T
    _, column = linear_sum_assignment(closeness_BB.cpu().numpy(), maximize=True)  # rows come in order
    return number_B[torch.from_numpy(column).to(number_B.device)]
