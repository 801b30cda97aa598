"""BEiT: hide blocks of patches, and tell which visual tokens they were.

Bao, Dong, Piao, Wei (2021), "BEiT: BERT Pre-Training of Image Transformers", arXiv:2106.08254. A tokenizer q(z|x), a
discrete VAE with decoder p(x|z), makes one token z_i of each patch (sec. 2.1). A ViT sees the picture with some patches
hidden behind a learned token (blockwise masking: sec. 2.3, algorithm 1), and tells of each hidden one, from its own
last token h_i, which z_i it was:

    loss = -log p(z_i | x hidden) = cross-entropy of W h_i + b, over hidden patches     (sec. 2.3)
         + |x - decoder(z)|^2 + weight KL(q(z|x) || uniform)                            (the tokenizer's)

The tokenizer learns in the first share of the run's steps, and then stays as it is, though its own loss is logged to
the end; its tokens have no gradient.

Shapes: B images per worker, T patches of each, row by row, V tokens that there are, D width.

Differs from the paper:
- The tokenizer is a small one, of the run's own pictures, trained beside; theirs is DALL-E's, of 250 million pictures.
  What telling tokens teaches depends on how many come into use, which ``tokenizer/in_use`` says: at a temperature of
  0.9 these are few, mixed with each other.
- The ViT is timm's: learned positions, no relative ones, no layer scale or stochastic depth. Both see the same view.
- The loss is a mean over each picture's hidden patches, then over pictures: they may differ in number.
- Features are the mean over patches, as in the paper's linear probes.
"""

import contextlib
from collections.abc import Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from unlabeled.methods.losses.numerics import in_full_precision
from unlabeled.methods.masked.blocks import blockwise_masks
from unlabeled.methods.masked.patches import mean_of_patches, patchify, unpatchify
from unlabeled.methods.masked.tokenizer import Tokenizer, divergence, perplexity
from unlabeled.methods.parts import SMALL, nothing_of, one_view
from unlabeled.platform.augment import Crop, Flip, Policy, ViewPlan
from unlabeled.platform.augment.figure import Figure
from unlabeled.platform.data import Data, DataConfig, Format, PictureFormat
from unlabeled.platform.data.format import taken
from unlabeled.platform.encoder import Encoder, EncoderConfig, ViT, ViTConfig
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Batch, Example, Method, MethodConfig, StepResult

_cross_entropy, _squared_error = in_full_precision(F.cross_entropy), in_full_precision(F.mse_loss)


class BEiTConfig(MethodConfig):
    """Defaults are the paper's, but for the tokenizer, whose temperature is that of the authors' code.

    Attributes:
        views: the only view of each image.
        mask_ratio: share of the patches that are hidden, at most.
        smallest_block: patches that a block has at least.
        tokens: V.
        tokenizer_share: of the run's steps, the first, in which the tokenizer learns.
        tokenizer_width: its channels.
        temperature: of the Gumbel-softmax.
        uniform: weight of the divergence.
    """

    name = "beit"
    paper = "Bao et al. 2021, arXiv:2106.08254"
    cost = 2.31
    num_views: ClassVar[int | None] = 1
    views: ViewPlan = one_view(Policy(ops=(Crop(area=(0.08, 1.0)), Flip())))
    mask_ratio: float = Field(default=0.4, gt=0.0, lt=1.0)
    smallest_block: int = Field(default=16, ge=1)
    tokens: int = Field(default=8192, ge=2)
    tokenizer_share: float = Field(default=0.25, ge=0.0, le=1.0)
    tokenizer_width: int = Field(default=128, ge=1)
    temperature: float = Field(default=0.9, gt=0.0)
    uniform: float = Field(default=0.0, ge=0.0)

    @classmethod
    def example(cls) -> Example:
        """Return a small run."""
        few = {"smallest_block": 4, "tokens": 64, "tokenizer_share": 0.5, "tokenizer_width": 16, "temperature": 0.3}
        return Example(
            method=cls.checked(views=one_view(SMALL), **few),
            encoder=ViTConfig(width=4, depth=2, patch_px=4),
            data=DataConfig(name="emoji", train_images=256),
            learning={"epochs": 3, "optimizer.learning_rate": 2e-3, "batch_size": 32},
            tells_classes=False,  # so few steps use 4 to 12 tokens; by their number kNN gains -0.04 to 0.04
        )

    def check(self, batch_size: int, workers: int, data: Data) -> None:
        """Raise UserError where the tokenizer would not be trained."""
        if self.tokenizer_share == 0.0:
            raise UserError(
                "method.tokenizer_share 0 leaves the tokenizer untrained, whose tokens say nothing of pictures; "
                "set a share of the steps above 0, such as 0.25"
            )

    def make_encoder(self, config: EncoderConfig, shown: Format) -> Encoder:
        """Make a ViT that pools by the mean; UserError where it is none."""
        encoder = super().make_encoder(config, taken(shown, PictureFormat, self.name))
        return mean_of_patches(self.name, encoder, config)

    def build(self, encoder: Encoder, data: Data) -> "BEiT":
        """Make the tokenizer, and the layer that tells tokens."""
        assert isinstance(encoder, ViT)
        return BEiT(self, encoder, data.channels)


class BEiT(Method):
    """A ViT, a layer that tells the tokens of hidden patches, and the tokenizer."""

    cut = "per-sample"
    encoder: ViT

    def __init__(self, config: BEiTConfig, encoder: ViT, channels: int) -> None:
        super().__init__(encoder)
        self.config = config
        self.token = nn.Parameter(0.02 * torch.randn(encoder.channels))
        self.tell = nn.Linear(encoder.channels, config.tokens)
        nn.init.trunc_normal_(self.tell.weight, std=0.02)
        nn.init.zeros_(self.tell.bias)
        width, temperature = config.tokenizer_width, config.temperature
        self.tokenizer = Tokenizer(channels, encoder.patch_px, config.tokens, width, temperature)

    def forward(self, batch: Batch) -> StepResult:
        """Return the cross-entropy of hidden tokens, and the tokenizer's own loss; how often the likeliest is right."""
        (view,) = batch.views
        x = self.encoder.standardise(view)
        learns = batch.progress < self.config.tokenizer_share
        with contextlib.nullcontext() if learns else torch.no_grad():
            again, q_logits = self.tokenizer(x, batch.draws)
        index_BT = q_logits.detach().argmax(dim=1).flatten(1)
        hidden_BT, logits_BTV = self.told(batch)
        cross_BT = _cross_entropy(logits_BTV.transpose(1, 2), index_BT, reduction="none")
        share_BT = hidden_BT.to(cross_BT.dtype) / hidden_BT.sum(dim=1, keepdim=True)  # of its picture's hidden patches
        loss, error = (cross_BT * share_BT).sum(dim=1).mean(), _squared_error(again, x)
        right_BT = logits_BTV.detach().argmax(dim=2).eq(index_BT)
        logs = {"tokens/top1": (right_BT * share_BT).sum(dim=1).mean(), "tokens/nats": loss.detach()}
        logs |= {"tokenizer/error": error.detach(), "tokenizer/in_use": perplexity(q_logits)}
        own = error + self.config.uniform * divergence(q_logits)
        return StepResult(loss=loss + (own if learns else own + nothing_of(self.tokenizer)), logs=logs)

    def told(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return which patches are hidden, bool [B, T], and logits of all patches' tokens, [B, T, V]."""
        (view,) = batch.views
        side = view.shape[2] // self.encoder.patch_px
        share_B = torch.full((len(view),), self.config.mask_ratio, device=view.device)
        hidden_BT = blockwise_masks(batch.draws, side, share_B, self.config.smallest_block)
        return hidden_BT, self.tell(self.encoder.masked(view, hidden_BT, self.token)[:, self.encoder.prefix :])

    def before_step(self, progress: float) -> None:
        """Leave the tokenizer alone once its share of the steps is over."""
        if progress >= self.config.tokenizer_share:
            for parameter in self.tokenizer.parameters():
                parameter.grad = None

    def figures(self, batch: Batch) -> Mapping[str, Figure]:
        """Return pictures, with blocks hidden, as their tokens show them, and with the hidden ones as told."""
        (view,) = batch.views
        side, px = view.shape[2] // self.encoder.patch_px, self.encoder.patch_px
        hidden_BT, logits_BTV = self.told(batch)
        index_BT = self.tokenizer.tokens(self.encoder.standardise(view))
        told_BT = torch.where(hidden_BT, logits_BTV.argmax(dim=2), index_BT)
        blank = torch.where(hidden_BT[:, :, None], 0.5, patchify(view, px))
        columns = {"original": view, "hidden": unpatchify(blank, view, px)}
        for title, each in {"by its tokens": index_BT, "as told": told_BT}.items():
            columns[title] = self.encoder.pixels(self.tokenizer.restore(each, side))
        return {"tokens": Figure(columns)}
