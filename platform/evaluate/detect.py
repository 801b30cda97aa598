"""Detection probe: which objects are where, read off the frozen grid, or one that is tuned, by a small head?

A head in the manner of FCOS (Tian, Shen, Chen, He 2019, arXiv:1904.01355): each place of the grid near an object's
centre says its class, by a focal loss (Lin et al. 2017, arXiv:1708.02002), and how far the box's four edges are, by a
loss of generalised intersection over union (Rezatofighi et al. 2019, arXiv:1902.09630). Scored as Pascal VOC scores
since 2010 (Everingham et al. 2015, "The Pascal Visual Object Classes Challenge: A Retrospective", sec. 2.2): average
precision of each class at half overlap, the area under the whole curve. Difficult objects, which it counts neither for
nor against, are not known here.

Differs from FCOS: one grid instead of a pyramid, a head of one hidden layer, no centerness.
"""

import functools
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from unlabeled.platform.augment.op import as_float
from unlabeled.platform.draws import Draws, key
from unlabeled.platform.evaluate.average_precision import Found, mean_average_precision
from unlabeled.platform.evaluate.extraction import extract
from unlabeled.platform.evaluate.features import Features, encode
from unlabeled.platform.evaluate.fitting import Fit, Loss
from unlabeled.platform.evaluate.layers import Grid
from unlabeled.platform.evaluate.places import flat_frames
from unlabeled.platform.evaluate.probe import FeatureProbe, MethodProbe, ProbeConfig, Score, Subject, labelled_rows
from unlabeled.platform.metrics import Metric, scores_of
from unlabeled.platform.optim import AdamW, OptimizerConfig

CHUNK = 64  # pictures looked at at a time
_PRIOR = 0.01  # the probability that an untrained head gives each class, as the focal loss's authors start
_MIN_SCORE, _MAX_FOUND, _OVERLAP = 0.05, 100, 0.5  # of what is found in a picture; of two of a class that overlap, one
_REACH = 1.5  # places from an object's centre that learn it, FCOS's


class Detect(FeatureProbe, MethodProbe):
    """A small head on the grid; ``ap50`` is the mean average precision over the classes that the scored boxes have.

    Its first weights and the order of pictures are drawn, the same for all features of equal shape; where the encoder
    is tuned, from the run's seed.

    Attributes:
        tuned: train a copy of the encoder with the head; what is not trained in it stays so, and so do its batch norms'
            statistics, as is usual for detection. Features are standardised as they were before.
        width: channels of the hidden layer.
        epochs: passes over the training pictures; each drops the last batch if it is incomplete and not the only one.
        min_steps: passes go on until so many steps are done.
        batch_size: pictures a step, where there are so many.
        optimizer: how; the schedule ends with the last step.
    """

    name = "detect"
    reads: ClassVar[Literal["pooled", "grid", "method"]] = "grid"
    target: ClassVar[str] = "boxes"
    sees: ClassVar[tuple[str, ...]] = ("image", "clip")
    scores: ClassVar[Mapping[str, Metric]] = scores_of("detect", "ap50")
    unsaid: ClassVar[Mapping[str, Any]] = {**ProbeConfig.unsaid, "tuned": False}
    tuned: bool = False
    width: int = Field(default=128, ge=1)
    epochs: int = Field(default=20, ge=1)
    min_steps: int = Field(default=600, ge=0)
    batch_size: int = Field(default=32, ge=1)
    optimizer: OptimizerConfig = AdamW(learning_rate=2e-3, weight_decay=1e-4)

    @property
    def key(self) -> str:
        """Its name in metrics: ``detect``, or of a tuned encoder ``detect-tuned``."""
        return super().key.replace(self.name, f"{self.name}-tuned", 1) if self.tuned else super().key

    @property
    def is_frozen(self) -> bool:
        """Whether the encoder stays as it is."""
        return not self.tuned

    def learn(self, train: Features) -> Score:
        """Train the head on boxes float32 [N, K, 5], of clips [N, T, K, 5]."""
        x_NDhw, boxes_NK5 = flat_frames(train)
        with torch.random.fork_rng(), torch.enable_grad():
            torch.manual_seed(key("detect"))
            head = self._head(train)

            def loss(rows: Tensor, _: Draws) -> Tensor:
                return head.loss(x_NDhw[rows], boxes_NK5[rows])

            self._fit(head, torch.arange(len(x_NDhw), device=x_NDhw.device), loss, "detect")
        return functools.partial(_scored, head)

    def measure(self, subject: Subject, splits: tuple[str, ...]) -> Mapping[str, Mapping[str, float]]:
        """Train the head and the encoder on the training split's share of labels, and score on ``splits``."""
        source, processor, grid = subject.data.train, subject.processor, Grid(subject.encoder)
        rows = labelled_rows(source, subject.told, self.labels)
        before = extract(grid, source.take(rows), processor, field=subject.field, told=subject.told)
        with torch.random.fork_rng(), torch.enable_grad():
            torch.manual_seed(key(subject.seed, "detect"))
            head = self._head(before)
            del before

            def loss(some: Tensor, _: Draws) -> Tensor:
                pixels = as_float(processor.put(source.tensor(some, subject.field)))
                with processor.autocast():
                    made = encode(grid, pixels, processor)
                told = processor.put(source.tensor(some, subject.told))
                return head.loss(*flat_frames(Features(made.float(), told)))

            self._fit(nn.ModuleList([grid.eval(), head]), rows, loss, subject.seed, "detect")
        return {split: _scored(head, subject.features(grid, split)) for split in splits}

    def _head(self, train: Features) -> "_Head":
        x_NDhw, boxes_NK5 = flat_frames(train)
        told = boxes_NK5[boxes_NK5[:, :, 4].isfinite()]
        if not len(told):
            raise ValueError("no training picture has a box")
        return _Head(x_NDhw, int(told[:, 4].max()) + 1, self.width, train.size).to(x_NDhw.device)

    def _fit(self, module: nn.Module, rows: Tensor, loss: Loss, *scope: int | str) -> None:
        Fit(self.epochs, self.min_steps, self.batch_size, self.optimizer)(module, rows, loss, *scope)


@torch.no_grad()
def _scored(head: "_Head", test: Features) -> Mapping[str, float]:
    x, true = flat_frames(test)
    found = [one for some in torch.split(x, CHUNK) for one in head.find(some)]
    return {"ap50": mean_average_precision(found, list(true), _OVERLAP)}


class _Head(nn.Module):
    """Says of each place of a grid [B, D, h, w] the logit of each of K classes, and the log distances of four edges."""

    mean: Tensor
    deviation: Tensor
    centre: Tensor

    def __init__(self, x_NDhw: Tensor, classes: int, width: int, size: tuple[int, ...]) -> None:
        super().__init__()
        channels, self.size, self.classes = x_NDhw.shape[1], size, classes
        self.stride = torch.tensor([size[1] / x_NDhw.shape[3], size[0] / x_NDhw.shape[2]])  # x, y
        self.register_buffer("mean", x_NDhw.mean(dim=(0, 2, 3), keepdim=True))
        self.register_buffer("deviation", x_NDhw.std(dim=(0, 2, 3), keepdim=True).clamp_min(1e-6))
        y, x = torch.meshgrid(*(torch.arange(length) + 0.5 for length in x_NDhw.shape[2:]), indexing="ij")
        self.register_buffer("centre", torch.stack([x, y], dim=2).flatten(0, 1) * self.stride)  # [P, 2]
        self.hidden = nn.Conv2d(channels, width, 3, padding=1)
        self.out = nn.Conv2d(width, classes + 4, 1)
        nn.init.constant_(self.out.bias[:classes], -torch.tensor(1.0 / _PRIOR - 1.0).log().item())  # type: ignore[index]

    def forward(self, x_BDhw: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits [B, P, K] and boxes [B, P, 4], P places."""
        made = self.out(F.relu(self.hidden((x_BDhw - self.mean) / self.deviation))).flatten(2).transpose(1, 2)
        distance = made[:, :, self.classes :].clamp(max=8.0).exp() * self.stride.repeat(2).to(made)
        boxes = torch.cat([self.centre - distance[:, :, :2], self.centre + distance[:, :, 2:]], dim=2)
        return made[:, :, : self.classes], boxes

    def loss(self, x_BDhw: Tensor, true_BK5: Tensor) -> Tensor:
        """Return focal loss of all places and box loss of those that learn an object, over how many these are."""
        from torchvision.ops import generalized_box_iou_loss, sigmoid_focal_loss  # here, because they take a second

        logits, boxes = self(x_BDhw)
        object_BP = self.assigned(true_BK5)
        learns = object_BP >= 0
        mine = true_BK5.gather(1, object_BP.clamp_min(0)[:, :, None].expand(-1, -1, 5))
        wanted = F.one_hot(mine[:, :, 4].nan_to_num(0.0).long(), self.classes) * learns[:, :, None]
        count = learns.sum().clamp_min(1)
        focal: Tensor = sigmoid_focal_loss(logits, wanted.to(logits), reduction="sum")
        edges: Tensor = generalized_box_iou_loss(boxes[learns], mine[learns][:, :4], reduction="sum")
        return (focal + edges) / count

    def assigned(self, true_BK5: Tensor) -> Tensor:
        """Return which object each place learns, int64 [B, P]; -1 is none.

        A place learns an object that it lies in, no farther than 1.5 places from the object's centre, and the place
        that has the centre always does; of several objects it learns the smallest.
        """
        low, high = true_BK5[:, None, :, :2], true_BK5[:, None, :, 2:4]
        at, middle = self.centre[None, :, None], (low + high) / 2.0
        away = ((at - middle) / self.stride.to(at)).abs().amax(dim=3)
        inside = ((at > low) & (at < high)).all(dim=3)  # never of NaN
        learns = (away <= _REACH) & inside | (away <= 0.5)
        area = (high - low).prod(dim=3).expand_as(away).masked_fill(~learns, torch.inf)
        smallest, which = area.min(dim=2)
        return which.masked_fill(smallest.isinf(), -1)

    def find(self, x_BDhw: Tensor) -> list[Found]:
        """Return what is in each picture, the surest first."""
        from torchvision.ops import batched_nms

        logits, boxes_BP4 = self(x_BDhw)
        right, below = self.size[1], self.size[0]
        boxes_BP4 = boxes_BP4.clamp_min(0.0).minimum(boxes_BP4.new_tensor([right, below, right, below]))
        found = []
        for scores_PK, boxes_P4 in zip(logits.sigmoid(), boxes_BP4, strict=True):
            place, number = (scores_PK > _MIN_SCORE).nonzero(as_tuple=True)
            scores, boxes = scores_PK[place, number], boxes_P4[place]
            kept = batched_nms(boxes, scores, number, _OVERLAP)[:_MAX_FOUND]
            found.append(Found(boxes[kept], number[kept], scores[kept]))
        return found
