"""How the studies of a store stand: what is done, running, failed, and left by drivers that have gone."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from unlabeled.platform.track.faults import AwayError, DeniedError, RefusedError
from unlabeled.platform.track.leases import Leases

if TYPE_CHECKING:
    from mlflow.entities import Experiment

    from unlabeled.platform.track.store import Store


@dataclass
class Standing:
    """How one study or search stands.

    Attributes:
        name: its name.
        done: runs that finished.
        failed: runs that ended with an error; the same command tries them again.
        left: runs that were stopped, or whose driver has gone; the same command goes on with them.
        running: name of each run under way -> the driver that has it in hand.
        last: when its newest run began, in seconds since 1970.
    """

    name: str
    done: int = 0
    failed: int = 0
    left: int = 0
    running: dict[str, str] = field(default_factory=dict)
    last: float = 0.0


def standings(store: "Store") -> Iterator[Standing]:
    """Give how each study of a store stands, those without runs left out.

    A driver on another machine counts as alive until it says that it leaves; one on this machine while its process is.
    """
    for experiment in store.experiments():
        found = _standing(store, experiment)
        if found is not None:
            yield found


def _standing(store: "Store", experiment: "Experiment") -> Standing | None:
    ledger = experiment.tags.get("unlabeled.ledger")
    if ledger is None:
        return None  # somebody else's, and may be large
    found, leases, any_run = Standing(str(experiment.name)), _leases(store, ledger), False
    for run in store.runs(experiment.name):
        tags, status = run.data.tags, run.info.status
        if "unlabeled.study" not in tags:
            continue  # somebody else's, logged there
        any_run = True
        found.last = max(found.last, run.info.start_time / 1000)
        fingerprint = tags.get("unlabeled.fingerprint", "")
        if status == "FINISHED":
            found.done += 1
        elif status == "FAILED":
            found.failed += 1
        elif status == "RUNNING" and leases is not None and leases.is_held_by_another(fingerprint):
            found.running[str(run.info.run_name)] = str(leases.holder(fingerprint))
        else:
            found.left += 1
    return found if any_run else None


def _leases(store: "Store", ledger: str) -> Leases | None:
    """Return a study's leases, to look at; None where they can't be read."""
    with contextlib.suppress(AwayError, DeniedError, RefusedError):
        leases = Leases(store.client, ledger)
        leases.refresh()
        return leases
    return None
