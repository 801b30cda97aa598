"""One of several workers that train runs with the engine's own loop, and save what came of them.

Called in a process alone, :func:`results` works on the whole batch: that is the truth to compare with.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from unlabeled.platform.collective import mean_over_workers
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data
from unlabeled.platform.drive import parcel
from unlabeled.platform.testing.examples import Exact
from unlabeled.platform.testing.processes import run_together
from unlabeled.platform.train.compiled import compiling
from unlabeled.platform.train.loaded import data_of
from unlabeled.platform.train.loop import Training

Results = dict[str, dict[str, dict[str, Tensor]]]


def trained(run: RunConfig, data: Data) -> dict[str, dict[str, Tensor]]:
    """Train on data; return the first step's loss and gradients, the state after it, and the state at the end."""
    torch.set_default_dtype(torch.float64)  # what a method is built in
    try:
        training = Training(run, data, Exact())
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


def results(
    runs: Mapping[str, RunConfig],
    backend: str | None = None,
    data_of: Callable[[RunConfig], Data] = data_of,
) -> Results:
    """Train runs, by name, each on its data; if a backend of torch's compiler is named, through encoders it made."""
    with compiling(backend):
        return {name: trained(run, data_of(run)) for name, run in runs.items()}


def results_of_two(
    runs: Mapping[str, RunConfig], folder: Path, options: Sequence[str] = (), backend: str | None = None
) -> list[Results]:
    """Train runs on two real gloo workers; return what each of them found.

    Args:
        runs: by name.
        folder: an empty one.
        options: of Python.
        backend: as in :func:`results`.
    """
    (folder / "runs").write_text(parcel.packed(dict(runs)))
    call = f"from {__name__} import main; main({{}}, 2, {str(folder)!r}, {backend!r})"
    run_together([(*options, "-c", call.format(number)) for number in range(2)])
    return [torch.load(folder / f"{number}.pt") for number in range(2)]


def main(own_rank: int, workers: int, place: str, backend: str | None = None) -> None:
    """Train as one of the workers."""
    folder = Path(place)
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder / 'meeting'}",
        rank=own_rank,
        world_size=workers,
        timeout=timedelta(minutes=10),  # a dead partner is noticed
    )
    runs: Mapping[str, RunConfig] = parcel.unpacked((folder / "runs").read_text())
    torch.save(results(runs, backend), folder / f"{own_rank}.pt")
    dist.destroy_process_group()
