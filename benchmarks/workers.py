"""What do two workers gain, and what does it cost to start them? Takes minutes, so it runs only by its name.

Measured by the command line, in empty homes, on clusters of their own:

* images per second of two workers on two cores, beside one worker on one core, at the laptop scale of the study of
  projection heads (SimCLR with the non-linear head, 28 px, small convnet, batch 256), in turns; the median epoch of
  each run, without its first. Target: at least 1.5 times one worker's.
* the wall time of a run on two workers from process start to its first checkpoint, after one step, and its stages, as
  the processes' titles tell them. Beside them, measured bare: the starts of processes and the imports that no such run
  can do without, one after the other: the driver's, Ray's cluster, Ray Train's controller, the two workers at once.
  Target: at most 12 s more than these.
"""

import itertools
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil

from benchmarks.command import ROOT, python
from benchmarks.compare import Row, paired_ratio
from unlabeled.dashboards import frames
from unlabeled.platform.config import RunConfig
from unlabeled.studies.projection_head import STUDY

TURNS, EPOCHS = 2, 6
LEAST_GAIN = 1.5
MAX_BEYOND = 12.0  # seconds
POLL_SECONDS = 0.05
DRIVER = "import ray.train.torch, unlabeled.methods, unlabeled.platform.drive.sweep, unlabeled.platform.track"
CONTROLLER = "import ray.train.v2.api.data_parallel_trainer"
WORKER = "import ray.train.torch, unlabeled.platform.drive.workers"
CLUSTER = (
    "import ray, time; t = time.time(); ray.init(address='local', include_dashboard=False); print(time.time() - t)"
)
STAGES = (
    "imports, checks and store",
    "Ray's cluster",
    "Ray Train's processes and the workers'",
    "process group, model and first step",
)


def rows() -> Iterator[Row]:
    yield gain()
    yield from start()


def gain() -> Row:
    """Compare two workers with one, both by Ray."""
    base = STUDY.base("laptop")
    run = base.with_field("method.head", STUDY.rows["non-linear"]["method.head"]).with_field("epochs", EPOCHS)
    times: dict[int, list[float]] = {1: [], 2: []}  # seconds for a picture
    for _ in range(TURNS):
        for workers, measured in times.items():
            measured.append(1.0 / images_per_second(without_probes(run), workers))
    ratio = paired_ratio(times[1], times[2])
    speed = {workers: 1.0 / statistics.median(each) for workers, each in times.items()}
    return Row.of_ratio(
        what=f"two workers on two cores, batch {run.batch_size}",
        ours=f"{speed[2]:,.0f} images/s",
        reference=f"{speed[1]:,.0f} images/s, one on one core",
        ratio=ratio,
        least=LEAST_GAIN,
    )


def images_per_second(run: RunConfig, workers: int) -> float:
    """Train, and return the median epoch's speed."""
    with tempfile.TemporaryDirectory() as folder:
        python(*command(run, folder, workers)[1:])
        epochs = frames.epochs("runs", folder).query("metric == 'train/images_per_second' and epoch > 1")
    return float(epochs["value"].median())


def start() -> Iterator[Row]:
    """Follow a run of few steps on two workers to its first checkpoint, and say what the stages took."""
    base = STUDY.base("laptop")
    run = base.with_field("data.train_images", 64).with_field("batch_size", 64).with_field("encoder.width", 4)
    with tempfile.TemporaryDirectory() as folder:
        stages = watched(command(without_probes(run.with_field("epochs", 2)), folder, workers=2), Path(folder))
    total = sum(stages)
    driver, cluster, controller = seconds_of([DRIVER]), float(python("-c", CLUSTER)), seconds_of([CONTROLLER])
    two = seconds_of([WORKER, WORKER])
    bare = driver + cluster + controller + two
    beyond = total - bare
    yield Row(
        what="two workers, from process start to a first step",
        ours=f"{total:.1f} s",
        reference=f"{bare:.1f} s, processes and imports alone",
        ratio=total / bare,
        target=f"at most {MAX_BEYOND:.0f} s more",
        met=beyond <= MAX_BEYOND,
    )
    beside_each = (
        f"{driver:.1f} s, the driver's imports alone",
        f"{cluster:.1f} s, ray.init alone",
        f"{controller:.1f} s the controller's imports, {two:.1f} s the workers'",
        "",
    )
    for what, seconds, beside in zip(STAGES, stages, beside_each, strict=True):
        yield Row(f"  of it {what}", f"{seconds:.1f} s", beside)


def watched(words: Sequence[str], home: Path) -> list[float]:
    """Run a command to its end; return the seconds of its stages."""
    started = time.time()
    marks: dict[str, float] = {}
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(words, cwd=ROOT, stdout=log, stderr=log)
        while process.poll() is None:
            for mark in marks_of(process.pid):
                marks.setdefault(mark, time.time())
            if checkpoints := list(home.glob("work/*/step-*.pt")):
                marks.setdefault("step", min(path.stat().st_mtime for path in checkpoints))
            time.sleep(POLL_SECONDS)
    if process.returncode:
        raise RuntimeError(f"{' '.join(words)} ended with code {process.returncode}: {(home / 'log').read_text()}")
    passed = [started, *(marks[mark] for mark in ("gcs_server", "raylet", "workers", "step"))]
    return [after - before for before, after in itertools.pairwise(passed)]


def marks_of(pid: int) -> Iterator[str]:
    """Say which stages a command's processes have come to."""
    try:
        for child in psutil.Process(pid).children(recursive=True):
            name, title = child.name(), " ".join(child.cmdline())
            if name == "gcs_server":
                yield name
            elif "default_worker.py" in title:
                yield "raylet"  # it works: it starts processes
            if title.startswith("ray::RayTrainWorker"):
                yield "workers"
    except psutil.Error:
        return  # one has gone meanwhile


def seconds_of(codes: Sequence[str]) -> float:
    """Run pieces of Python at once; return the seconds until the last has ended, the best of two."""
    taken = []
    for _ in range(2):
        started = time.perf_counter()
        for process in [subprocess.Popen([sys.executable, "-c", code], cwd=ROOT) for code in codes]:
            process.wait()
        taken.append(time.perf_counter() - started)
    return min(taken)


def command(run: RunConfig, home: str, workers: int) -> list[str]:
    """Return the words of the command that does a run, by Ray also where it is one worker."""
    config = Path(home, "run.json")
    config.write_text(run.canonical_json())
    words: list[Any] = [sys.executable, "-m", "unlabeled", "run", run.method.name, "--config", config, "--home", home]
    return [*map(str, words), "--workers", str(workers), "--address", "local"]


def without_probes(run: RunConfig) -> RunConfig:
    """Leave out what is measured at the end and on the way."""
    fields: dict[str, Any] = {"follow": (), "final": (), "tsne_images": 0, "follow_images": 64}
    for name, value in fields.items():
        run = run.with_field(f"evaluation.{name}", value)
    return run
