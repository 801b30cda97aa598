"""What running a study would do: which runs are done, which would be run, how many at once, and for how long."""

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Self

from unlabeled.platform.drive.home import has_store
from unlabeled.platform.metrics import duration
from unlabeled.platform.study import PlannedRun
from unlabeled.platform.train.loaded import identify


@dataclass(frozen=True)
class LoggedRun:
    """What the store says of a run.

    Attributes:
        status: MLflow's: FINISHED, FAILED, KILLED, RUNNING.
        row: the row that it measures.
        row_digest: the identity of all its settings but the seed, and of its data.
        seconds: how long it took, if it is finished.
    """

    status: str
    row: str
    row_digest: str
    seconds: float


@dataclass(frozen=True)
class PlannedStep:
    """A run of the study, and what is known of it.

    Attributes:
        run: the run.
        status: its status in the store; empty where it is not there.
        seconds: how long it took, or what runs like it took on average; None where no run like it is finished.
    """

    run: PlannedRun
    status: str
    seconds: float | None

    @property
    def is_done(self) -> bool:
        """Whether it would be skipped."""
        return self.status == "FINISHED"

    @property
    def what(self) -> str:
        """What would become of it."""
        return {"": "to do", "FINISHED": "done", "FAILED": "tried again"}.get(self.status, "goes on")


@dataclass(frozen=True)
class Plan:
    """The runs of a study, and how they would go.

    Attributes:
        steps: the runs in order.
        max_concurrent: how many the cluster has room for.
    """

    steps: tuple[PlannedStep, ...]
    max_concurrent: int

    @classmethod
    def of(cls, planned: Sequence[PlannedRun], logged: Mapping[str, LoggedRun], max_concurrent: int) -> Self:
        """Compare what is planned with what is logged, by fingerprint.

        A run takes as long as finished runs did on average that are the same in all but their seed.
        """
        steps = []
        for run in planned:
            identity = identify(run.config)
            known = logged.get(identity.fingerprint)
            alike = [
                other.seconds
                for other in logged.values()
                if (other.status, other.row_digest) == ("FINISHED", identity.row)
            ]
            is_done = known is not None and known.status == "FINISHED"
            seconds = known.seconds if known is not None and is_done else fmean(alike) if alike else None
            steps.append(PlannedStep(run, known.status if known is not None else "", seconds))
        return cls(tuple(steps), max_concurrent)

    @property
    def to_do(self) -> list[PlannedStep]:
        """The runs that are not finished."""
        return [step for step in self.steps if not step.is_done]

    @property
    def seconds(self) -> float | None:
        """How long it would take, start-up apart; None where that can't be known of a run."""
        lanes = [0.0] * max(1, min(self.max_concurrent, len(self.to_do)))
        for step in self.to_do:
            if step.seconds is None:
                return None
            heapq.heapreplace(lanes, lanes[0] + step.seconds)  # the next run goes where there is room first
        return max(lanes)

    @property
    def summary(self) -> str:
        """The counts in a sentence."""
        return f"{len(self.steps) - len(self.to_do)} of {len(self.steps)} runs are done, {len(self.to_do)} to do"

    def lines(self) -> Iterator[str]:
        """Say each run and its time, then how many go at once and for how long."""
        width = max(len(step.run.name) for step in self.steps)
        for step in self.steps:
            took = "" if step.seconds is None else f"{'' if step.is_done else 'about '}{duration(step.seconds)}"
            yield f"  {step.run.name:{width}}  {step.what:11}  {took}".rstrip()
        if not self.to_do:
            return
        if self.seconds is not None:
            yield f"{self.max_concurrent} at once, about {duration(self.seconds)} and the start-up"
        else:
            unknown = dict.fromkeys(f"{step.run.row!r}" for step in self.to_do if step.seconds is None)
            yield (
                f"{self.max_concurrent} at once; how long can't be known: no finished run here is like "
                f"{', '.join(unknown)} in all but the seed"
            )


def logged_runs(home: Path, study: str) -> dict[str, LoggedRun]:
    """Read a study's runs, by fingerprint; none, and nothing made, where there is no store yet."""
    if not has_store(home):
        return {}
    from unlabeled.platform.track import Store, frame

    store = Store(home)
    if store.client.get_experiment_by_name(study) is None:
        return {}
    table = frame(store.runs(study))
    if table.empty:
        return {}
    columns = (table[name] for name in ("fingerprint", "status", "row", "row_digest", "seconds"))
    return {
        fingerprint: LoggedRun(status, row, row_digest, float(seconds))
        for fingerprint, status, row, row_digest, seconds in zip(*columns, strict=True)
    }
