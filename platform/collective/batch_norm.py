"""Batch norm over what it should see: all workers' rows, groups of them, or a batch's without being moved by it.

Shapes: W workers, B rows on each of them, G groups of the W * B rows of the global batch, C channels.
"""

import contextlib
from collections.abc import Iterator
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from unlabeled.platform.collective import gather, mean_over_workers, sum_over_workers, world_size
from unlabeled.platform.errors import UserError

_HALF_TYPES = (torch.float16, torch.bfloat16)


def has_batch_norm(module: nn.Module) -> bool:
    """Tell whether what a sample is embedded to depends on the samples beside it."""
    return any(_batch_norms(module))


@contextlib.contextmanager
def still_statistics(module: nn.Module) -> Iterator[None]:
    """Keep batch norm's running statistics as they are, while it goes on normalising by its batch."""
    layers = [layer for layer in _batch_norms(module) if layer.track_running_stats]
    for layer in layers:
        layer.track_running_stats = False
    try:
        yield
    finally:
        for layer in layers:
            layer.track_running_stats = True


def _batch_norms(module: nn.Module) -> "Iterator[_BatchNorm | GroupedBatchNorm]":
    return (layer for layer in module.modules() if isinstance(layer, _BatchNorm | GroupedBatchNorm))


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
        kind = self.running_mean.dtype
        share = self.num_batches_tracked.to(kind).reciprocal() if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean_C.to(kind), share)
        self.running_var.lerp_(variance_C.to(kind), share)

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
    own = torch.cat([mean_C, variance_C, mean_C.new_full((1,), own_count)])
    mean_WC, variance_WC, count_W1 = gather(own[None]).tensor_split((channels, 2 * channels), dim=1)
    count = count_W1.sum()
    share_W1 = count_W1 / count
    mean_C = (share_W1 * mean_WC).sum(dim=0)
    variance_C = (share_W1 * (variance_WC + (mean_WC - mean_C).square())).sum(dim=0)
    return mean_C, variance_C, count


def synchronise(module: nn.Module) -> nn.Module:
    """Replace every BatchNorm1d, 2d and 3d inside ``module`` by a :class:`SyncBatchNorm`, and return it.

    On a GPU, too: torch's own leaves out workers without rows, and waits for the GPU at every layer to learn which.
    Parameters and buffers stay the same objects under the same names, so optimisers and checkpoints don't notice. A
    layer that is used in two places stays one. The module is changed in place, unless it is itself a batch norm.
    Calling it again changes nothing.

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
    twin = SyncBatchNorm(layer.num_features, layer.eps, layer.momentum, layer.affine, layer.track_running_stats)
    twin._parameters.update(layer._parameters)
    twin._buffers.update(layer._buffers)
    return twin.train(layer.training)


class GroupedBatchNorm(nn.Module):
    """Batch norm that normalises each of G equal groups of the global batch by the group's own statistics.

    What BatchNorm does on G GPUs without synchronisation, on any number of workers that divides G: a worker holds G / W
    whole groups, neighbouring rows of its batch. So W workers compute what one does, and nothing has to be synchronised
    but the running statistics, which are the mean over all groups: here over a worker's own, until :func:`agree`, which
    is called once per step, takes that over workers. With G = W = 1 it is plain batch norm. In evaluation it is plain
    batch norm always. Parameters and buffers have batch norm's names.

    MoCo's ``SplitBatchNorm`` (facebookresearch/moco, ``colab/moco_cifar10_demo.ipynb``) does this on one GPU, where
    every G-th row is in one group.
    """

    num_batches_tracked: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, layer: _BatchNorm, groups: int) -> None:
        super().__init__()
        assert layer.momentum is not None
        self.groups, self.momentum, self.eps = groups, layer.momentum, layer.eps
        self.track_running_stats = True
        self._parameters.update(layer._parameters)
        self._buffers.update(layer._buffers)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise [B, C, ...]; in training, W divides G, and G / W divides B."""
        weight_C, bias_C = self._parameters["weight"], self._parameters["bias"]
        if not self.training:
            return F.batch_norm(x, self.running_mean, self.running_var, weight_C, bias_C, eps=self.eps)
        own_groups = self.groups // world_size()
        assert own_groups * world_size() == self.groups
        assert len(x) % own_groups == 0
        running = torch.stack([self.running_mean, self.running_var]).repeat(own_groups, 1, 1)  # one set for each group
        y = [
            F.batch_norm(part, mean_C, variance_C, weight_C, bias_C, True, self.momentum, self.eps)
            for part, (mean_C, variance_C) in zip(x.chunk(own_groups), running, strict=True)
        ]
        if self.track_running_stats:
            mean_C, variance_C = running.mean(dim=0)
            self.running_mean.copy_(mean_C)
            self.running_var.copy_(variance_C)
            self.num_batches_tracked.add_(1)
        return torch.cat(y)

    def extra_repr(self) -> str:
        """Return the number of channels and groups."""
        return f"{len(self.running_mean)}, groups={self.groups}"


@torch.no_grad()
def agree(module: nn.Module) -> None:
    """Make the running statistics of all :class:`GroupedBatchNorm` inside the mean over workers, by one exchange.

    All workers have to call it, after the forward passes of a step. What each layer adds in a step is linear in what it
    saw, so it does not matter that they agree at the end only. Alone, nothing happens.
    """
    if world_size() == 1:
        return
    layers = (layer for layer in module.modules() if isinstance(layer, GroupedBatchNorm))
    own = [statistic for layer in layers for statistic in (layer.running_mean, layer.running_var)]
    if own:
        mean = torch.split(mean_over_workers(torch.cat(own)), [len(statistic) for statistic in own])
        torch._foreach_copy_(own, list(mean))


def group_batch_norms(module: nn.Module, groups: int) -> None:
    """Replace, in place, every batch norm inside ``module`` by a :class:`GroupedBatchNorm`; one group changes nothing.

    Raises:
        UserError: a layer is of a class derived from batch norm or averages its statistics in another way.
    """
    if groups == 1:
        return
    twins: dict[nn.Module, nn.Module] = {}
    for path, layer in module.named_modules():
        if isinstance(layer, _BatchNorm):
            plain = type(layer) in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
            if not plain or layer.momentum is None or not layer.track_running_stats:
                raise UserError(
                    f"only plain BatchNorm1d, 2d and 3d can be grouped; {path} is {layer}: choose another encoder, or "
                    "turn grouping off"
                )
            twins[layer] = GroupedBatchNorm(layer, groups)
    for parent in list(module.modules()):
        for name, child in parent._modules.items():
            if child in twins:
                parent._modules[name] = twins[child]


def check_groups(field: str, groups: int, batch_size: int, workers: int) -> None:
    """Check that groups of batch norm fit the global batch and the workers that share it; one group always does.

    Raises:
        UserError: naming ``field``, the numbers, and what would do.
    """
    if groups == 1:
        return
    if batch_size % groups or batch_size < 2 * groups:
        fitting = [n for n in range(1, batch_size // 2 + 1) if batch_size % n == 0]
        nearest = min(fitting, key=lambda n: abs(n - groups))
        raise UserError(
            f"{field} {groups} does not cut batch_size {batch_size} into equal groups of 2 images or more; "
            f"{nearest} would"
        )
    if groups % workers:
        raise UserError(
            f"{field} {groups} does not divide by {workers} workers; use a number of workers that divides {groups}"
        )
