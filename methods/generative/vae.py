"""VAE: code a picture by a distribution that is close to a simple one, and paint it again from a sample of that.

Kingma, Welling (2014), "Auto-Encoding Variational Bayes", ICLR, arXiv:1312.6114; beta of Higgins et al. (2017),
"beta-VAE", ICLR. The encoder gives mu and sigma of q(z|x) = N(mu, diag(sigma^2)), the prior p(z) is N(0, I), and the
decoder gives p(x|z) of a picture x of d numbers. With z = mu + sigma * e and e ~ N(0, I) (eq. 4 and 10), the loss is

    1/d (-log p(x|z) + beta * KL),    KL = 1/2 sum_j (mu_j^2 + sigma_j^2 - 1 - log sigma_j^2)    (app. B)

- "gaussian" p(x|z): independent, with a mean and a deviation of each pixel's channel (app. C.2);
- "bernoulli": independent, pixels being taken for the chance to be white (app. C.1).

A gaussian gives a density. Pixels have 256 levels, so noise that is uniform within one makes them continuous (Theis,
van den Oord, Bethge 2016, arXiv:1511.01844), and 1/d (-log2 p(x|z) + KL / ln 2) + 8 is then a bound on the bits of a
pixel's channel under the model: ``pixels/bits_per_dim``, whatever beta is.

Shapes: B images per worker, C channels, H a picture's side, Z numbers of a code.

Differs from the papers:
- The encoder is any, with linear layers on its features; the decoder has transposed convolutions. Theirs are an MLP.
- A deviation is no smaller than that of a level of 256, which is what pixels are known to.
- Losses are means over a picture's numbers, one sample of z for each picture (L = 1, as in sec. 2.3).
"""

import math
from collections.abc import Mapping
from typing import ClassVar, Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from unlabeled.methods.losses.numerics import in_full_precision
from unlabeled.methods.parts import decoder, one_view
from unlabeled.platform.augment import PLAIN, ViewPlan
from unlabeled.platform.augment.figure import Figure
from unlabeled.platform.data import Data
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import Encoder
from unlabeled.platform.method import Batch, Example, Method, MethodConfig, StepResult

LEVELS = 256
SMALLEST_LOG_DEVIATION = -0.5 * math.log(12 * LEVELS**2)  # that of what is uniform within a level
_bernoulli = in_full_precision(F.binary_cross_entropy_with_logits)


class VAEConfig(MethodConfig):
    """Defaults are a Gaussian decoder under the bound itself.

    Attributes:
        views: the only view of each image, which is coded.
        latent: Z.
        beta: weight of the divergence; 1 is the bound on the likelihood.
        likelihood: of pixels, given a code.
        width: channels that the decoder starts with, and halves step by step.
    """

    name = "vae"
    paper = "Kingma, Welling 2014, arXiv:1312.6114"
    cost = 2.2
    num_views: ClassVar[int | None] = 1
    views: ViewPlan = one_view(PLAIN)
    latent: int = Field(default=64, ge=1)
    beta: float = Field(default=1.0, ge=0.0)
    likelihood: Literal["gaussian", "bernoulli"] = "gaussian"
    width: int = Field(default=256, ge=8)

    @classmethod
    def example(cls) -> Example:
        """Return a small run."""
        bernoulli = cls.checked(latent=16, width=32, likelihood="bernoulli", beta=4.0)
        return Example(method=cls(latent=16, width=32), learning={"epochs": 12}, others={"bernoulli": bernoulli})

    def build(self, encoder: Encoder, data: Data) -> "VAE":
        """Make the layers on an encoder that tell q, and the decoder."""
        return VAE(self, encoder, data.channels, self.views.views[0].output_px(data.image_px))


class VAE(Method):
    """An encoder with a distribution of codes, and a decoder with one of pixels."""

    cut = "per-sample"

    def __init__(self, config: VAEConfig, encoder: Encoder, channels: int, px: int) -> None:
        super().__init__(encoder)
        self.config, self.px = config, px
        self.mean, self.log_variance = nn.Linear(encoder.dim, config.latent), nn.Linear(encoder.dim, config.latent)
        numbers = 2 if config.likelihood == "gaussian" else 1
        self.decoder = decoder(config.latent, numbers * channels, px, config.width)

    def forward(self, batch: Batch) -> StepResult:
        """Return what coding a picture costs, in nats of each of its numbers; log it in bits."""
        (x,) = batch.views
        mu_BZ, log_variance_BZ = self.code(x)
        e_BZ = batch.draws.normal("code", self.config.latent).to(mu_BZ.dtype)
        painting = self.decode(mu_BZ + (0.5 * log_variance_BZ).exp() * e_BZ)
        pixels, codes = self.nats(painting, x, batch.draws), divergence(mu_BZ, log_variance_BZ) / x[0].numel()
        logs = {"pixels/nats": pixels.detach(), "code/nats": codes.detach() * x[0].numel()}
        if self.config.likelihood == "gaussian":
            logs["pixels/bits_per_dim"] = (pixels + codes).detach() / math.log(2) + math.log2(LEVELS)
        return StepResult(loss=pixels + self.config.beta * codes, logs=logs)

    def code(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the means and the logarithms of the variances of pictures' codes, [B, Z] each."""
        features = self.encoder(x)
        return self.mean(features), self.log_variance(features)

    def decode(self, z: Tensor) -> Tensor:
        """Return the numbers that p(x|z) of codes [B, Z] has: [B, C or 2 C, H, H]."""
        numbers: Tensor = self.decoder(z)[..., : self.px, : self.px]
        return numbers

    def nats(self, painting: Tensor, x: Tensor, draws: Draws) -> Tensor:
        """Return -log p(x|z) of pictures [B, C, H, H], a mean over their numbers."""
        if self.config.likelihood == "bernoulli":
            return _bernoulli(painting, x)
        noise = draws.uniform("level", *x.shape[1:]).to(x.dtype)
        mean, log_deviation = painting.chunk(2, dim=1)
        return gaussian_nats(mean, log_deviation, ((LEVELS - 1) * x + noise) / LEVELS)

    def pixels(self, painting: Tensor) -> Tensor:
        """Return the means of p(x|z) as pixels."""
        if self.config.likelihood == "bernoulli":
            return painting.sigmoid()
        return (painting.chunk(2, dim=1)[0] * LEVELS - 0.5) / (LEVELS - 1)

    def layers(self) -> Mapping[str, nn.Module]:
        """Return the code: its mean."""
        return {"code": nn.Sequential(self.encoder, self.mean)}

    def figures(self, batch: Batch) -> Mapping[str, Figure]:
        """Return pictures and what is painted from their codes; and what is painted from the prior's."""
        images = F.interpolate(batch.views[0], size=2 * [self.px], mode="bilinear", antialias=True)
        again = self.pixels(self.decode(self.code(images)[0]))
        drawn = [batch.draws.normal(f"sample {n}", self.config.latent).to(images.dtype) for n in range(6)]
        samples = {f"sample {n}": self.pixels(self.decode(z)) for n, z in enumerate(drawn, start=1)}
        return {"reconstruction": Figure({"picture": images, "reconstruction": again}), "samples": Figure(samples)}


@in_full_precision
def divergence(mu_BZ: Tensor, log_variance_BZ: Tensor) -> Tensor:
    """Return KL(N(mu, sigma^2) || N(0, 1)), summed over a code, a mean over codes; nats."""
    return 0.5 * (mu_BZ.square() + log_variance_BZ.exp() - 1.0 - log_variance_BZ).sum(dim=1).mean()


@in_full_precision
def gaussian_nats(mean: Tensor, log_deviation: Tensor, x: Tensor) -> Tensor:
    """Return -log N(x; mean, deviation^2), a mean over all numbers; nats.

    The deviation is softly kept above that of a level of 256, so that no picture can be told for nothing.
    """
    log_deviation = SMALLEST_LOG_DEVIATION + F.softplus(log_deviation - SMALLEST_LOG_DEVIATION)
    return (0.5 * ((x - mean) * (-log_deviation).exp()).square() + log_deviation + 0.5 * math.log(2 * math.pi)).mean()
