"""What workers tell each other inside a training step, with exact gradients; every function is harmless alone.

The convention: each worker's loss is the mean over its own anchors, and DistributedDataParallel averages the gradients
over workers. A tensor that came through :func:`gather` or :func:`sum_over_workers` enters every worker's loss, so its
gradient is summed over workers on the way back. Then W workers with B rows each take the very step that one worker with
W*B rows takes.

Collectives meet in the order in which they are called: never call one, nor leave it out of the loss, depending on data
that differ between workers, or the others wait forever.

Shapes: W workers, B rows on each of them.
"""

from datetime import timedelta
from typing import Any, cast
from weakref import WeakKeyDictionary

import torch
import torch.distributed as dist
from torch import Tensor

from unlabeled.platform.collective.exchange import Exchange


def world_size() -> int:
    """Return the number of workers; 1 when torch.distributed isn't initialised."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Return which worker this is, 0 .. world_size() - 1; 0 when torch.distributed isn't initialised."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def gather(x: Tensor) -> Tensor:
    """Stack every worker's [B, ...] to the same [W*B, ...] on all of them, in the order of their ranks.

    The gradient is exact: each worker receives the sum, over all workers' losses, of the gradient of its own rows. B
    has to be the same on all workers. Integers may be gathered too, without gradient. Alone, ``x`` itself returns.
    """
    return x if world_size() == 1 else cast(Tensor, _Gather.apply(x))


def of_first(x: Tensor) -> Tensor:
    """Return the first worker's ``x`` on all workers, where rounding may have made them differ; without gradient."""
    return gather(x.detach())[: len(x)]


def row_ids(batch: int, device: torch.device | str = "cpu") -> Tensor:
    """Return int64 [B]: where this worker's ``batch`` rows stand in the output of :func:`gather`.

    >>> row_ids(3)
    tensor([0, 1, 2])
    """
    return torch.arange(batch, device=device) + rank() * batch


def sum_over_workers(x: Tensor) -> Tensor:
    """Return the sum of every worker's ``x``, which has one shape on all of them.

    The gradient is exact: it is summed over workers too. Alone, ``x`` itself returns.
    """
    return x if world_size() == 1 else cast(Tensor, _Sum.apply(x))


@torch.no_grad()
def mean_over_workers(x: Tensor) -> Tensor:
    """Return the mean of every worker's ``x``, for logs: detached, and a float whatever the type of ``x``.

    >>> mean_over_workers(torch.tensor(True))
    tensor(1.)
    """
    x = x.detach()
    return sum_over_workers(x if x.is_floating_point() else x.float()) / world_size()


def go_on_with(workers: int, timeout: timedelta | None = None) -> bool:
    """Leave all but the first ``workers`` out of the group; return whether this one stays. All have to call it.

    Rank 0 has to live as long as the others do. With the number that there are, nothing happens.

    Args:
        workers: how many stay.
        timeout: how long their collectives wait for each other; None is what torch takes.
    """
    own_rank = rank()
    if workers == world_size():
        return True
    backend, store = dist.get_backend(), dist.distributed_c10d._get_default_store()
    dist.barrier()  # nobody goes while another is still coming
    dist.destroy_process_group()
    if own_rank < workers:
        ours = dist.distributed_c10d.PrefixStore(f"{workers} workers", store)
        dist.init_process_group(backend, timeout=timeout, store=ours, rank=own_rank, world_size=workers)
    return own_rank < workers


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        exchange = _exchange_for(x)
        if exchange is not None:
            return exchange.gather(x).sum(dim=0, dtype=x.dtype)
        total = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return sum_over_workers(gradient)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        exchange = _exchange_for(x)
        if exchange is not None:
            return torch.cat(exchange.gather(x).unbind())
        rows = x.new_empty(world_size(), *x.shape)
        dist.all_gather(list(rows.unbind()), x.contiguous())
        return rows.flatten(0, 1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return sum_over_workers(gradient).chunk(world_size())[rank()]


_exchanges: WeakKeyDictionary[dist.ProcessGroup, Exchange | None] = WeakKeyDictionary()


def _exchange_for(x: Tensor) -> Exchange | None:
    """Return the quick way between workers of one machine, if there is one and ``x`` can go by it; the same on all."""
    if x.device.type != "cpu":
        return None
    group = dist.group.WORLD
    assert group is not None
    if group not in _exchanges:
        _exchanges[group] = Exchange.open()
    exchange = _exchanges[group]
    return exchange if exchange is not None and x.nbytes <= exchange.max_bytes else None
