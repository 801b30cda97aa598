"""The memory bank and what is told by it: instance discrimination against loops and torch's cross-entropy."""

import math

import pytest
import torch
import torch.nn.functional as F
from formats import plain
from torch import Tensor
from torch.testing import assert_close

from unlabeled.methods.contrastive.bank import BankContrast, MemoryBank, retrieved
from unlabeled.methods.contrastive.instance_discrimination import InstanceDiscrimination, InstanceDiscriminationConfig
from unlabeled.platform.data import Data
from unlabeled.platform.draws import Draws
from unlabeled.platform.encoder import ConvNetConfig
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Batch

B, D, ITEMS, K, TAU = 4, 5, 30, 12, 0.2
INDEX = torch.tensor([3, 17, 0, 29])
DRAWS = Draws(torch.arange(B), 0, 1, "method")


def units(count: int, seed: int) -> Tensor:
    return F.normalize(torch.randn(count, D, generator=torch.Generator().manual_seed(seed)).double(), dim=1)


# ---- the bank --------------------------------------------------------------------------------------------------------


def bank_of(momentum: float = 0.5, items: int = ITEMS) -> MemoryBank:
    torch.manual_seed(0)
    bank = MemoryBank(items, D, momentum).double()
    bank.vectors = F.normalize(bank.vectors, dim=1)  # once more, to float64's precision
    return bank


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_a_written_vector_is_the_mean_scaled_to_length_1_and_others_stay(momentum: float) -> None:
    bank, new = bank_of(momentum), units(B, 1)
    before = bank.vectors.clone()
    bank.write(INDEX, new)
    for item in range(ITEMS):
        expected = before[item]
        if item in INDEX.tolist():
            mixed = momentum * expected + (1.0 - momentum) * new[INDEX.tolist().index(item)]
            expected = mixed / math.sqrt(sum(number**2 for number in mixed.tolist()))
        assert_close(bank.vectors[item], expected)


def test_a_bank_for_data_that_grew_is_one_clear_line() -> None:
    with pytest.raises(
        UserError, match=r"^the memory bank was kept for 30 items, and there are 31 to train on; train a"
    ):
        bank_of(items=31).load_state_dict(bank_of().state_dict())


def test_what_is_retrieved_is_nearest_and_never_itself() -> None:
    vectors, pictures = units(6, 2), torch.arange(6.0).view(6, 1, 1, 1)
    columns = retrieved(vectors, pictures)
    assert list(columns) == ["picture", "nearest 1", "nearest 2", "nearest 3"]
    for row in range(6):
        others = sorted(set(range(6)) - {row}, key=lambda other: -float(vectors[row] @ vectors[other]))
        assert [int(columns[f"nearest {place}"][row]) for place in (1, 2, 3)] == others[:3]
    assert list(retrieved(vectors[:2], pictures[:2])) == ["picture", "nearest 1"]
    assert list(retrieved(vectors[:1], pictures[:1])) == ["picture"]


# ---- noise-contrastive estimation ------------------------------------------------------------------------------------


def by_loop(v: Tensor, bank: Tensor, noise: Tensor, z: float) -> Tensor:
    """Return eq. 7 term by term, with the noise's probability 1 / n, as the authors' NCECriterion has it."""
    total = torch.zeros((), dtype=torch.float64)
    for row in range(len(v)):
        p = torch.exp(v[row] @ bank[INDEX[row]] / TAU) / z
        total = total - torch.log(p / (p + K / ITEMS))
        for other in noise[row].tolist():
            q = torch.exp(v[row] @ bank[other] / TAU) / z
            total = total - torch.log((K / ITEMS) / (q + K / ITEMS))
    return total / len(v)


def test_the_loss_is_the_authors_and_its_constant_is_estimated_once() -> None:
    contrast, bank = BankContrast(TAU, K).double(), units(ITEMS, 3)
    noise = DRAWS.integers("noise", ITEMS, K)
    assert (noise == INDEX[:, None]).any(), "an item may be its own noise"
    v = units(B, 4).requires_grad_()
    seen = [[int(INDEX[row]), *noise[row].tolist()] for row in range(B)]
    exps = [math.exp(float(v[row].detach() @ bank[item]) / TAU) for row in range(B) for item in seen[row]]
    z = ITEMS * sum(exps) / len(exps)
    loss, top1 = contrast(v, bank, INDEX, DRAWS)
    assert_close(contrast.z.item(), z)
    expected = by_loop(v, bank, noise, z)
    assert_close(loss, expected)
    assert_close(torch.autograd.grad(loss, v)[0], torch.autograd.grad(expected, v)[0])
    found = [
        all(v[row] @ bank[INDEX[row]] > v[row] @ bank[other] for other in noise[row] if other != INDEX[row])
        for row in range(B)
    ]
    assert_close(top1.item(), sum(found) / B)
    later = units(B, 5)
    assert_close(contrast(later, bank, INDEX, DRAWS)[0], by_loop(later, bank, noise, z))
    assert_close(contrast.z.item(), z)


def test_noise_is_drawn_evenly_from_all_items() -> None:
    counts = Draws(torch.arange(400), 0).integers("noise", ITEMS, 90).flatten().bincount(minlength=ITEMS)
    expected = 400 * 90 / ITEMS
    assert ((counts - expected).square() / expected).sum() < 60  # chi squared with 29 degrees: one in a thousand


# ---- instance discrimination -----------------------------------------------------------------------------------------


def build(data: Data, **fields: object) -> InstanceDiscrimination:
    torch.manual_seed(0)
    config = InstanceDiscriminationConfig.checked(head=(D,), temperature=TAU, **fields)
    built = config.build(ConvNetConfig(width=4).build(plain(1, 16)), data).double()
    built.bank.vectors = F.normalize(built.bank.vectors, dim=1)
    return built


def batch_of() -> Batch:
    views = torch.rand(B, 1, 16, 16, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    return Batch(views=(views,), index=INDEX, draws=DRAWS)


def test_the_exact_loss_is_torchs_cross_entropy_of_all_items_and_the_proximal_term(small_data: Data) -> None:
    method, batch = build(small_data, negatives=None, proximal=3.0, momentum=0.0), batch_of()
    before = method.bank.vectors.clone()
    assert len(before) == len(small_data.pretrain)
    v = F.normalize(method.head(method.encoder(batch.views[0])), dim=1)
    drift = (v - before[INDEX]).square().sum(dim=1).mean()
    logits = v @ before.T / TAU
    expected = F.cross_entropy(logits, INDEX) + 3.0 * drift
    result = method(batch)
    assert_close(result.loss, expected)
    assert_close(result.logs["bank/drift"], drift.detach())
    assert_close(result.logs["contrast/top1"].item(), (logits.argmax(dim=1) == INDEX).double().mean().item())
    weights = list(method.parameters())
    gradients = (torch.autograd.grad(loss, weights) for loss in (result.loss, expected))
    for found, wanted in zip(*gradients, strict=True):
        assert_close(found, wanted)
    assert_close(method.bank.vectors[INDEX], v.detach(), msg="momentum 0 replaces")


def test_the_bank_is_compared_with_before_it_follows(small_data: Data) -> None:
    method, batch = build(small_data, negatives=K), batch_of()
    before = method.bank.vectors.clone()
    result = method(batch)
    v = F.normalize(method.head(method.encoder(batch.views[0])), dim=1)
    items = len(before)
    noise = DRAWS.integers("noise", items, K)
    candidates = torch.cat([INDEX[:, None], noise], dim=1)
    score = torch.stack([before[candidates[row]] @ v[row] for row in range(B)]) / TAU
    p = score.exp() / (items * score.exp().mean())
    frequency = K / items
    expected = -(p[:, 0] / (p[:, 0] + frequency)).log() - (frequency / (p[:, 1:] + frequency)).log().sum(dim=1)
    assert_close(result.loss, expected.mean())
    assert_close(method.bank.vectors[INDEX], F.normalize(before[INDEX] + v.detach(), dim=1))
    result.loss.backward()  # what the bank holds now is not what the gradient is of
