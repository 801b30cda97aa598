"""Where and how wide runs go. None of it is part of a run's identity."""

from typing import Self

from pydantic import Field, model_validator

from unlabeled.platform.settings import Settings


class Resources(Settings):
    """What a run may use, and how many runs go at the same time.

    Attributes:
        cpus_per_run: cores, and threads, of a run; of each worker where there are several.
        gpus_per_run: GPUs of a run or worker, or the fraction of one that it shares; None is one where there are any.
        workers: processes that train a run together, its global batch unchanged.
        fewest_workers: with how many a run may go on when nodes are lost; None waits until all are back.
        at_once: most runs at the same time; None is as many as fit.
        retries: how often a run whose process or node was lost is started again.
        address: a Ray cluster to use; None is the one that this process was started in as a job, or one of its own.
    """

    cpus_per_run: int = Field(default=1, ge=1)
    gpus_per_run: float | None = Field(default=None, ge=0.0)
    workers: int = Field(default=1, ge=1)
    fewest_workers: int | None = Field(default=None, ge=1)
    at_once: int | None = Field(default=None, ge=1)
    retries: int = Field(default=2, ge=0)
    address: str | None = None

    @model_validator(mode="after")
    def _fewest_is_fewer(self) -> Self:
        if self.fewest_workers is not None and self.fewest_workers >= self.workers:
            raise ValueError(f"fewest_workers {self.fewest_workers} must be below workers {self.workers}; leave it out")
        return self

    @property
    def gpus(self) -> float:
        """GPUs per run or worker, once it is known whether there are any."""
        return self.gpus_per_run or 0.0
