"""A run's method, built; and all that can be checked of a run before anything is trained."""

from collections.abc import Mapping

import torch

from unlabeled.platform.collective.randomness import check_no_dropout
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data, DataConfig, PictureFormat
from unlabeled.platform.draws import key
from unlabeled.platform.encoder import Encoder
from unlabeled.platform.errors import UserError
from unlabeled.platform.method import Method
from unlabeled.platform.optim import check_groups
from unlabeled.platform.processor import Processor
from unlabeled.platform.train.measurable import check_measurements
from unlabeled.platform.train.plans import check_plan


def build_method(run: RunConfig, data: Data, processor: Processor) -> Method:
    """Build the run's encoder and method with the weights that its seed gives, leaving torch's generator as it was.

    The encoder comes first, from a key of its own: methods that share a seed share the encoder they start from.
    """
    with torch.random.fork_rng():
        torch.manual_seed(key(run.seed, "encoder"))
        encoder = _encoder_of(run, data)
        torch.manual_seed(key(run.seed, "method"))
        method = run.method.build(encoder, data)
    return method.to(device=processor.device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def _encoder_of(run: RunConfig, data: Data) -> Encoder:
    encoder = run.method.make_encoder(run.encoder, data.format)
    if isinstance(data.format, PictureFormat):
        run.method.check_encoder(encoder, data.image_px)
    if run.encoder.weights is not None:
        run.encoder.weights.give(encoder, run.encoder.called)
    return encoder


def check_fits(run: RunConfig, data: Data, workers: int = 1) -> None:
    """Check that a run, its data and its number of workers go together.

    Raises:
        UserError: the batch is larger than the data, or does not divide by the workers or into the micro-batches, or
            the plan of views does not go with the data (see :func:`check_plan`), or the method can't train on such a
            batch.
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
            f"batch_size {run.batch_size} is larger than the {len(data.pretrain)} items to train on of {data.name}; "
            f"use at most {len(data.pretrain)}"
        )
    check_plan(run, data, workers)
    if run.method.num_views not in (None, len(run.method.views.views)):
        raise UserError(
            f"{run.method.name} takes {run.method.num_views} views of an image, and its plan has "
            f"{len(run.method.views.views)}; set method.views to a plan of {run.method.num_views}"
        )
    run.method.check(run.batch_size, workers, data)


def check_built(run: RunConfig, data: Data, workers: int = 1, other: Mapping[DataConfig, Data] | None = None) -> Method:
    """Check all that can be checked without training; return the run's method, built without memory for its weights.

    What is measured on further data sets is checked where ``other`` has them.

    Raises:
        UserError: see :func:`check_fits`, :func:`check_method` and :func:`check_measurements`; or the encoder doesn't
            fit.
    """
    check_fits(run, data, workers)
    with torch.device("meta"):
        encoder = _encoder_of(run, data)
        method = run.method.build(encoder, data)
    check_method(method, run)
    check_measurements(method, run, data, other)
    return method


def check_method(method: Method, run: RunConfig) -> None:
    """Check that a method can be trained as the run asks.

    Raises:
        UserError: micro-batches are wanted of a method that needs its batch whole; or it has dropout, or groups of
            parameters that overlap.
    """
    check_no_dropout(method, run.method.name)
    check_groups(method.groups(), method)
    if run.micro_batch is not None and method.cut == "whole":
        raise UserError(f"{run.method.name} needs its batch whole, so micro_batch can't cut it; leave it out")


def _nearest(wanted: int, allowed: list[int]) -> str:
    """Name the allowed numbers next below and above the wanted one."""
    below, above = [n for n in allowed if n < wanted], [n for n in allowed if n > wanted]
    return " or ".join(str(n) for n in (*below[-1:], *above[:1]))
