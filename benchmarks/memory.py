"""How much memory does a large batch need, and what does saving it cost?

Measured, at the laptop scale of the study of projection heads (28 px, small convnet, two views), each case in a process
of its own on one thread, cases in turns: the whole process's peak memory, start, imports and data included; of it the
training's own share, which is what its steps add to the process, its weights and the optimiser's state; and images per
second of CPU time.

* SimCLR, batch 4096 in micro-batches of 256, against batch 256. Targets: at most 1.5 times the process's peak memory,
  and at least 0.6 of its images per second (twice the forward pass makes 0.75 at best).
* The gradient in micro-batches against the whole batch's, in float32, for an encoder without batch norm: the largest
  difference in any tensor, as a share of the tensor's largest entry. Target: below 1e-4, rounding.
* Training's memory and CPU time by method, as MoCo v2's table 3 has it: MoCo, whose negatives wait in a queue, against
  SimCLR, end-to-end, whose negatives are in the batch. The published ratios stand beside ours. No targets: 8 GPUs and
  a ResNet-50 have other proportions.
"""

import csv
import json
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from torch import Tensor

from benchmarks.command import ROOT, python
from benchmarks.compare import Row, one_thread
from unlabeled.methods.contrastive.moco import MoCoConfig
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import load
from unlabeled.platform.encoder import TimmConfig
from unlabeled.platform.processor import Processor
from unlabeled.platform.train.loop import Training
from unlabeled.platform.train.memory import TrainingMemory
from unlabeled.studies.projection_head import STUDY

SMALL, LARGE = 256, 4096
IMAGES = 2 * LARGE  # trained on in each measurement, after one step that isn't measured
ROUNDS = 3
MAX_MEMORY = 1.5
LEAST_SPEED = 0.6
MAX_DIFFERENCE = 1e-4
QUEUES = (4096, 65_536)  # one end-to-end batch of 4096, roughly; and MoCo's own


class Case(NamedTuple):
    """A run to measure."""

    batch: int
    micro_batch: int | None = None
    queue: int | None = None  # MoCo's; None is SimCLR

    def run(self) -> RunConfig:
        """Return it at the study's scale, with all pictures that a large batch needs."""
        run = STUDY.base("laptop").with_field("method.head", STUDY.rows["non-linear"]["method.head"])
        if self.queue is not None:
            run = run.with_field(
                "method", MoCoConfig(views=run.method.views, head=run.flat()["method.head"], queue=self.queue)
            )
        run = run.with_field("data.train_images", LARGE).with_field("epochs", 1000)
        return run.with_field("batch_size", self.batch).with_field("micro_batch", self.micro_batch)


class Measured(NamedTuple):
    """What one case took."""

    process_mb: float
    training_mb: float
    images_per_second: float


WHOLE, CUT, END_TO_END = Case(SMALL), Case(LARGE, SMALL), Case(LARGE)
MOCO = tuple(Case(SMALL, queue=queue) for queue in QUEUES)


def rows() -> Iterator[Row]:
    cases = (WHOLE, CUT, *MOCO, END_TO_END)
    turns = [{case: _in_a_new_process(case) for case in cases} for _ in range(ROUNDS)]
    yield from _large_batch(turns)
    yield _gradient()
    yield from _mechanisms(turns)


def _large_batch(turns: Sequence[Mapping[Case, Measured]]) -> Iterator[Row]:
    what = f"SimCLR, batch {LARGE} in parts of {SMALL}"
    shown = {case: _median(turns, case) for case in (CUT, WHOLE)}
    memory = shown[CUT].process_mb / shown[WHOLE].process_mb
    speed = statistics.median(turn[CUT].images_per_second / turn[WHOLE].images_per_second for turn in turns)
    yield Row.of_ratio(
        what=f"{what}: peak memory",
        ours=f"{shown[CUT].process_mb:.0f} MB",
        reference=f"{shown[WHOLE].process_mb:.0f} MB, batch {SMALL}",
        ratio=memory,
        most=MAX_MEMORY,
    )
    yield Row(
        what="  of it the training's own",
        ours=f"{shown[CUT].training_mb:.0f} MB",
        reference=f"{shown[WHOLE].training_mb:.0f} MB, batch {SMALL}",
        ratio=shown[CUT].training_mb / shown[WHOLE].training_mb,
    )
    yield Row.of_ratio(
        what=f"{what}: speed",
        ours=f"{shown[CUT].images_per_second:,.0f} images/s",
        reference=f"{shown[WHOLE].images_per_second:,.0f} images/s, batch {SMALL}",
        ratio=speed,
        least=LEAST_SPEED,
    )


def _gradient() -> Row:
    """Compare gradients after the first step from the same weights."""
    vit = TimmConfig(model="vit_tiny_patch16_224", patch_px=7)
    run = WHOLE.run().with_field("encoder", vit).with_field("method.head", (128,)).with_field("precision", "fp32")
    micro_batch = SMALL // 8
    whole, cut = _first_gradients(run), _first_gradients(run.with_field("micro_batch", micro_batch))
    difference = max(
        float((cut[name] - gradient).abs().max() / gradient.abs().max()) for name, gradient in whole.items()
    )
    return Row(
        what=f"gradient, SimCLR on {vit.name.split('_patch')[0]}, batch {SMALL}",
        ours=f"in parts of {micro_batch}",
        reference=f"the whole batch's: differs by {difference:.0e}",
        target=f"below {MAX_DIFFERENCE:.0e}",
        met=difference < MAX_DIFFERENCE,
    )


def _first_gradients(run: RunConfig) -> dict[str, Tensor]:
    with one_thread():
        training = Training(run, load(run.data), Processor.here(run.precision))
        next(training.steps())
    return {name: p.grad for name, p in training.method.named_parameters() if p.grad is not None and p.grad.any()}


def _mechanisms(turns: Sequence[Mapping[Case, Measured]]) -> Iterator[Row]:
    with open(ROOT / "studies" / "published" / "mechanism_cost.csv") as file:
        table = {(line["mechanism"], int(line["batch"])): line for line in csv.DictReader(file)}

    def published(mechanism: str, batch: int, column: str) -> str:
        ours, base = table[mechanism, batch][column], table["end-to-end", SMALL][column]
        return "none" if ours == "NA" else f"{float(ours) / float(base):.2f}"

    reference = _median(turns, WHOLE)
    for case in (*MOCO, END_TO_END):
        mechanism, keys = ("end-to-end", "") if case.queue is None else ("MoCo", f", {case.queue:,} keys")
        ours = _median(turns, case)
        yield Row(
            what=f"{mechanism}, batch {case.batch}{keys}: training's memory",
            ours=f"{ours.training_mb:,.0f} MB",
            reference=f"{reference.training_mb:.0f} MB, end-to-end, batch {SMALL}; "
            f"published ratio {published(mechanism, case.batch, 'memory_gb_per_gpu')}",
            ratio=ours.training_mb / reference.training_mb,
        )
        yield Row(
            what=f"{mechanism}, batch {case.batch}{keys}: time",
            ours=f"{1e3 / ours.images_per_second:.2f} ms an image",
            reference=f"{1e3 / reference.images_per_second:.2f} ms; "
            f"published ratio {published(mechanism, case.batch, 'hours_200_epochs')}",
            ratio=statistics.median(turn[WHOLE].images_per_second / turn[case].images_per_second for turn in turns),
        )


def _median(turns: Sequence[Mapping[Case, Measured]], case: Case) -> Measured:
    return Measured(*(statistics.median(turn[case][field] for turn in turns) for field in range(3)))


def _in_a_new_process(case: Case) -> Measured:
    return Measured(*json.loads(python("-m", "benchmarks.memory", json.dumps(case))))


def _measure(case: Case) -> Measured:
    run = case.run()
    processor = Processor.here(run.precision)
    before_mb = processor.peak_memory_mb()
    memory, training = TrainingMemory(processor), Training(run, load(run.data), processor)
    steps = training.steps()
    with one_thread():
        next(steps)  # which also loads what is loaded once
        memory.begin(training.method, training.optimizer)
        started = time.process_time()
        for _ in range(IMAGES // case.batch):
            next(steps)
        seconds = time.process_time() - started
    memory.follow(last=True)
    assert memory.training_mb is not None
    return Measured(max(before_mb, memory.peak_mb()), memory.training_mb, IMAGES / seconds)


if __name__ == "__main__":
    print(json.dumps(_measure(Case(*json.loads(sys.argv[1])))))
