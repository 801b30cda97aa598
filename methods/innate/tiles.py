"""Tiles of a picture: three rows of three, each cut at a random place within its cell.

Shapes: B pictures, C channels, H their side, t the side of a tile, pixels.
"""

import torch
from torch import Tensor

from unlabeled.methods.parts import squares
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import Encoder, ViT
from unlabeled.platform.errors import UserError

SIDE, TILES = 3, 9
SMALLEST_PX = 4  # smaller tiles show next to nothing


def cut(images: Tensor, tile_px: int, draws: Draws) -> Tensor:
    """Cut [B, C, H, H] into 3 x 3 cells, row by row, and a tile out of each at a random place: [B, 9, C, t, t]."""
    cell = images.shape[2] // SIDE
    assert tile_px <= cell
    corner_92 = corners(cell, images.device) + images.shape[2] % SIDE // 2
    return squares(images, corner_92 + draws.integers("place", cell - tile_px + 1, TILES, 2), tile_px)


def corners(step_px: int, device: torch.device) -> Tensor:
    """Return the tops and lefts of three rows of three places, so many pixels from one to the next: int64 [9, 2]."""
    tile = torch.arange(TILES, device=device)
    return step_px * torch.stack([tile // SIDE, tile % SIDE], dim=1)


def in_rows(tiles: Tensor) -> Tensor:
    """Lay tiles [B, 9, C, t, t] side by side, for people to look at: [B, C, 3 t, 3 t]."""
    rows = [torch.cat(tiles[:, start : start + SIDE].unbind(1), dim=3) for start in range(0, TILES, SIDE)]
    return torch.cat(rows, dim=2)


def check_tiles(view_px: int, tile: int) -> None:
    """Raise UserError where tiles do not fit a view, or are too small to show anything."""
    if tile > (cell := view_px // SIDE) or tile < SMALLEST_PX:
        raise UserError(
            f"a tile of {tile} px does not do: {SMALLEST_PX} px is the least, and a third of the picture, {cell} "
            f"px, the most; set method.tile_px between, or data.image_px to {SIDE * max(tile, SMALLEST_PX + 1)}"
        )


def check_sees_tiles(encoder: Encoder, view_px: int, tile: int) -> None:
    """Raise UserError where an encoder can't see a tile of a view, as where the patches of a ViT do not divide it."""
    if isinstance(encoder, ViT) and tile % encoder.patch_px:
        raise UserError(
            f"patches of {encoder.patch_px} px do not divide a tile of {tile} px; set method.tile_px to a multiple "
            f"of at most {view_px // SIDE}, or encoder.patch_px to a divisor"
        )
    encoder.check_size(tile)
