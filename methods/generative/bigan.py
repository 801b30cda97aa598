"""BiGAN: a generator paints codes, an encoder codes pictures, and nobody should tell the two kinds of pairs apart.

Donahue, Krahenbuhl, Darrell (2017), "Adversarial Feature Learning", ICLR, arXiv:1605.09782. A discriminator D sees a
picture and a code together: a real picture x with its code E(x), or a code z, uniform in [-1, 1]^Z, with its picture
G(z). It wants to tell which, E and G want that it can't (sec. 3):

    min_{G, E} max_D  E_x log D(x, E(x)) + E_z log(1 - D(G(z), z))

Where D knows nothing, E and G invert each other (theorem 2), though neither has seen what the other makes. As in the
authors' code, E and G descend the same with the two exchanged, which has more gradient where D is sure.

Shapes: B images per worker, C channels, H a picture's side, Z numbers of a code, F of a picture's sight.

Differs from the paper:
- The encoder is any, with a linear layer on its features. All players step at once, at one rate.
- D's sight of pictures, and G, are DCGAN's; D has batch norm over real and over painted pictures apart.
"""

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from unlabeled.methods.adversarial import mistaken, sight, unmoved
from unlabeled.methods.parts import decoder, one_view
from unlabeled.platform.augment import PLAIN, Flip, Policy, ViewPlan
from unlabeled.platform.augment.figure import Figure
from unlabeled.platform.data import Data
from unlabeled.platform.encoder import Encoder, StandardisingEncoder
from unlabeled.platform.method import Batch, Example, Method, MethodConfig, StepResult


class BiGANConfig(MethodConfig):
    """Defaults are those of the authors' code for small pictures.

    Attributes:
        views: the only view of each image.
        latent: Z.
        width: channels that the generator starts with, and halves step by step; the discriminator doubles a quarter.
        hidden: width of the discriminator's layers that see picture and code together.
    """

    name = "bigan"
    paper = "Donahue et al. 2017, arXiv:1605.09782"
    cost = 2.96
    num_views: ClassVar[int | None] = 1
    views: ViewPlan = one_view(Policy(ops=(Flip(),)))
    latent: int = Field(default=50, ge=1)
    width: int = Field(default=256, ge=32)
    hidden: int = Field(default=1024, ge=1)

    @classmethod
    def example(cls) -> Example:
        """Return a small run."""
        small = cls(views=one_view(PLAIN), latent=16, width=32, hidden=64)
        return Example(
            method=small,
            adversarial=True,
            tells_classes=False,  # not in so few steps: the authors' code takes 188,000 of MNIST
        )

    def build(self, encoder: Encoder, data: Data) -> "BiGAN":
        """Make the three players."""
        assert isinstance(encoder, StandardisingEncoder)
        return BiGAN(self, encoder, data.channels, self.views.views[0].output_px(data.image_px))


class BiGAN(Method):
    """An encoder, a generator that is to be its inverse, and a discriminator of pairs."""

    encoder: StandardisingEncoder

    def __init__(self, config: BiGANConfig, encoder: StandardisingEncoder, channels: int, px: int) -> None:
        super().__init__(encoder)
        self.latent, self.px = config.latent, px
        self.code = nn.Linear(encoder.dim, config.latent)
        self.generator = decoder(config.latent, channels, px, config.width)
        self.discriminator = Discriminator(channels, px, config)

    def forward(self, batch: Batch) -> StepResult:
        """Return what the discriminator loses and what its opponents lose, each moved by its own."""
        (x,) = batch.views
        z_BZ = self.drawn("code", batch)
        code_BZ, painting = self.code(self.encoder(x)), self.paint(z_BZ)
        real_B1, fake_B1 = self.judge(x, code_BZ.detach()), self.judge(painting.detach(), z_BZ)
        with unmoved(self.discriminator):
            opponents = mistaken(self.judge(painting, z_BZ), self.judge(x, code_BZ))
        logs = {
            "game/discriminator": torch.cat([real_B1 > 0.0, fake_B1 < 0.0]).float().mean(),
            "game/opponents": opponents.detach(),
        }
        return StepResult(loss=mistaken(real_B1, fake_B1) + opponents, logs=logs)

    def drawn(self, purpose: str, batch: Batch) -> Tensor:
        """Draw codes, uniform in [-1, 1], for the batch's rows: [B, Z]."""
        return 2.0 * batch.draws.uniform(purpose, self.latent).to(batch.views[0].dtype) - 1.0

    def paint(self, z_BZ: Tensor) -> Tensor:
        """Return G of codes: pixels [B, C, H, H] in [0, 1]."""
        painting: Tensor = self.generator(z_BZ)[..., : self.px, : self.px]
        return painting.sigmoid()

    def judge(self, x: Tensor, z_BZ: Tensor) -> Tensor:
        """Return the logit of D, [B, 1]: large where it takes the pair for a real picture with its code."""
        logit: Tensor = self.discriminator(self.encoder.standardise(x), z_BZ)
        return logit

    def layers(self) -> Mapping[str, nn.Module]:
        """Return the code."""
        return {"code": nn.Sequential(self.encoder, self.code)}

    def figures(self, batch: Batch) -> Mapping[str, Figure]:
        """Return pictures and what is painted from their codes; and what is painted from drawn ones."""
        (images,) = batch.views
        again = self.paint(self.code(self.encoder(images)))
        samples = {f"sample {n}": self.paint(self.drawn(f"sample {n}", batch)) for n in range(1, 7)}
        return {"reconstruction": Figure({"picture": images, "reconstruction": again}), "samples": Figure(samples)}


class Discriminator(nn.Module):
    """The logit [B, 1] of a picture [B, C, H, H] and a code [B, Z] together."""

    def __init__(self, channels: int, px: int, config: BiGANConfig) -> None:
        super().__init__()
        self.sight, n = sight(channels, px, config.width // 4)
        self.together = nn.Sequential(
            nn.Linear(n + config.latent, config.hidden),
            nn.LeakyReLU(0.2),
            nn.Linear(config.hidden, config.hidden),
            nn.LeakyReLU(0.2),
            nn.Linear(config.hidden, 1),
        )

    def forward(self, x: Tensor, z_BZ: Tensor) -> Tensor:
        """Look at both."""
        logit: Tensor = self.together(torch.cat([self.sight(x), z_BZ], dim=1))
        return logit
