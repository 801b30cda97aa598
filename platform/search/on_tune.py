"""A search on Ray Tune: the :class:`~unlabeled.platform.search.course` gives Tune its runs, and stops them.

Tune's own OptunaSearch and schedulers are not used, because they forget. OptunaSearch opens new trials on an old store
and leaves those under way open for ever; it knows no infeasible points, and takes a trial that a scheduler stopped for
a finished one. ASHA's rungs live in the driver's memory. Optuna's samplers and pruners keep all of that in the search's
store.
"""

import functools
from collections.abc import Mapping
from typing import Any

from unlabeled.platform.drive.cluster import cluster
from unlabeled.platform.drive.resources import Resources
from unlabeled.platform.drive.sweep import fit
from unlabeled.platform.search.course import Course


def search_on_tune(course: Course, resources: Resources) -> None:
    """Do what is left of a search; after Ctrl-C the runs under way are marked as killed and go on next time.

    Raises:
        UserError: no point can be trained, or a run needs more than the cluster has.
    """
    lost = functools.partial(course.take, lost=True)
    with course.display, cluster(resources) as given, course.recorder:
        try:
            fit(course.recorder, given, course.next, course.take, lost=lost, scheduler=_stopping(course))
        finally:
            if not course.is_over:
                course.recorder.interrupt()


def _stopping(course: Course) -> Any:
    """Make the Tune scheduler that stops the trials which the course gives up."""
    from ray.tune.schedulers import FIFOScheduler

    class Stopping(FIFOScheduler):
        def __init__(self, course: Course) -> None:
            super().__init__()  # type: ignore[no-untyped-call]
            self._course = course

        def on_trial_result(self, tune_controller: Any, trial: Any, result: Mapping[str, Any]) -> str:
            stops = self._course.stops(trial.config["number"], result["event"])
            return str(self.STOP if stops else self.CONTINUE)

        def __getstate__(self) -> dict[str, Any]:
            return {}

    return Stopping(course)
