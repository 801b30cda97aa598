"""Average precision of found boxes, as Pascal VOC has measured it since 2010."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Found(NamedTuple):
    """What is found in one picture.

    Attributes:
        boxes: left, top, right and bottom edge in pixels, [M, 4].
        classes: int64 [M].
        scores: how sure it is, [M].
    """

    boxes: Tensor
    classes: Tensor
    scores: Tensor


def mean_average_precision(found: Sequence[Found], true: Sequence[Tensor], overlap: float) -> float:
    """Return the mean over the classes that are truly there of :func:`average_precision`; NaN where none is.

    Args:
        found: of each picture.
        true: of each picture, left, top, right, bottom and class, [K, 5]; rows of NaN are none.
        overlap: intersection over union from which a box counts as found.
    """
    there = [boxes[boxes[:, 4].isfinite()] for boxes in true]
    classes = torch.cat([boxes[:, 4] for boxes in there]).unique().tolist()  # type: ignore[no-untyped-call]
    of_class = [
        average_precision(
            [(one.boxes[one.classes == number], one.scores[one.classes == number]) for one in found],
            [boxes[boxes[:, 4] == number, :4] for boxes in there],
            overlap,
        )
        for number in classes
    ]
    return sum(of_class) / len(of_class) if of_class else float("nan")


def average_precision(found: Sequence[tuple[Tensor, Tensor]], true: Sequence[Tensor], overlap: float) -> float:
    """Return the area under precision over recall of one class, precision made to fall from right to left.

    From the surest down, a box is right if of its picture's true ones the one that it overlaps most is overlapped by
    enough, and no surer box had that one. Boxes that are equally sure keep their order.

    Args:
        found: boxes [M, 4] and scores [M] of each picture.
        true: boxes [K, 4] of each picture, one or more in all.
        overlap: how much is enough.
    """
    from torchvision.ops import box_iou  # here, because it takes a second to import

    scores = torch.cat([score for _, score in found]).cpu()
    right = torch.zeros(len(scores), dtype=torch.bool)
    start = 0
    for (boxes, score), there in zip(found, true, strict=True):
        if len(boxes) and len(there):
            most, which = (each.tolist() for each in box_iou(boxes.float(), there.float()).max(dim=1))
            taken: set[int] = set()
            for place in score.argsort(descending=True, stable=True).tolist():
                if most[place] >= overlap and which[place] not in taken:
                    taken.add(which[place])
                    right[start + place] = True
        start += len(boxes)
    hits = right[scores.argsort(descending=True, stable=True)].double().cumsum(0)
    precision = hits / torch.arange(1, len(hits) + 1)
    recall = hits / sum(map(len, true))
    best_from_here = precision.flip(0).cummax(0).values.flip(0)
    return float((recall.diff(prepend=recall.new_zeros(1)) * best_from_here).sum())
