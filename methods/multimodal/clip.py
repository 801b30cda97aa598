"""CLIP: a picture and its caption should find each other among all pictures and captions of the batch.

Radford, Kim, Hallacy, Ramesh, Goh, Agarwal, Sastry, Askell, Mishkin, Clark, Krueger, Sutskever (2021), "Learning
Transferable Visual Models From Natural Language Supervision", arXiv:2103.00020. Loss: figure 3. Towers: sec. 2.4.
Temperature and the only augmentation, a crop: secs. 2.3 and 2.5.

Shapes: B pairs per worker, N on all workers, D width of the common space.

Differs from the paper: texts are bytes (see ``text``); the picture's tower is any encoder, without attention pooling;
the size of the crops, which the paper doesn't say, is half the picture at least.
Two pairs with one caption count as each other's negatives, as in the paper, which has hardly any: where every caption
comes twice, a batch of a tenth of the data has a tenth of such pairs, and ``contrast/top1`` counts them as lost.
"""

import math
from collections.abc import Sequence
from typing import ClassVar, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from unlabeled.methods.losses import Contrast
from unlabeled.methods.losses.chunked import choose_positive
from unlabeled.methods.losses.numerics import check_vectors, exact_unit, in_full_precision
from unlabeled.methods.multimodal.text import TextTower, tokenize
from unlabeled.methods.parts import one_view
from unlabeled.platform.augment import Crop, Flip, Policy, ViewPlan
from unlabeled.platform.collective import gather, row_ids
from unlabeled.platform.data import Data, DataConfig
from unlabeled.platform.encoder import Encoder
from unlabeled.platform.method import Batch, EmbeddingMethod, Example, ImageTextMethod, MethodConfig, StepResult

LARGEST_SCALE = 100.0  # sec. 2.5: logits are never scaled by more


class CLIPConfig(MethodConfig):
    """Defaults are the paper's ResNet-50 settings (table 19).

    Attributes:
        views: one view of each picture.
        embedding: width of the common space.
        context: tokens of a text with its begin and end; what is longer is cut.
        text_width: of the text's transformer.
        text_depth: its blocks.
        text_heads: its attention heads, which divide its width.
        temperature: tau of figure 3, whose ``exp(t)`` is 1 / tau; at the start, where it is learned.
        learn_temperature: let the optimiser move it, down to 0.01.
    """

    name = "clip"
    paper = "Radford et al. 2021, arXiv:2103.00020"
    cost = 2.15
    targets: ClassVar[tuple[str, ...]] = ("text",)
    num_views: ClassVar[int | None] = 1
    views: ViewPlan = one_view(Policy(ops=(Crop(area=(0.5, 1.0), aspect=(1.0, 1.0)),)))
    embedding: int = Field(default=1024, ge=1)
    context: int = Field(default=76, ge=3)
    text_width: int = Field(default=512, ge=1)
    text_depth: int = Field(default=12, ge=1)
    text_heads: int = Field(default=8, ge=1)
    temperature: float = Field(default=0.07, ge=1.0 / LARGEST_SCALE)
    learn_temperature: bool = True

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> Self:
        if self.text_width % self.text_heads:
            raise ValueError(f"text_heads {self.text_heads} does not divide text_width {self.text_width}")
        return self

    @classmethod
    def example(cls) -> Example:
        """Return a small run."""
        return Example(
            method=cls(
                views=one_view(Policy(ops=(Crop(area=(0.5, 1.0)), Flip()))),
                embedding=64,
                context=24,
                text_width=64,
                text_depth=1,
                text_heads=4,
            ),
            data=DataConfig(name="emoji", train_images=256),
            decays=("text.places",),  # sec. 2.5
        )

    def build(self, encoder: Encoder, data: Data) -> "CLIP":
        """Make CLIP around an encoder."""
        return CLIP(self, encoder)


class CLIP(EmbeddingMethod, ImageTextMethod):
    """A tower for pictures and one for texts, each with a linear map to the common space, and the temperature."""

    def __init__(self, config: CLIPConfig, encoder: Encoder) -> None:
        super().__init__(encoder)
        self.head = nn.Linear(encoder.dim, config.embedding, bias=False)  # W_i of figure 3
        self.text = TextTower(config.context, config.text_width, config.text_depth, config.text_heads)
        self.text_head = nn.Linear(config.text_width, config.embedding, bias=False)  # W_t
        log_scale = torch.tensor(-math.log(config.temperature))
        self.log_scale = nn.Parameter(log_scale, requires_grad=config.learn_temperature)  # t

    def embed_images(self, images: Tensor) -> Tensor:
        """Return unit vectors [B, D] of pictures [B, C, H, W] in [0, 1]."""
        return exact_unit(self.head(self.encoder(images)))

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Return unit vectors [n, D] of n texts."""
        tokens_BT = tokenize(texts, self.text.context).to(self.log_scale.device, non_blocking=True)
        return exact_unit(self.text_head(self.text(tokens_BT)))

    def embed(self, batch: Batch) -> tuple[Tensor, ...]:
        """Return the unit vectors of the pictures and of their captions."""
        (view,) = batch.views
        return self.embed_images(view), self.embed_texts(batch.targets["text"])

    def contrast(self, embeddings: tuple[Tensor, ...], batch: Batch) -> StepResult:
        """Return the loss of both directions, what to follow of it, and the temperature."""
        image_BD, text_BD = embeddings
        contrast = image_text_contrast(image_BD, text_BD, self.log_scale.exp())
        return StepResult(
            loss=contrast.loss, logs={**contrast.logs(), "contrast/temperature": (-self.log_scale.detach()).exp()}
        )

    @torch.no_grad()
    def after_step(self, progress: float) -> None:
        """Keep the scale of the logits at 100 or less."""
        self.log_scale.clamp_(max=math.log(LARGEST_SCALE))


@in_full_precision
def image_text_contrast(image_BD: Tensor, text_BD: Tensor, scale: Tensor) -> Contrast:
    """Return the symmetric cross-entropy of figure 3, mean over this worker's pairs and both directions.

    Each picture chooses among the texts of all workers, each text among their pictures. What to follow is the mean of
    both directions too.

    Args:
        image_BD: unit vectors.
        text_BD: of the same pairs.
        scale: of the cosines, a scalar that may take a gradient.

    Raises:
        ValueError: the vectors aren't [B, D] of one shape.
    """
    check_vectors(image=image_BD, text=text_BD)
    own_B = row_ids(len(image_BD), image_BD.device)
    partner_B2 = torch.stack([own_B, own_B], dim=1)  # no negative of its own; all else is one
    image_ND, text_ND = gather(image_BD), gather(text_BD)
    of_images = choose_positive(scale * image_BD, text_BD, text_ND, partner_B2)
    of_texts = choose_positive(scale * text_BD, image_BD, image_ND, partner_B2)
    loss, top1, entropy = (torch.stack(both).mean() for both in zip(of_images, of_texts, strict=True))
    return Contrast.among(len(text_ND), loss, top1, entropy)
