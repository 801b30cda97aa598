"""DDPM: its schedules, posterior and bound by Gaussians themselves, and what probes and figures see."""

import math
from itertools import pairwise

import pytest
import torch
from formats import format_of
from torch import Tensor
from torch.distributions import Normal, kl_divergence
from torch.testing import assert_close

from unlabeled.methods.generative.ddpm import DDPM, DDPMConfig
from unlabeled.methods.generative.diffusion import bits_per_dim, clean, diffuse, posterior, sample, signal_left
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import ConvNetConfig, EncoderConfig, ViTConfig
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Batch

B, PX, T = 5, 12, 6
CPU = torch.device("cpu")


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def method_of(encoder: EncoderConfig | None = None, channels: int = 3, **fields: object) -> DDPM:
    torch.manual_seed(0)
    config = DDPMConfig.checked(**{"steps": T, "width": 16, "sample_steps": 3, "probed": (1, 4), **fields})
    built = config.make_encoder(encoder or ConvNetConfig(width=4), format_of(channels, PX))
    return DDPM(config, built, channels, PX).double()


def batch_of(channels: int = 3) -> Batch:
    draws = Draws(torch.arange(B), 0, 0, "method")
    images = draws.uniform("pictures", channels, PX, PX).double()
    return Batch(views=(images,), index=draws.rows, draws=draws)


# ---- how noise grows -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [200, 1000])
def test_the_linear_schedule_is_a_product_of_what_each_step_leaves(steps: int) -> None:
    left, expected = 1.0, [1.0]
    for number in range(steps):
        left *= 1.0 - (1e-4 + (0.02 - 1e-4) * number / (steps - 1)) * 1000 / steps
        expected.append(left)
    found = signal_left("linear", steps, CPU)
    assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-10, atol=0.0)
    assert found[-1] < 1e-4, "next to nothing is left at the end"


def test_the_cosine_schedule_is_what_its_paper_says() -> None:
    found = signal_left("cosine", 1000, CPU)
    curve = [math.cos((step / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2 for step in range(1001)]
    assert_close(found[:999], torch.tensor(curve[:999], dtype=torch.float64) / curve[0], rtol=1e-9, atol=0.0)
    assert found[1000] / found[999] == pytest.approx(1e-3), "no step takes more than 0.999 of what is left"


def test_noise_step_by_step_is_noise_at_once() -> None:
    """The mean and variance that eq. 2 gives after t steps are those of eq. 4."""
    left = signal_left("linear", 50, CPU)
    mean, variance = 1.0, 0.0
    for before, after in pairwise(left.tolist()):
        alpha = after / before
        mean, variance = math.sqrt(alpha) * mean, alpha * variance + 1.0 - alpha
    x_0, noise = random(B, 7), random(B, 7, seed=1)
    assert_close(diffuse(x_0, left[-1].expand(B), noise), mean * x_0 + math.sqrt(variance) * noise)
    assert_close(clean(diffuse(x_0, left[9].expand(B), noise), left[9].expand(B), noise), x_0)


@pytest.mark.parametrize("jump", [1, 5])
def test_the_posterior_is_the_product_of_prior_and_likelihood(jump: int) -> None:
    left, x_0, x_t = signal_left("cosine", 20, CPU), random(B, 7), random(B, 7, seed=1)
    before, after = left[10 - jump], left[10]
    alpha = after / before
    prior, likelihood = 1 / (1 - before), alpha / (1 - alpha)  # precisions of x_s
    expected = (before.sqrt() * x_0 * prior + x_t / alpha.sqrt() * likelihood) / (prior + likelihood)
    mean, variance_B = posterior(x_0, x_t, before.expand(B), after.expand(B))
    assert_close(mean, expected)
    assert_close(variance_B, (1 / (prior + likelihood)).expand(B))


# ---- what it costs ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_the_bound_is_the_sum_of_all_steps_divergences(schedule: str) -> None:
    left = signal_left(schedule, T, CPU)  # type: ignore[arg-type]
    levels = torch.randint(256, (1, 3, 4, 4), generator=torch.Generator().manual_seed(0))
    levels.view(-1)[:2] = torch.tensor([0, 255])
    x_0, noise, told = 2.0 * levels.double() / 255 - 1.0, random(1, 3, 4, 4), random(1, 3, 4, 4, seed=1)
    nats, found = 0.0, []
    for step in range(1, T + 1):
        chances = left[step - 1 : step], left[step : step + 1]
        x_t = diffuse(x_0, chances[1], noise)
        true, variance = posterior(x_0, x_t, *chances)
        guessed, _ = posterior(clean(x_t, chances[1], told), x_t, *chances)
        if step == 1:
            _, variance = posterior(x_0, x_t, left[1:2], left[2:3])
            model = Normal(guessed, variance.sqrt())
            low, high = (model.cdf(x_0 + way / 255) for way in (-1, 1))
            chance = torch.where(levels == 255, 1.0, high) - torch.where(levels == 0, 0.0, low)
            nats -= float(chance.clamp_min(1e-12).log().mean())
        else:
            nats += float(kl_divergence(Normal(true, variance.sqrt()), Normal(guessed, variance.sqrt())).mean())
        found.append(bits_per_dim(x_0, x_t, noise, told, torch.tensor([step]), left))
    end = Normal(left[-1].sqrt() * x_0, (1 - left[-1]).sqrt())
    nats += float(kl_divergence(end, Normal(0.0, 1.0)).mean())
    assert_close(torch.stack(found).mean().item(), nats / math.log(2), rtol=1e-6, atol=0.0)


def test_levels_far_from_the_guess_cost_what_float32_can_tell() -> None:
    left = signal_left("linear", 1000, CPU)
    x_0 = torch.linspace(-1, 1, 256).view(1, 1, 16, 16)
    bits = bits_per_dim(x_0, x_0 * left[1].sqrt().float(), 0 * x_0, 0 * x_0, torch.tensor([1]), left)
    assert bits.isfinite()
    assert bits < 1000 * 8, "known but for the first step's noise, a level costs less than one drawn evenly"


def test_the_loss_is_the_squared_error_of_the_noise() -> None:
    method, batch = method_of().eval(), batch_of()
    step_B = 1 + batch.draws.integers("step", T)
    noise = batch.draws.normal("noise", 3, PX, PX).double()
    x_t = diffuse(2 * batch.views[0] - 1, method.left(noise)[step_B], noise)
    share_B = (step_B / T).double()
    told = method.decoder(method.encoder.maps((1 + x_t) / 2).grid, x_t, share_B)
    assert_close(method(batch).loss, (told - noise).square().mean())
    method.decoder.forward = lambda *_: noise  # type: ignore[method-assign]
    assert method(batch).loss == 0.0


def test_the_step_is_seen() -> None:
    method, x_t = method_of().eval(), 2 * batch_of().views[0] - 1
    grid = method.encoder.maps((1 + x_t) / 2).grid
    told = [method.decoder(grid, x_t, x_t.new_full((B,), share)) for share in (0.2, 0.8)]
    assert not torch.allclose(*told)


# ---- what is painted -------------------------------------------------------------------------------------------------


def test_who_knows_the_picture_paints_it() -> None:
    left, x_0, draws = signal_left("cosine", 20, CPU), random(2, 1, 4, 4), Draws(torch.arange(2), 0)
    way = [20, 13, 6, 1, 0]
    painted = list(sample(lambda x, step: x_0, random(2, 1, 4, 4, seed=1), way, left, draws))
    assert len(painted) == len(way)
    assert_close(painted[-1], x_0)


def test_painted_steps_are_as_noisy_as_noised_pictures_are() -> None:
    left, draws = signal_left("cosine", 20, CPU), Draws(torch.arange(4000), 0)
    x_0 = torch.full((4000, 4), 0.7, dtype=torch.float64)
    *_, middle, _ = sample(lambda x, step: x_0, draws.normal("start", 4).double(), [20, 10, 5, 0], left, draws)
    assert middle.mean().item() == pytest.approx(math.sqrt(left[5]) * 0.7, abs=0.01)
    assert middle.var().item() == pytest.approx(1 - left[5].item(), rel=0.05)


def test_figures_are_painted_by_the_copy() -> None:
    method, batch = method_of().eval(), batch_of()
    figures = method.figures(batch)
    assert list(figures["samples"].columns) == ["step 6", "step 4", "step 2", "step 0"]
    with torch.no_grad():
        for parameter in [*method.encoder.parameters(), *method.decoder.parameters()]:
            parameter.zero_()
    again = method.figures(batch)["samples"].columns["step 0"]
    assert torch.equal(figures["samples"].columns["step 0"], again)


def test_the_copy_follows() -> None:
    method = method_of(momentum=0.9)
    before = [parameter.clone() for parameter in method.copy.twin.parameters()]
    with torch.no_grad():
        for parameter in method.encoder.parameters():
            parameter.add_(1.0)
    method.after_step(0.5)
    moved = [now - then for now, then in zip(method.copy.twin.parameters(), before, strict=True)]
    assert_close(moved[0], torch.full_like(moved[0], 0.1))


# ---- what probes see -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoder", [ConvNetConfig(width=4), ViTConfig(width=4, depth=2, patch_px=4)])
def test_layers_are_steps_and_blocks_and_no_other_picture_counts(encoder: EncoderConfig) -> None:
    method, images = method_of(encoder).eval(), batch_of().views[0]
    layers = method.layers()
    blocks = [*method.encoder.blocks(), *(f"up{number + 1}" for number in range(len(method.decoder.blocks)))]
    assert list(layers) == [name for step in (1, 4) for name in (f"step{step}", *(f"step{step}_{b}" for b in blocks))]
    for layer in layers.values():
        whole = layer(images)
        assert whole.ndim == 2
        assert_close(layer(images[2:3]), whole[2:3])
    assert not torch.allclose(layers["step1"](images), layers["step4"](images))


@pytest.mark.parametrize("name", ["probed", "sample_steps"])
@pytest.mark.parametrize("step", [0, 1001])
def test_a_step_outside_the_schedule_is_one_clear_line(name: str, step: int) -> None:
    rule = r"probed 0 lies outside the schedule, whose steps are 1 to 1000" if step == 0 else f"{name} 1001 lies"
    if name == "sample_steps" and step == 0:
        rule = "greater than or equal to 1"
    with pytest.raises(UserError, match=rule):
        DDPMConfig.checked(**{name: (step,) if name == "probed" else step})


def test_defaults_are_the_papers() -> None:
    of = DDPMConfig()
    assert (of.steps, of.schedule, of.momentum) == (1000, "linear", 0.9999)
