"""The loop that probes train by, whatever they train: passes in keyed order, a schedule, steps down a loss."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from unlabeled.platform.draws import Draws
from unlabeled.platform.optim import OptimizerConfig

Loss = Callable[[Tensor, Draws], Tensor]
"""Returns the mean loss of some rows, int64 [B]; draws are of these rows in this pass."""


@dataclass(frozen=True)
class Fit:
    """How long and by what something is trained.

    Attributes:
        epochs: passes over the rows; each drops the last batch if it is incomplete and not the only one.
        min_steps: passes go on until so many steps are done.
        batch_size: rows a step, where there are so many.
        optimizer: how; the schedule ends with the last step.
    """

    epochs: int
    min_steps: int
    batch_size: int
    optimizer: OptimizerConfig

    def __call__(self, module: nn.Module, chosen: Tensor, loss: Loss, *scope: int | str) -> None:
        """Train a module.

        Args:
            module: its parameters are trained, in the mode that it is in.
            chosen: int64 [M], the rows to learn from, on the device that draws are wanted on.
            loss: of a batch of them.
            scope: what order and draws are keyed by.
        """
        optimizer = self.optimizer.build(module)
        steps_per_epoch = len(self.batches(chosen))
        total_steps = max(self.epochs * steps_per_epoch, self.min_steps)
        for step, (rows, draws) in enumerate(itertools.islice(self._passes(chosen, scope), total_steps)):
            learning_rate = self.optimizer.learning_rate_at(step, steps_per_epoch, total_steps, self.batch_size)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate
            value = loss(rows, draws)
            optimizer.zero_grad(set_to_none=True)
            value.backward()  # type: ignore[no-untyped-call]
            if self.optimizer.clip_norm is not None:
                torch.nn.utils.clip_grad_norm_(module.parameters(), self.optimizer.clip_norm)
            optimizer.step()

    def _passes(self, chosen: Tensor, scope: tuple[int | str, ...]) -> Iterator[tuple[Tensor, Draws]]:
        """Yield the rows of each batch, pass after pass without end, and their draws."""
        for epoch in itertools.count():
            order = Draws(chosen, *scope, epoch).uniform("order").argsort(stable=True)
            for rows in self.batches(chosen[order]):
                yield rows, Draws(rows, *scope, epoch)

    def batches(self, rows: Tensor) -> tuple[Tensor, ...]:
        """Return the rows of each batch of a pass."""
        batches = torch.split(rows, self.batch_size)
        return batches[:-1] if len(batches) > 1 and len(batches[-1]) < self.batch_size else batches
