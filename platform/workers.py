"""One run on several workers: Ray Train starts them, restarts them when one is lost, and they train as one.

Called inside a trial's process. The workers' first rank reports through a queue, because Ray Train's own reports are a
meeting of all workers, and a run speaks when it has something to say. Every report and the end of a Ray Train run wait
for its health check, which is why that is set to be quick.
"""

import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from unlabeled.platform import collective
from unlabeled.platform.config import RunConfig
from unlabeled.platform.errors import UserError
from unlabeled.platform.events import Event, Failed, Report, forwarding_warnings
from unlabeled.platform.processor import Processor
from unlabeled.platform.resources import Resources
from unlabeled.platform.runtime import execute, load_cached
from unlabeled.platform.train import NonFiniteLossError

_QUICK = {
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
}
_POLL_SECONDS = 0.1


def execute_on_workers(run: RunConfig, home: Path, resources: Resources, report: Report) -> None:
    """Execute a run on a group of workers, and hand its events on as they come.

    A worker or node that is lost costs a restart from the newest checkpoint, at most ``resources.retries`` times.
    """
    from ray.train import FailureConfig, ScalingConfig
    from ray.train import RunConfig as TrainRunConfig
    from ray.train.torch import TorchTrainer
    from ray.util.queue import Queue

    os.environ.update(_QUICK)
    inbox = Queue(actor_options={"num_cpus": 0})
    num_workers: Any = resources.workers  # Ray's type hints don't know the elastic form
    if resources.fewest_workers is not None:
        num_workers = (resources.fewest_workers, resources.workers)
    trainer = TorchTrainer(
        _work,
        train_loop_config={"run": run, "home": home, "resources": resources, "inbox": inbox},
        scaling_config=ScalingConfig(
            num_workers=num_workers,
            use_gpu=resources.gpus > 0,
            resources_per_worker={"CPU": resources.cpus_per_run, **({"GPU": resources.gpus} if resources.gpus else {})},
        ),
        run_config=TrainRunConfig(
            name=run.digest(), storage_path=str(home / "train"), failure_config=FailureConfig(resources.retries)
        ),
    )
    errors: list[Exception] = []
    fitting = threading.Thread(target=_fit, args=(trainer, errors), daemon=True)
    fitting.start()
    ended = _hand_on(inbox, fitting, report)
    inbox.shutdown()
    if errors and not ended:
        report(Failed(_reason(errors[0])))


def _hand_on(inbox: Any, fitting: threading.Thread, report: Report) -> bool:
    """Report what the workers say until they are done; return whether they said how the run ended."""
    from ray.util.queue import Empty

    event: Event | None = None
    while True:
        was_alive = fitting.is_alive()
        try:
            event = inbox.get(timeout=_POLL_SECONDS)
            assert event is not None
            report(event)
        except Empty:
            if not was_alive:
                return type(event).__name__ in ("Finished", "Failed")


def _fit(trainer: Any, errors: list[Exception]) -> None:
    try:
        trainer.fit()
    except Exception as error:  # it is told by the thread that waits for this one
        errors.append(error)


def _work(config: Mapping[str, Any]) -> None:
    """Train as one worker of the group."""
    run: RunConfig = config["run"]
    resources: Resources = config["resources"]
    torch.set_num_threads(resources.cpus_per_run)

    def report(event: Event) -> None:
        if collective.rank() == 0:
            config["inbox"].put(event)

    with forwarding_warnings(report):
        try:
            processor = Processor.here(run.precision)
            execute(run, load_cached(run.data), config["home"], processor, report)
        except (NonFiniteLossError, UserError) as error:  # the same on all workers; another try would end the same way
            report(Failed(f"{type(error).__name__}: {error}"))


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1] if lines else 'no reason given'}"
