"""Which number format "auto" is, decided once for all runs of a command: where they compute, not where it is typed.

On a cluster one of its processes is asked, one with a GPU where runs get any. Decided by each run for itself, runs on
two kinds of node would be compared as if they were one.
"""

import contextlib
from typing import Any

from unlabeled.platform.config import RunConfig
from unlabeled.platform.drive.address import is_elsewhere
from unlabeled.platform.drive.cluster import cluster
from unlabeled.platform.drive.resources import Resources
from unlabeled.platform.processor import Precision, precision_here

_ASKING_SECONDS = 60.0  # a cluster that is busy for longer answers nobody


def resolved(run: RunConfig, resources: Resources) -> RunConfig:
    """Return the run with its precision decided.

    Raises:
        UserError: it is "auto", and the cluster that is to be asked can't be joined.
    """
    if run.precision != "auto":
        return run
    return run.with_field(
        "precision", _precision_there(resources) if is_elsewhere(resources) else precision_here(resources.gpus_per_run)
    )


def _precision_there(resources: Resources) -> Precision:
    import ray

    with cluster(resources) as given:
        ask: Any = ray.remote(num_cpus=0, num_gpus=min(given.gpus, 0.01))(precision_here)
        with contextlib.suppress(ray.exceptions.GetTimeoutError):
            # A process without a GPU of its own may yet see those of the node.
            found: Precision = ray.get(ask.remote(given.gpus), timeout=_ASKING_SECONDS)
            return found
        return "bf16" if given.gpus else "fp32"  # what GPUs of the last years are fast at, and few CPUs
