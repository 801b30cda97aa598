"""Cores of other nodes that read a run's batches: where a node's own can't feed its GPU.

Each is a Ray actor, which loads the run's data once and reads the steps that it is asked for. What a step's batch needs
is a function of (seed, step), so it is the same whoever reads it, and when one is lost it is read here.
"""

import contextlib
import itertools
import logging
import os
import threading
import time
from collections import Counter
from typing import Any

import torch
from torch import Tensor

from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data, data_root
from unlabeled.platform.drive.parcel import packed, unpacked
from unlabeled.platform.errors import UserError
from unlabeled.platform.processor import Processor
from unlabeled.platform.train.batches import Batches
from unlabeled.platform.train.listings import tell, told
from unlabeled.platform.train.loaded import data_of
from unlabeled.platform.train.stored import Stored

PATIENCE_SECONDS = 60.0  # that a batch may take elsewhere before it is read here, too
REST_SECONDS = 30.0  # before a loader is started in the place of one that was lost

logger = logging.getLogger(__name__)


class Loaders:
    """Some loaders, a core each, on the other nodes that a Ray cluster has; this process has joined it.

    Until one is ready, or when none is left, whoever asks reads by itself.

    Attributes:
        places: how many there may be.
        read_on: how many batches each node has read, by its id.
    """

    def __init__(self, run: RunConfig, data: Data, rows: Tensor, *, count: int) -> None:
        """Start them, without waiting for them.

        Args:
            run: whose batches they read.
            data: of the run; theirs must be the same.
            rows: int64 [B], which rows of each global batch.
            count: how many.
        """
        self.places, self.read_on = count, Counter[str]()
        self._given = packed((run, rows, data.checksum, data_root(), told()))
        self._lock, self._turns, self._warned = threading.Lock(), itertools.count(), False
        self._waited = False
        self._free = [_Place() for _ in range(count)]
        for place in self._free:
            self._fill(place)

    def __call__(self, step: int) -> Stored | None:
        """Return what one of them reads, or None where none is free, or it is lost."""
        import ray

        place = self._take()
        if place is None:
            return None
        try:
            answer = place.actor.read.remote(step)
            if not ray.wait([answer], timeout=PATIENCE_SECONDS)[0]:
                raise TimeoutError(f"no batch within {PATIENCE_SECONDS:.0f} s")
            stored: Stored = ray.get(answer)
        except Exception as error:  # of whatever kind: it is read here, and what is really wrong shows then
            self._lose(place, error)
            return None
        with self._lock:
            self.read_on[place.node] += 1
            self._free.append(place)
        return stored

    @property
    def is_ready(self) -> bool:
        """Whether one is free that has loaded its data."""
        with self._lock:
            return any(place.is_ready() for place in self._free)

    def close(self) -> None:
        """Let them go."""
        with self._lock:
            for place in self._free:
                place.end()
            self._free.clear()

    def _take(self) -> "_Place | None":
        """Return a free place whose loader is ready; start those that are due again."""
        with self._lock:
            for number, place in enumerate(self._free):
                if place.actor is None and time.monotonic() > place.rests_until:
                    self._fill(place)
                try:
                    if place.is_ready():
                        return self._free.pop(number)
                except Exception as error:
                    self._rest(place, error)
                else:
                    self._warn_of_waiting(place)
        return None

    def _warn_of_waiting(self, place: "_Place") -> None:
        """Say once that a loader gets no core: whoever else has it may keep it to the end."""
        waited = time.monotonic() - place.started_at
        if place.actor is not None and waited > PATIENCE_SECONDS and not self._waited:
            self._waited = True
            logger.warning(
                "a loader has waited %.0f s for a core of node %s, or for its data there, and what it would read is "
                "read here; free a core of it, or ask for fewer --loaders",
                waited,
                place.node[:8],
            )

    def _fill(self, place: "_Place") -> None:
        """Start a loader on the next of the other nodes; where there is none, look again later."""
        import ray

        here = ray.get_runtime_context().get_node_id()
        listed: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
        others = sorted(
            node["NodeID"]
            for node in listed
            if node["Alive"] and node["NodeID"] != here and node["Resources"].get("CPU", 0) >= 1
        )
        if others:
            place.start(others[next(self._turns) % len(others)], self._given)
        else:
            self._rest(place, LookupError("the cluster has no other node"))

    def _lose(self, place: "_Place", error: Exception) -> None:
        with self._lock:
            self._rest(place, error)
            self._free.append(place)

    def _rest(self, place: "_Place", error: Exception) -> None:
        place.end()
        place.rests_until = time.monotonic() + REST_SECONDS
        if not self._warned:
            self._warned = True
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            logger.warning("a loader was lost, and what it would read is read here: %s", reason)


class _Place:
    """Where a loader is, or will be."""

    def __init__(self) -> None:
        self.actor: Any = None
        self.node = ""
        self.rests_until = self.started_at = 0.0
        self._started: Any = None

    def start(self, node: str, given: str) -> None:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self.node, self.started_at = node, time.monotonic()
        actor: Any = ray.remote(num_cpus=1, max_restarts=0)(_Loader)
        self.actor = actor.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(given)
        self._started = self.actor.check.remote()

    def is_ready(self) -> bool:
        """Tell whether it has loaded its data; raise what went wrong."""
        import ray

        if self.actor is not None and self._started is not None and ray.wait([self._started], timeout=0)[0]:
            ray.get(self._started)
            self._started = None  # asked no more: that it has died since is for whoever reads to find
        return self.actor is not None and self._started is None

    def end(self) -> None:
        import ray

        if self.actor is not None:
            with contextlib.suppress(Exception):  # it may be dead
                ray.kill(self.actor)
        self.actor = self._started = None


class _Loader:
    """The actor."""

    def __init__(self, given: str) -> None:
        self._given = given

    def check(self) -> None:
        """Load the run's data.

        Raises:
            UserError: they are not here, or not the same.
        """
        torch.set_num_threads(1)
        run, self._rows, checksum, root, known = unpacked(self._given)
        tell(known)
        os.environ["UNLABELED_DATA"] = str(root)
        data = data_of(run)
        if data.checksum != checksum:
            raise UserError(f"{run.data.name} in {root} is another there; let all nodes see the same files")
        self._batches = Batches(run, data, Processor(torch.device("cpu"), "fp32"))

    def read(self, step: int) -> Stored:
        return self._batches.read(step, self._rows)
