"""Sums of what steps log, from which an epoch's means are made."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from unlabeled.platform import collective


@dataclass
class EpochMeter:
    """Sums of what one epoch's steps logged; part of a checkpoint, so that a resumed epoch logs the whole epoch.

    Attributes:
        steps: that were added.
        seconds: that they took.
        sums: float64 scalars by name, on the device: what steps log is added there, and nothing waits for it.
        looked: the steps, and the sum of their losses, when they were last looked at.
        losses: step of the run -> the mean loss of the steps that the look then found new; until it is said.
    """

    steps: int = 0
    seconds: float = 0.0
    sums: dict[str, Tensor] = field(default_factory=dict)
    looked: tuple[int, float] = (0, 0.0)
    losses: dict[int, float] = field(default_factory=dict)

    def add(self, logs: Mapping[str, Tensor]) -> None:
        """Add one step's scalars, which are on one device."""
        self.steps += 1
        made = torch.stack([value.detach().double() for value in logs.values()])
        if self.sums.keys() == logs.keys():
            made = made + torch.stack([self.sums[name] for name in logs])
            self.sums = dict(zip(logs, made.unbind(), strict=True))
        else:
            for name, value in zip(logs, made.unbind(), strict=True):
                self.sums[name] = self.sums[name] + value if name in self.sums else value

    def agree(self) -> None:
        """Make the sums the mean of all workers', so that a checkpoint, which is one worker's, speaks for all."""
        means = collective.mean_over_workers(torch.stack(list(self.sums.values())))
        self.sums = dict(zip(self.sums, means.unbind(), strict=True))

    def look(self, step: int, loss: float) -> None:
        """Note the mean loss since the last look, given the sum of the epoch's losses up to a step of the run."""
        steps, before = self.looked
        self.losses = {**self.losses, step: (loss - before) / (self.steps - steps)}
        self.looked = self.steps, loss

    def means(self) -> dict[str, float]:
        """Return the mean of each scalar over the steps, over all workers; a GPU is waited for once."""
        if not self.sums:
            return {}
        means = collective.mean_over_workers(torch.stack(list(self.sums.values())) / self.steps)
        return dict(zip(self.sums, means.tolist(), strict=True))
