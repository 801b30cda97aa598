"""What workers tell each other inside a training step, with exact gradients; every function is harmless alone.

The convention: each worker's loss is the mean over its own anchors, and DistributedDataParallel averages the gradients
over workers. A tensor that came through :func:`gather` or :func:`sum_over_workers` enters every worker's loss, so its
gradient is summed over workers on the way back. Then W workers with B rows each take the very step that one worker with
W*B rows takes.

Collectives meet in the order in which they are called: never call one, nor leave it out of the loss, depending on data
that differ between workers, or the others wait forever.

Shapes: W workers, B rows on each of them, C channels.
"""

from typing import Any, cast
from weakref import WeakKeyDictionary

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from unlabeled.platform.exchange import Exchange

_HALF_TYPES = (torch.float16, torch.bfloat16)


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


def go_on_with(workers: int) -> bool:
    """Leave all but the first ``workers`` out of the group; return whether this one stays. All have to call it.

    Rank 0 has to live as long as the others do. With the number that there are, nothing happens.
    """
    own_rank = rank()
    if workers == world_size():
        return True
    backend, store = dist.get_backend(), dist.distributed_c10d._get_default_store()
    dist.barrier()  # nobody goes while another is still coming
    dist.destroy_process_group()
    if own_rank < workers:
        ours = dist.distributed_c10d.PrefixStore(f"{workers} workers", store)
        dist.init_process_group(backend, store=ours, rank=own_rank, world_size=workers)
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
    return exchange if exchange is not None and x.nbytes <= exchange.most_bytes else None


class SyncBatchNorm(_BatchNorm):
    """Batch norm over the rows of all workers, on any device: torch's own refuses tensors on the CPU.

    Takes [B, C, ...] and does in training what BatchNorm1d, 2d or 3d does for the whole batch on one worker: the same
    outputs, gradients and running statistics, and all workers end with bitwise the same statistics. Workers may hold
    different numbers of rows, but at least one each. Statistics are float32 for half-precision inputs, as in torch. In
    evaluation, and alone, it is plain batch norm.

    Ioffe, Szegedy (2015), arXiv:1502.03167, algorithm 1.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalise [B, C, ...].

        Raises:
            ValueError: ``x`` has no channels, or, alone, a single value per channel to train on.
        """
        if world_size() == 1 or not self.training:
            return super().forward(x)
        self._check_input_dim(x)
        mean_C, variance_C, count = _global_moments(x.detach())
        if self.track_running_stats:
            self._track(mean_C, variance_C * (count / (count - 1)))  # two workers have two values at least
        weight_C = torch.ones_like(mean_C) if self.weight is None else self.weight
        bias_C = torch.zeros_like(mean_C) if self.bias is None else self.bias
        return cast(Tensor, _Normalise.apply(x, weight_C, bias_C, mean_C, variance_C, count, self.eps))

    @torch.no_grad()
    def _track(self, mean_C: Tensor, variance_C: Tensor) -> None:
        assert self.num_batches_tracked is not None
        assert self.running_mean is not None
        assert self.running_var is not None
        self.num_batches_tracked.add_(1)
        momentum = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean_C.to(self.running_mean.dtype), momentum)
        self.running_var.lerp_(variance_C.to(self.running_var.dtype), momentum)

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002  torch's name for it
        if input.dim() < 2:
            raise ValueError(f"batch norm takes [B, C, ...]; got a tensor of shape {list(input.shape)}")


class _Normalise(torch.autograd.Function):
    """Batch norm by moments of the global batch; the gradient goes through the moments, over all workers.

    Both ways are made of torch's own fused batch norm in evaluation mode, which is an affine map per channel.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight_C: Tensor,
        bias_C: Tensor,
        mean_C: Tensor,
        variance_C: Tensor,
        count: Tensor,
        eps: float,
    ) -> Tensor:
        ctx.save_for_backward(x, weight_C, mean_C, variance_C, count)
        ctx.eps = eps
        return F.batch_norm(x, mean_C, variance_C, weight_C, bias_C, training=False, eps=eps)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight_C, mean_C, variance_C, count = ctx.saved_tensors
        as_if_constant, own_weight_C, own_bias_C = torch.ops.aten.native_batch_norm_backward(
            gradient, x, weight_C, mean_C, variance_C, None, None, False, ctx.eps, [True, True, True]
        )
        weight_sum_C, bias_sum_C = sum_over_workers(torch.stack([own_weight_C, own_bias_C])).unbind()
        scale_C = weight_C * torch.rsqrt(variance_C + ctx.eps) / count
        through_moments = F.batch_norm(
            x, mean_C, variance_C, scale_C * weight_sum_C, scale_C * bias_sum_C, training=False, eps=ctx.eps
        )
        return as_if_constant.sub_(through_moments), own_weight_C, own_bias_C, None, None, None, None


def _global_moments(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean [C] and biased variance [C] of all workers' [B, C, ...], and the number of values per channel.

    Each worker's own moments are combined as in Chan, Golub, LeVeque (1979), so nothing cancels as it would between a
    sum of squares and a squared sum. Float32 for half-precision inputs.
    """
    channels, own_count = x.shape[1], x.numel() // x.shape[1]
    kind = torch.float32 if x.dtype in _HALF_TYPES else x.dtype
    mean_C, variance_C = x.new_zeros(channels, dtype=kind), x.new_zeros(channels, dtype=kind)
    # Batch norm's own pass, which leaves its moments here, takes a fifteenth of var_mean's time on a CPU.
    torch.batch_norm_update_stats(x, mean_C, variance_C, momentum=1.0)
    variance_C = variance_C * ((own_count - 1) / own_count) if own_count > 1 else torch.zeros_like(variance_C)
    own = torch.cat([mean_C, variance_C, mean_C.new_tensor([own_count])])
    mean_WC, variance_WC, count_W1 = gather(own[None]).tensor_split((channels, 2 * channels), dim=1)
    count = count_W1.sum()
    share_W1 = count_W1 / count
    mean_C = (share_W1 * mean_WC).sum(dim=0)
    variance_C = (share_W1 * (variance_WC + (mean_WC - mean_C).square())).sum(dim=0)
    return mean_C, variance_C, count


def synchronise(module: nn.Module) -> nn.Module:
    """Replace every BatchNorm1d, 2d and 3d inside ``module`` by one that sees the rows of all workers, and return it.

    On a GPU that is torch's SyncBatchNorm, elsewhere ours; so move the module to its device first. Parameters and
    buffers stay the same objects under the same names, so optimisers and checkpoints don't notice. A layer that is
    used in two places stays one. The module is changed in place, unless it is itself a batch norm. Calling it again
    changes nothing.

    Raises:
        ValueError: a layer is of a class derived from batch norm, which may do more (timm's BatchNormAct2d holds an
            activation, too) and would silently lose it.
    """
    twins: dict[nn.Module, nn.Module] = {}
    for path, layer in module.named_modules():
        if type(layer) in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d):
            twins[layer] = _synchronised(cast(_BatchNorm, layer))
        elif isinstance(layer, _BatchNorm) and not isinstance(layer, SyncBatchNorm | nn.SyncBatchNorm):
            raise ValueError(
                f"only BatchNorm1d, 2d and 3d can be synchronised; {path or 'the module'} is a {type(layer).__name__}: "
                "use an encoder with plain batch norm, or one worker"
            )
    for parent in list(module.modules()):
        for name, child in parent._modules.items():  # named_children() would skip a second name of the same layer
            if child in twins:
                parent._modules[name] = twins[child]
    return twins.get(module, module)


def _synchronised(layer: _BatchNorm) -> nn.Module:
    state = [*layer.parameters(), *layer.buffers()]
    if state and state[0].is_cuda:
        return cast(nn.Module, nn.SyncBatchNorm.convert_sync_batchnorm(layer))  # type: ignore[no-untyped-call]
    twin = SyncBatchNorm(layer.num_features, layer.eps, layer.momentum, layer.affine, layer.track_running_stats)
    twin._parameters.update(layer._parameters)
    twin._buffers.update(layer._buffers)
    return twin.train(layer.training)
