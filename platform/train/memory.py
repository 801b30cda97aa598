"""How much memory training takes by itself, in a process that also imports, evaluates, and serves other runs.

Comparable between methods and batch sizes only if what happened before in the process leaves no trace. So it is what
the steps after the first one add to the process, once the memory that others freed has been given back, and the size of
what the first step left: weights, gradients and the optimiser's state. The first step itself also loads libraries and
compiles kernels, once per process, for 180 MB on a CPU.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from unlabeled.platform.processor import Processor


class TrainingMemory:
    """Measures one run, from its second step in this process to the end of that epoch, or until it is saved.

    Attributes:
        training_mb: see the module; None until two steps were taken, and where the system does not tell.
    """

    def __init__(self, processor: Processor) -> None:
        processor.forget_peak()
        self.processor = processor
        self.training_mb: float | None = None
        self._before_mb = 0.0
        self._floor_mb: float | None = None
        self._begun = self._open = False

    def begin(self, method: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Start measuring, after a step and whatever follows it; does nothing the next time."""
        if self._begun:
            return
        self._begun = True
        self._before_mb = self.processor.peak_memory_mb()
        forgotten, used_mb = self.processor.forget_peak(), self.processor.memory_mb()
        if forgotten and used_mb is not None:
            self._floor_mb = used_mb - state_mb(method, optimizer)
            self._open = True

    def follow(self, last: bool) -> None:
        """Look at the peak right after a step; for the last time, where evaluation or saving comes next."""
        if self._open and self._floor_mb is not None:
            self.training_mb = self.processor.peak_memory_mb() - self._floor_mb
            self._open = not last

    def peak_mb(self) -> float:
        """Return the most memory since this was made: of a GPU's tensors, or of the whole process."""
        return max(self._before_mb, self.processor.peak_memory_mb())


def state_mb(method: nn.Module, optimizer: torch.optim.Optimizer) -> float:
    """Return the size of weights, buffers, gradients and the optimiser's state, MB."""
    return sum(x.numel() * x.element_size() for x in _state(method, optimizer)) / 1e6


def _state(method: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[Tensor]:
    for parameter in method.parameters():
        yield parameter
        if parameter.grad is not None:
            yield parameter.grad
    yield from method.buffers()
    for state in optimizer.state.values():
        yield from (value for value in state.values() if isinstance(value, Tensor))
