"""Objects followed through a clip by frozen features: the masks of the first frame are all that is told.

The protocol of DAVIS 2017 (Pont-Tuset et al., arXiv:1704.00675) for semi-supervised segmentation, as it is used to
probe features (Jabri et al. 2020, arXiv:2006.14613; Caron et al. 2021, arXiv:2104.14294): the first frame's objects are
carried on by :mod:`~unlabeled.platform.evaluate.propagation`, and each is scored by its region (J) and by its outline
(F; Perazzi et al. 2016, "A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation", sec. 4.1).

Differs from it: an object is a class that the first frame's mask has, and class 0 is the background; places take the
share of each object in their area instead of the nearest pixel's; the last frame is scored too.
"""

import math
from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from unlabeled.platform.data.source import IGNORED
from unlabeled.platform.evaluate.features import Features
from unlabeled.platform.evaluate.places import upsampled
from unlabeled.platform.evaluate.probe import FeatureProbe, Score
from unlabeled.platform.evaluate.propagation import Propagation
from unlabeled.platform.metrics import Metric, scores_of

TOLERANCE = 0.008  # of the diagonal, DAVIS's: how far an outline may lie off


class Propagate(FeatureProbe):
    """Masks carried from the first frame; each score is a mean over objects, of each over the frames after it.

    ``jaccard`` is the intersection over union of the object's pixels, 1 where it is gone and nothing is found;
    ``boundary`` is the F measure of its outline.

    Attributes:
        neighbors: how many of the most similar places are asked.
        context: how many of the frames before are looked at, besides the first.
        radius: how far in the grid what is asked may lie away.
        temperature: smaller gives the most similar more weight.
    """

    name = "propagate"
    reads: ClassVar[Literal["pooled", "grid", "method"]] = "grid"
    target: ClassVar[str] = "mask"
    sees: ClassVar[tuple[str, ...]] = ("clip",)
    scores: ClassVar[Mapping[str, Metric]] = scores_of("propagate", "jaccard", "boundary")
    neighbors: int = Field(default=5, ge=1)
    context: int = Field(default=7, ge=0)
    radius: int = Field(default=12, ge=0)
    temperature: float = Field(default=0.1, gt=0.0)

    def learn(self, train: Features) -> Score:
        """Learn nothing."""
        return self._score

    def _score(self, test: Features) -> Mapping[str, float]:
        assert test.labels is not None
        carry = Propagation(self.neighbors, self.context, self.radius, self.temperature)
        of_objects = [each for x, mask in zip(test.x, test.labels, strict=True) for each in _followed(carry, x, mask)]
        if not of_objects:
            raise ValueError("no object is in the first frame of any clip")
        region, outline = torch.tensor(of_objects, dtype=torch.float64).mean(dim=0).tolist()
        return {"jaccard": region, "boundary": outline}


def _followed(carry: Propagation, x_TDhw: Tensor, mask_THW: Tensor) -> Iterator[tuple[float, float]]:
    """Yield the scores of each object of a clip, means over the frames after the first."""
    objects = [number for number in mask_THW[0].unique().tolist() if number not in (0, IGNORED)]  # type: ignore[no-untyped-call]
    first = torch.stack([mask_THW[0] == number for number in (0, *objects)]).float()
    found_TKhw = carry(x_TDhw, F.adaptive_avg_pool2d(first, (x_TDhw.shape[2], x_TDhw.shape[3])))
    found_THW = scaled(upsampled(found_TKhw, mask_THW.shape[1:])).argmax(dim=1)[1:]
    told = mask_THW[1:] != IGNORED
    for place, number in enumerate(objects, start=1):
        found, true = (found_THW == place) & told, mask_THW[1:] == number
        yield float(jaccard(found, true).mean()), float(boundary_f(found, true).mean())


def scaled(shares_TKHW: Tensor) -> Tensor:
    """Bring the shares of each label in each frame to 0 .. 1, so that an object smaller than a place is found too.

    As the authors of DINO's evaluation do before they take the largest.
    """
    lowest, highest = shares_TKHW.amin(dim=(2, 3), keepdim=True), shares_TKHW.amax(dim=(2, 3), keepdim=True)
    return (shares_TKHW - lowest) / (highest - lowest).clamp_min(1e-12)


def jaccard(found: Tensor, true: Tensor) -> Tensor:
    """Return the intersection over union of regions, float64 [N], of bool [N, H, W]; of two empty ones it is 1."""
    both, either = (pixels.sum(dim=(1, 2)).double() for pixels in (found & true, found | true))
    return torch.where(either > 0, both / either.clamp_min(1.0), 1.0)


def boundary_f(found: Tensor, true: Tensor, tolerance: float = TOLERANCE) -> Tensor:
    """Return the F measure of outlines, float64 [N], of regions bool [N, H, W].

    Precision is the share of the found outline that lies near the true one, recall the other way round; near is within
    ``tolerance`` of the diagonal, rounded up to pixels. An outline that is not there has none of it wrong.
    """
    reach = math.ceil(tolerance * math.hypot(*found.shape[1:]))
    ours, theirs = outline(found), outline(true)
    precision, recall = _share(ours, _widened(theirs, reach)), _share(theirs, _widened(ours, reach))
    both = precision + recall
    return torch.where(both > 0, 2.0 * precision * recall / both.clamp_min(1e-12), 0.0)


def outline(region: Tensor) -> Tensor:
    """Mark pixels that differ from the next one to the right, below, or both, bool [N, H, W]."""
    padded = F.pad(region[:, None].float(), (0, 1, 0, 1), mode="replicate")[:, 0].bool()
    return (region ^ padded[:, :-1, 1:]) | (region ^ padded[:, 1:, :-1]) | (region ^ padded[:, 1:, 1:])


def _widened(pixels: Tensor, reach: int) -> Tensor:
    """Mark what lies within a disk around the pixels."""
    at = torch.arange(-reach, reach + 1, device=pixels.device)
    disk = (at[:, None].square() + at.square() <= reach**2).float()
    return F.conv2d(pixels[:, None].float(), disk[None, None], padding=reach)[:, 0] > 0.5


def _share(part: Tensor, whole: Tensor) -> Tensor:
    count = part.sum(dim=(1, 2)).double()
    return torch.where(count > 0, (part & whole).sum(dim=(1, 2)) / count.clamp_min(1.0), 1.0)
