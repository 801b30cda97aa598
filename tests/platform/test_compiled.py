"""Compiled encoders: the numbers of plain ones, for as long as a step lasts, on any number of workers."""

import copy
import itertools
from pathlib import Path
from typing import NoReturn

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo import register_backend

from unlabeled.methods.contrastive.simclr import SimCLRConfig
from unlabeled.methods.masked.mae import MAEConfig
from unlabeled.platform.collective.batch_norm import group_batch_norms
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data, PictureFormat
from unlabeled.platform.encoder import Encoder, Maps, StandardisingEncoder
from unlabeled.platform.errors import UserError
from unlabeled.platform.optim import SGD
from unlabeled.platform.processor import Processor
from unlabeled.platform.testing import worker
from unlabeled.platform.testing.examples import assert_same, distance, run_of
from unlabeled.platform.testing.gpu_steps import take_steps
from unlabeled.platform.train.compiled import CompiledEncoders, compiling
from unlabeled.platform.train.loaded import data_of
from unlabeled.platform.train.loop import Training

TRACED = "aot_eager"  # all of torch's compiler but the code that it writes: steps are what they were, bitwise
SETTINGS = {
    "in micro-batches": run_of(SimCLRConfig.example(), micro_batch=32),
    "what is visible": run_of(MAEConfig.example()),
}


def cpu() -> Processor:
    return Processor(torch.device("cpu"), "fp32")


def after(training: Training, steps: int = 3) -> dict[str, Tensor]:
    for _ in itertools.islice(training.steps(), steps):
        pass
    return {**training.method.state_dict(), "loss": training.meter.sums["train/loss"]}


@pytest.mark.parametrize("run", SETTINGS.values(), ids=list(SETTINGS))
def test_steps_through_traced_encoders_are_the_same(run: RunConfig) -> None:
    plain, data = Training(run, data_of(run), cpu()), data_of(run)
    with compiling(TRACED):
        traced = Training(run, data, cpu())
    assert (plain.compiler, traced.compiler) == (None, TRACED)
    called = seen(traced)
    assert_same(after(traced), after(plain))
    assert called, "what was compiled was used"


def seen(training: Training) -> list[str]:
    """List what is called of what was compiled, as it is called."""
    called: list[str] = []
    compiled = training._compiled
    for place, (module, name, made) in enumerate(compiled._instead):

        def call(*args: Tensor, made=made, name=name) -> object:  # type: ignore[no-untyped-def]
            called.append(name)
            return made(*args)

        compiled._instead[place] = (module, name, call)
    return called


def test_it_goes_on_from_a_checkpoint_of_a_run_that_was_not_compiled(small_run: RunConfig, small_data: Data) -> None:
    whole, begun = Training(small_run, small_data, cpu()), Training(small_run, small_data, cpu())
    after(begun, 3)
    with compiling(TRACED):
        resumed = Training(small_run, small_data, cpu())
    resumed.restore(begun.state())
    after(whole, 5)
    after(resumed, 2)
    assert_same(resumed.state(), whole.state())
    assert not any("maps" in vars(module) for module in resumed.method.modules()), "beside a step, it is what it was"


def test_nothing_waits_for_a_gpu() -> None:
    run = SETTINGS["in micro-batches"]
    with compiling(TRACED):
        take_steps(run, data_of(run))


def test_two_workers_take_the_steps_of_one(tmp_path: Path) -> None:
    run = run_of(SimCLRConfig.example(), optimizer=SGD(learning_rate=0.1), epochs=1)
    alone = worker.results({"run": run})["run"]
    both = worker.results_of_two({"run": run}, tmp_path, backend=TRACED)
    assert_same(both[0], both[1])
    for what, found in alone.items():
        off = distance(both[0]["run"][what], found)
        assert off
        assert not {path: error for path, error in off.items() if not error <= 1e-10}


class Small(StandardisingEncoder):
    """A convolution with batch norm."""

    def __init__(self) -> None:
        super().__init__(PictureFormat(1, 8, (0.3,), (0.2,)), dim=4)
        self.layer = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))

    def maps(self, x: Tensor) -> Maps:
        grid = self.layer(self.standardise(x)).relu()
        return Maps.of_grid(grid.mean(dim=(2, 3)), grid)


def gradient(encoder: Encoder, x: Tensor) -> Tensor:
    encoder.zero_grad()
    encoder(x).square().mean().backward()
    (found, *_) = (parameter.grad.clone() for parameter in encoder.parameters() if parameter.grad is not None)
    return found


def test_batch_norm_in_groups_is_traced_with_its_statistics() -> None:
    plain, x = Small(), torch.rand(16, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    group_batch_norms(plain, 2)
    compiled = copy.deepcopy(plain)
    with compiling(TRACED):
        encoders = CompiledEncoders(compiled)
    with encoders.in_use():
        assert torch.equal(gradient(compiled, x), gradient(plain, x))
    assert_same(compiled.state_dict(), plain.state_dict())


def broken(*_: object) -> NoReturn:
    raise RuntimeError("No working C++ compiler found\nwhere it was looked for")


def test_a_machine_without_a_compiler_is_told_so() -> None:
    register_backend(broken)
    with compiling("broken"):
        compiled = CompiledEncoders(Small())
    said = (
        r"--compile: torch can't compile the encoder here \(.*No working C\+\+ compiler found\); install a C\+\+ comp"
    )
    with pytest.raises(UserError, match=said), compiled.in_use():
        compiled._instead[0][0](torch.zeros(2, 1, 8, 8))
