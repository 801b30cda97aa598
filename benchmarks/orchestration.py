"""What does a run cost beyond its training, and what does a finished study cost to run again?

Measured, by wall time:

* A study of 50 runs of one step each, one at a time, through Ray Tune into a new SQLite store. The runs' own work is
  kept small (a narrow encoder, no probes, no t-SNE); all else is as in any run: views picture, checkpoint, files,
  events, MLflow. Start-up ends with the first run's first event. Beside it: the same runs one after the other in this
  process, on one thread, with nobody to report to. Target: at most 0.5 s a run, its work included.
* The same study again, from the store that it filled, and a tiny study of projection heads, done and done again by the
  command line, report included. Target: each trains nothing and takes at most 15 s.
"""

import io
import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.command import run_study
from benchmarks.compare import Row, one_thread
from unlabeled.platform.config import EvaluationConfig, RunConfig
from unlabeled.platform.data import DataConfig
from unlabeled.platform.drive.display import Display
from unlabeled.platform.drive.recorder import Recorder
from unlabeled.platform.drive.resources import Resources
from unlabeled.platform.drive.sweep import run_on_tune
from unlabeled.platform.study import Study
from unlabeled.platform.track import Store
from unlabeled.platform.train.events import Event, Finished, Started
from unlabeled.platform.train.execution import execute_safely
from unlabeled.studies.projection_head import STUDY as PROJECTION_HEAD

BATCH = 64
MAX_PER_RUN = 0.5  # seconds
MAX_AGAIN = 15.0
TINY = (
    *("--set", "data.train_images=256", "--set", "batch_size=64", "--set", "epochs=1", "--set", "encoder.width=8"),
    *("--set", "evaluation.tsne_images=0", "--seeds", "0,1"),
)


def rows() -> Iterator[Row]:
    study = short_runs()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        first = Sweep(study, home / "tune")
        alone = seconds_alone(first.recorder)
        per_run = first.seconds_per_run
        yield Row(
            what=f"a run of one step, {len(first.recorder.planned)} of them",
            ours=f"{per_run:.2f} s",
            reference=f"{alone:.2f} s, in one process without Ray and MLflow",
            ratio=per_run / alone,
            target=f"at most {MAX_PER_RUN} s",
            met=per_run <= MAX_PER_RUN and first.trained == len(first.recorder.planned),
        )
        again = Sweep(study, home / "tune")
        yield repetition("the same study again", first.seconds, again.seconds, again.trained)
    yield command_line()


def short_runs() -> Study:
    """Declare 50 runs of one step; like any study, it has several rows per seed."""
    base = PROJECTION_HEAD.base("laptop")
    base = base.with_field("data", DataConfig(name=base.data.name, train_images=BATCH))
    base = base.with_field("batch_size", BATCH).with_field("epochs", 1).with_field("encoder.width", 4)
    reduced = EvaluationConfig(follow=(), follow_images=100, final=(), tsne_images=0)
    return Study(
        name="short-runs",
        question="What does a run cost beyond its work?",
        source="none",
        expected="Little.",
        cost="50 runs of one step",
        profiles={"laptop": base.with_field("evaluation", reduced)},
        vary={"method.temperature": tuple((place + 1) / 10 for place in range(10))},
        seeds=(0, 1, 2, 3, 4),
    )


class Sweep:
    """A study, run as the command line runs it, with a clock.

    Attributes:
        recorder: what took the events, to the store.
        seconds: from start to end.
        seconds_per_run: from the first event to the last, by the number of runs; start-up and end are left out.
        trained: how many runs were trained.
    """

    def __init__(self, study: Study, home: Path) -> None:
        started = time.perf_counter()
        base = study.base("laptop")
        home.mkdir(exist_ok=True)
        log = Store(home).open_study(study.record("laptop"))
        self.recorder = TimedRecorder(study.runs(base), base, home, log)
        display = Display(len(self.recorder.planned), study.measure, Console(file=io.StringIO()))
        outcome = run_on_tune(self.recorder, display, Resources(max_concurrent=1, address="local"))
        self.seconds = time.perf_counter() - started
        self.trained = outcome.finished
        times = self.recorder.times
        self.seconds_per_run = (max(times) - min(times)) / outcome.finished if times else 0.0


class TimedRecorder(Recorder):
    """Notes when runs start, and when their end is in the store."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.times: list[float] = []

    def take(self, display: Display, number: int, event: Event) -> None:
        """Record one event of a run, and when that was."""
        if isinstance(event, Started):
            self.times.append(time.perf_counter())
        super().take(display, number, event)
        if isinstance(event, Finished):
            self.times.append(time.perf_counter())


def seconds_alone(recorder: Recorder) -> float:
    """Do the same runs in this process, their events thrown away; return the seconds per run."""
    runs: list[RunConfig] = [planned.config for planned in recorder.planned]
    with tempfile.TemporaryDirectory() as folder, one_thread():
        started = time.perf_counter()
        for run in runs:
            execute_safely(run, Path(folder), None, lambda event: None)
        return (time.perf_counter() - started) / len(runs)


def command_line() -> Row:
    """Do a tiny study twice by the command line."""
    with tempfile.TemporaryDirectory() as home:
        seconds, trained = [], 0
        for _ in range(2):
            started = time.perf_counter()
            said = run_study(PROJECTION_HEAD.name, home, *TINY)
            seconds.append(time.perf_counter() - started)
            counted = re.search(r"^(\d+) finished", said, re.MULTILINE)
            assert counted is not None, said
            trained = int(counted[1])
    return repetition("the command line again, tiny study", seconds[0], seconds[1], trained)


def repetition(what: str, first: float, again: float, trained: int) -> Row:
    return Row(
        what=what,
        ours=f"{again:.1f} s, trains {trained}",
        reference=f"{first:.1f} s, the first time",
        ratio=again / first,
        target=f"at most {MAX_AGAIN:.0f} s, trains 0",
        met=again <= MAX_AGAIN and trained == 0,
    )
