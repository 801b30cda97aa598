"""One run on several workers: Ray Train starts them, restarts them when one is lost, and they train as one.

Called inside a trial's process. The workers' first rank reports to it directly, by a socket: Ray Train's own reports
are a meeting of all workers, and a queue of Ray's is one more process. Every report and the end of a Ray Train run wait
for its health check, which is why that is set to be quick.
"""

import contextlib
import os
import queue
import secrets
import threading
from collections.abc import Mapping
from datetime import timedelta
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any

import torch

from unlabeled.platform import collective
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data
from unlabeled.platform.drive.parcel import packed, unpacked
from unlabeled.platform.drive.resources import Resources
from unlabeled.platform.drive.share import share_of
from unlabeled.platform.errors import UserError
from unlabeled.platform.processor import Processor
from unlabeled.platform.train.built import check_fits
from unlabeled.platform.train.events import Event, Failed, Finished, Noted, Report, forwarding_warnings
from unlabeled.platform.train.execution import execute
from unlabeled.platform.train.listings import Told, tell
from unlabeled.platform.train.loaded import data_of
from unlabeled.platform.train.loop import NonFiniteLossError

_QUICK = {
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
}
# Just after a node was lost Ray still counts with it, and finds out by trying to start as many workers as before.
_QUICK_TO_SHRINK = {"RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "15"}

# What workers wait for in collectives is each other's next step, in which one may read from a slow disk or open a large
# data set; what the first does alone they don't wait for in one.
_TIMEOUT = timedelta(minutes=30)


def execute_on_workers(
    run: RunConfig, home: Path, resources: Resources, report: Report, trained: Path | None, told: Told
) -> None:
    """Execute a run on a group of workers, and hand its events on as they come.

    A worker or node that is lost costs a restart from the newest checkpoint, at most ``resources.retries`` times; with
    ``resources.min_workers``, the group then has as many workers as there is room for. The workers are ``told`` of the
    data, as far as that is known.
    """
    os.environ.update(_QUICK if resources.min_workers is None else {**_QUICK, **_QUICK_TO_SHRINK})
    inbox = _Inbox()
    errors: list[Exception] = []
    given = {
        "run": run,
        "home": home,
        "resources": resources,
        "trained": trained,
        "inbox": inbox.address,
        "told": told,
    }
    trainer = _trainer(given)
    threading.Thread(target=_fit, args=(trainer, inbox, errors), daemon=True).start()
    event = None
    while (next_event := inbox.events.get()) is not None:
        event = next_event
        report(event)
    if errors and not isinstance(event, Finished | Failed):
        report(Failed(_reason(errors[0])))


def _trainer(given: Mapping[str, Any]) -> Any:
    from ray.train import FailureConfig, ScalingConfig
    from ray.train import RunConfig as TrainRunConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    class WithoutDatasets(TorchTrainer):
        """Starts no manager for Ray's data sets, which is a process and a second or two, and of which we have none."""

        def _create_default_callbacks(self) -> list[Any]:
            every: list[Any] = super()._create_default_callbacks()  # type: ignore[misc]
            return [callback for callback in every if type(callback).__name__ != "DatasetsCallback"]

    resources: Resources = given["resources"]
    num_workers: Any = resources.workers  # Ray's type hints don't know the elastic form
    if resources.min_workers is not None:
        num_workers = (resources.min_workers, resources.workers)
    return WithoutDatasets(
        _work,
        train_loop_config={"packed": packed(given)},
        # Logs gather numbers that live on the CPU, so gloo has to be there beside NCCL.
        torch_config=TorchConfig(
            backend="cpu:gloo,cuda:nccl" if resources.gpus else "gloo", timeout_s=int(_TIMEOUT.total_seconds())
        ),
        scaling_config=ScalingConfig(
            num_workers=num_workers,
            use_gpu=resources.gpus > 0,
            resources_per_worker={"CPU": resources.cpus_per_run, **({"GPU": resources.gpus} if resources.gpus else {})},
        ),
        run_config=TrainRunConfig(
            name=given["run"].digest(),
            storage_path=str(given["home"] / "train"),
            failure_config=FailureConfig(resources.retries),
        ),
    )


def _fit(trainer: Any, inbox: "_Inbox", errors: list[Exception]) -> None:
    try:
        trainer.fit()
    except Exception as error:  # it is told by the thread that waits for this one
        errors.append(error)
    finally:
        inbox.close()


class _Inbox:
    """Takes what workers say, each event acknowledged; after a restart another worker says it.

    Attributes:
        address: what :func:`_connect` takes.
        events: what was said, and None at the end.
    """

    def __init__(self) -> None:
        import ray

        key = secrets.token_bytes(32)
        here: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
        self._listener = Listener((here, 0), authkey=key)
        self.address = (self._listener.address, key)
        self.events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._open = True
        threading.Thread(target=self._listen, daemon=True).start()

    def close(self) -> None:
        """Say that this was all."""
        self._open = False
        Client(self._listener.address, authkey=self.address[1]).close()  # wakes the thread that listens
        self.events.put(None)

    def _listen(self) -> None:
        with self._listener:
            while self._open:
                with contextlib.suppress(AuthenticationError, EOFError, ConnectionError):  # somebody else's
                    connection = self._listener.accept()
                    threading.Thread(target=self._take, args=(connection,), daemon=True).start()

    def _take(self, connection: Connection) -> None:
        with connection, contextlib.suppress(EOFError, OSError):
            while True:
                self.events.put(connection.recv())
                connection.send(None)


def _connect(inbox: tuple[Any, bytes]) -> Report:
    """Return what a worker reports with, to the :class:`_Inbox` of that address."""
    address, key = inbox
    connection = Client(address, authkey=key)

    def report(event: Event) -> None:
        connection.send(event)
        connection.recv()

    return report


def _work(given: Mapping[str, Any]) -> None:
    """Train as one worker of the group."""
    config: Mapping[str, Any] = unpacked(given["packed"])
    run: RunConfig = config["run"]
    tell(config["told"])
    resources: Resources = config["resources"]
    torch.set_num_threads(resources.cpus_per_run)
    own = _connect(config["inbox"]) if collective.rank() == 0 else _say_nothing
    with forwarding_warnings(own) as report:
        try:
            data, offered = data_of(run), collective.world_size()
            training = workers_that_fit(run, data, offered)
            if training < offered:
                report(Noted(f"{training} of {offered} workers train: the run can't be shared by {offered}"))
            if collective.go_on_with(training, _TIMEOUT):
                processor = Processor.here(run.precision, resources.gpus_per_run)
                with share_of(resources):
                    execute(run, data, config["home"], processor, report, config["trained"])
        except (NonFiniteLossError, UserError) as error:  # the same on all workers; another try would end the same way
            report(Failed(f"{type(error).__name__}: {error}"))


def workers_that_fit(run: RunConfig, data: Data, offered: int) -> int:
    """Return the most workers, of those offered, that can share a run's batch.

    Raises:
        UserError: the run can't be done at all.
    """
    for workers in range(offered, 1, -1):
        with contextlib.suppress(UserError):
            check_fits(run, data, workers)
            return workers
    check_fits(run, data)
    return 1


def _say_nothing(event: Event) -> None:
    pass


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[-1] if lines else 'no reason given'}"
