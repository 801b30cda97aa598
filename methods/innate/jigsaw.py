"""Jigsaw: to tell in which order a picture's tiles were shuffled, one has to know its parts and where they belong.

Noroozi, Favaro (2016), "Unsupervised Learning of Visual Representations by Solving Jigsaw Puzzles", ECCV,
arXiv:1603.09246. Context-free network: fig. 3. Set of permutations: algorithm 1. Against shortcuts there are gaps
between the tiles, and each tile is normalised by itself.

Shapes: B images per worker, 9 tiles of t x t pixels, P permutations.

Differs from the paper:
- Probes read the encoder on whole pictures, though it was trained on tiles.
- No dropout, and colour channels are not shifted against each other.
- Which of equally far permutations is chosen, algorithm 1 does not say: here, the first in one random order of all.

Differs from the authors' code: it crops 255 px into cells of 85 and names a set of 100 permutations; the sizes here,
225, 75 and 64 px, and the number of permutations are the paper's.
"""

import functools
import itertools
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from unlabeled.methods.innate.tiles import SIDE, SMALLEST_PX, TILES, check_sees_tiles, check_tiles, cut, in_rows
from unlabeled.methods.parts import SMALL_JITTER, classify, one_view, projection_head
from unlabeled.platform.augment import ColorDrop, Crop, Policy, ViewPlan
from unlabeled.platform.augment.figure import Figure
from unlabeled.platform.data import Data
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import Encoder, StandardisingEncoder
from unlabeled.platform.method import Batch, Example, Method, MethodConfig, StepResult


class JigsawConfig(MethodConfig):
    """Defaults are the paper's: of 256 pixels 225 are cropped, and three in ten pictures are grey.

    Attributes:
        views: one view of each image, which is then cut into tiles.
        num_permutations: P, how many orders of the tiles there are to tell apart.
        tile_px: side of a tile, which lies anywhere in its third of the picture; None takes 64 of 75 px, in proportion.
        tile_features: width of the layer that each tile still goes through alone (fc6).
        head: widths of the hidden layers that all tiles go through together (fc7).
    """

    name = "jigsaw"
    paper = "Noroozi, Favaro 2016, arXiv:1603.09246"
    cost = 0.72
    num_views: ClassVar[int | None] = 1
    views: ViewPlan = one_view(Policy(ops=(Crop(area=(0.77, 0.77), aspect=(1.0, 1.0)), ColorDrop(p=0.3))))
    num_permutations: int = Field(default=1000, ge=2, le=10_000)
    tile_px: int | None = Field(default=None, ge=SMALLEST_PX)
    tile_features: int = Field(default=512, ge=1)
    head: tuple[int, ...] = (4096,)

    @classmethod
    def example(cls) -> Example:
        """Return a small run."""
        return Example(
            method=cls(
                views=one_view(SMALL_JITTER.replacing(Crop(area=(0.5, 1.0)))),
                num_permutations=10,
                tile_features=32,
                head=(64,),
            ),
            learning={"method.num_permutations": 200, "data.image_px": 56, "epochs": 20},  # a tile of 28 px is 8
        )

    def sizes(self, image_px: int) -> tuple[int, int]:
        """Return the sides of a picture's view and of a tile of it, pixels."""
        view_px = self.views.views[0].output_px(image_px)
        return view_px, self.tile_px or round(view_px // SIDE * 64 / 75)

    def check(self, batch_size: int, workers: int, data: Data) -> None:
        """Raise UserError where tiles do not fit the picture, or are too small to show anything."""
        check_tiles(*self.sizes(data.image_px))

    def check_encoder(self, encoder: Encoder, image_px: int) -> None:
        """Raise UserError where an encoder can't see a tile, as where the patches of a ViT do not divide it."""
        check_sees_tiles(encoder, *self.sizes(image_px))

    def build(self, encoder: Encoder, data: Data) -> "Jigsaw":
        """Make the context-free network."""
        assert isinstance(encoder, StandardisingEncoder)
        view_px, tile = self.sizes(data.image_px)
        return Jigsaw(self, encoder, view_px, tile)


class Jigsaw(Method):
    """The context-free network: an encoder that sees one tile at a time, and a head on what it makes of all nine."""

    cut = "per-sample"
    encoder: StandardisingEncoder
    permutations: Tensor

    def __init__(self, config: JigsawConfig, encoder: StandardisingEncoder, view_px: int, tile_px: int) -> None:
        super().__init__(encoder)
        self.view_px, self.tile_px = view_px, tile_px
        self.tile_layer = nn.Sequential(nn.Linear(encoder.dim, config.tile_features), nn.ReLU(inplace=True))
        widths = TILES * config.tile_features, (*config.head, config.num_permutations)
        self.head = projection_head(*widths, batch_norm=False)
        chosen = torch.tensor(far_permutations(TILES, config.num_permutations), device="cpu")  # in a build on meta too
        self.register_buffer("permutations", chosen)

    def forward(self, batch: Batch) -> StepResult:
        """Return the cross-entropy of the permutations that the tiles are in, and how often the likeliest is right."""
        tiles, label_B = self.puzzles(batch.views[0], batch.draws)
        logits_BP = self.head(self.tile_layer(self.encoder(tiles.flatten(0, 1))).view(len(tiles), -1))
        loss, top1 = classify(logits_BP, label_B)
        return StepResult(loss=loss, logs={"permutation/top1": top1})

    def puzzles(self, images: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        """Cut, normalise and shuffle [B, C, H, H]: tiles [B, 9, C, t, t], and which permutation they are in, [B].

        A tile is given the mean and deviation that the encoder takes away, so that to it, they are 0 and 1.
        """
        label_B = draws.integers("permutation", len(self.permutations))
        tiles = cut(images, self.tile_px, draws)
        normal = F.instance_norm(self.encoder.standardise(tiles.flatten(0, 1)))  # what is flat is 0
        tiles = self.encoder.pixels(normal).reshape(tiles.shape)
        return tiles[torch.arange(len(tiles), device=tiles.device)[:, None], self.permutations[label_B]], label_B

    def figures(self, batch: Batch) -> Mapping[str, Figure]:
        """Return each picture, and its tiles as the network sees them."""
        images, size = batch.views[0], 2 * [self.view_px]
        tiles, _ = self.puzzles(F.interpolate(images, size=size, mode="bilinear", antialias=True), batch.draws)
        return {"puzzles": Figure({"picture": images, "tiles": in_rows(tiles)})}

    def layers(self) -> Mapping[str, nn.Module]:
        """Return none: the head reads nine tiles, not a picture."""
        return {}


@functools.lru_cache
def far_permutations(length: int, number: int) -> tuple[tuple[int, ...], ...]:
    """Choose permutations of 0 .. length - 1 that are far from each other; always the same.

    Algorithm 1: the first is random; each next one is, of those not chosen yet, one with the largest sum of Hamming
    distances to all chosen, which is one that agrees with them in the fewest places.
    """
    everyone = np.fromiter(itertools.permutations(range(length)), np.dtype((np.uint8, length)))
    assert number <= len(everyone)
    order = Draws(torch.zeros(1, dtype=torch.int64, device="cpu"), "jigsaw").permutation("order", len(everyone))
    by_place = np.ascontiguousarray(everyone[order[0].numpy()].T)
    agrees, agreements = np.empty(by_place.shape, dtype=bool), np.zeros(len(everyone), dtype=np.float32)
    chosen = [0]
    while len(chosen) < number:
        np.equal(by_place, by_place[:, chosen[-1:]], out=agrees)
        agreements += agrees.sum(axis=0, dtype=np.uint8)
        agreements[chosen[-1]] = np.inf  # not to be chosen again
        chosen.append(int(agreements.argmin()))
    return tuple(map(tuple, by_place[:, chosen].T.tolist()))
