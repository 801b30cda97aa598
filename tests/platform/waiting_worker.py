"""One worker of test_waiting.py, run as a script: the first does something alone, for longer than collectives wait."""

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
from unlabeled.platform.processor import Processor
from unlabeled.platform.train.events import Event, Finished
from unlabeled.platform.train.execution import execute
from unlabeled.platform.train.measuring import Evaluation

TIMEOUT = timedelta(seconds=5)  # of collectives
LONG = {"untrained": 12.0, "follow": 7.0}  # seconds


def refused() -> NoReturn:
    raise UserError("temperature 0 must be above 0")


def broken() -> NoReturn:
    raise ValueError("ours")


def dies() -> NoReturn:
    os._exit(0)


def trains(folder: Path) -> None:
    """A run whose every evaluation takes longer than its workers wait for each other."""
    for name, seconds in LONG.items():
        measure = getattr(Evaluation, name)

        def slowly(*given: object, measure: object = measure, seconds: float = seconds) -> object:
            time.sleep(seconds)
            return measure(*given)  # type: ignore[operator]

        setattr(Evaluation, name, slowly)
    run = RunConfig(
        method=SimCLRConfig(head=(16, 8)),
        data=DataConfig(train_images=128),
        encoder=ConvNetConfig(width=4),
        epochs=1,
        batch_size=64,
        precision="fp32",
        evaluation=EvaluationConfig(follow_images=64, tsne_images=0, final=()),
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
