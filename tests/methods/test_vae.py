"""The VAE: its bound as torch's distributions have it, and what its samples and bits are."""

import math

import pytest
import torch
from formats import format_of
from torch import Tensor
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence
from torch.testing import assert_close

from unlabeled.methods.generative.vae import LEVELS, SMALLEST_LOG_DEVIATION, VAE, VAEConfig, divergence, gaussian_nats
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import ConvNetConfig
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Batch

B, PX, Z = 5, 13, 3


def method_of(channels: int = 3, **fields: object) -> VAE:
    torch.manual_seed(0)
    config = VAEConfig.checked(**{"latent": Z, "width": 8, **fields})
    return VAE(config, ConvNetConfig(width=4).build(format_of(channels, PX)), channels, PX).double()


def batch_of(channels: int = 3) -> Batch:
    images = torch.rand(B, channels, PX, PX, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    draws = Draws(torch.arange(B), 0, 0, "method")
    return Batch(views=(images,), index=draws.rows, draws=draws)


def coded(method: VAE, batch: Batch) -> tuple[Independent, Tensor]:
    """Return q(z|x) and its sample by the draws."""
    mu, log_variance = method.code(batch.views[0])
    posterior = Independent(Normal(mu, (0.5 * log_variance).exp()), 1)
    return posterior, mu + posterior.base_dist.scale * batch.draws.normal("code", Z).double()


@pytest.mark.parametrize("beta", [0.0, 1.0, 4.0])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
def test_the_loss_is_the_bound_as_distributions_have_it(likelihood: str, channels: int, beta: float) -> None:
    method, batch = method_of(channels, likelihood=likelihood, beta=beta).eval(), batch_of(channels)
    (x,) = batch.views
    posterior, z = coded(method, batch)
    painting = method.decode(z)
    if likelihood == "bernoulli":
        nats = -(x * painting.sigmoid().log() + (1 - x) * (1 - painting.sigmoid()).log())
        assert_close(nats[x.round() == x], -Bernoulli(logits=painting).log_prob(x.round())[x.round() == x])
    else:
        mean, log_deviation = painting.chunk(2, dim=1)
        floor = math.exp(SMALLEST_LOG_DEVIATION)
        continuous = (255 * x + batch.draws.uniform("level", channels, PX, PX)) / 256
        nats = -Normal(mean, floor * (1 + log_deviation.exp() / floor)).log_prob(continuous)
    prior = Independent(Normal(torch.zeros_like(z), torch.ones_like(z)), 1)
    divergences = kl_divergence(posterior, prior)
    found, d = method(batch), channels * PX * PX
    assert_close(found.loss, (nats.flatten(1).sum(dim=1) + beta * divergences).mean() / d)
    assert_close(found.logs["code/nats"], divergences.mean().detach())
    if likelihood == "gaussian":
        bound = (nats.flatten(1).sum(dim=1) + divergences).mean() / d / math.log(2) + 8
        assert_close(found.logs["pixels/bits_per_dim"], bound.detach())
    else:
        assert "pixels/bits_per_dim" not in found.logs, "pixels are no coins, so it is no likelihood of them"


def test_a_model_that_knows_nothing_needs_eight_bits_and_one_that_knows_all_next_to_none() -> None:
    levels = torch.randint(LEVELS, (4, 1, 50, 50), generator=torch.Generator().manual_seed(0))
    x = (levels + torch.rand(levels.shape, generator=torch.Generator().manual_seed(1))) / LEVELS
    even = gaussian_nats(torch.full_like(x, 0.5), torch.full_like(x, math.log(12**-0.5)), x) / math.log(2) + 8
    assert even == pytest.approx(8.0 + 0.5 * math.log2(2 * math.pi * math.e / 12), abs=0.02), "a normal one is not even"
    known = gaussian_nats((levels + 0.5) / LEVELS, torch.full_like(x, -100.0), x) / math.log(2) + 8
    assert known == pytest.approx(0.5 * math.log2(2 * math.pi * math.e / 12), abs=0.02)


def test_the_divergence_is_zero_of_the_prior_alone() -> None:
    assert divergence(torch.zeros(2, Z), torch.zeros(2, Z)) == 0.0
    assert divergence(torch.ones(2, Z), torch.zeros(2, Z)) > 0.0
    assert divergence(torch.zeros(2, Z), torch.ones(2, Z)) > 0.0


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
def test_figures_are_pictures(likelihood: str) -> None:
    found = method_of(likelihood=likelihood).eval().figures(batch_of())
    assert set(found) == {"reconstruction", "samples"}
    assert all(column.shape == (B, 3, PX, PX) for figure in found.values() for column in figure.columns.values())
    samples = found["samples"].columns
    assert not torch.equal(samples["sample 1"], samples["sample 2"])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"beta": -1.0}, "beta.*greater than or equal to 0"),
        ({"likelihood": "laplace"}, "'gaussian' or 'bernoulli'"),
        ({"latent": 0}, "latent"),
    ],
)
def test_a_setting_that_can_not_be_is_one_clear_line(fields: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        VAEConfig.checked(**fields)
