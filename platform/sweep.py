"""Run a study on Ray Tune: skip what is done, continue what is not, and let one run's failure be its own.

Each run is a trial that trains in a process of its own, a process serving many runs one after the other
(``reuse_actors``), so that a run costs a fraction of a second beyond its work. Trials report; this driver writes to
MLflow.
"""

import functools
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from unlabeled.platform.display import Display
from unlabeled.platform.errors import UserError
from unlabeled.platform.events import Event, Failed
from unlabeled.platform.recorder import Outcome, Recorder
from unlabeled.platform.resources import Resources
from unlabeled.platform.runtime import execute_safely, load_cached
from unlabeled.platform.study import PlannedRun
from unlabeled.platform.train import check_fits, check_splits
from unlabeled.platform.trial import trial

# Tune writes results.json, CSV and TensorBoard files per trial unless told not to; MLflow has it all.
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # its banner; verbose=0 silences only the old one


def check_runs(planned: Sequence[PlannedRun], resources: Resources) -> None:
    """Find a user's mistake before anything is written or trained: each run is built, without memory for its weights.

    Raises:
        UserError: a run doesn't fit its data, its encoder, or the way that it should be split.
    """
    for run in planned:
        config, data = run.config, load_cached(run.config.data)
        check_fits(config, data, resources.workers)
        with torch.device("meta"):
            method = config.method.build(config.encoder.build(data.channels, data.image_px))
        check_splits(method, config)


def run_here(recorder: Recorder, display: Display, resources: Resources) -> Outcome:
    """Do the unfinished runs one after the other in this process, without Ray; it uses all threads that torch takes."""
    assert resources.workers == 1
    with display:
        for number in recorder.unfinished():
            report = functools.partial(recorder.take, display, number)
            try:
                execute_safely(recorder.planned[number].config, recorder.home, resources, report)
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

    resources = _join_cluster(resources)
    own = {"cpu": resources.cpus_per_run, "gpu": resources.gpus}
    if resources.workers > 1:
        own = {"memory": 1}  # a byte, because Tune wants something: the cores and GPUs are for the workers
    trainable = tune.with_resources(trial, own)
    runs = [
        {"number": n, "run": recorder.planned[n].config, "home": recorder.home, "resources": resources} for n in todo
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


def _join_cluster(resources: Resources) -> Resources:
    """Start or join the Ray cluster; return the resources with what the cluster has decided filled in.

    Raises:
        UserError: one run needs more than the whole cluster has.
    """
    import ray

    in_job = "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ or "RAY_ADDRESS" in os.environ
    address = resources.address or (None if in_job else "local")
    local: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
    ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False, **local)
    has: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    if resources.gpus_per_run is None:
        resources = resources.with_field("gpus_per_run", 1.0 if has.get("GPU", 0.0) >= resources.workers else 0.0)
    fitting: list[int] = []
    for what, each in (("CPU", float(resources.cpus_per_run)), ("GPU", resources.gpus)):
        wanted = each * resources.workers
        if wanted > has.get(what, 0.0):
            ray.shutdown()
            there = has.get(what, 0.0)
            raise UserError(f"a run needs {wanted:g} {what}s, and the cluster has {there:g}; ask for fewer")
        fitting.append(int(has[what] // wanted) if wanted else fitting[0])
    if resources.workers > 1:  # Tune can't see what workers take, so it must not start more runs than fit
        resources = resources.with_field("at_once", min(*fitting, resources.at_once or fitting[0]))
    return resources


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
