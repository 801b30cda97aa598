"""From a declared search to its end: check it, open its stores, do it, write what it found."""

from pathlib import Path

from rich.console import Console

from unlabeled.platform.config import RunConfig
from unlabeled.platform.drive import awaited
from unlabeled.platform.drive.home import make_home
from unlabeled.platform.drive.precision import resolved
from unlabeled.platform.drive.resources import Resources
from unlabeled.platform.drive.sweep import check_runs
from unlabeled.platform.errors import UserError
from unlabeled.platform.search import summary
from unlabeled.platform.search.course import Course
from unlabeled.platform.search.declared import Search
from unlabeled.platform.search.memory import Memory, only_driver
from unlabeled.platform.search.on_tune import search_on_tune
from unlabeled.platform.search.recording import SearchDisplay, SearchRecorder
from unlabeled.platform.search.strategy import PrunerName, SamplerName, check_pruner, check_sampler
from unlabeled.platform.study import PlannedRun
from unlabeled.platform.track import Store
from unlabeled.platform.train.loaded import data_of


def start(
    search: Search,
    base: RunConfig,
    profile: str,
    home: Path | None,
    resources: Resources,
    *,
    sampler: SamplerName = "tpe",
    pruner: PrunerName = "asha",
    seed: int = 0,
    console: Console | None = None,
) -> Course:
    """Do what is left of a search on Ray Tune and write its files; the course tells how it went.

    Raises:
        UserError: sampler, pruner or data can't serve the search, or another process is running it.
    """
    check_sampler(sampler, search)
    check_pruner(pruner, search)
    base = resolved(base, resources)
    awaited.awaits("checking the run and its data")
    check_runs([PlannedRun(row="default", seed=base.seed, config=base)], resources)
    data = data_of(base)
    has_classes = "class" in data.train.fields
    if not has_classes and not search.objective.metric.startswith("health/"):
        raise UserError(f"{search.objective.metric} needs labels, and {data.name} has none; search by health/rankme")
    if not has_classes and pruner != "none" and not search.prune_on.startswith("health/"):
        raise UserError(f"{search.prune_on} needs labels, and {data.name} has none; prune on health/rankme")
    place = make_home(home)
    with only_driver(place, search.name):
        memory = Memory(
            search, base, data.checksum, place, sampler=sampler, pruner=pruner, seed=seed, trials=search.trials
        )
        done = sum(trial.state.is_finished() for trial in memory.trained())
        awaited.awaits("opening the store")
        recorder = SearchRecorder(base, place, Store(place).open_study(search.record(profile)))
        further = search.best * search.further_seeds + 2 * max(1, search.further_seeds)
        display = SearchDisplay(max(0, search.trials - done) + further, search.objective.metric, console)
        course = Course(search, base, memory, recorder, display, trials=search.trials, workers=resources.workers)
        print(f"{search.name}: {done} of {search.trials} trials are done; home {place}", flush=True)
        search_on_tune(course, resources)
        summary.write(course, profile)
    return course
