"""What a cluster that was joined has, and what fits into it, now and as nodes come and go."""

import time
from collections.abc import Sequence
from typing import Any

from unlabeled.platform.drive.resources import Resources, Totals
from unlabeled.platform.errors import UserError

_LOOK_SECONDS = 1.0  # how old the list of nodes may be


def nodes() -> list[Totals]:
    """Return what each node of the cluster has, by Ray's names: ``CPU``, ``GPU`` and others."""
    import ray

    listed: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return [node["Resources"] for node in listed if node["Alive"]]


def with_gpus(resources: Resources, there: Sequence[Totals]) -> Resources:
    """Fill in the GPUs that each run or worker takes, where that was left to the cluster: one, or none if it has none.

    Raises:
        UserError: there are GPUs, and fewer than workers.
    """
    if resources.gpus_per_run is not None:
        return resources
    gpus = sum(node.get("GPU", 0.0) for node in there)
    if 0 < gpus < resources.workers:
        raise UserError(
            f"each of {resources.workers} workers takes a GPU, and the cluster has {gpus:g}; "
            f"ask for at most {max(1, int(gpus))} workers, or for none of the GPUs with --gpus-per-run 0"
        )
    return resources.with_field("gpus_per_run", 1.0 if gpus >= 1 else 0.0)


def check_room(resources: Resources, there: Sequence[Totals]) -> None:
    """Refuse a run that the nodes have no room for, now: Ray would wait for a node that may never come.

    Raises:
        UserError: a run needs more than the nodes have together, or a worker more than any node has; or there are no
            other nodes for loaders.
    """
    if resources.loaders and len(there) < 2:
        raise UserError("loaders are cores of other nodes, and the cluster has one node; leave --loaders out")
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
