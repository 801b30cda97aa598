"""CPC v2: predict patches from those above, and from below, left and right; each patch changed by chance, by itself.

Hénaff, Srinivas, De Fauw, Razavi, Doersch, Eslami, van den Oord (2019), "Data-Efficient Image Recognition with
Contrastive Predictive Coding", arXiv:1905.09272. What it changes of CPC, with code in its appendix:

- Layer norm for batch norm, in which patches tell each other of themselves, so that nothing need be understood.
- Four directions, each with a context network of its own: masked convolutions, which see the rows down to their own.
- Patches are changed each by itself: turned over, recoloured, and two of three channels taken from them.

For each direction, with g the masked network, and z the features of the patches in their grid, turned so:

    c = g(z),  t = W z,  p_k = 0.1 (V_k c + b_k)
    loss_k = -log( exp(p_k(i, j).t(i + k, j)) / sum over all patches of all images of exp(p_k(i, j).t) )

for the steps k that are above ``skipped``: nearer patches overlap. The mean over steps and directions is the loss.

Shapes: B images per worker, R rows and L columns of patches, D features of a patch, T width of what is compared.

Differs from the paper: losses are averaged, the paper's are summed; its patches of 80 px, 36 apart in 260, are a third
of the picture, ours a quarter; of its changes of patches the shears, rotations and elastic ones are not there, and
channels that are taken away become the data's mean. It widens the third stage of a ResNet-101: an encoder is the run's.
"""

from typing import ClassVar, Self

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from unlabeled.methods.autoregressive.directions import Direction
from unlabeled.methods.autoregressive.patches import PatchEncoder, Sides, check_rows, layer_norms, patch_encoder, sides
from unlabeled.methods.autoregressive.prediction import ahead
from unlabeled.methods.parts import one_view
from unlabeled.platform.augment import ColorJitter, Crop, Flip, Policy, ViewPlan
from unlabeled.platform.data import Data, Format
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import Encoder, EncoderConfig
from unlabeled.platform.method import Batch, EmbeddingMethod, Example, MethodConfig, StepResult

VIEW = Policy(ops=(Crop(area=(0.75, 0.75), aspect=(1.0, 1.0)), Flip()))  # 260 px out of 300, anywhere
PATCH = Policy(ops=(Flip(), ColorJitter.of_strength(0.5)))
DIRECTIONS = 4
RGB = 3


class CPCV2Config(MethodConfig):
    """Defaults are the paper's; of 256 px they make 7 x 7 patches of 64 px.

    Attributes:
        views: one view of each image.
        patch_px: side of a patch; None takes a quarter of the picture, the next even number where that is none.
        stride_px: from one patch to the next; None takes half a patch. What is left at the right and below is not seen.
        patch: what is done to each patch of it.
        channel_drop: share of the patches that keep one of three channels.
        layer_norm: put layer norm in the place of the encoder's batch norm.
        skipped: how many rows that are nearest are not predicted.
        num_steps: how many rows ahead the last one is that is predicted.
        context: width of a context network's hidden layers.
        blocks: of a context network.
        target: T.
    """

    name = "cpc-v2"
    paper = "Hénaff et al. 2019, arXiv:1905.09272"
    cost = 3.08
    num_views: ClassVar[int | None] = 1
    views: ViewPlan = one_view(VIEW)
    patch_px: int | None = Field(default=None, ge=1)
    stride_px: int | None = Field(default=None, ge=1)
    patch: Policy = PATCH
    channel_drop: float = Field(default=1.0, ge=0.0, le=1.0)
    layer_norm: bool = True
    skipped: int = Field(default=2, ge=0)
    num_steps: int = Field(default=3, ge=1)
    context: int = Field(default=256, ge=1)
    blocks: int = Field(default=5, ge=1)
    target: int = Field(default=64, ge=1)

    @model_validator(mode="after")
    def _predicts_something(self) -> Self:
        if self.skipped >= self.num_steps:
            raise ValueError(
                f"skipped {self.skipped} leaves nothing of num_steps {self.num_steps} to predict; skip "
                f"{self.num_steps - 1} or fewer"
            )
        return self

    @classmethod
    def example(cls) -> Example:
        """Return a small run, of grey pictures: by colours kNN tells emoji before anything is learned."""
        small = cls(patch_px=14, stride_px=7, num_steps=2, skipped=0, context=16, blocks=2, target=32)
        return Example(
            method=small.with_field("patch", Policy(ops=(Flip(),))),
            learning={"epochs": 9},
            others={"batch norm": small.with_field("layer_norm", False)},
        )

    def patches(self, image_px: int) -> Sides:
        """Return side and stride of the patches of a picture, in pixels."""
        return sides(self.patch_px, self.stride_px, image_px)

    def check(self, batch_size: int, workers: int, data: Data) -> None:
        """Raise UserError where a view holds too few rows of patches to predict so many steps."""
        check_rows(self.num_steps, self.patches(data.image_px), self.views.views[0].output_px(data.image_px))

    def make_encoder(self, config: EncoderConfig, shown: Format) -> PatchEncoder:
        """Make the encoder of a patch, with layer norm, and let it see pictures patch by patch."""
        encoder = patch_encoder(self.name, config, shown, self.patches)
        if self.layer_norm:
            layer_norms(encoder, self.name)
        return encoder

    def build(self, encoder: Encoder, data: Data) -> "CPCV2":
        """Make the context networks around an encoder of patches."""
        assert isinstance(encoder, PatchEncoder)
        return CPCV2(self, encoder)


class CPCV2(EmbeddingMethod):
    """An encoder of patches, and what predicts them in each direction."""

    encoder: PatchEncoder

    def __init__(self, config: CPCV2Config, encoder: PatchEncoder) -> None:
        super().__init__(encoder)
        self.config = config
        steps = range(config.skipped + 1, config.num_steps + 1)
        self.directions = nn.ModuleList(
            Direction(encoder.dim, steps, config.context, config.blocks, config.target) for _ in range(DIRECTIONS)
        )

    def embed(self, batch: Batch) -> tuple[Tensor, ...]:
        """Return the features z of all patches, each changed by itself, [B, D, R, L]."""
        return (self.encoder.grid(self.changed(self.encoder.cut(batch.views[0]), batch.draws)),)

    def changed(self, patches: Tensor, draws: Draws) -> Tensor:
        """Change patches [B, R, L, C, s, s] in [0, 1], each by itself."""
        flat = patches.flatten(0, 2)
        draws = draws.of_parts(len(flat) // len(patches))
        x = self.config.patch(flat.float(), draws.fold_in("patch")).to(flat.dtype)
        if x.shape[1] == RGB:
            kept = F.one_hot(draws.integers("channel", RGB), RGB)[:, :, None, None].bool()
            whole = (draws.uniform("drop") >= self.config.channel_drop).view(-1, 1, 1, 1)
            x = torch.where(kept | whole, x, self.encoder.inner.get_buffer("mean").to(x.dtype))
        return x.view(patches.shape)

    def contrast(self, embeddings: tuple[Tensor, ...], batch: Batch) -> StepResult:
        """Return the mean over directions and steps, and how often the right patch beats all others."""
        (z_BDRL,) = embeddings
        sides = [ahead(*direction(z_BDRL.rot90(turns, dims=(2, 3)))) for turns, direction in enumerate(self.directions)]
        loss, top1, entropy = (torch.stack(each).mean() for each in zip(*sides, strict=True))
        return StepResult(loss=loss, logs={"contrast/top1": top1.detach(), "contrast/entropy": entropy.detach()})
