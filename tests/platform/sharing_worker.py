"""One worker of test_sharing.py, run as a script: measures a run together with another, which fails in the end."""

import os
import sys
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from grids import data_of, scenes
from torch import Tensor, nn

from unlabeled.methods.contrastive.simclr import SimCLR, SimCLRConfig
from unlabeled.platform import collective
from unlabeled.platform.augment import Crop, Policy, two_views
from unlabeled.platform.collective import waiting
from unlabeled.platform.config import EvaluationConfig, RunConfig
from unlabeled.platform.data import Data, DataConfig, Source, load
from unlabeled.platform.encoder import ConvNetConfig
from unlabeled.platform.errors import UserError
from unlabeled.platform.evaluate import KNN, Corruption, FineTune, Linear, Segment, every, extraction, sharing
from unlabeled.platform.processor import Processor
from unlabeled.platform.train import measuring
from unlabeled.platform.train.built import build_method
from unlabeled.platform.train.events import Event
from unlabeled.platform.train.execution import execute
from unlabeled.platform.train.measuring import Evaluation
from unlabeled.platform.train.readings import Readings

CPU = Processor(torch.device("cpu"), "fp32")
TIMEOUT = timedelta(minutes=5)  # of collectives: a deadline for hangs
SHORT_TIMEOUT, SLOW_SECONDS = timedelta(seconds=6), 7.0  # where one chunk takes longer than that
CHUNK, FOLLOWED = 8, 20  # three chunks, the last of four: the second worker is once without
FINAL = (
    *every((KNN(), Linear(max_iterations=5)), layers=("", "block1"), told=("class", "rotation")),
    *every((KNN(),), shown=(Corruption(kind="noise", severity=3),)),
    *every((Segment(epochs=1, min_steps=2), FineTune(epochs=1, min_steps=2))),
)
RUN = RunConfig(
    method=SimCLRConfig(views=two_views(Policy(ops=(Crop(size=24),))), head=(16, 8)),
    data=DataConfig(train_images=128),
    encoder=ConvNetConfig(width=4),
    epochs=1,
    batch_size=64,
    precision="fp32",
    evaluation=EvaluationConfig(
        follow_images=FOLLOWED, tsne_images=0, follow=every((KNN(),), layers=("", "head")), final=FINAL
    ),
)

SHORT = RUN.with_field("evaluation.final", FINAL[:1])


def made() -> Data:
    """Return pictures whose test split is a single chunk."""
    data = data_of(scenes())
    return replace(data, test=data.test.take(torch.arange(5)))


class Fails(nn.Module):
    """Fails where the last of the workers looks."""

    def forward(self, x: Tensor) -> Tensor:
        if collective.rank() == collective.world_size() - 1:
            raise ValueError("on purpose")
        return x.flatten(1)


class Odd(Source):
    """A source of which something happens when an item of the second chunk is read."""

    def __init__(self, source: Source, error: BaseException | float) -> None:
        self.source, self.fields, self.error = source, source.fields, error

    def __len__(self) -> int:
        return len(self.source)

    def read(self, index: Tensor, field: str) -> Tensor | list[str]:
        if field == "image" and CHUNK in index:
            if isinstance(self.error, BaseException):
                raise self.error
            time.sleep(self.error)
        return self.source.read(index, field)

    def take(self, rows: Tensor) -> Source:
        return Odd(self.source.take(rows), self.error)


def results() -> dict[str, Any]:
    """Return all features that were read, all scores, and all notes."""
    extraction.CHUNK = measuring.CHUNK = CHUNK  # type: ignore[attr-defined]
    sharing.BYTES = 2**12  # several pieces a chunk
    data, read, reads = made(), dict[str, Tensor](), Readings.read

    def kept(*given: Any, **named: Any) -> Any:
        found = reads(*given, **named)
        for reading, features in found.items():
            name = f"{len(read)}: {given[3]} {reading.layer} {reading.told}"
            read.update({name: features.x, **({} if features.labels is None else {f"{name}'s": features.labels})})
        return found

    Readings.read = kept  # type: ignore[method-assign,assignment]
    try:
        method = build_method(RUN, data, CPU)
        sound = Evaluation(RUN, data, CPU)
        scores = [sound.follow(method), sound.final(method), sound.untrained(method)]
    finally:
        Readings.read = reads  # type: ignore[method-assign]
    assert isinstance(method, SimCLR)
    method.head = Fails()  # type: ignore[assignment]
    odd = Evaluation(RUN, replace(data, train=Odd(data.train, UserError("7.png is no picture"))), CPU)
    return {
        "read": read,
        "scores": scores,
        "odd scores": [odd.follow(method), odd.final(method)],
        "notes": [list(sound.notes), list(odd.notes)],
    }


def ends(data: Data) -> str:
    """Say how an evaluation ends."""
    evaluation = Evaluation(RUN, data, CPU)
    try:
        found = evaluation.untrained(build_method(RUN, data, CPU))
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return f"{len(found)} scores, {list(evaluation.notes)}"


def dies(folder: Path) -> str:
    """Train a run whose second worker dies in the last evaluation; say how the first ends."""
    if collective.rank() == 1:
        Evaluation.final = lambda *_: os._exit(0)  # type: ignore[method-assign,assignment]
    waiting.BEAT_SECONDS, waiting.PATIENCE_SECONDS = 0.2, 3.0
    events: list[Event] = []
    try:
        execute(SHORT, load(SHORT.data), folder, CPU, events.append)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "well"


def main(rank: int, workers: int, folder: Path) -> None:
    torch.set_num_threads(1)

    def meet(where: str, timeout: timedelta) -> None:
        store = dist.FileStore(str(folder / where), workers)
        dist.init_process_group("gloo", store=store, rank=rank, world_size=workers, timeout=timeout)

    meet("meeting", TIMEOUT)
    torch.save(results(), folder / f"{rank}.pt")
    dist.destroy_process_group()
    meet("short meeting", SHORT_TIMEOUT)
    data = made()
    print(f"slow: {ends(replace(data, train=Odd(data.train, SLOW_SECONDS)))}", flush=True)
    dist.destroy_process_group()
    meet("last meeting", TIMEOUT)
    for name, odd in (("no memory", MemoryError("none")), ("refused", UserError("no picture"))):
        print(f"{name}: {ends(replace(data, train=Odd(data.train, odd)))}", flush=True)
    print(f"dies: {dies(folder)}", flush=True)
    os._exit(0)  # the group is in pieces


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
