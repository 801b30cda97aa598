"""One worker's training loop: pure PyTorch. It knows no Ray and no MLflow, and never asks which method it trains.

Every step is a function of the state and the step's number alone: order, views and the method's draws are keyed by
(seed, step), and torch's own generator (dropout) is refused. So a run that resumes from any checkpoint is, on one CPU,
bitwise the run that never stopped.
"""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from unlabeled.platform import collective, microbatch
from unlabeled.platform.augment import normalize
from unlabeled.platform.checkpoint import State
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data
from unlabeled.platform.draws import Draws, key
from unlabeled.platform.errors import UserError, unknown
from unlabeled.platform.evaluate.layers import layers
from unlabeled.platform.method import Batch, EmbeddingMethod, Method, StepResult
from unlabeled.platform.metric_names import of_logs
from unlabeled.platform.processor import Processor
from unlabeled.platform.randomness import check_no_dropout, keyed_only

CHECK_EVERY = 20  # steps between two looks at whether the loss is finite; on a GPU each look waits for it


logger = logging.getLogger(__name__)


class NonFiniteLossError(Exception):
    """The loss or a weight became NaN or infinite: the run has failed, and going on would only cost time."""


@dataclass
class EpochMeter:
    """Sums of what one epoch's steps logged; part of a checkpoint, so that a resumed epoch logs the whole epoch."""

    steps: int = 0
    seconds: float = 0.0
    sums: dict[str, Tensor] = field(default_factory=dict)

    def add(self, logs: dict[str, Tensor]) -> None:
        """Add one step's scalars."""
        self.steps += 1
        for name, value in logs.items():
            value = value.detach().double()
            self.sums[name] = self.sums[name] + value if name in self.sums else value

    def means(self) -> dict[str, float]:
        """Return the mean of each scalar over the steps, over all workers."""
        return {name: collective.mean_over_workers(total / self.steps).item() for name, total in self.sums.items()}


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
        self._warn_of_batch_norm()
        self._forward: nn.Module = self.method
        if collective.world_size() > 1:
            collective.synchronise(self.method)
        if collective.world_size() > 1 and run.micro_batch is None:
            self._forward = DistributedDataParallel(self.method, forward_sync_buffers=False)
        self.optimizer = run.optimizer.build(self.method)
        self.steps_per_epoch = len(data.pretrain) // run.batch_size
        self.total_steps = run.epochs * self.steps_per_epoch
        self.step = 0
        self.meter = EpochMeter()
        self._order: tuple[int, Tensor] = (-1, torch.empty(0))

    @property
    def epoch(self) -> int:
        """Epochs completed."""
        return self.step // self.steps_per_epoch

    def epochs(self) -> Iterator[dict[str, float]]:
        """Train to the end, yielding each epoch's means right after its last step."""
        for _ in self.steps():
            if self.step % self.steps_per_epoch == 0:
                means = self.end_epoch()
                yield means

    def steps(self) -> Iterator[int]:
        """Train to the end, yielding after each step the number of steps done.

        Raises:
            NonFiniteLossError: the loss is NaN or infinite, which is looked at every few steps and at the end of each
                epoch; or a weight is, at the end of an epoch.
        """
        self.method.train()
        while self.step < self.total_steps:
            started = time.perf_counter()
            self._take_step()
            if self.step % CHECK_EVERY == 0 or self.step % self.steps_per_epoch == 0:
                self._check_finite()
            self.meter.seconds += time.perf_counter() - started
            yield self.step

    def end_epoch(self) -> dict[str, float]:
        """Return the finished epoch's means and its training speed, and start a new epoch's."""
        means = self.meter.means()
        means["train/seconds"] = self.meter.seconds
        means["train/images_per_second"] = self.meter.steps * self.run.batch_size / max(self.meter.seconds, 1e-9)
        self.meter = EpochMeter()
        return means

    def batch(self, step: int, rows: Tensor | None = None, *, with_views: bool = True) -> Batch:
        """Return this worker's rows of the global batch of a 0-based step, or some of them, their views made."""
        epoch, position = divmod(step, self.steps_per_epoch)
        rows = self._own_rows() if rows is None else rows
        index = self._epoch_order(epoch)[position * self.run.batch_size + rows]
        draws = Draws(self.processor.put(rows), self.run.seed, step)
        views: tuple[Tensor, ...] = ()
        if with_views:
            images = self.processor.put(self.data.pretrain.batch(index))
            views = tuple(
                self.processor.layout(normalize(view, self.data.mean, self.data.std))
                for view in self.run.method.views(images, draws.within("views"))
            )
        labels = None
        if self.run.method.needs_labels:
            assert self.data.pretrain.labels is not None
            labels = self.processor.put(self.data.pretrain.labels[index])
        captions = None
        if self.run.method.needs_captions:
            assert self.data.pretrain.captions is not None
            captions = tuple(self.data.pretrain.captions[i] for i in index.tolist())
        return Batch(
            views=views,
            index=self.processor.put(index),
            draws=draws.within("method"),
            labels=labels,
            captions=captions,
        )

    def state(self) -> State:
        """Return all that the rest of the run depends on."""
        return {
            "step": self.step,
            "method": self.method.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "meter": {"steps": self.meter.steps, "seconds": self.meter.seconds, "sums": self.meter.sums},
        }

    def restore(self, state: State) -> None:
        """Go on from where :meth:`state` was taken."""
        self.step = state["step"]
        self.method.load_state_dict(state["method"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.meter = EpochMeter(**state["meter"])

    def _take_step(self) -> None:
        run = self.run
        learning_rate = run.optimizer.learning_rate_at(
            self.step, self.steps_per_epoch, self.total_steps, run.batch_size
        )
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.zero_grad(set_to_none=True)
        with keyed_only(run.method.name, self.processor.device):
            result = self._gradients_of_whole() if not run.micro_batch else self._gradients_of_parts(run.micro_batch)
        self.method.before_step(self.step / self.total_steps)
        follow = run.evaluation.follow
        names = of_logs(tuple(result.logs), () if follow is None else (follow.key,))
        logs = {"train/loss": result.loss, **{names[name]: value for name, value in result.logs.items()}}
        if run.optimizer.clip_norm is not None:
            logs["train/gradient_norm"] = torch.nn.utils.clip_grad_norm_(
                self.method.parameters(), run.optimizer.clip_norm
            )
        self.optimizer.step()
        self.step += 1
        self.method.after_step(self.step / self.total_steps)
        self.meter.add({**logs, "train/learning_rate": torch.tensor(learning_rate)})

    def _gradients_of_whole(self) -> StepResult:
        batch = self.batch(self.step)
        with self.processor.autocast():
            result: StepResult = self._forward(batch)
        result.loss.backward()  # type: ignore[no-untyped-call]
        return result

    def _gradients_of_parts(self, micro_batch: int) -> StepResult:
        own = self._own_rows()

        def make_batch(rows: Tensor, with_views: bool) -> Batch:
            return self.batch(self.step, rows, with_views=with_views)

        parts = torch.split(own, micro_batch // collective.world_size())
        if isinstance(self.method, EmbeddingMethod):
            result = microbatch.cache(self.method, parts, make_batch, self.processor)
        else:
            result = microbatch.accumulate(self.method, parts, make_batch, self.processor)
        microbatch.average_gradients(list(self.method.parameters()))
        return result

    def _own_rows(self) -> Tensor:
        """List this worker's rows: its share of each micro-batch, so that any number of workers cut the same ones."""
        together = self.run.micro_batch or self.run.batch_size
        rows = torch.arange(self.run.batch_size).view(-1, collective.world_size(), together // collective.world_size())
        return rows[:, collective.rank()].flatten()

    def _warn_of_batch_norm(self) -> None:
        if self.run.micro_batch is not None and microbatch.has_batch_norm(self.method):
            logger.warning(
                "batch norm sees micro-batches of %d, not the batch of %d: the gradient is exact for those statistics, "
                "not for the whole batch's; an encoder without batch norm has no such difference",
                self.run.micro_batch,
                self.run.batch_size,
            )

    def _check_finite(self) -> None:
        total = collective.mean_over_workers(self.meter.sums["train/loss"]).item()  # all workers stop, or none
        if total - total != 0.0:
            raise NonFiniteLossError(
                f"the loss became {total} by step {self.step} of {self.total_steps}; try a smaller learning rate, "
                "a longer warm-up, optimizer.clip_norm, or precision=fp32"
            )
        if self.step % self.steps_per_epoch == 0:  # a loss says nothing of the step that it led to
            sound = torch.stack([parameter.isfinite().all() for parameter in self.method.parameters()]).all()
            if collective.mean_over_workers(sound.float()).item() != 1.0:
                raise NonFiniteLossError(
                    f"weights became NaN or infinite by step {self.step} of {self.total_steps}, though the loss was "
                    "finite; try a smaller learning rate, a longer warm-up, optimizer.clip_norm, or precision=fp32"
                )

    def _epoch_order(self, epoch: int) -> Tensor:
        if self._order[0] != epoch:
            generator = torch.Generator().manual_seed(key(self.run.seed, epoch, "order"))
            self._order = (epoch, torch.randperm(len(self.data.pretrain), generator=generator))
        return self._order[1]


def build_method(run: RunConfig, data: Data, processor: Processor) -> Method:
    """Build the run's encoder and method with the weights that its seed gives, leaving torch's generator as it was.

    The encoder comes first, from a key of its own: methods that share a seed share the encoder they start from.
    """
    with torch.random.fork_rng():
        torch.manual_seed(key(run.seed, "encoder"))
        encoder = run.method.make_encoder(run.encoder, data.format)
        run.method.check_encoder(encoder, data.image_px)
        torch.manual_seed(key(run.seed, "method"))
        method = run.method.build(encoder, data)
    return method.to(device=processor.device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def check_fits(run: RunConfig, data: Data, workers: int = 1) -> None:
    """Check that a run, its data and its number of workers go together.

    Raises:
        UserError: the batch is larger than the data, or does not divide by the workers or into the micro-batches, or
            the method needs labels that the data has not, or can't train on such a batch.
    """
    if run.batch_size % workers:
        below = run.batch_size - run.batch_size % workers
        near = f"{below} or {below + workers}" if below else f"{workers}"
        raise UserError(f"batch_size {run.batch_size} does not divide by {workers} workers; use {near}")
    if run.micro_batch is not None and (run.batch_size % run.micro_batch or run.micro_batch % workers):
        near = _nearest(
            run.micro_batch, [n for n in range(workers, run.batch_size + 1, workers) if run.batch_size % n == 0]
        )
        raise UserError(
            f"micro_batch {run.micro_batch} does not cut batch_size {run.batch_size} into equal parts for {workers} "
            f"worker{'s' if workers > 1 else ''}; use {near}"
        )
    if run.batch_size > len(data.pretrain):
        raise UserError(
            f"batch_size {run.batch_size} is larger than the {len(data.pretrain)} training pictures of {data.name}; "
            f"use at most {len(data.pretrain)}"
        )
    if run.method.needs_labels and data.pretrain.labels is None:
        raise UserError(
            f"{run.method.name} needs labels, and {data.name} has none; choose a data set with class folders"
        )
    if run.method.needs_labels and data.pretrain.labels is not None and (data.pretrain.labels < 0).any():
        raise UserError(
            f"{run.method.name} needs labels, and {data.name} has pictures without; choose another data set"
        )
    if run.method.needs_captions and data.pretrain.captions is None:
        raise UserError(f"{run.method.name} needs captions, and {data.name} has none; choose another, such as emoji")
    if run.method.num_views not in (None, len(run.method.views.views)):
        raise UserError(
            f"{run.method.name} takes {run.method.num_views} views of an image, and its plan has "
            f"{len(run.method.views.views)}; set method.views to a plan of {run.method.num_views}"
        )
    run.method.check(run.batch_size, workers, data)


def check_built(run: RunConfig, data: Data, workers: int = 1) -> Method:
    """Check all that can be checked without training; return the run's method, built without memory for its weights.

    Raises:
        UserError: see :func:`check_fits` and :func:`check_method`; or the encoder doesn't fit.
    """
    check_fits(run, data, workers)
    with torch.device("meta"):
        encoder = run.method.make_encoder(run.encoder, data.format)
        run.method.check_encoder(encoder, data.image_px)
        method = run.method.build(encoder, data)
    check_method(method, run)
    return method


def check_method(method: Method, run: RunConfig) -> None:
    """Check that a method can be trained and measured as the run asks.

    Raises:
        UserError: micro-batches are wanted of a method that needs its batch whole, a layer that it does not have, or a
            probe that can't measure it; or it has dropout.
    """
    check_no_dropout(method, run.method.name)
    if run.micro_batch is not None and method.split == "whole":
        raise UserError(f"{run.method.name} needs its batch whole, so micro_batch can't cut it; leave it out")
    known = layers(method)
    for layer in run.evaluation.layers:
        if layer not in known:
            raise unknown(f"layer of {run.method.name}", layer, known)
    for probe in run.evaluation.final:
        probe.check(method)


def _nearest(wanted: int, allowed: list[int]) -> str:
    """Name the allowed numbers next below and above the wanted one."""
    below, above = [n for n in allowed if n < wanted], [n for n in allowed if n > wanted]
    return " or ".join(str(n) for n in (*below[-1:], *above[:1]))
