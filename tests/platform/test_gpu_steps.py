"""Training steps on a GPU: with every optimiser, in micro-batches, and what happens where one waits."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from unlabeled.methods.contrastive.moco import MoCoConfig
from unlabeled.methods.contrastive.simclr import SimCLR, SimCLRConfig
from unlabeled.methods.innate.rotnet import RotNetConfig
from unlabeled.platform.method import MethodConfig, StepResult
from unlabeled.platform.optim import LARS, SGD, AdamW, OptimizerConfig
from unlabeled.platform.testing.examples import run_of
from unlabeled.platform.testing.gpu_steps import take_steps
from unlabeled.platform.testing.no_waits import WaitError
from unlabeled.platform.train.loaded import data_of


@pytest.mark.parametrize("optimizer", [SGD(), AdamW(), LARS()], ids=lambda each: each.name)
def test_no_optimiser_waits_nor_does_clipping(optimizer: OptimizerConfig) -> None:
    run = run_of(SimCLRConfig.example(), optimizer=optimizer.with_field("clip_norm", 1.0))
    taken = take_steps(run, data_of(run))
    assert "train/gradient_norm" in taken.meter.sums
    assert taken.meter.steps >= 2


@pytest.mark.parametrize("config", [SimCLRConfig, RotNetConfig])  # cached, accumulated
def test_micro_batches_do_not_wait(config: type[MethodConfig]) -> None:
    run = run_of(config.example(), micro_batch=16)
    take_steps(run, data_of(run))


@pytest.mark.parametrize("what", ["symmetric", "synchronised"])
def test_what_a_method_does_else_does_not_wait_either(what: str) -> None:
    example = MoCoConfig.example()
    run = run_of(example, example.others[what])
    take_steps(run, data_of(run))


def test_epochs_too_short_to_judge_by_are_said() -> None:
    run = run_of(SimCLRConfig.example(), batch_size=128)
    with pytest.raises(ValueError, match="an epoch needs 4 steps, to see whether any waits; got 2"):
        take_steps(run, data_of(run))


WAITS: dict[str, Callable[[SimCLR, StepResult], Any]] = {
    "a number": lambda method, result: result.loss.item(),
    "a branch": lambda method, result: bool(result.loss > 0.0),
    "numbers of Python": lambda method, result: torch.tensor([1.0], device=result.loss.device),
    "a choice of rows": lambda method, result: next(method.head.parameters())[next(method.head.parameters()) > 0.0],
}


@pytest.mark.parametrize("wait", WAITS.values(), ids=list(WAITS))
def test_a_method_that_waits_is_seen(wait: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    original = SimCLR.contrast

    def contrast(self: SimCLR, *args: Any) -> StepResult:
        result = original(self, *args)
        wait(self, result)
        return result

    monkeypatch.setattr(SimCLR, "contrast", contrast)
    run = run_of(SimCLRConfig.example())
    with pytest.raises(WaitError if not torch.cuda.is_available() else RuntimeError):
        take_steps(run, data_of(run))
