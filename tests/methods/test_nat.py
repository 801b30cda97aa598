"""NAT: targets uniform on the sphere, the best permutation by trying all, and items that keep one target each."""

import itertools

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from unlabeled.methods.clustering.nat import NAT, NATConfig, assigned, noise
from unlabeled.methods.parts import SMALL, one_view
from unlabeled.platform.augment import PLAIN
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data
from unlabeled.platform.processor import Processor
from unlabeled.platform.train.loop import Training


def training_of(run: RunConfig, data: Data, processor: Processor, **fields: object) -> tuple[Training, NAT]:
    config = NATConfig.checked(**{"views": one_view(SMALL), "head": (16, 8), "every": 1, "together": 40, **fields})
    training = Training(run.with_field("method", config), data, processor)
    assert isinstance(training.method, NAT)
    return training, training.method


def test_targets_are_uniform_on_the_sphere_and_keep_their_numbers() -> None:
    numbers = torch.arange(20_000)
    made = noise(numbers, 3).double()
    assert_close(made.norm(dim=1), torch.ones(len(numbers), dtype=torch.float64), rtol=1e-6, atol=0.0)
    assert_close(made.mean(dim=0), torch.zeros(3).double(), rtol=0.0, atol=0.02)
    assert_close(made.T @ made / len(made), torch.eye(3).double() / 3, rtol=0.0, atol=0.01)
    heights = made[:, 2].sort().values  # uniform in three dimensions (Archimedes)
    assert float((heights - torch.linspace(-1, 1, len(heights))).abs().max()) < 0.04
    some = torch.tensor([7, 19_999, 0])
    assert torch.equal(noise(some, 3).double(), made[some])


@pytest.mark.parametrize("seed", range(5))
def test_of_all_permutations_the_closest_is_taken(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    z = torch.nn.functional.normalize(torch.randn(6, 4, generator=generator, dtype=torch.float64), dim=1)
    numbers = torch.randperm(50, generator=generator)[:6]

    def distance(order: tuple[int, ...]) -> float:
        return float((z - noise(torch.tensor(order), 4)).square().sum())

    best = min(itertools.permutations(numbers.tolist()), key=distance)
    assert assigned(z, numbers).tolist() == list(best)


def test_the_loss_is_half_the_squared_distance(small_run: RunConfig, small_data: Data, processor: Processor) -> None:
    training, nat = training_of(small_run, small_data, processor, views=one_view(PLAIN))
    batch = training.batch(0)
    result = nat.eval()(batch)
    with torch.no_grad():
        z = nat.head(nat.encoder(batch.views[0])).double()
    rows: list[Tensor] = []
    for row, index in zip(z, batch.index.tolist(), strict=True):
        target = noise(nat.target[index][None], 8)[0]
        rows.append((row / row.norm() - target).square().sum() / 2)
    assert_close(result.loss.double(), torch.stack(rows).mean(), rtol=1e-5, atol=0.0)


def test_items_swap_within_groups_and_each_target_stays_one_items(
    small_run: RunConfig, small_data: Data, processor: Processor
) -> None:
    """Swapping brings items nearer to their targets, by what the encoder makes of clean pictures."""
    training, nat = training_of(small_run.with_field("epochs", 4), small_data, processor, every=2)
    items = len(small_data.pretrain)
    begun = nat.target.clone()
    found = []
    for _ in training.epochs():
        assert torch.equal(nat.target.sort().values, torch.arange(items))
        found.append(nat.target.clone())
    assert float((found[0] != begun).float().mean()) > 0.5
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[1], found[2])
    assert torch.equal(found[2], found[3])
    assert_close(nat.moved, found[2].ne(found[1]).float().mean())


def test_a_group_may_be_larger_than_the_data(small_run: RunConfig, small_data: Data, processor: Processor) -> None:
    training, nat = training_of(small_run.with_field("epochs", 1), small_data, processor, together=10_000)
    for _ in training.epochs():
        pass
    assert torch.equal(nat.target.sort().values, torch.arange(len(small_data.pretrain)))
