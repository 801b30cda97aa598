"""AMDIM: from the whole of one view, tell the places of another view of the same picture among those of all pictures.

Bachman, Hjelm, Buchwalter (2019), "Learning Representations by Maximizing Mutual Information Across Views",
arXiv:1906.00910. Local features are of two scales: the encoder's last grid f_5, and that of the stage before, f_7 (in
the paper these are their sides); f_1 is what the encoder makes of the whole. With phi what embeds each, of width D:

    s(a, b) = c tanh( phi(a).phi(b) / (c sqrt(D)) )
    l(a, b_j) = -log( exp(s(a, b_j)) / (exp(s(a, b_j)) + sum over places of other pictures exp(s(a, b'))) )
    loss = l(f_1, f_5) + l(f_1, f_7) + l(f_5, f_5) + lambda mean (phi(a).phi(b))^2 / D of each of the three

l is a mean over places b_j of the other view, and over which view is the other. Large scores make training unstable:
so they are clipped softly by c, and their squares cost. The f_5 that the third task starts from is one place, drawn.

Shapes: B images per worker, N on all workers, P places, D width of the embeddings.

Differs from the authors' code (Philip-Bachman/amdim-public): their encoder is made so that places see little of each
other, and has a grid of 7, 5 and 1 px; ours is the run's, f_1 its pooled features, and phi_1 a network like the others.
Both their views are turned over, or neither. They train a classifier beside it, whose gradient stops before features.
A ViT's class token counts as one of its places.
"""

import math
from collections.abc import Mapping
from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from unlabeled.methods.losses.numerics import in_full_precision, log_sum_exp
from unlabeled.methods.parts import SMALL_JITTER
from unlabeled.platform.augment import ColorDrop, ColorJitter, Crop, Flip, Policy, ViewPlan, two_views
from unlabeled.platform.augment.figure import Figure, heat
from unlabeled.platform.collective import gather, row_ids
from unlabeled.platform.data import Data
from unlabeled.platform.encoder import Encoder, with_blocks
from unlabeled.platform.errors import UserError
from unlabeled.platform.evaluate.features import in_eval_mode
from unlabeled.platform.method import Batch, EmbeddingMethod, Example, MethodConfig, StepResult

JITTER = ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.2, p=0.8)
VIEW = Policy(ops=(Crop(area=(0.3, 1.0), aspect=(0.7, 1.4)), Flip(), JITTER, ColorDrop(p=0.2)))


class AMDIMConfig(MethodConfig):
    """Defaults are those of the authors' code on ImageNet.

    Attributes:
        views: two views of each image.
        embedding: D.
        clip: c, what scores stay below.
        penalty: lambda.
    """

    name = "amdim"
    version = 2  # the embedding is as wide as in the authors' command for ImageNet
    paper = "Bachman et al. 2019, arXiv:1906.00910"
    cost = 2.71
    num_views: ClassVar[int | None] = 2
    one_size = slice(None)
    views: ViewPlan = two_views(VIEW)
    embedding: int = Field(default=1536, ge=1)
    clip: float = Field(default=20.0, gt=0.0)
    penalty: float = Field(default=0.04, ge=0.0)

    @classmethod
    def example(cls) -> Example:
        """Return a small run."""
        return Example(method=cls(views=two_views(SMALL_JITTER), embedding=32))

    def check_encoder(self, encoder: Encoder, image_px: int) -> None:
        """Raise UserError where the encoder can't see the views, or has no stages to be read."""
        super().check_encoder(encoder, image_px)
        if not encoder.blocks():
            where = "local features of an encoder's last two stages, and this one has none to be read"
            raise UserError(f"amdim takes {where}; choose another encoder, such as convnet or resnet18")

    def build(self, encoder: Encoder, data: Data) -> "AMDIM":
        """Make the embeddings around an encoder."""
        px = self.views.views[0].output_px(data.image_px)
        return AMDIM(self, encoder, (data.channels, px, px))


class AMDIM(EmbeddingMethod):
    """An encoder, and an embedding for each scale of its features."""

    def __init__(self, config: AMDIMConfig, encoder: Encoder, shape: tuple[int, int, int]) -> None:
        super().__init__(encoder)
        self.config = config
        with torch.no_grad(), in_eval_mode(encoder):
            _, _, fine = self.features(torch.zeros(1, *shape, device=next(encoder.parameters()).device))
        widths = (encoder.dim, encoder.channels, fine.shape[1])
        self.embeddings = nn.ModuleList(Embedding(width, config.embedding) for width in widths)  # phi_1, phi_5, phi_7

    def features(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return f_1 [B, C, 1], f_5 and f_7 [B, C, P] of pictures."""
        maps, made = with_blocks(self.encoder, x)
        return maps.pooled[:, :, None], maps.grid.flatten(2), made[-2:][0].flatten(2)  # of one stage both are that

    def embed(self, batch: Batch) -> tuple[Tensor, ...]:
        """Return phi of f_1, f_5 and f_7 of the first view, [B, D, P] each, then of the second."""
        scales = self.features(torch.cat(batch.views))
        embedded = [phi(f) for phi, f in zip(self.embeddings, scales, strict=True)]
        return tuple(part for view in zip(*(each.chunk(2) for each in embedded), strict=True) for part in view)

    def contrast(self, embeddings: tuple[Tensor, ...], batch: Batch) -> StepResult:
        """Return the loss of all three tasks in both directions, and how often places are told."""
        views, told = (embeddings[:3], embeddings[3:]), []
        for number, ((whole, coarse, _), (_, to_coarse, to_fine)) in enumerate((views, views[::-1]), start=1):
            place = batch.draws.integers(f"place of view {number}", coarse.shape[2]).view(-1, 1, 1)
            one = coarse.gather(2, place.expand(-1, coarse.shape[1], 1))
            tasks = ((whole, to_coarse), (whole, to_fine), (one, to_coarse))
            told += [tell(a[:, :, 0], b, self.config.clip) for a, b in tasks]
        loss, square, top1 = (torch.stack([one.mean() for one in each]).mean() for each in zip(*told, strict=True))
        logs = {"contrast/top1": top1, "contrast/squared_score": square.detach()}
        return StepResult(loss=3 * (loss + self.config.penalty * square), logs=logs)

    def figures(self, batch: Batch) -> Mapping[str, Figure]:
        """Return by which places of its last grid each picture is told from the others, the brighter the surer."""
        (images, _), (h, w) = batch.views, self.encoder.maps(batch.views[0]).grid.shape[2:]
        whole, coarse, _ = (phi(f) for phi, f in zip(self.embeddings, self.features(images), strict=True))
        sure = (-tell(whole[:, :, 0], coarse, self.config.clip)[0]).exp()
        return {"places": Figure({"picture": images, "told by": heat(images, sure.view(-1, h, w))})}


class Embedding(nn.Module):
    """Embeds what is in each place, [B, C, P] to [B, D, P]: a hidden layer beside a linear one, and batch norm."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        into, out, linear = (nn.Conv1d(size, width, 1, bias=False) for size in (channels, width, channels))
        self.hidden, self.linear, self.norm = nn.Sequential(into, nn.ReLU(), out), linear, nn.BatchNorm1d(width)

    def forward(self, x: Tensor) -> Tensor:
        """Embed."""
        return cast(Tensor, self.norm(self.hidden(x) + self.linear(x)))


@in_full_precision
def tell(a_BD: Tensor, b_BDP: Tensor, clip: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return l of each place, [B, P], the mean squared score before it is clipped, and which places beat all others."""
    b_NDP = gather(b_BDP)
    raw_BNP = torch.einsum("bd,ndp->bnp", a_BD, b_NDP) / math.sqrt(a_BD.shape[1])
    score_BNP = clip * torch.tanh(raw_BNP / clip)
    own_B1P = row_ids(len(a_BD), a_BD.device).view(-1, 1, 1).expand(-1, 1, b_BDP.shape[2])
    positive_BP = score_BNP.gather(1, own_B1P)[:, 0]
    other_BN = torch.ones_like(score_BNP, dtype=torch.bool).scatter_(1, own_B1P, False).flatten(1)
    against_B1 = log_sum_exp(score_BNP.flatten(1), other_BN)[:, None]
    best_B1 = score_BNP.detach().flatten(1).masked_fill(~other_BN, -torch.inf).amax(dim=1, keepdim=True)
    won_BP = (positive_BP.detach() > best_B1).to(raw_BNP.dtype)
    return F.softplus(against_B1 - positive_BP), raw_BNP.square().mean(), won_BP
