"""One worker's training loop: pure PyTorch. It knows no Ray and no MLflow, and never asks which method it trains.

Every step is a function of the state and the step's number alone: order, views and the method's draws are keyed by
(seed, step), and torch's own generator (dropout) is refused. So a run that resumes from any checkpoint is, on one CPU,
bitwise the run that never stopped.
"""

import contextlib
import inspect
import logging
import time
from collections.abc import Generator, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from unlabeled.platform import collective
from unlabeled.platform.collective.batch_norm import agree, has_batch_norm, synchronise
from unlabeled.platform.collective.randomness import keyed_only
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data
from unlabeled.platform.draws import Draws
from unlabeled.platform.evaluate.features import NotFiniteError
from unlabeled.platform.method import Batch, EmbeddingMethod, StepResult
from unlabeled.platform.processor import Processor
from unlabeled.platform.train import microbatch
from unlabeled.platform.train.ahead import others_for, read_steps
from unlabeled.platform.train.batches import Batches
from unlabeled.platform.train.built import build_method, check_fits, check_method
from unlabeled.platform.train.checkpoint import State
from unlabeled.platform.train.compiled import CompiledEncoders
from unlabeled.platform.train.measurable import check_measurements
from unlabeled.platform.train.meter import EpochMeter
from unlabeled.platform.train.metric_names import of_logs
from unlabeled.platform.train.profiled import part
from unlabeled.platform.train.stored import Stored
from unlabeled.platform.train.survey import TrainingSurvey

CHECK_EVERY = 20  # steps between two looks at whether the loss is finite; on a GPU each look waits for it
MOST_LOSSES = 1000  # of a run that are logged within epochs, one of each epoch apart
# Every worker keeps buffers of its own; torch 2.11 has the older name for it.
_NAMES = inspect.signature(DistributedDataParallel).parameters
_OWN_BUFFERS: dict[str, Any] = {
    "forward_sync_buffers" if "forward_sync_buffers" in _NAMES else "broadcast_buffers": False
}

logger = logging.getLogger(__name__)


class NonFiniteLossError(Exception):
    """The loss or a weight became NaN or infinite: the run has failed, and going on would only cost time."""


class Training:
    """A run in progress.

    Attributes:
        step: optimiser steps done.
        method: the module being trained.
    """

    def __init__(self, run: RunConfig, data: Data, processor: Processor) -> None:
        check_fits(run, data, collective.world_size())
        self.run, self.data, self.processor = run, data, processor
        self.method = build_method(run, data, processor)
        check_method(self.method, run)
        check_measurements(self.method, run, data)
        self._warn_of_batch_norm()
        self._forward: nn.Module = self.method
        if collective.world_size() > 1:
            synchronise(self.method)
        self._compiled = CompiledEncoders(self.method)
        if collective.world_size() > 1 and run.micro_batch is None:
            self._forward = DistributedDataParallel(self.method, gradient_as_bucket_view=True, **_OWN_BUFFERS)
        self.optimizer = run.optimizer.build(self.method, self.method.groups())
        self._rates = [group["rate"] for group in self.optimizer.param_groups]
        self._batches = Batches(run, data, processor)
        self.steps_per_epoch = self._batches.steps_per_epoch
        self.total_steps = run.epochs * self.steps_per_epoch
        self._log_every = CHECK_EVERY * -(-self.total_steps // (CHECK_EVERY * MOST_LOSSES))
        self.step = 0
        self.meter = EpochMeter()

    @property
    def compiler(self) -> str | None:
        """Which of torch's compilers made the encoders that it trains through; None where they are as they were."""
        return self._compiled.backend

    @property
    def epoch(self) -> int:
        """Epochs completed."""
        return self.step // self.steps_per_epoch

    def epochs(self) -> Iterator[dict[str, float]]:
        """Train to the end, yielding each epoch's means right after its last step."""
        for _ in self.steps():
            if self.step % self.steps_per_epoch == 0:
                yield self.end_epoch()

    def steps(self) -> Generator[int]:
        """Train to the end, yielding after each step the number of steps done.

        Batches are read ahead meanwhile, by threads that end with it, or when it is closed.

        Raises:
            UserError: a file can't be read: in the step that needs it.
            NonFiniteLossError: the loss is NaN or infinite, which is looked at every few steps and at the end of each
                epoch; or a weight is, at the end of an epoch.
        """
        self.method.train()
        with contextlib.closing(self._read_ahead()) as read:
            while self.step < self.total_steps:
                started = time.perf_counter()
                if self.step % self.steps_per_epoch == 0:
                    self._begin_epoch()
                with part("reading"):
                    stored = next(read)
                self._take_step(stored)
                if self.step % CHECK_EVERY == 0 or self.step % self.steps_per_epoch == 0:
                    self._check_finite()
                self.meter.seconds += time.perf_counter() - started
                yield self.step

    def end_epoch(self) -> dict[str, float]:
        """Return the finished epoch's means and its training speed, and start a new epoch's."""
        means = self.meter.means()
        means["train/seconds"] = self.meter.seconds
        means["train/images_per_second"] = self.meter.steps * self.run.batch_size / max(self.meter.seconds, 1e-9)
        self.meter = EpochMeter(losses=self.meter.losses)
        return means

    def take_losses(self) -> dict[int, float]:
        """Return the losses within epochs that nobody took yet: step -> the mean loss since the step before it.

        There are some where an epoch has more steps than lie between two of them: :data:`CHECK_EVERY`, or as many more
        as leave :data:`MOST_LOSSES`.
        """
        taken, self.meter.losses = self.meter.losses, {}
        return taken

    def batch(self, step: int, rows: Tensor | None = None, *, with_views: bool = True) -> Batch:
        """Return this worker's rows of the global batch of a 0-based step, or some of them, their views made."""
        return self._batches(step, rows, with_views=with_views)

    def state(self) -> State:
        """Return all that the rest of the run depends on."""
        return {
            "step": self.step,
            "method": self.method.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "meter": vars(self.meter).copy(),
        }

    def restore(self, state: State) -> None:
        """Go on from where :meth:`state` was taken."""
        self.step = state["step"]
        self.method.load_state_dict(state["method"])
        self.optimizer.load_state_dict(state["optimizer"])
        meter = state["meter"]
        self.meter = EpochMeter(**{**meter, "sums": {name: self.processor.put(x) for name, x in meter["sums"].items()}})

    @torch.no_grad()
    def _begin_epoch(self) -> None:
        items, run = self.data.pretrain, self.run
        draws = Draws(self.processor.put(items.rows), run.seed, "epoch", self.epoch)
        with keyed_only(run.method.name, self.processor.device):
            try:
                self.method.before_epoch(self.epoch, TrainingSurvey(items, self.processor, draws, run.method.field))
            except NotFiniteError as error:
                raise NonFiniteLossError(f"before epoch {self.epoch + 1}, {error}") from None

    def _read_ahead(self) -> Generator[Stored]:
        # A generator, so that nobody is asked to read before a step needs it: what was never begun is never closed.
        steps, others = range(self.step, self.total_steps), others_for(self.run, self.data, self._batches.own_rows())
        yield from read_steps(self._batches, steps, self.processor, others)

    def _take_step(self, stored: Stored) -> None:
        run = self.run
        learning_rate = run.optimizer.learning_rate_at(
            self.step, self.steps_per_epoch, self.total_steps, run.batch_size
        )
        for group, rate in zip(self.optimizer.param_groups, self._rates, strict=True):
            group["lr"] = learning_rate * rate
        self.optimizer.zero_grad(set_to_none=True)
        with keyed_only(run.method.name, self.processor.device), self._compiled.in_use():
            result = self._gradients_of_parts(stored) if run.micro_batch else self._gradients_of_whole(stored)
        agree(self.method)
        self.method.before_step(self.step / self.total_steps)
        followed = (name.partition("/")[0] for name in run.evaluation.followed)
        names = of_logs(tuple(result.logs), tuple(dict.fromkeys(followed)))
        logs = {"train/loss": result.loss, **{names[name]: value for name, value in result.logs.items()}}
        with part("optimiser"):
            if run.optimizer.clip_norm is not None:
                logs["train/gradient_norm"] = torch.nn.utils.clip_grad_norm_(
                    self.method.parameters(), run.optimizer.clip_norm
                )
            self.optimizer.step()
        self.step += 1
        with part("after_step"):
            self.method.after_step(self.step / self.total_steps)
        on_device = torch.full((), learning_rate, device=self.processor.device)  # filled there: a copy would wait
        self.meter.add({**logs, "train/learning_rate": on_device})

    def _gradients_of_whole(self, stored: Stored) -> StepResult:
        batch = self._batches.make(stored)
        with part("forward"), self.processor.autocast():
            result: StepResult = self._forward(batch)
        with part("backward"):
            result.loss.backward()  # type: ignore[no-untyped-call]
        return result

    def _gradients_of_parts(self, stored: Stored) -> StepResult:
        def make_batch(rows: Tensor, with_views: bool) -> Batch:
            return self._batches.make(stored, rows, with_views=with_views)

        assert self.run.micro_batch is not None
        parts = torch.split(stored.rows, self.run.micro_batch // collective.world_size())
        if isinstance(self.method, EmbeddingMethod):
            result = microbatch.cache(self.method, parts, make_batch, self.processor)
        else:
            result = microbatch.accumulate(self.method, parts, make_batch, self.processor)
        microbatch.average_gradients(list(self.method.parameters()))
        return result

    def _warn_of_batch_norm(self) -> None:
        if self.run.micro_batch is not None and has_batch_norm(self.method):
            logger.warning(
                "batch norm sees micro-batches of %d, not the batch of %d: the gradient is exact for those statistics, "
                "not for the whole batch's; an encoder without batch norm has no such difference",
                self.run.micro_batch,
                self.run.batch_size,
            )

    def _check_finite(self) -> None:
        self.meter.agree()
        total = self.meter.sums["train/loss"].item()  # all workers stop, or none
        if total - total != 0.0:
            raise NonFiniteLossError(
                f"the loss became {total} by step {self.step} of {self.total_steps}; try a smaller learning rate, "
                "a longer warm-up, optimizer.clip_norm, or precision=fp32"
            )
        is_last = self.step % self.steps_per_epoch == 0
        if self._log_every < self.steps_per_epoch and (is_last or self.step % self._log_every == 0):
            self.meter.look(self.step, total)
        if is_last:  # a loss says nothing of the step that it led to
            sound = torch.stack([parameter.isfinite().all() for parameter in self.method.parameters()]).all()
            if collective.mean_over_workers(sound.float()).item() != 1.0:
                raise NonFiniteLossError(
                    f"weights became NaN or infinite by step {self.step} of {self.total_steps}, though the loss was "
                    "finite; try a smaller learning rate, a longer warm-up, optimizer.clip_norm, or precision=fp32"
                )
