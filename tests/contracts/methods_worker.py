"""One worker of test_methods.py, run as a script: trains runs with the engine's own loop, and saves what came of them.

Loaded by the test instead, :func:`results` works alone on the whole batch: that is the truth to compare with. All in
float64: in float32, where batch norm sums a hundred thousand values, rounding would hide mistakes.
"""

import json
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from unlabeled.methods import METHODS
from unlabeled.platform.collective import mean_over_workers
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import load
from unlabeled.platform.processor import Processor
from unlabeled.platform.train.loop import Training

assert METHODS, "importing them makes them known to RunConfig"


class Exact(Processor):
    """A CPU that computes in float64."""

    def layout(self, x: Tensor) -> Tensor:
        """Widen the views."""
        return x.double()


def trained(run: RunConfig) -> dict[str, dict[str, Tensor]]:
    """Train ``run``; return the first step's loss and gradients, the state after it, and the state at the end."""
    torch.set_default_dtype(torch.float64)  # what a method is built in
    try:
        training = Training(run, load(run.data), Exact(torch.device("cpu"), "fp32"))
    finally:
        torch.set_default_dtype(torch.float32)
    steps = training.steps()
    next(steps)
    loss = {"loss": mean_over_workers(training.meter.sums["train/loss"])}
    gradients = {name: p.grad.clone() for name, p in training.method.named_parameters() if p.grad is not None}
    state = {name: value.clone() for name, value in training.method.state_dict().items()}
    for _ in steps:
        pass
    logs = {
        name: torch.tensor(value, dtype=torch.float64)
        for name, value in training.end_epoch().items()
        if name not in {"train/images_per_second", "train/seconds"}
    }
    last = training.method.state_dict()
    return {"first loss": loss, "first gradient": gradients, "first state": state, "last state": last, "logs": logs}


def results(runs: Mapping[str, str]) -> dict[str, dict[str, dict[str, Tensor]]]:
    """Train runs given as JSON, by name."""
    return {name: trained(RunConfig.model_validate_json(run)) for name, run in runs.items()}


def main(own_rank: int, workers: int, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder / 'meeting'}",
        rank=own_rank,
        world_size=workers,
        timeout=timedelta(minutes=10),  # a dead partner is noticed
    )
    torch.save(results(json.loads((folder / "runs.json").read_text())), folder / f"{own_rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
