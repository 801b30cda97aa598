"""Where and how wide runs go. None of it is part of a run's identity."""

import math
from collections.abc import Iterable, Mapping
from typing import Self

from pydantic import Field, model_validator

from unlabeled.platform.settings import Settings

Totals = Mapping[str, float]  # what a node has of each resource, by Ray's names


class Resources(Settings):
    """What a run may use, and how many runs go at the same time.

    Attributes:
        cpus_per_run: cores, and threads, of a run; of each worker where there are several.
        gpus_per_run: 1 is a GPU for each run or worker, less a run's share of one; None is 1 where there are any.
        workers: processes that train a run together, its global batch unchanged.
        min_workers: with how many a run may go on when nodes are lost; None waits until all are back.
        max_concurrent: most runs at the same time; None is as many as fit.
        retries: how often a run whose process or node was lost is started again.
        loader_threads: threads of a run or worker that read its batches ahead; 0 reads each when it is needed, None
            goes by its cores and by where the data lie.
        loaders: cores of other nodes that read batches for each run or worker, where its own can't keep up.
        compile: whether to train through compiled encoders: the same numbers but for rounding.
        address: a Ray cluster to use; None is the one that this process was started in as a job, or one of its own.
        profile_steps: how many steps of a run to profile; None profiles none.
    """

    cpus_per_run: int = Field(default=1, ge=1)
    gpus_per_run: float | None = Field(default=None, ge=0.0)
    workers: int = Field(default=1, ge=1)
    min_workers: int | None = Field(default=None, ge=1)
    max_concurrent: int | None = Field(default=None, ge=1)
    retries: int = Field(default=2, ge=0)
    loader_threads: int | None = Field(default=None, ge=0)
    loaders: int = Field(default=0, ge=0)
    compile: bool = False
    address: str | None = None
    profile_steps: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _fewest_is_fewer(self) -> Self:
        if self.min_workers is not None and self.min_workers >= self.workers:
            raise ValueError(f"min_workers {self.min_workers} must be below workers {self.workers}; leave it out")
        return self

    @model_validator(mode="after")
    def _each_has_one_gpu_or_a_share(self) -> Self:
        if self.gpus > 1:
            raise ValueError(
                f"gpus_per_run {self.gpus:g} must be at most 1, for a run or worker computes on one GPU; "
                f"let {math.ceil(self.gpus)} of them train a run together with --workers {math.ceil(self.gpus)}"
            )
        if 0 < self.gpus < 1 and self.workers > 1:
            raise ValueError(
                f"gpus_per_run {self.gpus:g} must be 1 or 0 with workers {self.workers}: one GPU can't train a run "
                "twice at once; take as many --workers as there are GPUs, or one"
            )
        return self

    @property
    def gpus(self) -> float:
        """GPUs per run or worker, once it is known whether there are any."""
        return self.gpus_per_run or 0.0

    @property
    def each(self) -> dict[str, float]:
        """What a run or worker takes of a node, by Ray's names."""
        return {"CPU": float(self.cpus_per_run), **({"GPU": self.gpus} if self.gpus else {})}

    def places(self, nodes: Iterable[Totals]) -> int:
        """Return how many runs fit at the same time: a worker needs all that it takes on one node.

        >>> Resources(cpus_per_run=3).places([{"CPU": 4.0}, {"CPU": 8.0}])
        3
        >>> Resources(gpus_per_run=0.4).places([{"CPU": 16.0, "GPU": 2.0}])  # no run has a share of two GPUs
        4
        """
        fitting = 0
        for node in nodes:
            rooms = [int(node.get("CPU", 0.0) // self.cpus_per_run)]
            if self.gpus:
                gpus = node.get("GPU", 0.0)
                rooms.append(int(gpus) * int(1 / self.gpus + 1e-9))
            fitting += min(rooms)
        return min(fitting // self.workers, self.max_concurrent or fitting)
