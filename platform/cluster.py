"""The Ray cluster that runs go to: join it, see what fits into it, and leave when told to."""

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from unlabeled.platform.errors import UserError
from unlabeled.platform.resources import Resources, Totals

_CONNECT_SECONDS = 5.0
_STARTS = 3
_LOOK_SECONDS = 1.0  # how old the list of nodes may be


@contextmanager
def cluster(resources: Resources) -> Iterator[Resources]:
    """Start or join the Ray cluster, and leave it at the end; gives the resources with what it decides filled in.

    Raises:
        UserError: no cluster answers at the address, or one run needs more than the whole cluster has.
    """
    import ray

    try:
        yield _join(resources)
    finally:
        ray.shutdown()


def is_in_job() -> bool:
    """Tell whether this process is a job that somebody submitted to a cluster."""
    return "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ


def is_elsewhere(resources: Resources) -> bool:
    """Tell whether runs go to a cluster that somebody started, which may be of other machines than this one."""
    return resources.address not in (None, "local") or is_in_job() or "RAY_ADDRESS" in os.environ


def is_in_snapshot(path: Path) -> bool:
    """Tell whether a path lies in what Ray unpacks for a job, and throws away after it."""
    return is_in_job() and "runtime_resources" in path.absolute().parts


def take_sigterm_as_ctrl_c() -> None:
    """Let SIGTERM, which `ray job stop` and cluster managers send, end this process as Ctrl-C does."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda number, frame: signal.raise_signal(signal.SIGINT))


def nodes() -> list[Totals]:
    """Return what each node of the cluster has, by Ray's names: ``CPU``, ``GPU`` and others."""
    import ray

    listed: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return [node["Resources"] for node in listed if node["Alive"]]


def growing(searcher: Any, resources: Resources) -> Any:
    """Make a Tune searcher ask only while the cluster, as it then is, has room for another run on several workers.

    Tune can't see what workers take. Nodes may come and go: there is room for as many runs as fit at the moment.
    """
    from ray.tune.search import Searcher

    class Growing(Searcher):
        def __init__(self, searcher: Any, resources: Resources) -> None:
            super().__init__()
            self._searcher, self._resources = searcher, resources
            self._going: set[str] = set()
            self._places, self._looked_at = 0, -_LOOK_SECONDS

        def suggest(self, trial_id: str) -> Any:
            if len(self._going) >= self._room():
                return None
            point = self._searcher.suggest(trial_id)
            if point is not None and point != Searcher.FINISHED:
                self._going.add(trial_id)
            return point

        def on_trial_result(self, trial_id: str, result: Any) -> None:
            self._searcher.on_trial_result(trial_id, result)

        def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
            self._going.discard(trial_id)
            self._searcher.on_trial_complete(trial_id, result, error)

        def save(self, checkpoint_path: str) -> None:
            pass  # a sweep is restored from MLflow

        def restore(self, checkpoint_path: str) -> None:
            pass

        def __getstate__(self) -> dict[str, Any]:
            return {}

        def _room(self) -> int:
            if time.monotonic() - self._looked_at > _LOOK_SECONDS:
                self._places, self._looked_at = self._resources.places(nodes()), time.monotonic()
            return max(1, self._places)  # a run that is begun while nodes are lost waits for them

    return Growing(searcher, resources)


def _join(resources: Resources) -> Resources:
    import ray

    address = resources.address or (None if is_in_job() or "RAY_ADDRESS" in os.environ else "local")
    _check_answers(address)
    local: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
    try:
        _init(address=address, logging_level=logging.ERROR, log_to_driver=False, **local)
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise UserError(_refused(address, error)) from None
    take_sigterm_as_ctrl_c()  # Ray has its own way to end
    there = nodes()
    if resources.gpus_per_run is None:
        gpus = sum(node.get("GPU", 0.0) for node in there)
        resources = resources.with_field("gpus_per_run", 1.0 if gpus >= resources.workers else 0.0)
    check_room(resources, there)
    return resources


def _init(**settings: Any) -> None:
    """Call Ray's init, again when its own half a minute for a cluster's start was too short for a busy machine."""
    import ray

    for left in reversed(range(_STARTS)):
        try:
            ray.init(**settings)
            return
        except Exception as error:
            if type(error) is not Exception or "timed out during startup" not in str(error):
                raise
            ray.shutdown()
            if not left:
                raise UserError(
                    f"Ray did not start within {_STARTS} times half a minute; the machine is too busy: try again later"
                ) from None


def check_room(resources: Resources, there: Sequence[Totals]) -> None:
    """Refuse a run that the nodes have no room for, now: Ray would wait for a node that may never come.

    Raises:
        UserError: a run needs more than the nodes have together, or a worker more than any node has.
    """
    for what, each in resources.each.items():
        wanted, has = each * resources.workers, sum(node.get(what, 0.0) for node in there)
        if wanted > has:
            raise UserError(f"a run needs {wanted:g} {what}s, and the cluster has {has:g}; ask for fewer")
    if not resources.places(there):
        needs = " and ".join(f"{each:g} {what}s" for what, each in resources.each.items())
        have = "; ".join(
            " and ".join(f"{node.get(what, 0.0):g} {what}s" for what in resources.each) for node in there[:8]
        )
        who = f"each of {resources.workers} workers" if resources.workers > 1 else "a run"
        raise UserError(f"{who} needs {needs} on one node, and the nodes have {have}; ask for fewer")


def _check_answers(address: str | None) -> None:
    """Try the port of a cluster's address, because Ray itself tries for a minute."""
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS).close()
    except OSError as error:
        raise UserError(
            f"no Ray cluster answers at {address} ({error.strerror or error}); give the address that "
            "`ray start --head` printed with --address, or leave it out for a cluster of its own"
        ) from None


def _refused(address: str | None, error: Exception) -> str:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0].partition(". ")[0]
    return (
        f"the Ray cluster at {address or os.environ.get('RAY_ADDRESS')} can't be joined: {reason}; "
        "if it is there, see that RAY_AUTH_TOKEN is its token, and that it runs this version of Ray"
    )
