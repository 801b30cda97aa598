"""CPC: from the patches above, tell which of many patches is the one further below.

Van den Oord, Li, Vinyals (2018), "Representation Learning with Contrastive Predictive Coding", arXiv:1807.03748.
Scores: eq. 3. Loss: eq. 4. On images: sec. 3.2. Negatives, which it does not specify there: all other patches of all
images, as in Hénaff et al. (2019), "Data-Efficient Image Recognition with Contrastive Predictive Coding",
arXiv:1905.09272.

Shapes: B images per worker, R rows and L columns of patches, N patches of all workers, D features of a patch, C width
of the context, V predictions of one step.

Differs from the paper: the context is a GRU down each column, not a PixelCNN, so it does not see the columns beside its
own; batch norm, where the encoder has it, sees all patches of the batch (the paper's encoder has none); patches are not
cropped once more, each by itself; half of the views are grey, where the paper can be read as all of them; the losses of
the steps are averaged. The bound on mutual information is not logged: it needs negatives that are independent of the
context, and those from the same image are not.
"""

from dataclasses import replace
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from unlabeled.methods.losses.chunked import choose_positive
from unlabeled.methods.losses.numerics import in_full_precision
from unlabeled.methods.parts import one_view
from unlabeled.platform.augment import ColorDrop, Crop, Flip, Policy, ViewPlan
from unlabeled.platform.collective import gather, row_ids
from unlabeled.platform.data import Data, Format, PictureFormat
from unlabeled.platform.data.format import taken
from unlabeled.platform.encoder import Encoder, EncoderConfig, Maps
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Batch, EmbeddingMethod, Example, MethodConfig, StepResult

choose = in_full_precision(choose_positive)

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
        return CPC(self, encoder)


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


class CPC(EmbeddingMethod):
    """An encoder of patches, a GRU over their rows, and a linear prediction for each step."""

    def __init__(self, config: CPCConfig, encoder: Encoder) -> None:
        super().__init__(encoder)
        self.gru = nn.GRU(encoder.dim, config.context, batch_first=True)  # g_ar
        steps = range(config.num_steps)
        self.predict = nn.ModuleList(nn.Linear(config.context, encoder.dim, bias=False) for _ in steps)  # W_k

    def embed(self, batch: Batch) -> tuple[Tensor, ...]:
        """Return the features z of all patches, [B, R, L, D]."""
        (view,) = batch.views
        return (self.encoder.maps(view).grid.permute(0, 2, 3, 1),)

    def contrast(self, embeddings: tuple[Tensor, ...], batch: Batch) -> StepResult:
        """Return InfoNCE, mean over steps, and how often each step's right patch beats all other patches."""
        (z_BRLD,) = embeddings
        c_BRLC = self.contexts(z_BRLD)
        z_ND = gather(z_BRLD).flatten(0, 2)
        place_BRL = row_ids(z_BRLD[..., 0].numel(), z_BRLD.device).view(z_BRLD.shape[:3])
        steps = []
        for k, predict in enumerate(self.predict, start=1):
            predicted_VD = predict(c_BRLC[:, :-k]).flatten(0, 2)  # W_k c_t
            right_VD = z_BRLD[:, k:].flatten(0, 2)  # z_t+k
            place_V2 = place_BRL[:, k:].reshape(-1, 1).expand(-1, 2)  # all but the right one are negatives
            steps.append(choose(predicted_VD, right_VD, z_ND, place_V2))
        loss, top1, entropy = (torch.stack(each) for each in zip(*steps, strict=True))
        logs = {"contrast/top1": top1.mean(), "contrast/entropy": entropy.mean()}
        logs |= {f"contrast/top1_step{k}": share for k, share in enumerate(top1, start=1)}
        return StepResult(loss=loss.mean(), logs={name: value.detach() for name, value in logs.items()})

    def contexts(self, z_BRLD: Tensor) -> Tensor:
        """Return [B, R, L, C]: what the GRU has seen of each column down to a row, that row included."""
        batch, rows, columns, _ = z_BRLD.shape
        c: Tensor = self.gru(z_BRLD.transpose(1, 2).flatten(0, 1))[0]
        return c.view(batch, columns, rows, -1).transpose(1, 2)
