"""One worker of test_waiting.py, run as a script: one is behind the others for longer than collectives wait."""

import os
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import NoReturn

import torch
import torch.distributed as dist

from unlabeled.methods.contrastive.simclr import SimCLRConfig
from unlabeled.platform import collective
from unlabeled.platform.collective import waiting
from unlabeled.platform.config import EvaluationConfig, RunConfig
from unlabeled.platform.data import DataConfig, load
from unlabeled.platform.encoder import ConvNetConfig
from unlabeled.platform.errors import UserError
from unlabeled.platform.evaluate import KNN
from unlabeled.platform.processor import Processor
from unlabeled.platform.train.events import Event, Finished
from unlabeled.platform.train.execution import execute
from unlabeled.platform.train.measuring import Evaluation

TIMEOUT = timedelta(seconds=5)  # of collectives
LATE = {"_fitted": 0, "_views": 1}  # which worker takes so long for what
LATE_SECONDS = 6.5


def refused() -> NoReturn:
    raise UserError("temperature 0 must be above 0")


def broken() -> NoReturn:
    raise ValueError("ours")


def dies() -> NoReturn:
    os._exit(0)


def trains(folder: Path) -> None:
    """A run in whose every evaluation a worker takes longer than its workers wait for each other."""
    for name, late in LATE.items():
        measure = getattr(Evaluation, name)

        def slowly(*given: object, measure: object = measure) -> object:
            time.sleep(LATE_SECONDS)
            return measure(*given)  # type: ignore[operator]

        if collective.rank() == late:
            setattr(Evaluation, name, slowly)
    run = RunConfig(
        method=SimCLRConfig(head=(16, 8)),
        data=DataConfig(train_images=128),
        encoder=ConvNetConfig(width=4),
        epochs=1,
        batch_size=64,
        precision="fp32",
        evaluation=EvaluationConfig(follow_images=64, tsne_images=0, final=(KNN(),)),
    )
    events: list[Event] = []
    execute(run, load(run.data), folder, Processor(torch.device("cpu"), "fp32"), events.append)
    if collective.rank() == 0:
        finished = events[-1]
        assert isinstance(finished, Finished)
        print(f"trains: {len(events[0].epochs)} epochs before, notes {finished.notes}", flush=True)  # type: ignore[union-attr]


def main(rank: int, workers: int, folder: Path) -> None:
    torch.set_num_threads(1)
    store = dist.FileStore(str(folder / "meeting"), workers)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=workers)
    dist.barrier()  # starting takes as long as it takes
    dist.destroy_process_group()
    store = dist.PrefixStore("impatient", store)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=workers, timeout=TIMEOUT)
    trains(folder)
    waiting.BEAT_SECONDS, waiting.PATIENCE_SECONDS = 0.2, 3.0
    for ends in (refused, broken, dies):
        try:
            waiting.by_first(ends)
        except Exception as error:
            print(f"{ends.__name__}: {type(error).__name__}: {error}", flush=True)
    os._exit(0)  # the group is in pieces


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
