"""Memory is measured in the process that the tests share, which is what a run meets too."""

import pytest
import torch
from torch import nn

from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data
from unlabeled.platform.processor import Processor, keep_freed_memory
from unlabeled.platform.train.loop import Training
from unlabeled.platform.train.memory import TrainingMemory, state_mb

pytestmark = pytest.mark.needs("linux")
TOLERANCE = 15.0  # MB: glibc's heap has holes


@pytest.fixture(scope="module")
def here() -> Processor:
    """A CPU whose process keeps what it frees, as in any run."""
    keep_freed_memory()
    return Processor(torch.device("cpu"), "fp32")


def use(megabytes: int) -> list[torch.Tensor]:
    return [torch.ones(250_000) for _ in range(megabytes)]  # in blocks, as training does


def test_the_peak_is_what_was_used_at_most_and_is_forgotten(here: Processor) -> None:
    here.forget_peak()
    before = here.memory_mb()
    assert here.peak_memory_mb() == pytest.approx(before, abs=TOLERANCE)
    held = use(100)
    assert here.memory_mb() - before == pytest.approx(100, abs=TOLERANCE)
    del held
    use(200)
    assert here.peak_memory_mb() - before == pytest.approx(200, abs=TOLERANCE)
    here.forget_peak()
    assert here.peak_memory_mb() == pytest.approx(before, abs=TOLERANCE), "what was freed has been given back"


def measured_mb(run: RunConfig, data: Data, processor: Processor) -> float:
    memory = TrainingMemory(processor)
    training = Training(run, data, processor)
    for step in training.steps():
        memory.follow(last=step % training.steps_per_epoch == 0)
        if step % training.steps_per_epoch == 0:
            use(300)  # an evaluation's, which is not training's
        memory.begin(training.method, training.optimizer)
    assert memory.training_mb is not None
    assert memory.peak_mb() > 300
    return memory.training_mb


def test_what_came_before_in_the_process_leaves_no_trace(
    small_run: RunConfig, small_data: Data, here: Processor
) -> None:
    small, large = small_run.with_field("batch_size", 16), small_run.with_field("batch_size", 256)
    first, big, again = (measured_mb(run, small_data, here) for run in (small, large, small))
    assert big > 40
    assert first < 0.5 * big
    assert again == pytest.approx(first, abs=TOLERANCE)


def test_a_single_step_is_not_measured(small_run: RunConfig, small_data: Data, here: Processor) -> None:
    memory, training = TrainingMemory(here), Training(small_run, small_data, here)
    next(training.steps())
    memory.follow(last=False)
    assert memory.training_mb is None
    assert memory.peak_mb() > 0


def test_the_state_is_weights_gradients_and_moments() -> None:
    net = nn.Linear(1000, 250, bias=False)
    optimizer = torch.optim.SGD(net.parameters(), momentum=0.9)
    assert state_mb(net, optimizer) == 1.0
    net(torch.ones(1, 1000)).sum().backward()
    assert state_mb(net, optimizer) == 2.0
    optimizer.step()
    assert state_mb(net, optimizer) == 3.0
    net.register_buffer("queue", torch.zeros(500_000))
    assert state_mb(net, optimizer) == 5.0
