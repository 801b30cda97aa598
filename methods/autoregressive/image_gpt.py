"""Image GPT: tell a picture's colours one after another, row by row, by a transformer that knows no picture's shape.

Chen, Radford, Child, Wu, Jun, Luan, Sutskever (2020), "Generative Pretraining from Pixels", ICML. Colours are indices
into a palette, which k-means finds in the data (sec. 3.2, "context reduction"). With tokens x_1 .. x_T in raster order:

    loss = -log p(x), p(x) = prod_i p(x_i | x_1 .. x_i-1), a mean over tokens        (sec. 2.1)
    h_l+1 = h_l + attention(norm(h_l)) + ..., where no token attends to later ones   (sec. 2.2)
    features of layer l = mean over tokens of norm(h_l)                              (sec. 2.4)

The best features are in the middle, not at the end: the last blocks are busy with what comes next. So the encoder hands
on those of ``layer``, and probes that name blocks show the hump. ``pixels/bits_per_token`` is the loss in bits.

Shapes: B images per worker, T tokens of each, K colours, D width.

Differs from the paper:
- It is a ViT of timm, with learned positions: the class token starts the sequence, attention is causal, and a patch is
  one token, its mean colour. So patches do what making pictures smaller does there.
- A token has the place of what it is, not of what comes next; the layer that tells starts as any, not at 0.
"""

import math
from collections.abc import Mapping
from typing import ClassVar, cast

from pydantic import Field
from torch import Tensor, nn

from unlabeled.methods.autoregressive.palette import CausalViT, palette_of
from unlabeled.methods.parts import classify, one_view
from unlabeled.platform.augment import PLAIN, ViewPlan
from unlabeled.platform.augment.figure import Figure
from unlabeled.platform.data import Data, DataConfig, Format, PictureFormat
from unlabeled.platform.data.format import taken
from unlabeled.platform.encoder import Encoder, EncoderConfig, ViT, ViTConfig
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Batch, Example, Method, MethodConfig, StepResult


class ImageGPTConfig(MethodConfig):
    """Defaults are the paper's.

    Attributes:
        views: the only view of each image.
        colors: K.
        layer: l, the block whose output makes the features; None is the middle one.
    """

    name = "image-gpt"
    paper = "Chen et al. 2020, ICML"
    cost = 0.98
    num_views: ClassVar[int | None] = 1
    views: ViewPlan = one_view(PLAIN)
    colors: int = Field(default=512, ge=2)
    layer: int | None = Field(default=None, ge=1)

    @classmethod
    def example(cls) -> Example:
        """Return a small run."""
        return Example(
            method=cls(colors=16),
            encoder=ViTConfig(width=4, depth=2, patch_px=4),
            data=DataConfig(name="emoji", train_images=256),  # with as many colours as the defaults ask for
            learning={"data.name": "fashion-mnist-12k"},
        )

    def make_encoder(self, config: EncoderConfig, shown: Format) -> Encoder:
        """Make the configured ViT causal, with colours in the place of patches; UserError where it can't be."""
        pictures = taken(shown, PictureFormat, self.name)
        vit = config.build(pictures)
        if not isinstance(vit, ViT) or not (vit.maskable and vit.shows_attention and vit.prefix == 1):
            raise UserError(
                f"{self.name} needs a plain ViT with a class token, and encoder.name is {config.called}; set it to "
                "vit, or to one of timm such as vit_base_patch16_224"
            )
        depth = len(vit.model.blocks)
        if (self.layer or 1) > depth:
            raise UserError(f"method.layer {self.layer} is none of the encoder's {depth} blocks; set one of them")
        return CausalViT(vit, self.colors, pictures.channels, self.layer or (depth + 1) // 2)

    def build(self, encoder: Encoder, data: Data) -> "ImageGPT":
        """Find the palette, where the encoder brings none, and make the layer that tells."""
        assert isinstance(encoder, CausalViT)
        if encoder.colors.palette.is_meta or not encoder.colors.palette.any():
            encoder.colors.palette.copy_(palette_of(data.pretrain, self.colors, encoder.colors.patch_px))
        return ImageGPT(encoder, self.colors)


class ImageGPT(Method):
    """A causal transformer, and a linear layer that tells the next colour."""

    cut = "per-sample"
    encoder: CausalViT

    def __init__(self, encoder: CausalViT, colors: int) -> None:
        super().__init__(encoder)
        self.tell = nn.Linear(encoder.channels, colors, bias=False)
        nn.init.normal_(self.tell.weight, std=0.02)

    def forward(self, batch: Batch) -> StepResult:
        """Return the cross-entropy of all tokens, and how often the likeliest colour is right."""
        index_BT = self.encoder.colors.indices(batch.views[0])
        loss, top1 = classify(self.logits(index_BT).transpose(1, 2), index_BT)
        return StepResult(loss=loss, logs={"pixels/bits_per_token": loss.detach() / math.log(2), "pixels/top1": top1})

    def logits(self, index_BT: Tensor) -> Tensor:
        """Return what is told of each token from those before it, [B, T, K]."""
        return cast(Tensor, self.tell(self.encoder.hidden(index_BT)[1][:, :-1]))

    def figures(self, batch: Batch) -> Mapping[str, Figure]:
        """Return pictures in the palette's colours, their lower halves told anew, and whole ones from nothing."""
        (x,) = batch.views
        index_BT = self.encoder.colors.indices(x)
        side, count = self.encoder.grid_of(index_BT)[0], index_BT.shape[1]
        told = [self.tell_on(index_BT, side // 2 * side, batch.draws.uniform(f"tell {n}", count)) for n in (1, 2)]
        samples = [self.tell_on(index_BT, 0, batch.draws.uniform(f"sample {n}", count)) for n in (1, 2)]
        names = ["palette", "completion 1", "completion 2", "sample 1", "sample 2"]
        drawn = [self.encoder.colors.pixels(each, side) for each in (index_BT, *told, *samples)]
        columns = dict(zip(names, drawn, strict=True))
        completions = {"picture": x, **{name: columns.pop(name) for name in names[:3]}}
        return {"completions": Figure(completions), "samples": Figure(columns)}

    def tell_on(self, index_BT: Tensor, start: int, chance_BT: Tensor) -> Tensor:
        """Draw all tokens from ``start`` on, one by one, by chances in [0, 1)."""
        drawn = index_BT.clone()
        for place in range(start, drawn.shape[1]):
            below = self.logits(drawn)[:, place].float().softmax(dim=1).cumsum(dim=1) <= chance_BT[:, place, None]
            drawn[:, place] = below.sum(dim=1).clamp_max(self.tell.out_features - 1)
        return drawn
