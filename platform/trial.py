"""What a trial's process does: execute one run, and turn its failure into an event.

Apart from the driver's code, so that a worker imports neither MLflow nor what a person looks at.
"""

import functools
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data, DataConfig, load
from unlabeled.platform.errors import UserError
from unlabeled.platform.processor import Processor
from unlabeled.platform.runtime import Failed, Noted, Report, execute


@functools.lru_cache(maxsize=4)
def load_cached(config: DataConfig) -> Data:
    """Load a data set once per process."""
    return load(config)


def trial(config: Mapping[str, Any]) -> None:
    """Execute one run in a trial's process."""
    from ray import tune

    given = config["trial"]
    torch.set_num_threads(given["threads"])
    execute_safely(given["run"], given["home"], lambda event: tune.report({"event": event}))


def execute_safely(run: RunConfig, home: Path, report: Report) -> None:
    """Execute a run; an exception of its own is its failure, and nobody else's."""
    notes = _Notes(report)
    logging.getLogger("unlabeled").addHandler(notes)
    try:
        execute(run, load_cached(run.data), home, Processor.here(run.precision), report)
    except UserError as error:
        report(Failed(str(error)))
    except Exception as error:
        report(Failed(f"{type(error).__name__}: {error}"))
    finally:
        logging.getLogger("unlabeled").removeHandler(notes)


class _Notes(logging.Handler):
    """Passes the engine's warnings on to the driver."""

    def __init__(self, report: Report) -> None:
        super().__init__(logging.WARNING)
        self._report = report

    def emit(self, record: logging.LogRecord) -> None:
        self._report(Noted(record.getMessage()))
