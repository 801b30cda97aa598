"""Pictures seen as grids of overlapping patches, each by itself: how CPC and its second version look at them."""

from collections.abc import Callable
from dataclasses import replace

from torch import Tensor, nn

from unlabeled.platform.data import Format, PictureFormat
from unlabeled.platform.data.format import taken
from unlabeled.platform.encoder import Encoder, EncoderConfig, Maps
from unlabeled.platform.errors import UserError

Sides = tuple[int, int]
"""Side of a patch, and from one to the next, in pixels."""


def sides(patch_px: int | None, stride_px: int | None, image_px: int) -> Sides:
    """Return side and stride: a quarter of the picture, the next even number where that is none, and half of that."""
    patch_px = patch_px or 2 * -(-image_px // 8)
    return patch_px, stride_px or max(1, patch_px // 2)


def check_rows(num_steps: int, patches: Sides, view_px: int) -> None:
    """Raise UserError where a view holds too few rows of patches to predict so many steps."""
    patch_px, stride_px = patches
    rows = max(0, (view_px - patch_px) // stride_px + 1)
    if rows <= num_steps:
        fewer = f"method.num_steps {rows - 1} or less, or " if rows > 1 else ""
        raise UserError(
            f"method.num_steps {num_steps} needs {num_steps + 1} rows of patches, and a view of {view_px} px has {rows}"
            f" of patch_px {patch_px} and stride_px {stride_px}; use {fewer}smaller ones"
        )


def patch_encoder(name: str, config: EncoderConfig, shown: Format, patches: Callable[[int], Sides]) -> "PatchEncoder":
    """Make a method's encoder of a patch, and let it see pictures patch by patch; UserError where it can't."""
    pictures = taken(shown, PictureFormat, name)
    patch_px, stride_px = patches(pictures.image_px)
    try:
        return PatchEncoder(config.build(replace(pictures, image_px=patch_px)), patch_px, stride_px)
    except UserError as error:
        raise UserError(f"{name}'s encoder gets method.patch_px {patch_px} as its picture: {error}") from error


class PatchEncoder(Encoder):
    """Sees a picture as a grid of overlapping patches; its features are their mean, as in CPC's evaluation."""

    def __init__(self, inner: Encoder, patch_px: int, stride_px: int) -> None:
        super().__init__(inner.dim)
        self.inner, self.patch_px, self.stride_px = inner, patch_px, stride_px

    def cut(self, x: Tensor) -> Tensor:
        """Cut pictures [B, C, H, W] into patches [B, R, L, C, s, s]."""
        cut = x.unfold(2, self.patch_px, self.stride_px).unfold(3, self.patch_px, self.stride_px)
        return cut.permute(0, 2, 3, 1, 4, 5)

    def grid(self, patches: Tensor) -> Tensor:
        """Return the features of patches [B, R, L, C, s, s] in their places, [B, D, R, L]."""
        z: Tensor = self.inner(patches.flatten(0, 2))
        return z.view(*patches.shape[:3], self.dim).permute(0, 3, 1, 2)

    def maps(self, x: Tensor) -> Maps:
        """Return the mean over patches, [B, D], and the features of each in the grid, [B, D, R, L]."""
        grid = self.grid(self.cut(x))
        return Maps.of_grid(grid.mean(dim=(2, 3)), grid)


def layer_norms(encoder: Encoder, name: str) -> None:
    """Replace, in place, every batch norm of pictures by layer norm, over channels and places.

    Raises:
        UserError: one is of a class derived from it, which does more.
    """
    for parent in list(encoder.modules()):
        for place, child in parent.named_children():
            if isinstance(child, nn.modules.batchnorm._BatchNorm):
                if type(child) is not nn.BatchNorm2d:
                    raise UserError(
                        f"{name} puts layer norm in the place of BatchNorm2d alone, and {place} is a "
                        f"{type(child).__name__}; choose another encoder, or set method.layer_norm to false"
                    )
                setattr(parent, place, nn.GroupNorm(1, child.num_features))
