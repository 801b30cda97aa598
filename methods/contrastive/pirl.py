"""PIRL: a picture's tiles, in any order, are told to be of the picture, so that the puzzle leaves no trace.

Misra, van der Maaten (2020), "Self-Supervised Learning of Pretext-Invariant Representations", CVPR, arXiv:1912.01991.
Contrast: eq. 3-4. Loss with the memory bank: eq. 5. Puzzle and heads: sec. 2.3.

Jigsaw puzzles ask in which order tiles are, so features have to vary with it. Here they must not. An encoder phi with
two heads: f of the picture I, linear; g of its nine tiles I^t, linear on each, and on all of them in a random order.

    loss = lambda NCE(g(I^t), m_I) + (1 - lambda) NCE(f(I), m_I)
    m_I <- unit(m m_I + (1 - m) f(I))

m_I is what the memory bank has of the picture. NCE tells from K of others (see ``bank.py``). The second term keeps f
near the bank, like the proximal term of instance discrimination, which this is without tiles: lambda = 0.

Shapes: B images per worker, 9 tiles of t x t pixels, K noise samples, D width.

Differs from the paper: the probability's denominator is K times one mean over all, estimated once, in place of each
row's sum, as in the authors' code (facebookresearch/vissl, ``nce_loss.py``). Differs from that code: all tiles of a
picture get one colour jitter, where there each has its own, and there are no further photometric distortions; a noise
sample may be the picture itself in both, which the paper leaves out.
"""

from collections.abc import Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from unlabeled.methods.contrastive.bank import FEW_ITEMS_OFTEN, BankContrast, MemoryBank, retrieved
from unlabeled.methods.innate.tiles import SMALLEST_PX, TILES, check_sees_tiles, check_tiles, cut, in_rows
from unlabeled.methods.losses.numerics import exact_unit
from unlabeled.methods.parts import SMALL_JITTER
from unlabeled.platform.augment import ColorDrop, ColorJitter, Crop, Flip, Policy, ViewPlan
from unlabeled.platform.augment.figure import Figure
from unlabeled.platform.data import Data
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import Encoder
from unlabeled.platform.method import Batch, EmbeddingMethod, Example, MethodConfig, StepResult

_COLOR = (ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.2, p=1.0), ColorDrop(p=0.2), Flip())


class PIRLConfig(MethodConfig):
    """Defaults are the paper's ResNet-50 settings.

    Attributes:
        views: the picture, and the view of it that is cut into tiles.
        tile_px: side of a tile, which lies anywhere in its third of the view; None takes 64 of 85 px, in proportion.
        weight: lambda, what the tiles weigh against the picture.
        temperature: tau in eq. 3.
        negatives: K, how many noise samples a vector is told from; None takes the softmax over all images.
        momentum: m, how much of an image's vector stays in the bank when it is seen again.
        width: D, of what both heads end in.
    """

    name = "pirl"
    paper = "Misra, van der Maaten 2020, arXiv:1912.01991"
    cost = 1.69
    num_views: ClassVar[int | None] = 2
    views: ViewPlan = ViewPlan(
        views=(Policy(ops=(Crop(area=(0.08, 1.0)), *_COLOR)), Policy(ops=(Crop(area=(0.6, 1.0)), *_COLOR)))
    )
    tile_px: int | None = Field(default=None, ge=SMALLEST_PX)
    weight: float = Field(default=0.5, ge=0.0, le=1.0)
    temperature: float = Field(default=0.07, gt=0.0)
    negatives: int | None = Field(default=32_000, ge=1)
    momentum: float = Field(default=0.5, ge=0.0, lt=1.0)
    width: int = Field(default=128, ge=1)

    @classmethod
    def example(cls) -> Example:
        """Return a small run."""
        views = ViewPlan(views=(SMALL_JITTER, SMALL_JITTER.replacing(Crop(area=(0.6, 1.0)))))
        small = cls(views=views, tile_px=8, negatives=128, width=16, temperature=0.2)
        others = {"exact": small.with_field("negatives", None)}
        return Example(method=small, others=others, learning={**FEW_ITEMS_OFTEN, "method.weight": 0.25})

    def sizes(self, image_px: int) -> tuple[int, int]:
        """Return the sides of the view that is cut and of a tile of it, pixels."""
        view_px = self.views.views[1].output_px(image_px)
        return view_px, self.tile_px or round(view_px // 3 * 64 / 85)

    def check(self, batch_size: int, workers: int, data: Data) -> None:
        """Raise UserError where tiles do not fit the view, or are too small to show anything."""
        check_tiles(*self.sizes(data.image_px))

    def check_encoder(self, encoder: Encoder, image_px: int) -> None:
        """Raise UserError where an encoder can't see the picture or a tile."""
        encoder.check_size(self.views.views[0].output_px(image_px))
        check_sees_tiles(encoder, *self.sizes(image_px))

    def build(self, encoder: Encoder, data: Data) -> "PIRL":
        """Make PIRL around an encoder, with a bank for the images that train."""
        return PIRL(self, encoder, len(data.pretrain), *self.sizes(data.image_px))


class PIRL(EmbeddingMethod):
    """An encoder that sees pictures and tiles, a head for each, and the bank of all pictures' vectors."""

    def __init__(self, config: PIRLConfig, encoder: Encoder, num_images: int, view_px: int, tile_px: int) -> None:
        super().__init__(encoder)
        self.weight, self.view_px, self.tile_px = config.weight, view_px, tile_px
        self.head = nn.Linear(encoder.dim, config.width)  # f
        self.tile_head = nn.Linear(encoder.dim, config.width)  # g, on each tile
        self.join = nn.Linear(TILES * config.width, config.width)  # and on all of them
        self.bank = MemoryBank(num_images, config.width, config.momentum)
        self.tell = BankContrast(config.temperature, config.negatives)

    def embed(self, batch: Batch) -> tuple[Tensor, ...]:
        """Return f(I) and g(I^t), of length 1."""
        picture, cut_up = batch.views
        tiles = self.tiles(cut_up, batch.draws)
        tile_B9D = self.tile_head(self.encoder(tiles.flatten(0, 1))).view(len(tiles), TILES, -1)
        return exact_unit(self.head(self.encoder(picture))), exact_unit(self.join(tile_B9D.flatten(1)))

    def contrast(self, embeddings: tuple[Tensor, ...], batch: Batch) -> StepResult:
        """Return eq. 5, and how often tiles and pictures are found in the bank; then let the bank follow."""
        picture_BD, tiles_BD = embeddings
        of_tiles, tiles_top1 = self.tell(tiles_BD, self.bank.vectors, batch.index, batch.draws.fold_in("tiles"))
        of_picture, top1 = self.tell(picture_BD, self.bank.vectors, batch.index, batch.draws.fold_in("picture"))
        self.bank.write(batch.index, picture_BD)
        loss = self.weight * of_tiles + (1.0 - self.weight) * of_picture
        return StepResult(loss=loss, logs={"tiles/top1": tiles_top1, "contrast/top1": top1})

    def tiles(self, images: Tensor, draws: Draws) -> Tensor:
        """Cut [B, C, H, H] into nine tiles, in a random order: [B, 9, C, t, t]."""
        row_B1 = torch.arange(len(images), device=images.device)[:, None]
        return cut(images, self.tile_px, draws)[row_B1, draws.permutation("order", TILES)]

    def figures(self, batch: Batch) -> Mapping[str, Figure]:
        """Return each picture with its tiles, and beside those of the others whose vectors are nearest to its own."""
        picture, size = batch.views[0], 2 * [self.view_px]
        tiles = self.tiles(F.interpolate(batch.views[1], size=size, mode="bilinear", antialias=True), batch.draws)
        near = retrieved(exact_unit(self.head(self.encoder(picture))), picture)
        return {"tiles": Figure({"picture": picture, "tiles": in_rows(tiles)}), "nearest": Figure(near)}
