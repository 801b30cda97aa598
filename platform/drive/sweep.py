"""Run a study on Ray Tune: skip what is done, continue what is not, and let one run's failure be its own.

Each run is a trial that trains in a process of its own, a process serving many runs one after the other
(``reuse_actors``), so that a run costs a fraction of a second beyond its work. Trials report; this driver writes to
MLflow.
"""

import contextlib
import functools
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Self

import torch

from unlabeled.platform.drive.cluster import cluster
from unlabeled.platform.drive.cores import usable_cores
from unlabeled.platform.drive.display import Display
from unlabeled.platform.drive.recorder import Outcome, Recorder
from unlabeled.platform.drive.resources import Resources
from unlabeled.platform.drive.room import growing, nodes
from unlabeled.platform.drive.share import share_of
from unlabeled.platform.drive.trial import packed, trial
from unlabeled.platform.drive.workers import execute_on_workers
from unlabeled.platform.errors import UserError
from unlabeled.platform.study import PlannedRun
from unlabeled.platform.train.built import check_built
from unlabeled.platform.train.events import Event, Failed
from unlabeled.platform.train.execution import execute_safely
from unlabeled.platform.train.loaded import data_of, load_other, to_tell

# Tune writes results.json, CSV and TensorBoard files per trial unless told not to; MLflow has it all.
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # its banner; verbose=0 silences only the old one
# After Ctrl-C Tune would save itself and wait ten seconds for its processes; a run goes on from MLflow and checkpoints.
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")
os.environ.setdefault("TUNE_PRINT_ALL_TRIAL_ERRORS", "0")  # with their traces; what ended a run is said in a line
os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "86400")  # nor does it need Tune's record of all trials meanwhile

Take = Callable[[int, Event], None]
OVER = -1  # in the place of a run's number: there are no more
_ASK_AGAIN_SECONDS = 1.0  # while other drivers have all runs that are left


def check_runs(planned: Sequence[PlannedRun], resources: Resources) -> None:
    """Find a user's mistake before anything is written or trained: each run is built, without memory for its weights.

    Raises:
        UserError: a run doesn't fit its data, its encoder, or the way that it should be split.
    """
    for run in planned:
        data = data_of(run.config)
        check_built(run.config, data, resources.workers, load_other(run.config, data))


def run_here(recorder: Recorder, display: Display, resources: Resources) -> Outcome:
    """Do the unfinished runs one after the other without Ray Tune: in this process, or each on workers of its own.

    In this process a run uses the threads that it is given, by default all that torch takes, and no more than there are
    cores for them.
    """
    if not recorder.unfinished():
        return recorder.outcome
    several = resources.workers > 1
    if resources.loaders and not several:
        raise UserError(
            "loaders are cores of a cluster's other nodes; name the cluster with --address, or leave them out"
        )
    is_given = "cpus_per_run" in resources.model_fields_set  # the default is a core of a cluster, not of this process
    threads = resources.cpus_per_run if is_given else torch.get_num_threads()
    torch.set_num_threads(min(threads, usable_cores()))
    with display, cluster(resources) if several else contextlib.nullcontext(resources) as given, recorder:
        for number in _in_turn(recorder, display):
            run, trained = recorder.planned[number].config, recorder.trained(number)
            report = functools.partial(recorder.take, display, number)
            try:
                if several:
                    execute_on_workers(run, recorder.home, given, report, trained, to_tell(run, recorder.home))
                else:
                    with share_of(given):
                        is_whole = execute_safely(run, recorder.home, given.gpus_per_run, report, trained)
                    if not is_whole:
                        recorder.give_up("the GPU failed, and this process with it; the same command does the others")
            except KeyboardInterrupt:
                recorder.interrupt()
                break
    return recorder.outcome


def run_on_tune(recorder: Recorder, display: Display, resources: Resources) -> Outcome:
    """Do the unfinished runs as trials of one Ray Tune sweep."""
    with Sweeps(resources) as run:
        return run(recorder, display)


class Sweeps:
    """Does recorders' unfinished runs on Ray Tune, one sweep after the other in one cluster.

    As a context it holds the cluster, started or joined by the first sweep that has something to do.
    """

    def __init__(self, resources: Resources) -> None:
        self.resources = resources
        self._stack = contextlib.ExitStack()
        self._joined: Resources | None = None
        self._number = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    @property
    def at_once(self) -> int:
        """How many runs go at the same time; of this machine's cores, while no cluster is joined."""
        if self._joined is None:
            return max(1, self.resources.places([{"CPU": float(usable_cores())}]))
        return max(1, self._joined.places(nodes()))

    def __call__(self, recorder: Recorder, display: Display) -> Outcome:
        """Do the runs."""
        if not recorder.unfinished():
            return recorder.outcome
        self._number += 1
        ask, take = functools.partial(_next, recorder, display), functools.partial(recorder.take, display)
        with display:
            if self._joined is None:
                self._joined = self._stack.enter_context(cluster(self.resources))
            with recorder:
                fit(recorder, self._joined, ask, take, name=f"{os.getpid()}-{self._number}")
                if not recorder.is_over:
                    recorder.interrupt()
        return recorder.outcome


def _next(recorder: Recorder, display: Display) -> int | None:
    """Return the next run when Tune has room for one: it is leased then, and not before."""
    number = recorder.next(display)
    return number if number is not None or recorder.is_waiting else OVER


def _in_turn(recorder: Recorder, display: Display) -> Iterator[int]:
    """Give the runs as this driver gets their leases, until nothing is left to do or to wait for."""
    while not recorder.is_over:
        number = recorder.next(display)
        if number is not None:
            yield number
        elif not recorder.is_over:
            time.sleep(_ASK_AGAIN_SECONDS)


def fit(
    recorder: Recorder,
    resources: Resources,
    next_run: Callable[[], int | None],
    take: Take,
    *,
    lost: Take | None = None,
    scheduler: Any = None,
    name: str = "",
) -> None:
    """Let Tune do runs in a cluster until there are no more, or Ctrl-C.

    Args:
        recorder: whose runs they are.
        resources: as the cluster has completed them.
        next_run: gives the number of the next run, None where it is not known yet, or ``OVER``.
        take: gets each event with its run's number.
        lost: gets the failure of a run whose process was lost too often; ``take`` where it is None.
        scheduler: a Tune scheduler that says which runs stop.
        name: what tells these runs apart from others of the study, on disk.
    """
    from ray import tune

    own = {"cpu": resources.cpus_per_run, "gpu": resources.gpus}
    if resources.workers > 1:
        own = {"memory": 1}  # a byte, because Tune wants something: the cores and GPUs are for the workers
    asking = _asking(next_run, recorder, resources)
    search_alg = growing(asking, resources) if resources.workers > 1 else asking
    tuner = tune.Tuner(
        tune.with_resources(trial, own),
        tune_config=tune.TuneConfig(
            search_alg=search_alg,
            scheduler=scheduler,
            num_samples=-1,
            # A stopped run's thread ends with its next report; Ray Train workers end only with their owner's process.
            reuse_actors=scheduler is None or resources.workers == 1,
            max_concurrent_trials=resources.max_concurrent,
            trial_dirname_creator=_directory,
        ),
        run_config=tune.RunConfig(
            name=f"{recorder.log.record['name']}-{name or os.getpid()}",
            storage_path=str(recorder.home / "tune"),
            callbacks=[_listener(take, lost or take)],
            failure_config=tune.FailureConfig(max_failures=resources.retries),
            verbose=0,
        ),
    )
    with contextlib.suppress(KeyboardInterrupt):
        tuner.fit()
    if asking.error is not None:
        raise asking.error


def _asking(next_run: Callable[[], int | None], recorder: Recorder, resources: Resources) -> Any:
    """Make what Tune asks for the next run, when it has room for one."""
    from ray.tune.search import Searcher

    class Asking(Searcher):  # Tune keeps a copy on disk, class and all: nothing of ours may be in its closure
        def __init__(self, next_run: Callable[[], int | None], recorder: Recorder, resources: Resources) -> None:
            super().__init__()
            self._next_run, self._recorder, self._resources = next_run, recorder, resources
            self.error: Exception | None = None

        def suggest(self, trial_id: str) -> Any:
            try:
                number = self._next_run()
            except Exception as error:  # Tune would wrap it
                self.error, number = error, OVER
            if number is None:
                return None
            if number == OVER:
                return self.FINISHED
            run, trained = self._recorder.planned[number].config, self._recorder.trained(number)
            return packed(number, run, self._recorder.home, self._resources, trained)

        def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
            pass

        def save(self, checkpoint_path: str) -> None:
            pass  # what is done is in MLflow

        def restore(self, checkpoint_path: str) -> None:
            pass

        def __getstate__(self) -> dict[str, Any]:
            return {}

    return Asking(next_run, recorder, resources)


def _directory(trial: Any) -> str:
    return str(trial.trial_id)  # Tune's own is made of the settings, and too long for a file system


def _listener(take: Take, lost: Take) -> Any:
    """Make the Tune callback that hands each trial's events on; here, so that importing this file imports no Ray."""
    from ray.tune import Callback

    class Listener(Callback):
        def __init__(self, take: Take, lost: Take) -> None:
            self._take, self._lost = take, lost
            self._broken: set[str] = set()  # trials whose failure is told, and whose process ends

        def __getstate__(self) -> dict[str, Any]:
            return {}  # Tune keeps a copy of its callbacks on disk to restore a sweep from; ours restores from MLflow

        def on_trial_result(
            self, iteration: int, trials: list[Any], trial: Any, result: Mapping[str, Any], **_: Any
        ) -> None:
            event = result["event"]
            if isinstance(event, Failed) and event.breaks_process:
                self._broken.add(trial.trial_id)
                trial.max_failures = 0  # another process would end with the same error
            self._take(trial.config["number"], event)

        def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
            # Tune keeps statistics of every number of every trial, as objects and as text; nobody asks for them
            trial.run_metadata.metric_analysis, trial.run_metadata.metric_n_steps = {}, {}

        def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
            if trial.trial_id in self._broken:
                return
            reason = f"its process was lost {trial.num_failures} times, the last time with: {trial.get_error()}"
            self._lost(trial.config["number"], Failed(reason.splitlines()[0]))

    return Listener(take, lost)
