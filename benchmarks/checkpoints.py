"""What do checkpoints cost a run? Takes minutes, so it runs only by its name.

SimCLR on a ViT-S of 22 million parameters with AdamW at 28 px, whose state is 0.27 GB, in this process on one thread;
that of a ViT-B is four times as large and takes four times as long between two checkpoints, for the same share.

* One interval of training with its checkpoint, in turns with the same number of steps without: CPU seconds of the
  process, in which the writing thread counts like any other, and seconds on the wall clock. Target: at most 2 % more of
  the first.
* How long a step waits for its state to be saved, beside saving it within the step. No target.
"""

import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.compare import Row, one_thread
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import load
from unlabeled.platform.encoder import TimmConfig
from unlabeled.platform.processor import Processor
from unlabeled.platform.train import checkpoint
from unlabeled.platform.train.loop import Training
from unlabeled.platform.train.memory import state_mb
from unlabeled.platform.train.saving import Saver
from unlabeled.studies.projection_head import STUDY

MODEL, BATCH = "vit_small_patch16_224", 16
TURNS = 3
ALLOWED = 1.02


class Turn(NamedTuple):
    """One interval, with its checkpoint and without."""

    cpu: tuple[float, float]
    wall: tuple[float, float]
    waited: float
    within: float


def rows() -> Iterator[Row]:
    run = small_steps()
    with tempfile.TemporaryDirectory() as folder, one_thread():
        training = Training(run, load(run.data), Processor.here(run.precision, 0.0))
        steps = training.steps()
        next(steps)  # its optimiser has a state from then on
        saver = Saver(Path(folder), _fail)
        saver.save(training.step, training.state())  # and this one memory for its copy
        saver.close()
        turns = [take_turn(training, steps, saver, Path(folder, "within")) for _ in range(TURNS)]
    mb = state_mb(training.method, training.optimizer)
    for what, sides in (("CPU", [turn.cpu for turn in turns]), ("wall", [turn.wall for turn in turns])):
        ratio = statistics.median(own / bare for own, bare in sides)
        own, bare = (statistics.median(side) for side in zip(*sides, strict=True))
        yield Row.of_ratio(
            what=f"an interval's steps with a checkpoint, {what} time",
            ours=f"{own:.1f} s",
            reference=f"{bare:.1f} s, without",
            ratio=ratio,
            most=ALLOWED if what == "CPU" else None,
        )
    waited, within = (statistics.median(getattr(turn, name) for turn in turns) for name in ("waited", "within"))
    yield Row(
        what=f"what a step waits for a checkpoint of {mb:.0f} MB",
        ours=f"{waited * 1e3:.0f} ms",
        reference=f"{within * 1e3:.0f} ms, written within it",
        ratio=waited / within,
    )


def small_steps() -> RunConfig:
    """Return a run whose steps are short for its weights."""
    run = STUDY.base("laptop").with_field("method.head", STUDY.rows["non-linear"]["method.head"])
    run = run.with_field("encoder", TimmConfig(model=MODEL, patch_px=14)).with_field("optimizer.name", "adamw")
    return run.with_field("batch_size", BATCH).with_field("epochs", 10_000)


def take_turn(training: Training, steps: Iterator[int], saver: Saver, folder: Path) -> Turn:
    """Train until the next checkpoint would be due, then as many steps without one."""
    cpu, wall = time.process_time(), time.perf_counter()
    saver.save(training.step, training.state())
    waited, number = time.perf_counter() - wall, 0
    while not saver.is_due(0.0):
        next(steps)
        number += 1
    own = time.process_time() - cpu, time.perf_counter() - wall
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(number):
        next(steps)
    bare = time.process_time() - cpu, time.perf_counter() - wall
    started = time.perf_counter()
    checkpoint.save(folder, training.step, training.state())
    return Turn((own[0], bare[0]), (own[1], bare[1]), waited, time.perf_counter() - started)


def _fail(reason: str) -> None:
    raise RuntimeError(f"a checkpoint was not written: {reason}")
