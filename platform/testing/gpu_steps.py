"""Whole training steps on a GPU, real or pretended, in which nothing waits for it.

On a real one torch itself refuses what waits (``torch.cuda.set_sync_debug_mode``); the pretended one of
:mod:`unlabeled.platform.testing.no_waits` needs no GPU, and knows shapes only. Both take the loop's own steps: batch,
forward, loss, backward, optimiser, momentum copies, sums of what is logged.
"""

import contextlib
from collections.abc import Iterator
from unittest import mock

import torch
from torch.utils._foreach_utils import _get_fused_kernels_supported_devices

from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data
from unlabeled.platform.processor import Processor
from unlabeled.platform.testing.no_waits import no_waits
from unlabeled.platform.train.loop import Training
from unlabeled.platform.train.meter import EpochMeter

STEPS = 2


def take_steps(run: RunConfig, data: Data) -> Training:
    """Take steps of a run's first epoch on this machine's GPU, or else on the pretended one, and return it.

    One goes before (instead of on the pretended GPU, on the CPU), in which what is made once may wait: what the epoch
    begins with, memory, kernels, lists of weights. The last of an epoch may, too: it is looked at.

    Raises:
        ValueError: the run's epochs are too short.
        WaitError: on the pretended GPU something would have waited.
        RuntimeError: on a real one something did.
    """
    is_real = torch.cuda.is_available()
    training = Training(run, data, Processor.here(run.precision) if is_real else Processor(torch.device("cpu"), "fp32"))
    if training.steps_per_epoch < STEPS + 2:
        raise ValueError(f"an epoch needs {STEPS + 2} steps, to see whether any waits; got {training.steps_per_epoch}")
    with contextlib.closing(training.steps()) as taking:
        next(taking)
        with refusing_waits(training.processor.device) if is_real else _on_a_pretended_one(training):
            for _ in range(STEPS):
                next(taking)
    return training


@contextlib.contextmanager
def refusing_waits(device: torch.device) -> Iterator[None]:
    """Let torch refuse what waits for a real GPU; for a CPU nothing waits."""
    if device.type != "cuda":
        yield
        return
    torch.cuda.synchronize(device)
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


@contextlib.contextmanager
def _on_a_pretended_one(training: Training) -> Iterator[None]:
    fused_on = [*_get_fused_kernels_supported_devices(), "meta"]  # the pretended GPU's, which computes nothing
    asked = "torch.optim.optimizer._get_fused_kernels_supported_devices"
    with mock.patch(asked, return_value=fused_on), no_waits() as gpu:
        training.processor.device = gpu
        before = {parameter: name for name, parameter in training.method.named_parameters()}
        training.method.to(gpu, non_blocking=True)  # where parameters are others
        for group in training.optimizer.param_groups:
            group["params"] = [training.method.get_parameter(before[parameter]) for parameter in group["params"]]
        training.optimizer.state.clear()
        training.meter = EpochMeter()
        yield
