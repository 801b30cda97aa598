"""Run a study on Ray Tune: skip what is done, continue what is not, and let one run's failure be its own.

Each run is a trial that trains in a process of its own, a process serving many runs one after the other
(``reuse_actors``), so that a run costs a fraction of a second beyond its work. Trials report; this driver writes to
MLflow.
"""

import functools
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import Field

from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data
from unlabeled.platform.display import Display
from unlabeled.platform.errors import UserError
from unlabeled.platform.evaluate.protocol import Evaluation
from unlabeled.platform.processor import Processor
from unlabeled.platform.runtime import EpochDone, Event, Failed, Finished, Started
from unlabeled.platform.settings import Settings
from unlabeled.platform.study import PlannedRun
from unlabeled.platform.track import StudyLog
from unlabeled.platform.train import check_fits
from unlabeled.platform.trial import execute_safely, load_cached, trial

# Tune writes results.json, CSV and TensorBoard files per trial unless told not to; MLflow has it all.
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # its banner; verbose=0 silences only the old one


class Resources(Settings):
    """Where and how wide runs go. None of it changes what a run computes.

    Attributes:
        cpus_per_run: cores, and threads, of a run.
        gpus_per_run: GPUs of a run, or the fraction of one that it shares; None is one where the cluster has any.
        at_once: most runs at the same time; None is as many as fit.
        retries: how often a run whose process or node was lost is started again.
        address: a Ray cluster to use; None is the one that this process was started in as a job, or one of its own.
    """

    cpus_per_run: int = Field(default=1, ge=1)
    gpus_per_run: float | None = Field(default=None, ge=0.0)
    at_once: int | None = Field(default=None, ge=1)
    retries: int = Field(default=2, ge=0)
    address: str | None = None


@dataclass
class Outcome:
    """How a sweep ended: how many runs were there before, and how many ended how."""

    skipped: int = 0
    finished: int = 0
    failed: int = 0
    interrupted: bool = False

    @property
    def is_complete(self) -> bool:
        """Whether every run of the study is finished."""
        return not self.failed and not self.interrupted


class Recorder:
    """Takes each event of each run to the MLflow store and to the display."""

    def __init__(self, planned: Sequence[PlannedRun], base: RunConfig, home: Path, log: StudyLog) -> None:
        self.planned, self.base, self.home, self.log = planned, base, home, log
        self.data = {run.config.data: load_cached(run.config.data) for run in planned}
        for run in planned:
            _check(run.config, self.data[run.config.data])
        self.outcome = Outcome()
        self._run_ids: dict[int, str] = {}

    def fingerprint(self, number: int) -> str:
        """Return the identity of a run."""
        config = self.planned[number].config
        return config.fingerprint(self.data[config.data].checksum)

    def unfinished(self) -> list[int]:
        """Return the numbers of the runs that are yet to be done, and count the others."""
        todo = [n for n in range(len(self.planned)) if not self.log.is_finished(self.fingerprint(n))]
        self.outcome.skipped = len(self.planned) - len(todo)
        return todo

    def take(self, display: Display, number: int, event: Event) -> None:
        """Record one event of a run."""
        run_id = self._run_ids.get(number) or self._begin(number)
        if isinstance(event, Started):
            self.log.started(run_id, event)
        elif isinstance(event, EpochDone):
            self.log.epoch(run_id, event)
        elif isinstance(event, Finished):
            self.log.finished(run_id, event)
            self.outcome.finished += 1
            del self._run_ids[number]
        elif isinstance(event, Failed):
            self.log.failed(run_id, event)
            self.outcome.failed += 1
            del self._run_ids[number]
        planned = self.planned[number]
        display.show(planned.name, planned.config.epochs, event)

    def interrupt(self) -> None:
        """Mark the runs under way as killed; their checkpoints are kept."""
        for run_id in self._run_ids.values():
            self.log.killed(run_id)
        self.outcome.interrupted = True

    def _begin(self, number: int) -> str:
        planned = self.planned[number]
        data = self.data[planned.config.data]
        protocols = Evaluation(planned.config, data, Processor(torch.device("cpu"), "fp32")).protocols()
        base = self.base.digest(data.checksum)
        self._run_ids[number] = self.log.begin(planned, self.fingerprint(number), base, data, protocols)
        return self._run_ids[number]


def run_here(recorder: Recorder, display: Display) -> Outcome:
    """Do the unfinished runs one after the other in this process, without Ray."""
    with display:
        for number in recorder.unfinished():
            report = functools.partial(recorder.take, display, number)
            try:
                execute_safely(recorder.planned[number].config, recorder.home, report)
            except KeyboardInterrupt:
                recorder.interrupt()
                break
    return recorder.outcome


def run_on_tune(recorder: Recorder, display: Display, resources: Resources) -> Outcome:
    """Do the unfinished runs as trials of one Ray Tune sweep."""
    todo = recorder.unfinished()
    if not todo:
        return recorder.outcome
    import ray
    from ray import tune

    gpus = _join_cluster(resources)
    trainable = tune.with_resources(trial, {"cpu": resources.cpus_per_run, "gpu": gpus})
    runs = [
        {"number": n, "run": recorder.planned[n].config, "home": recorder.home, "threads": resources.cpus_per_run}
        for n in todo
    ]
    tuner = tune.Tuner(
        trainable,
        param_space={"trial": tune.grid_search(runs)},
        tune_config=tune.TuneConfig(reuse_actors=True, max_concurrent_trials=resources.at_once),
        run_config=tune.RunConfig(
            name=f"{recorder.log.record['name']}-{os.getpid()}",
            storage_path=str(recorder.home / "tune"),
            callbacks=[_listener(functools.partial(recorder.take, display))],
            failure_config=tune.FailureConfig(max_failures=resources.retries),
            verbose=0,
        ),
    )
    try:
        with display:
            tuner.fit()
        if recorder.outcome.finished + recorder.outcome.failed < len(todo):
            recorder.interrupt()
    finally:
        ray.shutdown()
    return recorder.outcome


def _check(run: RunConfig, data: Data) -> None:
    """Find a user's mistake before anything is trained: the run is built without memory for its weights."""
    check_fits(run, data)
    with torch.device("meta"):
        run.method.build(run.encoder.build(data.channels, data.image_px))


def _join_cluster(resources: Resources) -> float:
    """Start or join the Ray cluster; return the GPUs that each run gets."""
    import ray

    in_job = "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ or "RAY_ADDRESS" in os.environ
    address = resources.address or (None if in_job else "local")
    local: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
    ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False, **local)
    has: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    gpus = resources.gpus_per_run if resources.gpus_per_run is not None else min(1.0, has.get("GPU", 0.0))
    for what, wanted in (("CPU", float(resources.cpus_per_run)), ("GPU", gpus)):
        if wanted > has.get(what, 0.0):
            ray.shutdown()
            raise UserError(
                f"a run needs {wanted:g} {what}s, and the cluster has {has.get(what, 0.0):g}; ask for fewer"
            )
    return gpus


def _listener(take: Callable[[int, Event], None]) -> Any:
    """Make the Tune callback that hands each trial's events on; here, so that importing this file imports no Ray."""
    from ray.tune import Callback

    class Listener(Callback):
        def __init__(self, take: Callable[[int, Event], None]) -> None:
            self._take = take

        def __getstate__(self) -> dict[str, Any]:
            return {}  # Tune keeps a copy of its callbacks on disk to restore a sweep from; ours restores from MLflow

        def on_trial_result(
            self, iteration: int, trials: list[Any], trial: Any, result: Mapping[str, Any], **_: Any
        ) -> None:
            self._take(trial.config["trial"]["number"], result["event"])

        def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
            reason = f"its process was lost {trial.num_failures} times, the last time with: {trial.get_error()}"
            self._take(trial.config["trial"]["number"], Failed(reason.splitlines()[0]))

    return Listener(take)
