import numpy as np
import pytest
import torch
from scipy import stats

from unlabeled.platform.draws import Draws, key

ROWS = torch.arange(64)


def test_equal_scopes_draw_equal_numbers_and_others_do_not() -> None:
    assert torch.equal(Draws(ROWS, 1, 2).uniform("a", 3), Draws(ROWS, 1, 2).uniform("a", 3))
    others = [
        Draws(ROWS, 1, 3).uniform("a", 3),
        Draws(ROWS, 2, 2).uniform("a", 3),
        Draws(ROWS, 1, 2).uniform("b", 3),
        Draws(ROWS, 1, 2).fold_in("view").uniform("a", 3),
    ]
    for other in others:
        assert not torch.isclose(Draws(ROWS, 1, 2).uniform("a", 3), other).any()


def test_rows_draw_the_same_whatever_rows_stand_beside_them() -> None:
    whole = Draws(ROWS, 7)
    part = Draws(ROWS[10:20], 7)
    for draw in ("uniform", "normal"):
        assert torch.equal(getattr(whole, draw)("x", 5)[10:20], getattr(part, draw)("x", 5))
    assert torch.equal(whole.permutation("x", 9)[10:20], part.permutation("x", 9))
    assert torch.equal(whole.integers("x", 4, 2)[10:20], part.integers("x", 4, 2))
    assert torch.equal(whole.bernoulli(0.3)[10:20], part.bernoulli(0.3))


def test_uniform_is_uniform_over_rows_and_over_columns() -> None:
    by_row = Draws(torch.arange(50_000), 0).uniform("x").numpy()
    by_column = Draws(torch.arange(1), 0).uniform("x", 50_000).numpy().ravel()
    for sample in (by_row, by_column):
        assert sample.min() >= 0.0
        assert sample.max() < 1.0
        assert stats.kstest(sample, "uniform").pvalue > 0.001


def test_columns_rows_and_steps_are_uncorrelated() -> None:
    draws = Draws(torch.arange(20_000), 0).uniform("x", 4).numpy()
    next_step = Draws(torch.arange(20_000), 1).uniform("x", 4).numpy()
    correlation = np.corrcoef(np.hstack([draws, next_step, np.roll(draws, 1, axis=0)]).T) - np.eye(12)
    assert np.abs(correlation).max() < 5 / np.sqrt(20_000)


def test_normal_is_normal() -> None:
    assert stats.kstest(Draws(torch.arange(50_000), 0).normal("x").numpy(), "norm").pvalue > 0.001


def test_integers_and_permutations_are_uniform() -> None:
    counts = torch.bincount(Draws(torch.arange(40_000), 0).integers("x", 4), minlength=4).numpy()
    assert stats.chisquare(counts).pvalue > 0.001
    orders = Draws(torch.arange(24_000), 0).permutation("x", 4)
    assert torch.equal(orders.sort(dim=1).values, torch.arange(4).expand(24_000, 4))
    _, counts = np.unique(orders.numpy() @ np.array([64, 16, 4, 1]), return_counts=True)
    assert len(counts) == 24
    assert stats.chisquare(counts).pvalue > 0.001


def test_fires_at_its_rate() -> None:
    draws = Draws(torch.arange(20_000), 0)
    assert not draws.bernoulli(0.0).any()
    assert draws.bernoulli(1.0).all()
    fired = int(draws.bernoulli(0.2).sum())
    assert stats.binomtest(fired, 20_000, 0.2).pvalue > 0.001


@pytest.mark.parametrize("high", [2, 7, 10])
def test_another_is_never_ones_own_and_every_other_as_often(high: int) -> None:
    own = torch.arange(6000) % high
    other = Draws(torch.arange(6000), 0).other("item", high, own)
    assert not (other == own).any()
    counts = torch.bincount(own * high + other, minlength=high * high).view(high, high)
    assert not counts.diagonal().any()
    found = counts[~torch.eye(high, dtype=torch.bool)]
    assert high == 2 or stats.chisquare(found.numpy()).pvalue > 0.001


def test_below_takes_a_bound_of_each_row_and_large_ones() -> None:
    high = torch.arange(1, 5).repeat(2000)
    drawn = Draws(torch.arange(8000), 0).below("number", high)
    for bound in range(1, 5):
        assert stats.chisquare(torch.bincount(drawn[high == bound], minlength=bound)).pvalue > 0.001 or bound == 1
        assert int(drawn[high == bound].max()) == bound - 1
    large = Draws(torch.arange(2000), 0).below("number", 10**12)
    assert stats.kstest(large.double().numpy() / 1e12, "uniform").pvalue > 0.001
    assert len(large.unique()) == 2000, "on no grid of 2**24"  # type: ignore[no-untyped-call]
    assert torch.equal(Draws(torch.arange(50, 60), 0).below("number", 10**12), large[50:60])


def test_key_tells_parts_apart() -> None:
    assert len({key(1, 23), key(12, 3), key("1", "2", "3"), key(123), key("a", "b"), key("ab")}) == 6


def test_a_key_is_the_same_on_every_machine_and_in_every_process() -> None:
    assert key(0, "order") == -7036453844816005085


def test_the_hash_is_splitmix64s_finaliser() -> None:
    golden, mask = 0x9E3779B97F4A7C15, 2**64 - 1

    def mix(z: int) -> int:
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        return z ^ (z >> 31)

    rows, columns = [0, 1, 63, 4095], 5
    expected = []
    for row in rows:
        state = mix((row * golden + key(3, "noise")) & mask)
        expected.append([(mix((state + column * golden) & mask) >> 40) * 2.0**-24 for column in range(1, columns + 1)])
    assert Draws(torch.tensor(rows), 3).uniform("noise", columns).tolist() == expected
