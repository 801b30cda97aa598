"""Tests of what only a GPU can show. They need neither Ray nor MLflow: a bare machine runs them.

``UNLABELED_TEST_DEVICE=cpu`` takes a CPU in its place, to try the tests themselves.
"""

import os
from pathlib import Path

import pytest
import torch

from unlabeled.platform.processor import Processor

HERE = Path(__file__).parent
DEVICE = torch.device(os.environ.get("UNLABELED_TEST_DEVICE", "cuda"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.needs("gpu"))


@pytest.fixture
def gpu() -> Processor:
    """The GPU, computing in float32."""
    return Processor(DEVICE, "fp32")
