"""What a Tune trial's process does: execute one run, alone or on workers of its own.

Apart from the driver's code, so that a worker imports neither MLflow nor what a person looks at.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from unlabeled.platform.config import RunConfig
from unlabeled.platform.drive import parcel
from unlabeled.platform.drive.resources import Resources
from unlabeled.platform.drive.share import share_of
from unlabeled.platform.drive.workers import execute_on_workers
from unlabeled.platform.train.events import Event
from unlabeled.platform.train.execution import execute_safely
from unlabeled.platform.train.listings import tell, told
from unlabeled.platform.train.loaded import to_tell

# A pruned run's checkpoint may still be on its way to the disk when Tune wants its thread to end; after 2 s it would
# give up, and lose the trial that was to be next in this process.
os.environ.setdefault("TUNE_FUNCTION_THREAD_TIMEOUT_S", "120")


def packed(
    number: int, run: RunConfig, home: Path, resources: Resources, trained: Path | None = None
) -> dict[str, Any]:
    """Return what :func:`trial` takes, small: Tune keeps the settings of every trial, as text and more than once."""
    return {"number": number, "packed": parcel.packed((run, home, resources, trained, to_tell(run, home)))}


def unpacked(config: Mapping[str, Any]) -> tuple[RunConfig, Path, Resources, Path | None]:
    """Return what was :func:`packed`; this process is told of the data."""
    run, home, resources, trained, known = parcel.unpacked(config["packed"])
    tell(known)
    return run, home, resources, trained


def trial(config: Mapping[str, Any]) -> None:
    """Execute the run that the driver :func:`packed`, and report its events to Tune.

    A process whose GPU failed ends with the run, for Tune would have the next one done in it.
    """
    from ray import tune

    run, home, resources, trained = unpacked(config)

    def report(event: Event) -> None:
        tune.report({"event": event})

    if resources.workers > 1:
        execute_on_workers(run, home, resources, report, trained, told())
    else:
        torch.set_num_threads(resources.cpus_per_run)
        with share_of(resources):
            is_whole = execute_safely(run, home, resources.gpus_per_run, report, trained)
        if not is_whole:
            os._exit(1)  # Tune has taken the report by then; ending in order would ask the GPU once more
