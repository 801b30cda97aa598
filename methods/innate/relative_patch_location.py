"""Relative patch location: to tell where one patch of a picture lies from another, one has to know what both show.

Doersch, Gupta, Efros (2015), "Unsupervised Visual Representation Learning by Context Prediction", arXiv:1505.05192.
With f the encoder and fc6, h the head, x_0 the middle of a grid of 3 x 3 patches and x_1 .. x_8 those around it, row by
row, the loss is -log softmax(h(f(x_0), f(x_n)))[n]. Against its shortcuts:

- Lines and textures that go on from patch to patch: gaps of half a patch, and each patch is moved by a few pixels.
- Chromatic aberration, by which a patch tells where in the lens it lies: two of three channels become noise, a
  hundredth as strong as the third ("drop"), or colours lose their part on the axis from green to magenta ("project").
- Brightness and contrast: of each patch its mean is taken away and, as in the authors' code, its deviation made 1.

Shapes: B images per worker, 9 patches of s x s pixels, C channels, F features of a patch.

Differs from the paper:
- Its pairs are random; in the authors' code (cdoersch/deepcontext) all of a grid as large as the picture. Here the grid
  fills a view, and its middle is paired with all eight around it.
- It resizes some patches to as little as 100 pixels and back, the code a third of them. Ours are small to begin with.
- fc8 has batch norm, too, and everywhere it has a scale and a shift. Probes read whole pictures in all their colours.
"""

import math
from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from unlabeled.methods.innate.tiles import SIDE, SMALLEST_PX, TILES, corners, in_rows
from unlabeled.methods.losses.numerics import constants
from unlabeled.methods.parts import SMALL, classify, one_view, projection_head, squares
from unlabeled.platform.augment import Crop, Policy, ViewPlan
from unlabeled.platform.augment.figure import Figure
from unlabeled.platform.data import Data
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import Encoder, StandardisingEncoder
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Batch, Example, Method, MethodConfig, StepResult

CENTRE, NEIGHBOURS = 4, (0, 1, 2, 3, 5, 6, 7, 8)
AXIS = (torch.tensor([-1.0, 2.0, -1.0]) / 6**0.5).tolist()  # from magenta to green, of length 1


class RelativePatchLocationConfig(MethodConfig):
    """Defaults are the paper's: a grid of 384 px, on a picture that was resized to 150 to 450 thousand pixels.

    Attributes:
        views: one view of each image, which the grid of patches fills.
        patch_px: side of a patch, s; None takes the largest that fits.
        gap_px: pixels between the places of patches next to each other; None takes 48 for a patch of 96.
        jitter_px: how far a patch may lie off its place, up, down, left and right; None takes 7 for 96, rounded up.
        color: what is done against chromatic aberration; grey pictures have none.
        patch_features: F, width of the layer that each patch still goes through alone (fc6).
        head: widths of the hidden layers that a pair goes through together (fc7, fc8).
    """

    name = "relative-patch-location"
    paper = "Doersch et al. 2015, arXiv:1505.05192"
    cost = 2.01
    num_views: ClassVar[int | None] = 1
    views: ViewPlan = one_view(Policy(ops=(Crop(area=(0.33, 0.98), aspect=(1.0, 1.0)),)))
    patch_px: int | None = Field(default=None, ge=SMALLEST_PX)
    gap_px: int | None = Field(default=None, ge=0)
    jitter_px: int | None = Field(default=None, ge=0)
    color: Literal["drop", "project", "none"] = "drop"
    patch_features: int = Field(default=4096, ge=1)
    head: tuple[int, ...] = (4096, 4096)

    @classmethod
    def example(cls) -> Example:
        """Return a small run, of pictures made twice as large: a patch of 28 px is 6."""
        views = one_view(SMALL.replacing(Crop(area=(0.6, 1.0), aspect=(1.0, 1.0), size=56)))
        return Example(method=cls(views=views, patch_px=12, patch_features=64, head=(64,)), learning={"epochs": 6})

    def grid(self, patch_px: int) -> tuple[int, int, int]:
        """Return the gap and the jitter of such patches, and the side of all that they may cover, pixels."""
        gap = patch_px * 48 // 96 if self.gap_px is None else self.gap_px
        jitter = math.ceil(patch_px * 7 / 96) if self.jitter_px is None else self.jitter_px
        return gap, jitter, SIDE * patch_px + (SIDE - 1) * gap + 2 * jitter

    def patch(self, view_px: int) -> int:
        """Return the side of a patch, which where it isn't told is the largest that fits, or else the smallest."""
        fitting = (px for px in range(view_px // SIDE, SMALLEST_PX, -1) if self.grid(px)[2] <= view_px)
        return self.patch_px or next(fitting, SMALLEST_PX)

    def check(self, batch_size: int, workers: int, data: Data) -> None:
        """Raise UserError where the grid does not fit the view."""
        view_px = self.views.views[0].output_px(data.image_px)
        gap, jitter, needed = self.grid(patch := self.patch(view_px))
        if needed > view_px:
            raise UserError(
                f"3 x 3 patches of {patch} px, with gaps of {gap} and moved by up to {jitter}, take {needed} of "
                f"{view_px} px; lower method.patch_px (at least {SMALLEST_PX}), method.gap_px or method.jitter_px, or "
                f"set data.image_px, or the size of the view's crop, to {needed}"
            )

    def check_encoder(self, encoder: Encoder, image_px: int) -> None:
        """Raise UserError where an encoder can't see a patch, as where the patches of a ViT do not divide it."""
        encoder.check_size(self.patch(self.views.views[0].output_px(image_px)))

    def build(self, encoder: Encoder, data: Data) -> "RelativePatchLocation":
        """Make the pair of networks, which share their weights, and the head on both."""
        assert isinstance(encoder, StandardisingEncoder)
        return RelativePatchLocation(self, encoder, self.views.views[0].output_px(data.image_px))


class RelativePatchLocation(Method):
    """An encoder that sees one patch at a time, and a head on what it makes of two."""

    cut = "per-sample"
    encoder: StandardisingEncoder

    def __init__(self, config: RelativePatchLocationConfig, encoder: StandardisingEncoder, view_px: int) -> None:
        super().__init__(encoder)
        self.config, self.view_px, self.patch_px = config, view_px, config.patch(view_px)
        width = config.patch_features
        self.fc6 = nn.Sequential(nn.Linear(encoder.dim, width, bias=False), nn.BatchNorm1d(width), nn.ReLU())
        self.head = projection_head(2 * width, (*config.head, len(NEIGHBOURS)))

    def forward(self, batch: Batch) -> StepResult:
        """Return the cross-entropy of where the eight neighbours lie, and how often the likeliest place is right."""
        logits_B88 = self.locate(self.patches(batch.views[0], batch.draws))
        place_B8 = torch.arange(len(NEIGHBOURS), device=logits_B88.device).expand(len(logits_B88), -1)
        loss, top1 = classify(logits_B88.flatten(0, 1), place_B8.flatten())
        return StepResult(loss=loss, logs={"place/top1": top1})

    def locate(self, patches: Tensor) -> Tensor:
        """Return the logits [B, 8, 8] of where each neighbour [B, 9, C, s, s] lies."""
        feature_B9F = self.fc6(self.encoder(patches.flatten(0, 1))).view(len(patches), TILES, -1)
        neighbour_B8F = torch.cat([feature_B9F[:, :CENTRE], feature_B9F[:, CENTRE + 1 :]], dim=1)
        pair_B8 = torch.cat([feature_B9F[:, CENTRE, None].expand_as(neighbour_B8F), neighbour_B8F], dim=2)
        logits: Tensor = self.head(pair_B8.flatten(0, 1))
        return logits.view(len(patches), len(NEIGHBOURS), -1)

    def patches(self, images: Tensor, draws: Draws) -> Tensor:
        """Cut the grid out of [B, C, H, H], and take away what would be a shortcut: [B, 9, C, s, s]."""
        gap, jitter, covered = self.config.grid(self.patch_px)
        corner_92 = (images.shape[2] - covered) // 2 + corners(self.patch_px + gap, images.device)
        patches = squares(images, corner_92 + draws.integers("jitter", 2 * jitter + 1, TILES, 2), self.patch_px)
        color = self.config.color if patches.shape[2] == len(AXIS) else "none"
        if color == "project":
            axis_C = constants(patches, AXIS)
            patches = patches - torch.einsum("c,d,bndhw->bnchw", axis_C, axis_C, patches)
        x = self.encoder.standardise(patches.flatten(0, 1)).view(patches.shape)
        x = x - x.mean(dim=(3, 4), keepdim=True)
        if color == "drop":
            kept = F.one_hot(draws.integers("channel", len(AXIS), TILES), len(AXIS))[..., None, None].to(x.dtype)
            deviation = (kept * x).sum(dim=2, keepdim=True).square().mean(dim=(3, 4), keepdim=True).sqrt()
            x = kept * x + (1.0 - kept) * deviation / 100.0 * draws.normal("noise", *x.shape[1:]).to(x.dtype)
        x = x * (x.square().mean(dim=(2, 3, 4), keepdim=True) + 1e-5).rsqrt()  # what is flat becomes 0
        return self.encoder.pixels(x)

    def layers(self) -> Mapping[str, nn.Module]:
        """Return fc6, where the paper takes its features."""
        return {"fc6": nn.Sequential(self.encoder, self.fc6)}

    def figures(self, batch: Batch) -> Mapping[str, Figure]:
        """Return each picture, one pair of its patches, and the pair with the neighbour where it is thought to lie."""
        (images,), size = batch.views, 2 * [self.view_px]
        patches = self.patches(F.interpolate(images, size=size, mode="bilinear", antialias=True), batch.draws)
        row, outer = torch.arange(len(images)), torch.tensor(NEIGHBOURS)
        asked = batch.draws.integers("asked", len(NEIGHBOURS)).cpu()
        located, columns = self.locate(patches).argmax(dim=2).cpu()[row, asked], {"picture": images}
        for title, place in (("pair", asked), ("as located", located)):
            grid = self.encoder.mean.expand_as(patches).clone()
            grid[:, CENTRE], grid[row, outer[place]] = patches[:, CENTRE], patches[row, outer[asked]]
            columns[title] = in_rows(F.pad(grid, 4 * [1]))
        return {"pairs": Figure(columns)}
