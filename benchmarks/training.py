"""How much of a training step is the encoder's own work?

Measured, on one thread, at the laptop scale of the study of projection heads (SimCLR with the non-linear head, 28 px,
small convnet, batch 256): the CPU time of the engine's whole step (order, pictures, two views, normalisation, head,
loss, logs, checks, optimiser) against the least that the same encoder needs: forward, backward and optimiser step on
the two views lying ready, with the mean square of the features as loss, under the same autocast and optimiser.
Without a target, ours through an encoder that torch's compiler made (``--compile``), whose first compiling, about a
minute, is left out.
Target: the engine reaches at least 0.9 of the bare encoder's images per second.
The rows below it say where the rest goes, as shares of the engine's step; what remains is a difference of the others,
so it carries the noise of all.
"""

import statistics
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from benchmarks.compare import Row, cpu_in_turns, one_thread, paired_ratio
from unlabeled.platform.data import load
from unlabeled.platform.encoder import Encoder, Maps
from unlabeled.platform.processor import Processor
from unlabeled.platform.train.built import build_method
from unlabeled.platform.train.compiled import BACKEND, compiling
from unlabeled.platform.train.loop import Training
from unlabeled.studies.projection_head import STUDY

STEPS = 2  # per turn: short turns, so that both sides meet the same minute
ROUNDS = 25
TARGET = 0.9


def rows() -> Iterator[Row]:
    with one_thread():
        yield from _rows()


def _rows() -> Iterator[Row]:
    base = STUDY.base("laptop")
    run = base.with_field("method.head", STUDY.rows["non-linear"]["method.head"]).with_field("epochs", 1000)
    data, processor = load(run.data), Processor.here(run.precision)
    training = Training(run, data, processor)
    with compiling(BACKEND):
        compiled = Training(run, data, processor)
    bare = Bare(training)
    steps, compiled_steps = training.steps(), compiled.steps()
    engine_s, bare_s, batch_s, judge_s, compiled_s = cpu_in_turns(
        repeated(lambda: next(steps)),
        repeated(bare.step),
        repeated(lambda: training.batch(0)),
        repeated(Judge(training).step),
        repeated(lambda: next(compiled_steps)),
        rounds=ROUNDS,
    )
    ratio = paired_ratio(bare_s, engine_s)
    images = STEPS * run.batch_size
    yield Row.of_ratio(
        what=f"training step, SimCLR {data.image_px} px, batch {run.batch_size}, {processor.precision}",
        ours=f"{images / statistics.median(engine_s):,.0f} images/s",
        reference=f"{images / statistics.median(bare_s):,.0f} images/s, bare encoder",
        ratio=ratio,
        least=TARGET,
    )
    loss, other = (float(each.meter.sums["train/loss"]) / each.step for each in (training, compiled))
    yield Row(
        what="the same step, compiled",
        ours=f"{images / statistics.median(compiled_s):,.0f} images/s",
        reference=f"{images / statistics.median(engine_s):,.0f} images/s; mean loss {other:.4f} and {loss:.4f}",
        ratio=paired_ratio(engine_s, compiled_s),
    )
    made, judged = paired_ratio(batch_s, engine_s), paired_ratio(judge_s, engine_s)
    step_ms = 1000 * statistics.median(engine_s) / STEPS
    for what, share in (
        ("pictures and views", made),
        ("head and loss", judged),
        ("the rest", 1 - ratio - made - judged),
    ):
        yield Row(f"  of it {what}", f"{share * step_ms:.1f} ms", f"{step_ms:.1f} ms, the whole step", share)


class Bare:
    """The encoder by itself, on views that lie ready."""

    def __init__(self, training: Training) -> None:
        run, self.processor = training.run, training.processor
        self.encoder = build_method(run, training.data, self.processor).encoder.train()
        self.optimizer = run.optimizer.build(self.encoder)
        self.views = self.processor.layout(torch.cat(training.batch(0).views))

    def step(self) -> None:
        """Take the least step: forward, backward and the optimiser, on a loss that costs nothing."""
        with self.processor.autocast():
            features = self.encoder(self.views)
        self.optimizer.zero_grad(set_to_none=True)
        features.float().square().mean().backward()
        self.optimizer.step()


class Judge:
    """What a method does with features that lie ready: its head and loss."""

    def __init__(self, training: Training) -> None:
        self.processor, self.batch = training.processor, training.batch(0)
        self.method = build_method(training.run, training.data, self.processor).train()
        with torch.no_grad(), self.processor.autocast():
            features = self.method.encoder(torch.cat(self.batch.views))
        self.method.encoder = Ready(features)

    def step(self) -> None:
        """Go forward and backward through head and loss."""
        with self.processor.autocast():
            result = self.method(self.batch)
        result.loss.backward()


class Ready(Encoder):
    """Hands out features that were computed before."""

    def __init__(self, features: Tensor) -> None:
        super().__init__(dim=features.shape[1])
        self.features = nn.Parameter(features)

    def maps(self, x: Tensor) -> Maps:
        """Return the features, whatever the pictures; they have no places."""
        return Maps(self.features, self.features[:, :, None, None], self.features[:, None])


def repeated(work: Callable[[], object]) -> Callable[[], object]:
    def several() -> None:
        for _ in range(STEPS):
            work()

    return several
