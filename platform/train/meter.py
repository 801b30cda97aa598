"""Sums of what steps log, from which an epoch's means are made."""

from dataclasses import dataclass, field

from torch import Tensor

from unlabeled.platform import collective


@dataclass
class EpochMeter:
    """Sums of what one epoch's steps logged; part of a checkpoint, so that a resumed epoch logs the whole epoch."""

    steps: int = 0
    seconds: float = 0.0
    sums: dict[str, Tensor] = field(default_factory=dict)

    def add(self, logs: dict[str, Tensor]) -> None:
        """Add one step's scalars."""
        self.steps += 1
        for name, value in logs.items():
            value = value.detach().double()
            self.sums[name] = self.sums[name] + value if name in self.sums else value

    def means(self) -> dict[str, float]:
        """Return the mean of each scalar over the steps, over all workers."""
        return {name: collective.mean_over_workers(total / self.steps).item() for name, total in self.sums.items()}
