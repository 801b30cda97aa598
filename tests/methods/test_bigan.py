"""BiGAN: each of its players against an objective of its own, taken apart."""

import copy

import pytest
import torch
from formats import by_hand, format_of
from torch import Tensor, nn
from torch.testing import assert_close

from unlabeled.methods.adversarial import unmoved
from unlabeled.methods.generative.bigan import BiGAN, BiGANConfig
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import ConvNetConfig
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Batch

B, PX, Z = 6, 13, 4


def method_of(channels: int = 3, px: int = PX) -> BiGAN:
    torch.manual_seed(0)
    config = BiGANConfig.checked(latent=Z, width=32, hidden=8)
    return BiGAN(config, ConvNetConfig(width=4).build(format_of(channels, px)), channels, px).double()


def batch_of(channels: int = 3, px: int = PX) -> Batch:
    images = torch.rand(B, channels, px, px, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    draws = Draws(torch.arange(B), 0, 0, "method")
    return Batch(views=(images,), index=draws.rows, draws=draws)


def chances(method: BiGAN, batch: Batch) -> tuple[Tensor, Tensor]:
    """Return D of real pictures with their codes, and of drawn codes with their pictures: probabilities."""
    (x,) = batch.views
    z = 2 * batch.draws.uniform("code", Z).double() - 1
    painted = method.generator(z)[:, :, : x.shape[-1], : x.shape[-1]].sigmoid()
    pairs = ((x, method.code(method.encoder(x))), (painted, z))
    real, fake = (method.discriminator(by_hand(x, format_of(*x.shape[1:3])), z) for x, z in pairs)
    return real.sigmoid(), fake.sigmoid()


@pytest.mark.parametrize("channels", [1, 3])
def test_one_backward_gives_each_player_the_gradient_of_its_own_objective(channels: int) -> None:
    """D climbs E log D(x, E(x)) + E log(1 - D(G(z), z)); E and G climb the same with the two exchanged."""
    method, batch = method_of(channels), batch_of(channels)
    apart = copy.deepcopy(method)
    judge = list(apart.discriminator.parameters())
    others = [*apart.encoder.parameters(), *apart.code.parameters(), *apart.generator.parameters()]
    real, fake = chances(apart, batch)
    value, exchanged = real.log().mean() + (1 - fake).log().mean(), fake.log().mean() + (1 - real).log().mean()
    of_judge = torch.autograd.grad(-value, judge, retain_graph=True)
    of_others = torch.autograd.grad(-exchanged, others)

    result = method(batch)
    result.loss.backward()
    assert_close(result.loss, -value - exchanged, rtol=1e-12, atol=0.0)
    assert_close(result.logs["game/opponents"], -exchanged.detach(), rtol=1e-12, atol=0.0)
    ours = [*method.discriminator.parameters()]
    ours += [*method.encoder.parameters(), *method.code.parameters(), *method.generator.parameters()]
    for parameter, theirs in zip(ours, [*of_judge, *of_others], strict=True):
        assert_close(parameter.grad, theirs, rtol=1e-8, atol=1e-12)
    assert min(float(gradient.abs().max()) for gradient in (*of_judge, *of_others)) > 0.0


def test_who_knows_nothing_loses_log_2_of_each_pair() -> None:
    method, batch = method_of(), batch_of()
    nn.init.zeros_(method.discriminator.together[-1].weight)
    nn.init.zeros_(method.discriminator.together[-1].bias)
    assert_close(method(batch).loss.item(), 4 * torch.tensor(2.0).double().log().item())


def test_the_share_that_the_discriminator_gets_right_is_logged() -> None:
    method, batch = method_of(), batch_of()
    for bias in (100.0, -100.0):  # all are real, or all painted
        nn.init.constant_(method.discriminator.together[-1].bias, bias)
        assert method(batch).logs["game/discriminator"] == 0.5


def test_codes_are_drawn_evenly_between_minus_1_and_1() -> None:
    draws = Draws(torch.arange(5000), 0, 0, "method")
    batch = Batch(views=(torch.zeros(1, dtype=torch.float64),), index=draws.rows, draws=draws)
    found = method_of().drawn("code", batch)
    assert found.shape == (5000, Z)
    assert found.abs().max() <= 1.0
    for quarter in range(4):
        inside = (found >= -1 + quarter / 2) & (found < -0.5 + quarter / 2)
        assert inside.double().mean() == pytest.approx(0.25, abs=0.02)


def test_what_is_unmoved_moves_again_even_after_an_error() -> None:
    network = nn.Linear(2, 2)
    network.bias.requires_grad_(False)
    with unmoved(network):
        assert not network.weight.requires_grad
    assert network.weight.requires_grad
    with pytest.raises(RuntimeError, match="shapes"), unmoved(network):
        network(torch.zeros(3, 3))
    assert network.weight.requires_grad
    assert not network.bias.requires_grad, "it was not moved before"


@pytest.mark.parametrize("player", ["discriminator", "opponents"])
def test_each_player_gains_while_the_other_stays(player: str) -> None:
    method, batch = method_of(), batch_of()
    judge = list(method.discriminator.parameters())
    others = [parameter for name, parameter in method.named_parameters() if not name.startswith("discriminator")]
    optimizer = torch.optim.Adam(judge if player == "discriminator" else others, 2e-3)
    losses = []
    for _ in range(30):
        method.zero_grad()
        result = method(batch)
        result.loss.backward()
        optimizer.step()
        opponents = float(result.logs["game/opponents"])
        losses.append(opponents if player == "opponents" else result.loss.item() - opponents)
    assert losses[-1] < 0.95 * losses[0]


@pytest.mark.parametrize("px", [8, 13, 28])
def test_figures_are_pictures(px: int) -> None:
    found = method_of(px=px).eval().figures(batch_of(px=px))
    assert set(found) == {"reconstruction", "samples"}
    for figure in found.values():
        for column in figure.columns.values():
            assert column.shape == (B, 3, px, px)
            assert column.min() >= 0.0
            assert column.max() <= 1.0
    samples = found["samples"].columns
    assert not torch.equal(samples["sample 1"], samples["sample 2"])


@pytest.mark.parametrize("field", ["latent", "width", "hidden"])
def test_a_setting_that_can_not_be_is_one_clear_line(field: str) -> None:
    with pytest.raises(UserError, match=f"{field}.*greater than or equal to"):
        BiGANConfig.checked(**{field: 0})
