"""Gradients of a large batch on small memory: it is cut into micro-batches, and the gradient stays the whole's.

A loss that is a mean over samples is accumulated. A loss over all embeddings is cached (Gao, Zhang, Han, Callan 2021,
arXiv:2101.06983): embed every micro-batch without a graph; take the loss of all embeddings and its gradient with
respect to them; embed each micro-batch again, with its graph, and send its share of that gradient through it.

Both times a micro-batch has the same views and the same draws. Batch norm sees micro-batches, both times the same, so
a method with batch norm has other statistics than the whole batch would give it; running statistics move once.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from unlabeled.platform import collective
from unlabeled.platform.collective.batch_norm import still_statistics
from unlabeled.platform.method import Batch, EmbeddingMethod, Method, StepResult
from unlabeled.platform.processor import Processor
from unlabeled.platform.train.profiled import part

MakeBatch = Callable[[Tensor, bool], Batch]
"""Makes the batch of some rows, with its views or without."""


def accumulate(method: Method, parts: Sequence[Tensor], make_batch: MakeBatch, processor: Processor) -> StepResult:
    """Add the gradients of a per-sample loss over micro-batches, as if it were one batch.

    Args:
        method: one whose ``cut`` is "per-sample"; its parameters' gradients are added to.
        parts: int64 [b] rows of each micro-batch.
        make_batch: see there.
        processor: what to compute on.
    """
    total = sum(len(rows) for rows in parts)
    results, shares = [], [len(rows) / total for rows in parts]
    for rows, share in zip(parts, shares, strict=True):
        batch = make_batch(rows, True)
        with part("forward"), processor.autocast():
            result = method(batch)
        with part("backward"):
            (result.loss * share).backward()
        results.append(result)
    logs = {
        name: torch.stack([r.logs[name] * share for r, share in zip(results, shares, strict=True)]).sum()
        for name in results[0].logs
    }
    losses = [r.loss.detach() * share for r, share in zip(results, shares, strict=True)]
    return StepResult(loss=torch.stack(losses).sum(), logs=logs)


def cache(method: EmbeddingMethod, parts: Sequence[Tensor], make_batch: MakeBatch, processor: Processor) -> StepResult:
    """Add the exact gradients of a loss over all embeddings, one micro-batch in memory at a time.

    Args and result as :func:`accumulate`, for a method whose ``cut`` is "cached".
    """
    with torch.no_grad(), still_statistics(method):
        embedded = [_embed(method, make_batch(rows, True), processor) for rows in parts]
    leaves = tuple(torch.cat(pieces).requires_grad_() for pieces in zip(*embedded, strict=True))
    whole = make_batch(torch.cat(list(parts)), False)
    with part("forward"), processor.autocast():
        result = method.contrast(leaves, whole)
    with part("backward"):
        result.loss.backward()  # type: ignore[no-untyped-call]
    start = 0
    for rows in parts:
        pieces = _embed(method, make_batch(rows, True), processor)
        learned = [(made, leaf.grad) for made, leaf in zip(pieces, leaves, strict=True) if leaf.grad is not None]
        with part("backward"):
            torch.autograd.backward(
                [made for made, _ in learned], [grad[start : start + len(rows)] for _, grad in learned]
            )
        start += len(rows)
    return StepResult(loss=result.loss.detach(), logs=result.logs)


def average_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Average gradients over workers, as DistributedDataParallel does after a whole batch's backward."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if collective.world_size() > 1 and gradients:
        mean = collective.mean_over_workers(torch.cat([gradient.flatten() for gradient in gradients]))
        for gradient, piece in zip(gradients, torch.split(mean, [g.numel() for g in gradients]), strict=True):
            gradient.copy_(piece.view_as(gradient))


def _embed(method: EmbeddingMethod, batch: Batch, processor: Processor) -> tuple[Tensor, ...]:
    with part("forward"), processor.autocast():
        return method.embed(batch)
