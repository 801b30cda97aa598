"""What a Tune trial's process does: execute one run, alone or on workers of its own.

Apart from the driver's code, so that a worker imports neither MLflow nor what a person looks at.
"""

from collections.abc import Mapping
from typing import Any

import torch

from unlabeled.platform.events import Event
from unlabeled.platform.resources import Resources
from unlabeled.platform.runtime import execute_safely
from unlabeled.platform.workers import execute_on_workers


def trial(config: Mapping[str, Any]) -> None:
    """Execute the run that ``config["trial"]`` holds, and report its events to Tune."""
    from ray import tune

    given = config["trial"]
    resources: Resources = given["resources"]

    def report(event: Event) -> None:
        tune.report({"event": event})

    if resources.workers > 1:
        execute_on_workers(given["run"], given["home"], resources, report)
    else:
        torch.set_num_threads(resources.cpus_per_run)
        execute_safely(given["run"], given["home"], resources, report)
