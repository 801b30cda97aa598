"""CPC: from the patches above, tell which of many patches is the one further below.

Van den Oord, Li, Vinyals (2018), "Representation Learning with Contrastive Predictive Coding", arXiv:1807.03748.
On images: sec. 3.2; scores and loss are in ``prediction.py``. Negatives, which it does not specify there: all other
patches of all images, as in Hénaff et al. (2019), "Data-Efficient Image Recognition with Contrastive Predictive
Coding", arXiv:1905.09272.

Shapes: B images per worker, R rows and L columns of patches, D features of a patch.

Differs from the paper: the context is a GRU down each column, not a PixelCNN, so it does not see the columns beside its
own; batch norm, where the encoder has it, sees all patches of the batch (the paper's encoder has none); patches are not
cropped once more, each by itself; half of the views are grey, where the paper can be read as all of them; the losses of
the steps are averaged. The bound on mutual information is not logged: it needs negatives that are independent of the
context, and those from the same image are not.
"""

from dataclasses import replace
from typing import ClassVar

from pydantic import Field
from torch import Tensor

from unlabeled.methods.autoregressive.prediction import CPC
from unlabeled.methods.parts import one_view
from unlabeled.platform.augment import ColorDrop, Crop, Flip, Policy, ViewPlan
from unlabeled.platform.data import Data, Format, PictureFormat
from unlabeled.platform.data.format import taken
from unlabeled.platform.encoder import Encoder, EncoderConfig, Maps
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Example, MethodConfig

# 256 px out of 300, anywhere
VIEW = Policy(ops=(Crop(area=(0.73, 0.73), aspect=(1.0, 1.0)), Flip(), ColorDrop(p=0.5)))


class CPCConfig(MethodConfig):
    """Defaults are the paper's for images; of 256 px they make 7 x 7 patches of 64 px.

    The width of the context is that of its audio model (sec. 3.1): for images it gives none.

    Attributes:
        views: one view of each image.
        patch_px: side of a patch; None takes a quarter of the picture, the next even number where that is none.
        stride_px: from one patch to the next; None takes half a patch. What is left at the right and below is not seen.
        num_steps: K, how many rows ahead are predicted.
        context: width of the GRU's state.
    """

    name = "cpc"
    paper = "van den Oord et al. 2018, arXiv:1807.03748"
    cost = 2.83
    num_views: ClassVar[int | None] = 1
    views: ViewPlan = one_view(VIEW)
    patch_px: int | None = Field(default=None, ge=1)
    stride_px: int | None = Field(default=None, ge=1)
    num_steps: int = Field(default=5, ge=1)
    context: int = Field(default=256, ge=1)

    @classmethod
    def example(cls) -> Example:
        """Return a small run."""
        return Example(
            method=cls(patch_px=14, stride_px=7, num_steps=2, context=64), learning={"data.name": "emoji", "epochs": 6}
        )

    def patches(self, image_px: int) -> tuple[int, int]:
        """Return side and stride of the patches of a picture, in pixels."""
        patch_px = self.patch_px or 2 * -(-image_px // 8)
        return patch_px, self.stride_px or max(1, patch_px // 2)

    def check(self, batch_size: int, workers: int, data: Data) -> None:
        """Raise UserError where a view holds too few rows of patches to predict so many steps."""
        patch_px, stride_px = self.patches(data.image_px)
        view_px = self.views.views[0].output_px(data.image_px)
        rows = max(0, (view_px - patch_px) // stride_px + 1)
        if rows <= self.num_steps:
            fewer = f"method.num_steps {rows - 1} or less, or " if rows > 1 else ""
            raise UserError(
                f"method.num_steps {self.num_steps} needs {self.num_steps + 1} rows of patches, and a view of "
                f"{view_px} px has {rows} of patch_px {patch_px} and stride_px {stride_px}; use {fewer}smaller ones"
            )

    def make_encoder(self, config: EncoderConfig, shown: Format) -> "PatchEncoder":
        """Make the encoder of a patch, and let it see pictures patch by patch."""
        pictures = taken(shown, PictureFormat, self.name)
        patch_px, stride_px = self.patches(pictures.image_px)
        try:
            return PatchEncoder(config.build(replace(pictures, image_px=patch_px)), patch_px, stride_px)
        except UserError as error:
            raise UserError(f"cpc's encoder gets method.patch_px {patch_px} as its picture: {error}") from error

    def build(self, encoder: Encoder, data: Data) -> "CPC":
        """Make CPC around an encoder of patches."""
        return CPC(encoder, self.num_steps, self.context)


class PatchEncoder(Encoder):
    """Sees a picture as a grid of overlapping patches; its features are their mean, as in the paper's evaluation."""

    def __init__(self, inner: Encoder, patch_px: int, stride_px: int) -> None:
        super().__init__(inner.dim)
        self.inner, self.patch_px, self.stride_px = inner, patch_px, stride_px

    def maps(self, x: Tensor) -> Maps:
        """Return the mean over patches, [B, D], and the features of each in the grid, [B, D, R, L]."""
        cut = x.unfold(2, self.patch_px, self.stride_px).unfold(3, self.patch_px, self.stride_px)
        z: Tensor = self.inner(cut.permute(0, 2, 3, 1, 4, 5).flatten(0, 2))
        grid = z.view(len(x), *cut.shape[2:4], self.dim).permute(0, 3, 1, 2)
        return Maps.of_grid(grid.mean(dim=(2, 3)), grid)
