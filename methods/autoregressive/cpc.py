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

from typing import ClassVar

from pydantic import Field

from unlabeled.methods.autoregressive.patches import PatchEncoder, Sides, check_rows, patch_encoder, sides
from unlabeled.methods.autoregressive.prediction import CPC
from unlabeled.methods.parts import one_view
from unlabeled.platform.augment import ColorDrop, Crop, Flip, Policy, ViewPlan
from unlabeled.platform.data import Data, Format
from unlabeled.platform.encoder import Encoder, EncoderConfig
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

    def patches(self, image_px: int) -> Sides:
        """Return side and stride of the patches of a picture, in pixels."""
        return sides(self.patch_px, self.stride_px, image_px)

    def check(self, batch_size: int, workers: int, data: Data) -> None:
        """Raise UserError where a view holds too few rows of patches to predict so many steps."""
        check_rows(self.num_steps, self.patches(data.image_px), self.views.views[0].output_px(data.image_px))

    def make_encoder(self, config: EncoderConfig, shown: Format) -> PatchEncoder:
        """Make the encoder of a patch, and let it see pictures patch by patch."""
        return patch_encoder(self.name, config, shown, self.patches)

    def build(self, encoder: Encoder, data: Data) -> "CPC":
        """Make CPC around an encoder of patches."""
        return CPC(encoder, self.num_steps, self.context)
