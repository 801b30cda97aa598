"""What of a run's resources its process is told by, rather than by the run: none of it changes the run's result."""

import contextlib
import functools
from collections.abc import Iterator

from unlabeled.platform.data.threads import loader_threads
from unlabeled.platform.drive.loaders import Loaders
from unlabeled.platform.drive.resources import Resources
from unlabeled.platform.train.ahead import reading_elsewhere
from unlabeled.platform.train.compiled import BACKEND, compiling
from unlabeled.platform.train.profiled import profiling


@contextlib.contextmanager
def share_of(resources: Resources) -> Iterator[None]:
    """Let runs on this thread read ahead, be compiled and be profiled as a run's share of the resources says."""
    loaders = functools.partial(Loaders, count=resources.loaders) if resources.loaders else None
    with (
        loader_threads(resources.loader_threads),
        reading_elsewhere(loaders),
        compiling(BACKEND if resources.compile else None),
        profiling(resources.profile_steps),
    ):
        yield
