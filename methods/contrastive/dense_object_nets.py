"""Dense object nets: descriptors of pixels that are near where two views show one place, and far apart elsewhere.

Florence, Manuelli, Tedrake (2018), "Dense Object Nets: Learning Dense Visual Object Descriptors By and For Robotic
Manipulation", CoRL, arXiv:1806.08756. A fully convolutional network f gives each pixel u of a picture I a descriptor of
few numbers. With D the Euclidean distance of f(I_a)(u_a) and f(I_b)(u_b), and a margin M:

    L = mean over matches of D^2  +  sum over non-matches of max(0, M - D^2) / how many of these are not 0.

Matches are pixels of objects. Half of the non-matches of each are pixels of objects in the other view, half of the
ground. To divide by those within the margin alone is what they call hard-negative scaling.

Shapes: B pictures per worker, D descriptor width, K matches of a picture, P non-matches of a match.

Differs from the paper: the two views are crops of one picture instead of two poses of a camera, so what is the same
place is known by the crops (``Batch.to_view``) instead of a reconstruction in space; the masks are the data's; a match
lies between pixels, where descriptors are interpolated; a non-match within a pixel of the match is left out instead of
moved; the ground is not changed at random, and pictures of different objects are not compared. The form of the second
term is that of the authors' code.
"""

from collections.abc import Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from unlabeled.methods.losses.pixels import centres, draw_pixels, pixel_contrast
from unlabeled.methods.parts import SMALL_JITTER
from unlabeled.platform.augment import ColorJitter, Crop, Flip, Policy, ViewPlan, two_views
from unlabeled.platform.augment.figure import Figure, matches
from unlabeled.platform.augment.geometry import first_to_second, move_masks, pixels_in_second
from unlabeled.platform.data import Data, DataConfig
from unlabeled.platform.data.source import IGNORED
from unlabeled.platform.encoder import Encoder
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Batch, Example, Method, MethodConfig, StepResult

GROUND = 0  # the mask's number of what is no object
NEAR_PX = 1.0  # nearer than this in both x and y is a match, as in the authors' code
VIEW = Policy(ops=(Crop(area=(0.3, 1.0)), Flip(), ColorJitter.of_strength(0.5)))


class DenseObjectNetsConfig(MethodConfig):
    """Width, margin and number of non-matches are those of the authors' configuration.

    Attributes:
        views: two views of each picture, of one size.
        dim: D, numbers of a descriptor.
        margin: M.
        num_matches: K, which are drawn from the pixels of objects that both views show.
        num_non_matches: P, half of them on objects.
    """

    name = "dense-object-nets"
    paper = "Florence et al. 2018, arXiv:1806.08756"
    cost = 2.01
    targets: ClassVar[tuple[str, ...]] = ("mask",)
    num_views: ClassVar[int | None] = 2
    one_size = slice(None)
    views: ViewPlan = two_views(VIEW)
    dim: int = Field(default=3, ge=3)
    margin: float = Field(default=0.5, gt=0.0)
    num_matches: int = Field(default=256, ge=1)
    num_non_matches: int = Field(default=150, ge=2, multiple_of=2)

    @classmethod
    def example(cls) -> Example:
        """Return a small run."""
        few = cls(views=two_views(SMALL_JITTER), num_matches=32, num_non_matches=16)
        scenes = DataConfig(name="emoji-scenes", train_images=256, image_px=32)
        return Example(method=few, data=scenes, tells_classes=False)  # but which pixel is which

    def check(self, batch_size: int, workers: int, data: Data) -> None:
        """Raise UserError where the mask is of something else than the views are."""
        views, fields = self.views.views, data.pretrain.fields
        of = fields["mask"].of
        if fields[of].kind != "image" or {view.field for view in views} != {of}:
            raise UserError(
                f"{self.name} needs two views of pictures that have masks, and the mask of {data.name} lies in {of!r}"
            )

    def build(self, encoder: Encoder, data: Data) -> "DenseObjectNets":
        """Make the network of descriptors around an encoder."""
        return DenseObjectNets(self, encoder)


class DenseObjectNets(Method):
    """An encoder, a linear layer on its grid, and this brought to the picture's size."""

    cut = "per-sample"

    def __init__(self, config: DenseObjectNetsConfig, encoder: Encoder) -> None:
        super().__init__(encoder)
        self.config = config
        self.project = nn.Conv2d(encoder.channels, config.dim, 1, bias=False)

    def describe(self, images: Tensor) -> Tensor:
        """Return a descriptor of each pixel, [B, D, H, W]."""
        made = self.project(self.encoder.maps(images).grid)
        return F.interpolate(made, size=images.shape[2:], mode="bilinear", align_corners=False)

    def forward(self, batch: Batch) -> StepResult:
        """Return the mean of the pictures' losses; one without an object that both views show has none."""
        (first, second), (to_first, to_second), config = batch.views, batch.to_view, self.config
        of_first, of_second = self.describe(torch.cat((first, second))).chunk(2)
        mask: Tensor = batch.targets["mask"]
        height, width = mask.shape[1:]
        places, seen = pixels_in_second(to_first, to_second, (height, width), (height, width))
        here_BK, found_B = draw_pixels(is_object(mask) & seen, config.num_matches, batch.draws, "match")
        there_BK2 = places.flatten(1, 2).gather(1, here_BK[..., None].expand(-1, -1, 2))
        other = move_masks(mask, first_to_second(to_first, to_second), height, width)  # of the second view
        half = config.num_matches * config.num_non_matches // 2
        on_object, some_B = draw_pixels(is_object(other), half, batch.draws, "object")
        on_ground, rest_B = draw_pixels(other == GROUND, half, batch.draws, "ground")
        none_BKP = torch.cat([each.view(len(first), config.num_matches, -1) for each in (on_object, on_ground)], dim=2)
        known_BKP = torch.stack((some_B, rest_B), dim=1).repeat_interleave(config.num_non_matches // 2, dim=1)[:, None]
        apart_BKP2 = centres(none_BKP, width) - there_BK2[:, :, None]
        counts_BKP = known_BKP & found_B[:, None, None] & (apart_BKP2.abs().amax(dim=3) >= NEAR_PX)
        made = pixel_contrast(of_first, of_second, here_BK, there_BK2, none_BKP, counts_BKP, config.margin)
        logs = {"dense/match": made.match, "dense/non_match": made.non_match, "dense/hard": made.hard}
        return StepResult(loss=made.loss, logs=logs)

    def figures(self, batch: Batch) -> Mapping[str, Figure]:
        """Return descriptors as colours; and for some pixels of objects, what is nearest to them in the mirror."""
        picture, mirrored = batch.views[0], batch.views[0].flip(3)
        made, other = self.describe(picture).float(), self.describe(mirrored).float()
        here, _ = draw_pixels(is_object(batch.targets["mask"]), 6, batch.draws, "figure")
        chosen = made.flatten(2).gather(2, here[:, None].expand(-1, made.shape[1], -1))
        nearest = torch.cdist(chosen.mT, other.flatten(2).mT).argmin(dim=2)
        low, high = made[:, :3].amin(dim=(0, 2, 3), keepdim=True), made[:, :3].amax(dim=(0, 2, 3), keepdim=True)
        colours = (made[:, :3] - low) / (high - low).clamp_min(1e-12)
        here_K2, nearest_K2 = (centres(each, picture.shape[3]) for each in (here, nearest))
        return {
            "descriptors": Figure({"picture": picture, "descriptors": colours}),
            "matches": matches(picture, mirrored, here_K2, nearest_K2, ("picture", "nearest in the mirror")),
        }


def is_object(mask: Tensor) -> Tensor:
    """Tell which pixels of a mask are of an object."""
    return (mask != GROUND) & (mask != IGNORED)
