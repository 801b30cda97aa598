"""One worker of test_survey.py, run as a script: trains a method that looks at all items between epochs."""

import sys
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn

from unlabeled.platform.augment import Flip, Policy, ViewPlan
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data, DataConfig, load
from unlabeled.platform.encoder import ConvNetConfig, Encoder
from unlabeled.platform.method import Batch, Method, MethodConfig, StepResult, Survey
from unlabeled.platform.processor import Processor
from unlabeled.platform.train.loop import Training

N = 600  # of which a worker of two takes a chunk more than the other


class TowardsConfig(MethodConfig):
    """Each item is drawn towards what the encoder made of it before the epoch, of one that chance chose."""

    name = "test-towards"
    views: ViewPlan = ViewPlan(views=(Policy(ops=(Flip(),)),))

    def build(self, encoder: Encoder, data: Data) -> "Towards":
        return Towards(encoder, len(data.pretrain))


class Towards(Method):
    goals: Tensor
    chosen: Tensor
    visits: Tensor

    def __init__(self, encoder: Encoder, items: int) -> None:
        super().__init__(encoder)
        self.register_buffer("goals", torch.zeros(items, encoder.dim))
        self.register_buffer("chosen", torch.zeros((), dtype=torch.int64))
        self.register_buffer("visits", torch.zeros((), dtype=torch.int64))

    def before_epoch(self, epoch: int, survey: Survey) -> None:
        assert self.visits == epoch
        self.visits.add_(1)
        self.goals.copy_(survey.features(self.encoder))
        self.chosen.copy_(survey.draws.uniform("chosen").argmax())

    def forward(self, batch: Batch) -> StepResult:
        goal = self.goals[batch.index] + self.goals[self.chosen]
        return StepResult(loss=(self.encoder(batch.views[0]) - goal).square().mean())


class Exact(Processor):
    """A CPU that computes in float64."""

    def layout(self, x: Tensor) -> Tensor:
        return x.double()


def training() -> Training:
    run = RunConfig(
        method=TowardsConfig(),
        data=DataConfig(train_images=N),
        encoder=ConvNetConfig(width=4),
        epochs=2,
        batch_size=100,
        precision="fp32",
    )
    torch.set_default_dtype(torch.float64)
    try:
        return Training(run, load(run.data), Exact(torch.device("cpu"), "fp32"))
    finally:
        torch.set_default_dtype(torch.float32)


class Reading(nn.Module):
    """Tells its mode and what it is shown: the mean of each item, and some of its pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(1)
        self.norm.eval()  # a part that is frozen stays so

    def forward(self, x: Tensor) -> Tensor:
        assert not self.training
        assert not torch.is_grad_enabled()
        return torch.cat([x.mean(dim=(1, 2, 3))[:, None], x[:, 0, 14, 8:16]], dim=1)


def results() -> dict[str, Tensor]:
    """Return the goals of each epoch, what a survey shows, and the last weights."""
    run = training()
    found: dict[str, Tensor] = {}
    survey_of: list[Survey] = []
    look = run.method.before_epoch

    def looking(epoch: int, survey: Survey) -> None:
        look(epoch, survey)
        survey_of.append(survey)

    run.method.before_epoch = looking  # type: ignore[method-assign]
    for step in run.steps():
        if step % run.steps_per_epoch == 0:
            for name in ("goals", "chosen"):
                found[f"{name} {step}"] = getattr(run.method, name).clone()
    reading = Reading()
    with torch.no_grad():
        found["read"] = survey_of[0].features(reading)
    assert reading.training
    assert not reading.norm.training
    return {**found, **run.method.state_dict()}


def main(own_rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder / 'meeting'}",
        rank=own_rank,
        world_size=2,
        timeout=timedelta(minutes=10),
    )
    torch.save(results(), folder / f"{own_rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
