"""Operations on sounds: ranges, firing rate, draws that belong to the sample alone, and what they do by hand."""

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor

from unlabeled.platform.augment import (
    Extent,
    Flip,
    Gain,
    Polarity,
    Policy,
    Reverse,
    TimeMask,
    View,
    ViewPlan,
    WaveNoise,
    WaveOp,
)
from unlabeled.platform.draws import Draws
from unlabeled.platform.errors import UserError

KINDS: list[type[WaveOp]] = [Gain, WaveNoise, Polarity, Reverse, TimeMask]
MANY = 4000
EXTENT = Extent(2, (50,))


def draws(count: int = MANY) -> Draws:
    return Draws(torch.arange(count), 4, "waves")


def some_waves(count: int = MANY, channels: int = 2, samples: int = 50) -> Tensor:
    return torch.rand(count, channels, samples, generator=torch.Generator().manual_seed(1)) * 1.6 - 0.8


def test_every_kind_is_tested_here() -> None:
    assert set(KINDS) == {kind for kind in WaveOp.family.values() if kind.__module__.startswith("unlabeled.")}


@pytest.mark.parametrize("kind", KINDS)
def test_result_is_in_range_and_the_given_sounds_stay(kind: type[WaveOp]) -> None:
    waves = some_waves(40)
    before = waves.clone()
    made = kind(p=0.5)(waves, draws(40))
    assert made.shape == waves.shape
    assert made.dtype == torch.float32
    assert float(made.abs().max()) <= 1.0
    assert torch.equal(waves, before)
    assert torch.equal(kind(p=0.5)(waves.clone(), draws(40), overwrite=True), made)


@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("kind", KINDS)
def test_fires_as_often_as_it_says(kind: type[WaveOp], p: float) -> None:
    waves = some_waves()
    fired = int((kind(p=p)(waves, draws()) != waves).flatten(1).any(dim=1).sum())
    low, high = scipy.stats.binom.interval(1 - 1e-5, MANY, p) if 0 < p < 1 else (MANY * p, MANY * p)
    assert low <= fired <= high


@pytest.mark.parametrize("kind", KINDS)
def test_a_samples_draws_are_its_own_however_the_batch_is_split(kind: type[WaveOp]) -> None:
    waves, op = some_waves(30), kind(p=0.7)
    together = op(waves, draws(30))
    for part in (torch.tensor([4]), torch.arange(9, 30).flip(0)):
        torch.testing.assert_close(op(waves[part], Draws(part, 4, "waves")), together[part], rtol=0, atol=1e-6)


def test_gain_is_uniform_in_decibels() -> None:
    (factor,) = Gain(decibels=(-6.0, 3.0)).parameters(EXTENT, draws())
    assert scipy.stats.kstest(20 * np.log10(factor.numpy()), "uniform", args=(-6, 9)).pvalue > 1e-3
    waves = some_waves(3)
    made = Gain().apply(waves, torch.tensor([0.5, 1.0, 2.0]))
    assert torch.equal(made, torch.stack((waves[0] * 0.5, waves[1], (waves[2] * 2).clamp(-1, 1))))


def test_noise_is_so_much_weaker_than_the_sound() -> None:
    waves = 0.1 * some_waves(50, samples=4000)
    op = WaveNoise(decibels=(20.0, 20.0))
    noise = op(waves, draws(50)) - waves
    ratio = 10 * torch.log10(waves.square().mean(dim=(1, 2)) / noise.square().mean(dim=(1, 2)))
    torch.testing.assert_close(ratio, torch.full((50,), 20.0), rtol=0, atol=0.4)
    assert not op(torch.zeros(4, 1, 30), draws(4)).any()


def test_sign_and_time_turn_round() -> None:
    waves = some_waves(4)
    assert torch.equal(Polarity(p=1.0)(waves, draws(4)), -waves)
    assert torch.equal(Reverse(p=1.0)(waves, draws(4)), waves.flip(2))


def test_a_stretch_is_silent_and_lies_in_the_sound() -> None:
    (stretch,) = TimeMask(length=(0.1, 0.5)).parameters(EXTENT, draws())
    start, length = stretch.unbind(1)
    assert int(length.min()) == 5
    assert int(length.max()) == 25
    assert int(start.min()) == 0
    assert int((start + length).max()) == 50
    assert scipy.stats.chisquare(np.bincount(start[length == 20].numpy(), minlength=31)).pvalue > 1e-3
    waves = some_waves(3)
    made = TimeMask().apply(waves, torch.tensor([[0, 5], [10, 1], [40, 10]]))
    for row, (first, count) in enumerate([(0, 5), (10, 1), (40, 10)]):
        expected = waves[row].clone()
        expected[:, first : first + count] = 0.0
        assert torch.equal(made[row], expected)


def test_a_policy_of_sounds_survives_json_and_makes_views() -> None:
    policy = Policy(ops=tuple(kind() for kind in KINDS))
    assert Policy.model_validate_json(policy.canonical_json()) == policy
    assert policy.summary.startswith("Gain(-12-0 dB) > WaveNoise(10-30 dB) > Polarity(p=0.5) > Reverse(p=0.5) > Time")
    (view,) = ViewPlan(views=(View(field="sound", policy=policy),))({"sound": some_waves(5)}, draws(5))
    assert view.shape == (5, 2, 50)
    drawn = policy.draw(EXTENT, draws(5))
    assert torch.equal(drawn.matrix(), torch.eye(3, dtype=torch.float64).expand(5, 3, 3))


@pytest.mark.parametrize(
    ("policy", "items", "message"),
    [
        (
            Policy(ops=(Gain(),)),
            torch.zeros(2, 3, 8, 8),
            r"sounds to augment are float32 \[B, C, S\], got float32 \[2, 3",
        ),
        (Policy(), torch.zeros(2, 3, 8, dtype=torch.uint8), r"images to augment are .* got uint8 \[2, 3, 8\]"),
        (Policy(ops=(Flip(),)), torch.zeros(2, 3, 8), r"images to augment are .* got float32 \[2, 3, 8\]"),
    ],
)
def test_what_a_policy_is_not_for_is_refused(policy: Policy, items: Tensor, message: str) -> None:
    with pytest.raises(UserError, match=message):
        ViewPlan(views=(policy,))({"image": items}, draws(2))
