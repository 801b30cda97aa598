"""Waiting for the GPU as an error."""

import contextlib
from collections.abc import Iterator

import torch

from unlabeled.platform.processor import Processor


@contextlib.contextmanager
def no_waits(gpu: Processor) -> Iterator[None]:
    """Turn whatever waits for the GPU inside into an error; on a CPU nothing waits."""
    if gpu.device.type != "cuda":
        yield
        return
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")
