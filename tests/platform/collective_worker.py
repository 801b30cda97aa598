"""One worker of test_collective.py, run as a script: everything that needs torch.distributed, saved for the test.

Loaded by the test instead, :func:`results` works alone on the whole batch, without torch.distributed and without
SyncBatchNorm: that is the truth to compare with. Float64 unless a name says otherwise.
"""

import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from unlabeled.methods import losses
from unlabeled.platform import collective
from unlabeled.platform.collective import (
    exchange,
    gather,
    mean_over_workers,
    of_first,
    rank,
    row_ids,
    sum_over_workers,
    world_size,
)
from unlabeled.platform.collective.batch_norm import synchronise

BATCH = 8  # global
CLASSES = {
    "uneven": [0, 0, 1, 2, 3, 4, 0, 5],  # two anchors on the first of two workers, one on the second
    "one-sided": [0, 0, 1, 1, 2, 3, 4, 5],  # no anchor on the second
    "lonely": [0, 1, 2, 3, 4, 5, 6, 7],  # no anchor at all
    "single": [0] * 8,  # no negative at all
}
Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
LOSSES: dict[str, Loss] = {
    "nt_xent": lambda z1, z2, labels: losses.nt_xent(z1, z2, 0.2),
    "nt_logistic": lambda z1, z2, labels: losses.nt_logistic(z1, z2, 0.2),
    "nt_logistic semi-hard": lambda z1, z2, labels: losses.nt_logistic(z1, z2, 0.2, "semi-hard"),
    "margin_triplet": lambda z1, z2, labels: losses.margin_triplet(z1, z2, 0.5),
    "margin_triplet hardest": lambda z1, z2, labels: losses.margin_triplet(z1, z2, 0.5, "hardest"),
    "triplet": lambda z1, z2, labels: losses.triplet(z1, z2, z2.flip(1), 50.0),
}
for _kind in CLASSES:
    LOSSES |= {
        f"sup_con {_kind}": lambda z1, z2, labels: losses.sup_con(z1, labels, 0.2),
        f"soft_nearest_neighbor {_kind}": lambda z1, z2, labels: losses.soft_nearest_neighbor(z1, labels, 2.0),
        f"lifted_structured {_kind}": lambda z1, z2, labels: losses.lifted_structured(z1, labels, 1.0),
    }


def seeded(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def own(x: Tensor) -> Tensor:
    return x.chunk(world_size())[rank()]


def train(net: nn.Module, step: Callable[[nn.Module], Tensor], steps: int = 1) -> dict[str, Tensor]:
    """Take SGD steps under DistributedDataParallel; return the global loss, the last gradients and the state."""
    model = DistributedDataParallel(synchronise(net)) if world_size() > 1 else net
    for _ in range(steps):
        net.zero_grad()
        loss = step(model)
        loss.backward()
        with torch.no_grad():
            for parameter in net.parameters():
                parameter -= 0.1 * parameter.grad
    gradients = {f"gradient of {name}": p.grad for name, p in net.named_parameters() if p.grad is not None}
    return {"loss": mean_over_workers(loss), **gradients, **net.state_dict()}


def loss_results(name: str, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    """Train an MLP with batch norm on the loss ``name``, both views through one batch."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 5)).to(dtype)
    views = [own(seeded(BATCH, 6, seed=seed)).to(dtype) for seed in (1, 2)]
    labels = own(torch.tensor(CLASSES.get(name.split()[-1], CLASSES["uneven"])))
    return train(net, lambda model: LOSSES[name](*model(torch.cat(views)).chunk(2), labels), steps=2)


def convolutional_results() -> dict[str, Tensor]:
    """Train a convnet with 2-D batch norms, one of which averages its statistics cumulatively."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3),
        nn.BatchNorm2d(8, affine=False, momentum=None),
        nn.Flatten(),
        nn.Linear(8 * 4 * 4, 5),
    ).double()
    views = [own(seeded(BATCH, 3, 8, 8, seed=seed)) for seed in (1, 2)]
    return train(net, lambda model: losses.nt_xent(*model(torch.cat(views)).chunk(2), 0.2), steps=3)


def batch_norm_results(kind: str, dtype: torch.dtype, split: tuple[int, int], offset: float) -> dict[str, Tensor]:
    """Run one batch norm on this worker's share of 8 rows; the workers' shares may differ in size."""
    dims = {"BatchNorm1d": (), "BatchNorm2d": (5, 4), "BatchNorm3d": (3, 2, 2)}[kind]
    x_all, coefficient_all = seeded(8, 3, *dims, seed=3) + offset, seeded(8, 3, *dims, seed=4)
    if world_size() > 1:
        x_all, coefficient_all = (t.split(split)[rank()] for t in (x_all, coefficient_all))
    x = x_all.to(dtype).requires_grad_()
    layer = getattr(nn, kind)(3).to(torch.float32 if dtype == torch.bfloat16 else dtype)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([0.5, 1.0, -2.0]))
    layer = synchronise(layer) if world_size() > 1 else layer
    y = layer(x)
    (y * coefficient_all.to(dtype)).sum().backward()
    assert x.grad is not None
    sums = {
        f"gradient of {name}": sum_over_workers(p.grad) for name, p in layer.named_parameters() if p.grad is not None
    }
    return {"rows y": y.detach(), "rows gradient": x.grad, **sums, **layer.state_dict()}


def results() -> dict[str, dict[str, Tensor]]:
    """Run everything; what is named "rows ..." belongs to this worker's rows, the rest is the same on all workers."""
    x = own(seeded(BATCH, 3, seed=5)).requires_grad_()
    coefficient = seeded(2, BATCH, 3, seed=6)  # the loss of each of two workers weighs the rows of all differently
    coefficient = coefficient[rank()] if world_size() > 1 else coefficient.sum(dim=0)
    gathered = gather(x)
    (gathered.square() * coefficient).sum().backward()
    y = own(seeded(2, 3, seed=7)).requires_grad_()
    total = sum_over_workers(y.sum(dim=0))
    (total.square() * coefficient[0]).sum().backward()
    assert x.grad is not None
    assert y.grad is not None
    return {
        "gather": {"value": gathered.detach(), "rows gradient": x.grad},
        "gather integers": {"value": gather(own(torch.arange(BATCH)))},
        "of first": {"value": of_first(torch.tensor([rank()]))},
        "sum": {"value": total.detach(), "rows gradient": y.grad},
        "mean": {"value": mean_over_workers(own(torch.tensor([1, 4])).sum()) * world_size()},
        "row ids": {"rows value": row_ids(BATCH // world_size())},
        "float32 nt_xent": loss_results("nt_xent", torch.float32),
        "convolutional": convolutional_results(),
        **{name: loss_results(name) for name in LOSSES},
        "BatchNorm1d": batch_norm_results("BatchNorm1d", torch.float64, (4, 4), 0.0),
        "BatchNorm2d": batch_norm_results("BatchNorm2d", torch.float64, (4, 4), 0.0),
        "BatchNorm3d": batch_norm_results("BatchNorm3d", torch.float64, (4, 4), 0.0),
        "BatchNorm2d unequal": batch_norm_results("BatchNorm2d", torch.float64, (7, 1), 0.0),
        "float32 BatchNorm2d": batch_norm_results("BatchNorm2d", torch.float32, (4, 4), 0.0),
        "float32 BatchNorm2d far from zero": batch_norm_results("BatchNorm2d", torch.float32, (4, 4), 1000.0),
        "bfloat16 BatchNorm2d": batch_norm_results("BatchNorm2d", torch.bfloat16, (4, 4), 0.0),
    }


def main(own_rank: int, workers: int, meeting_point: str, out: str, way: str) -> None:
    torch.set_num_threads(1)
    if way == "gloo":
        exchange._SHARED = Path(out).parent / "absent"  # a machine without such a place
    dist.init_process_group(
        "gloo",
        init_method=f"file://{meeting_point}",
        rank=own_rank,
        world_size=workers,
        timeout=timedelta(minutes=10),  # a dead partner is noticed
    )
    every = results()
    used = [opened is not None for opened in collective._exchanges.values()]
    assert used == [way == "shared memory"], "it went the way that is tested"
    torch.save({**every, "place": {"rank": torch.tensor(rank()), "workers": torch.tensor(world_size())}}, out)
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
