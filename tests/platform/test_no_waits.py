"""The pretended GPU: what would wait for a real one is an error, and nothing else is."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from unlabeled.platform.testing.no_waits import WaitError, no_waits

HERE = torch.tensor([2.0, 0.0, 3.0])

WAITS = {
    "a number asked for": lambda gpu, x: x.sum().item(),
    "a branch": lambda gpu, x: 1 if x.sum() > 0 else 0,
    "a list": lambda gpu, x: x.tolist(),
    "nonzero": lambda gpu, x: x.nonzero(),
    "a mask as an index": lambda gpu, x: x[x > 0],
    "a mask that is assigned to": lambda gpu, x: x.__setitem__(x > 0, x[:2]),
    "an indexed list": lambda gpu, x: x[[0, 2]],
    "an index on the CPU": lambda gpu, x: x[torch.tensor([0, 2])],
    "a copy to the CPU": lambda gpu, x: x.cpu(),
    "a copy to the CPU that does not block": lambda gpu, x: x.to("cpu", non_blocking=True),
    "a copy into a tensor of the CPU": lambda gpu, x: torch.zeros(3).copy_(x),
    "a copy from the CPU": lambda gpu, x: HERE.to(gpu),
    "an assignment from the CPU": lambda gpu, x: x.copy_(HERE),
    "Python numbers": lambda gpu, x: torch.tensor([1.0, 2.0], device=gpu),
    "one Python number": lambda gpu, x: torch.tensor(1.0, device=gpu),
    "Python numbers like a tensor": lambda gpu, x: x.new_tensor([1.0, 2.0]),
    "NumPy": lambda gpu, x: torch.as_tensor(HERE.numpy(), device=gpu),
    "distinct values": lambda gpu, x: x.unique(),
    "a comparison": lambda gpu, x: torch.equal(x, x),
    "counts": lambda gpu, x: torch.bincount(x.long()),
    "classes to be counted": lambda gpu, x: F.one_hot(x.long()),
    "repetitions by numbers": lambda gpu, x: x.repeat_interleave(x.long()),
    "an inverse, which is checked": lambda gpu, x: torch.linalg.inv(x[:, None] * x),
}

GOES_ON = {
    "a copy that does not block": lambda gpu, x: HERE.to(gpu, non_blocking=True),
    "numbers made there": lambda gpu, x: torch.full((3,), 2.0, device=gpu) + torch.arange(3, device=gpu),
    "a Python number beside it": lambda gpu, x: (x * 2.0).clamp_(0.0, 1.0) + torch.tensor(2.0),
    "one number assigned": lambda gpu, x: x.__setitem__(0, 3.0),
    "a choice": lambda gpu, x: torch.where(x > 0, x, 0.5).masked_fill(x > 1, 1.0),
    "one number assigned by a mask": lambda gpu, x: x.__setitem__(x > 0, 3.0),
    "an index there": lambda gpu, x: x[x.argsort()],
    "classes that are known": lambda gpu, x: F.one_hot(x.long(), 4),
    "shapes": lambda gpu, x: [len(x), x.shape, x.repeat_interleave(2), x[:, None].expand(3, 3)],
    "an unchecked inverse": lambda gpu, x: torch.linalg.inv_ex(x[:, None] * x),
}


@pytest.mark.parametrize("what", WAITS)
def test_what_waits_is_an_error(what):
    with no_waits() as gpu:
        x = torch.ones(3, device=gpu)
        with pytest.raises(WaitError, match=r"waits for (numbers from )?the GPU"):
            WAITS[what](gpu, x)


@pytest.mark.parametrize("what", GOES_ON)
def test_what_does_not_wait_goes_on(what):
    with no_waits() as gpu:
        GOES_ON[what](gpu, torch.ones(3, device=gpu))


def test_the_cpu_computes_meanwhile():
    with no_waits():
        assert HERE[HERE > 0].tolist() == [2.0, 3.0]
        assert torch.tensor([1, 2]).sum().item() == 3


def test_a_model_trains_on_it():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5))
    with no_waits() as gpu:
        model.to(gpu, non_blocking=True)
        optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
        loss = F.cross_entropy(model(torch.ones(2, 3, 8, 8, device=gpu)), torch.zeros(2, dtype=torch.int64, device=gpu))
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        with pytest.raises(WaitError, match="waits for numbers from the GPU"):
            loss.item()
