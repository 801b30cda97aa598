"""``--dry-run``: what a command would run, how many at once, and for how long; nothing is started."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlabeled.platform.cli.sweeping import data_of_base, identity_of, of_rows, seeds_show
from unlabeled.platform.drive import awaited
from unlabeled.platform.errors import UserError

if TYPE_CHECKING:
    from unlabeled.platform.config import RunConfig
    from unlabeled.platform.data import DataConfig
    from unlabeled.platform.drive.resources import Resources
    from unlabeled.platform.search import Search
    from unlabeled.platform.study import Study


def say_plan(
    study: "Study",
    base: "RunConfig",
    profile: str,
    home: Path | None,
    resources: "Resources",
    rows: "Collection[str]" = (),
    *,
    in_turn: bool = False,
    record: "Mapping[str, Any] | None" = None,
) -> None:
    """Check a study's runs and the cluster, and print what running it would do.

    Data that are not there are named: then neither which runs are done nor whether they fit their data can be told.

    Args:
        study: whose runs.
        base: what they are made from.
        profile: at which scale.
        home: where finished ones are.
        resources: where and how wide they would run.
        rows: of which rows; all where none is named.
        in_turn: whether they would go one after the other in this process.
        record: what the study declares, where it is not what its runs are planned by.
    """
    from unlabeled.platform.drive.home import find_home
    from unlabeled.platform.drive.plan import Plan, logged_runs
    from unlabeled.platform.drive.precision import resolved
    from unlabeled.platform.drive.sweep import check_runs

    base = resolved(base, resources)
    planned = of_rows(study.runs(base, profile), rows)
    awaited.awaits("checking the runs and their data")
    missing = _missing_data([*(run.config.data for run in planned), *data_of_base(study, base, profile)])
    if not missing:
        check_runs(planned, resources)
    place, at_once = find_home(home), 1 if in_turn else _at_once(resources)
    if missing:
        awaited.end()
        print(f"{study.name}: {len(planned)} runs; home {place}")
        for run in planned:
            print(f"  {run.name}")
        print(f"{at_once} at once" if rows else f"{at_once} at once; {study.cost}, as declared")
        for reason in missing:
            print(f"which are done, and whether they fit, can't be told: {reason}")
    else:
        plan = Plan.of(planned, logged_runs(place, study.name), at_once)
        awaited.end()
        print(f"{study.name}: {plan.summary}; home {place}")
        for line in plan.lines():
            print(line)
        if plan.to_do and plan.seconds is None and not rows:  # which is of all of them
            print(f"declared: {study.cost}")
    whose = "" if missing else identity_of(study, base, profile)
    for line in seeds_show(study.name, record or study.record(profile), home, whose):
        print(line)
    print("nothing was started")


def say_search_plan(search: "Search", base: "RunConfig", home: Path | None, resources: "Resources") -> None:
    """Check the run around which is searched, and print what the search would do."""
    from statistics import fmean

    from unlabeled.platform.cli.ending import len_in_words
    from unlabeled.platform.drive.home import find_home
    from unlabeled.platform.drive.plan import logged_runs
    from unlabeled.platform.drive.precision import resolved
    from unlabeled.platform.drive.sweep import check_runs
    from unlabeled.platform.metrics import duration
    from unlabeled.platform.study import PlannedRun

    planned = [PlannedRun(row="default", seed=base.seed, config=resolved(base, resources))]
    awaited.awaits("checking the run and its data")
    missing = _missing_data([run.config.data for run in planned])
    if not missing:
        check_runs(planned, resources)
    place, at_once = find_home(home), _at_once(resources)
    logged = [run for run in logged_runs(place, search.name).values() if run.status == "FINISHED"]
    awaited.end()
    tests = 2 * max(1, search.further_seeds)
    further = search.best * search.further_seeds
    print(f"{search.name}: {len_in_words(search.trials, 'trial')}, those done before included; home {place}")
    print(f"  the best {search.best} again over {len_in_words(search.further_seeds, 'further seed')}: {further} runs")
    print(f"  the winner and the default on test: {tests} runs")
    for reason in missing:
        print(f"whether they fit can't be told: {reason}")
    most = search.trials + further + tests
    if logged:
        seconds = fmean(run.seconds for run in logged) * most / at_once
        before = f"by {len_in_words(len(logged), 'run')} that finished here, none pruned and none done before"
        print(f"{at_once} at once, at most about {duration(seconds)} and the start-up, {before}")
    else:
        print(f"{at_once} at once; declared: {search.cost}")
    print("nothing was started")


def _missing_data(data: "Sequence[DataConfig]") -> list[str]:
    """Return, of each data set that is not there, how to get it."""
    from unlabeled.platform.train.loaded import load_cached

    found = []
    for each in dict.fromkeys(data):
        try:
            load_cached(each)
        except UserError as error:
            found.append(str(error))
    return found


def _at_once(resources: "Resources") -> int:
    """Return how many runs a cluster has room for; one of this machine alone need not be started for that.

    Raises:
        UserError: no cluster answers, or it has no room for one.
    """
    from unlabeled.platform.drive.address import is_elsewhere
    from unlabeled.platform.drive.cluster import cluster
    from unlabeled.platform.drive.room import check_room, nodes, with_gpus

    if is_elsewhere(resources):
        with cluster(resources) as given:
            return given.places(nodes())
    there = [_this_machine()]
    given = with_gpus(resources, there)
    check_room(given, there)
    return given.places(there)


def _this_machine() -> dict[str, float]:
    """Return what a cluster of this machine has, by Ray's names."""
    from unlabeled.platform.drive.cores import usable_cores

    found = {"CPU": float(usable_cores())}
    with suppress(ImportError, RuntimeError):
        import torch

        if gpus := torch.cuda.device_count():
            found["GPU"] = float(gpus)
    return found
