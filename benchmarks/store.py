"""Does the store's cost grow with the number of runs?

Measured:

* ``RUNS`` runs that train nothing, through the real sweep (Ray Tune, two at a time) into a new embedded store: the
  median seconds from one run's end to the next, the last hundred's against the first hundred's, and what this process's
  memory grows by from the first quarter on. Targets: at most 0.12 s a run, MLflow included; a ratio of at most 1.3; at
  most 20 KiB a run. ``UNLABELED_BENCHMARK_RUNS`` sets the number.
* Stores of 2,500, 5,000 and 10,000 runs, each read by ``frames.runs`` in a process of its own: wall seconds, and the
  process's peak memory, imports included. (Not ``ru_maxrss``, which begins at the parent's.) Targets for the largest:
  at most 20 s and 1 GiB; a cost per run of at most 1.3 times the smallest's.
"""

import io
import os
import shutil
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import psutil
from rich.console import Console

from benchmarks.command import python
from benchmarks.compare import Row
from unlabeled.platform.data import DataConfig
from unlabeled.platform.drive import sweep
from unlabeled.platform.drive.display import Display
from unlabeled.platform.drive.recorder import Recorder
from unlabeled.platform.drive.resources import Resources
from unlabeled.platform.drive.trial import unpacked
from unlabeled.platform.study import Study
from unlabeled.platform.track import Store
from unlabeled.platform.train.events import EpochDone, Event, Failed, Finished, Started
from unlabeled.studies.projection_head import STUDY as PROJECTION_HEAD

RUNS = int(os.environ.get("UNLABELED_BENCHMARK_RUNS", "600"))
SIZES = (2_500, 5_000, 10_000)
EPOCHS = 3
MAX_PER_RUN = 0.12  # seconds
MAX_GROWTH = 1.3
MAX_KIB = 20.0
MAX_READING = 20.0  # seconds
MAX_MIB = 1024.0
_TEMPERATURES = tuple((place + 1) / 20 for place in range(20))
_READ = """
import sys, time
from pathlib import Path
from unlabeled.dashboards import frames
started = time.perf_counter()
table = frames.runs("no-op", sys.argv[1])
seconds = time.perf_counter() - started
(peak,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(seconds, int(peak.split()[1]) / 1024, len(table))
"""


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        swept = Sweep(no_op(RUNS), home)
        yield swept.speed()
        yield swept.growth()
        yield swept.memory()
        yield from reading(home)


def no_op(runs: int) -> Study:
    """Declare a study of so many runs, most of them over seeds."""
    base = PROJECTION_HEAD.base("laptop").with_field("data", DataConfig(name="fashion-mnist-12k", train_images=256))
    return Study(
        name="no-op",
        question="What does the store cost?",
        source="none",
        expected="The same for each run.",
        cost="no training",
        profiles={"laptop": base.with_field("batch_size", 64).with_field("epochs", EPOCHS)},
        vary={"method.temperature": _TEMPERATURES},
        seeds=tuple(range(-(-runs // len(_TEMPERATURES)))),
    )


def say_as_a_run_does(config: dict[str, Any]) -> None:
    """Report what a run of some epochs reports, and write what it writes, without the work between."""
    from ray import tune

    run, home, *_ = unpacked(config)
    files = Path(home, "work", run.fingerprint("none"), "files")
    files.mkdir(parents=True, exist_ok=True)
    (files / "encoder.txt").write_text("no weights")
    tune.report({"event": Started({"host": "here", "processor": "none"}, 0, [])})
    for epoch in range(1, run.epochs + 1):
        metrics = {f"health/{place}": place / epoch for place in range(9)}
        tune.report({"event": EpochDone(epoch, {"train/loss": 1 / epoch, **metrics})})
    final = {f"test/{place}": 0.5 for place in range(6)}
    tune.report({"event": Finished({**final, "system/wall_seconds": 1.0}, files)})


class Sweep:
    """A study whose trials only report, run as the command line runs it, with a clock at the driver.

    Attributes:
        ends: when each run's end was taken, in seconds.
        kib: the driver's memory then.
    """

    def __init__(self, study: Study, home: Path) -> None:
        base = study.base("laptop")
        planned = study.runs(base)
        log = Store(home).open_study(study.record("laptop"))
        recorder = Clock(planned, base, home, log)
        display = Display(len(planned), study.measure, Console(file=io.StringIO()))
        started = time.perf_counter()
        with mock.patch.object(sweep, "trial", say_as_a_run_does):
            outcome = sweep.run_on_tune(recorder, display, Resources(address="local", gpus_per_run=0.0))
        self.seconds = time.perf_counter() - started
        assert outcome.finished == len(planned), outcome
        self.ends, self.kib = recorder.ends, recorder.kib
        # With the last event taken, what waits to be sent is sent: that is part of the runs' cost.
        self.flush_seconds = started + self.seconds - self.ends[-1]

    def steps(self) -> list[float]:
        """Return the seconds between one end and the next."""
        return [after - before for before, after in zip(self.ends, self.ends[1:], strict=False)]

    def speed(self) -> Row:
        """Say what a run costs."""
        median = statistics.median(self.steps())
        return Row(
            what=f"a run that trains nothing, {len(self.ends)} of them",
            ours=f"{median:.3f} s",
            reference=f"all of them {self.ends[-1] - self.ends[0]:.0f} s, the end {self.flush_seconds:.1f} s",
            target=f"at most {MAX_PER_RUN} s",
            met=median <= MAX_PER_RUN,
        )

    def growth(self) -> Row:
        """Say whether later runs cost more."""
        steps = self.steps()
        first, last = statistics.fmean(steps[:100]), statistics.fmean(steps[-100:])
        return Row(
            what="its last hundred runs",
            ours=f"{last:.3f} s each",
            reference=f"{first:.3f} s each, the first hundred",
            ratio=last / first,
            target=f"a ratio of at most {MAX_GROWTH}",
            met=last / first <= MAX_GROWTH,
        )

    def memory(self) -> Row:
        """Say what the driver keeps in memory of a run."""
        quarter = len(self.kib) // 4
        slope = (self.kib[-1] - self.kib[quarter]) / (len(self.kib) - 1 - quarter)
        return Row(
            what="memory that the driver keeps of a run",
            ours=f"{slope:.1f} KiB",
            reference=f"{self.kib[-1] / 1024:.0f} MiB at the end",
            target=f"at most {MAX_KIB:.0f} KiB",
            met=slope <= MAX_KIB,
        )


class Clock(Recorder):
    """Notes when runs end, and the memory that this process then has."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.ends: list[float] = []
        self.kib: list[float] = []

    def take(self, display: Display, number: int, event: Event) -> None:
        """Record one event of a run, and when a run ended."""
        super().take(display, number, event)
        if isinstance(event, Finished | Failed):
            self.ends.append(time.perf_counter())
            self.kib.append(psutil.Process().memory_info().rss / 1024)


def reading(home: Path) -> Iterator[Row]:
    """Read stores of several sizes, made by copying the runs that are there."""
    per_run: list[float] = []
    for size in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy(home / "mlflow.db", folder)
            multiply(Path(folder, "mlflow.db"), size)
            seconds, mib, read = map(float, python("-c", _READ, folder).split())
        assert read == size
        per_run.append(seconds / size)
        is_last = size == SIZES[-1]
        ratio = per_run[-1] / per_run[0]
        yield Row(
            what=f"reading {size:,} runs",
            ours=f"{seconds:.1f} s, {mib:.0f} MiB",
            reference=f"{1000 * per_run[0]:.2f} ms a run of {SIZES[0]:,}",
            ratio=ratio,
            target=f"at most {MAX_READING:.0f} s, {MAX_MIB:.0f} MiB, a ratio of {MAX_GROWTH}" if is_last else "",
            met=seconds <= MAX_READING and mib <= MAX_MIB and ratio <= MAX_GROWTH if is_last else None,
        )


def multiply(path: Path, size: int) -> None:
    """Copy the finished runs of a store, with all that is logged of each, until there are ``size`` of them."""
    with sqlite3.connect(path) as database:
        (study,) = database.execute("SELECT experiment_id FROM experiments WHERE name = 'no-op'").fetchone()
        runs = [r for (r,) in database.execute("SELECT run_uuid FROM runs WHERE experiment_id = ?", [study])]
        tables = {table: _columns(database, table) for table in ("runs", "params", "tags", "metrics", "latest_metrics")}
        for run in runs[size:]:
            for table in reversed(tables):
                database.execute(f"DELETE FROM {table} WHERE run_uuid = ?", [run])
        for copy in range(len(runs), size):
            new, old = f"{copy:032x}", runs[copy % len(runs)]
            for table, columns in tables.items():
                chosen = ", ".join("?" if name == "run_uuid" else name for name in columns)
                database.execute(
                    f"INSERT INTO {table} ({', '.join(columns)}) SELECT {chosen} FROM {table} WHERE run_uuid = ?",
                    [new, old],
                )


def _columns(database: sqlite3.Connection, table: str) -> list[str]:
    return [name for _, name, *_ in database.execute(f"PRAGMA table_info({table})")]
