"""Two workers equal one: values, gradients, batch norm statistics, and every loss that compares the whole batch."""

import copy
import runpy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from unlabeled.platform.collective import (
    gather,
    mean_over_workers,
    of_first,
    rank,
    row_ids,
    sum_over_workers,
    world_size,
)
from unlabeled.platform.collective.batch_norm import SyncBatchNorm, synchronise
from unlabeled.platform.testing.processes import run_together

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("collective_worker.py")
Results = dict[str, dict[str, Tensor]]


@pytest.fixture(scope="module")
def alone() -> Results:
    results: Results = runpy.run_path(str(SCRIPT))["results"]()
    return results


@pytest.fixture(
    scope="module", params=[pytest.param("shared memory", marks=pytest.mark.needs("shared memory")), "gloo"]
)
def together(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Results]:
    """Run two real workers, once for all tests, on either way that their tensors may go."""
    folder = tmp_path_factory.mktemp("workers")
    said = ("-W", "error", SCRIPT)
    run_together([(*said, i, 2, folder / "meeting", folder / f"{i}.pt", request.param) for i in range(2)])
    return [torch.load(folder / f"{i}.pt") for i in range(2)]


def names() -> list[str]:
    kinds = ("uneven", "one-sided", "lonely", "single")
    labelled = [
        f"{loss} {kind}" for loss in ("sup_con", "soft_nearest_neighbor", "lifted_structured") for kind in kinds
    ]
    return [
        *("gather", "gather integers", "of first", "sum", "mean", "row ids"),
        *("nt_xent", "float32 nt_xent", "nt_logistic", "nt_logistic semi-hard"),
        *("margin_triplet", "margin_triplet hardest", "triplet", "convolutional"),
        *labelled,
        *("BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "BatchNorm2d unequal"),
        *("float32 BatchNorm2d", "float32 BatchNorm2d far from zero", "bfloat16 BatchNorm2d"),
    ]


@pytest.mark.parametrize("name", names())
def test_two_workers_equal_one(name: str, alone: Results, together: list[Results]) -> None:
    tolerance = {"float32": 2e-6, "bfloat16": 1e-2}.get(name.split()[0], 1e-12)
    if name.endswith("far from zero"):
        tolerance = 2e-3  # float32 itself knows 1000 to 6e-5 standard deviations; a sum of squares would be off by 0.06
    for key, expected in alone[name].items():
        first, second = (worker[name][key] for worker in together)
        actual = torch.cat([first, second]) if key.startswith("rows") else first
        torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance, msg=lambda m, k=key: f"{k}: {m}")
        if not key.startswith("rows"):
            assert torch.equal(first, second), f"{key} differs between workers"


def test_every_result_is_compared(together: list[Results]) -> None:
    assert set(together[0]) == {*names(), "place"}


def test_the_comparison_has_gradients_to_compare(alone: Results) -> None:
    for name in names():
        gradients = [value for key, value in alone[name].items() if "gradient" in key]
        flat = name.endswith("lonely") or (name.endswith("single") and not name.startswith("sup_con"))
        if gradients and not flat:
            assert max(gradient.abs().max() for gradient in gradients) > 1e-3, name


def test_workers_know_their_place(together: list[Results]) -> None:
    assert [worker["place"]["rank"].item() for worker in together] == [0, 1]
    assert [worker["place"]["workers"].item() for worker in together] == [2, 2]


def test_alone_everything_is_the_identity() -> None:
    x = torch.randn(3, 2, requires_grad=True)
    assert gather(x) is x
    assert torch.equal(of_first(x), x)
    assert not of_first(x).requires_grad
    assert sum_over_workers(x) is x
    assert row_ids(3).tolist() == [0, 1, 2]
    assert row_ids(3).dtype == torch.int64
    assert (rank(), world_size()) == (0, 1)
    mean = mean_over_workers(x)
    assert torch.equal(mean, x)
    assert not mean.requires_grad


def test_synchronise_keeps_parameters_buffers_keys_and_shared_layers() -> None:
    shared = nn.BatchNorm1d(4)
    net = nn.Sequential(nn.Linear(4, 4), shared, nn.Sequential(nn.BatchNorm2d(3, momentum=None, affine=False)), shared)
    net.eval()
    before = dict(net.named_parameters()), dict(net.named_buffers()), list(net.state_dict())
    assert synchronise(net) is net
    assert list(net.state_dict()) == before[2]
    assert all(parameter is before[0][name] for name, parameter in net.named_parameters())
    assert all(buffer is before[1][name] for name, buffer in net.named_buffers())
    assert isinstance(net[1], SyncBatchNorm)
    assert net[1] is net[3]
    inner = net[2][0]
    assert isinstance(inner, SyncBatchNorm)
    assert (inner.momentum, inner.affine, inner.training) == (None, False, False)
    synchronise(net)
    assert inner is net[2][0]


def test_synchronise_replaces_a_module_that_is_itself_a_batch_norm() -> None:
    layer = nn.BatchNorm1d(4)
    twin = synchronise(layer)
    assert isinstance(twin, SyncBatchNorm)
    assert twin.weight is layer.weight


def test_a_batch_norm_that_does_more_is_refused() -> None:
    class BatchNormAct(nn.BatchNorm2d):
        pass

    with pytest.raises(
        ValueError, match=r"only BatchNorm1d, 2d and 3d can be synchronised; 0\.0 is a BatchNormAct: use"
    ):
        synchronise(nn.Sequential(nn.Sequential(BatchNormAct(3))))


@pytest.mark.parametrize("training", [True, False])
def test_alone_sync_batch_norm_is_batch_norm(training: bool) -> None:
    layer = nn.BatchNorm2d(3).train(training)
    twin = synchronise(copy.deepcopy(layer))
    x = torch.randn(4, 3, 5, 5)
    assert torch.equal(layer(x), twin(x))
    for name, value in layer.state_dict().items():
        assert torch.equal(value, twin.state_dict()[name]), name


def test_sync_batch_norm_wants_channels() -> None:
    with pytest.raises(ValueError, match=r"batch norm takes \[B, C, ...\]; got a tensor of shape \[4\]"):
        synchronise(nn.BatchNorm1d(4))(torch.randn(4))
