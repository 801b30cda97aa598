"""A GPU's state is saved as it was between two steps, while the steps that follow are already asked of it."""

from pathlib import Path

import pytest
import torch

from unlabeled.platform.processor import Processor
from unlabeled.platform.train.checkpoint import load_newest
from unlabeled.platform.train.saving import Saver


def test_a_state_is_copied_in_its_turn(gpu: Processor, tmp_path: Path) -> None:
    saver = Saver(tmp_path, pytest.fail)
    x, busy = torch.zeros(1_000_000, device=gpu.device), torch.rand(1000, 1000, device=gpu.device)
    for step in (1, 2, 3):
        for _ in range(20):  # what the GPU has yet to do when its state is asked for
            busy = (busy @ busy).sigmoid()
        x.add_(1.0)
        saver.save(step, {"x": x, "rows": x[:7], "step": step})
        x.mul_(2.0)
        saver.close()
        found = load_newest(tmp_path)
        assert found is not None
        assert found["x"].device.type == "cpu", "and not beside the live state"
        assert found["x"].unique().tolist() == [2.0**step - 1.0]
        assert torch.equal(found["rows"], found["x"][:7])
    assert all(copy.is_pinned() for copy in saver._copy._kept.values()) or gpu.device.type == "cpu"
    assert saver.cost_seconds > 0.0
