"""Tests of what only a GPU can show. They need neither Ray nor MLflow: a bare machine runs them.

``UNLABELED_TEST_DEVICE=cpu`` takes a CPU in its place, to try the tests themselves.
"""

import os

import pytest
import torch

from unlabeled.platform.processor import Processor

DEVICE = torch.device(os.environ.get("UNLABELED_TEST_DEVICE", "cuda"))


@pytest.fixture(autouse=True)
def _one_line_where_there_is_none() -> None:
    if DEVICE.type == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a GPU that torch can use, and is for nothing else")


@pytest.fixture
def gpu() -> Processor:
    """The GPU, computing in float32."""
    return Processor(DEVICE, "fp32")
