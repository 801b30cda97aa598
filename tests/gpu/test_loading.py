"""Pictures that are read ahead into pinned memory, or live on the GPU, make the batches of a CPU."""

import pytest
import torch

from unlabeled.methods.contrastive.simclr import SimCLRConfig
from unlabeled.platform.augment import Crop, Flip, Policy, View, ViewPlan
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import DataConfig, load
from unlabeled.platform.data.threads import loader_threads
from unlabeled.platform.processor import Processor
from unlabeled.platform.train.ahead import read_steps
from unlabeled.platform.train.batches import Batches

DATA = DataConfig(name="fashion-mnist-12k", train_images=256)
PLAN = ViewPlan(views=(Policy(ops=(Crop(size=20), Flip())), View(of=1)), targets=("class",))


@pytest.mark.parametrize("room", [None, 0])
def test_batches_are_a_cpus(room: int | None, gpu: Processor, monkeypatch: pytest.MonkeyPatch) -> None:
    if room is not None:
        monkeypatch.setattr(Processor, "room_for_data", room)
    run, data = RunConfig(method=SimCLRConfig(views=PLAN), data=DATA, batch_size=64), load(DATA)
    there, here = Batches(run, data, gpu), Batches(run, data, Processor(torch.device("cpu"), "fp32"))
    with loader_threads(2):
        for step, stored in enumerate(read_steps(there, range(4), gpu)):
            assert stored.rows.is_pinned() or gpu.device.type == "cpu"
            found, expected = there.make(stored), here(step)
            for ours, theirs in zip(found.views, expected.views, strict=True):
                assert ours.device.type == gpu.device.type
                torch.testing.assert_close(ours.cpu(), theirs, rtol=0, atol=1e-5)
            for ours, theirs in zip(found.to_view, expected.to_view, strict=True):
                torch.testing.assert_close(ours.cpu(), theirs, rtol=1e-6, atol=1e-5)
            assert torch.equal(found.index.cpu(), expected.index)
            assert torch.equal(found.targets["class"].cpu(), expected.targets["class"])
