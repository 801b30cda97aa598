"""One worker of test_exchange.py, run as a script: what it is told to do with the others, and what it saw."""

import os
import sys
import time
from datetime import timedelta

import torch
import torch.distributed as dist

from unlabeled.platform import collective
from unlabeled.platform.collective.exchange import Exchange


def many(exchange: Exchange) -> None:
    """Gather tensors of all sizes and types, one worker now early and now late."""
    kinds = (torch.float64, torch.float32, torch.bfloat16, torch.int64, torch.bool)
    generator = torch.Generator().manual_seed(0)
    for turn in range(400):
        size = int(torch.randint(1, 500, (), generator=generator))
        every = (torch.randn(dist.get_world_size(), size, 3, generator=generator) * 100).to(kinds[turn % len(kinds)])
        if turn % 50 == dist.get_rank():
            time.sleep(0.02)
        assert torch.equal(exchange.gather(every[dist.get_rank()]), every), turn
    scalar = exchange.gather(torch.tensor(dist.get_rank()))
    assert scalar.tolist() == list(range(dist.get_world_size()))
    whole = torch.full((exchange.max_bytes // 8,), dist.get_rank(), dtype=torch.float64)
    assert exchange.gather(whole)[:, -1].tolist() == scalar.tolist()


def lonely(exchange: Exchange) -> None:
    """Die, or wait for the one that has."""
    exchange.gather(torch.zeros(1))
    if dist.get_rank() == 1:
        os._exit(0)
    exchange.gather(torch.zeros(1))


def fewer(exchange: Exchange) -> None:
    """Go on with two workers of three, then with one."""
    ranks = torch.tensor([float(collective.rank())])
    assert collective.go_on_with(collective.world_size())
    assert collective.gather(ranks).tolist() == [0.0, 1.0, 2.0]
    for workers in (2, 1):
        if not collective.go_on_with(workers):
            return
        assert collective.world_size() == workers
        assert collective.gather(ranks).tolist() == [0.0, 1.0][:workers]


def main(what: str, own_rank: int, workers: int, meeting_point: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{meeting_point}",
        rank=own_rank,
        world_size=workers,
        timeout=timedelta(minutes=10),
    )
    exchange = Exchange.open()
    assert exchange is not None
    {"many": many, "lonely": lonely, "fewer": fewer}[what](exchange)
    print("done")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
