"""How long does the demo take, and does it show what it should? Takes minutes, so it runs only by its name.

Measured: the wall time of the study of projection heads at laptop scale, by the command line in an empty home, from
process start to the report. Beside it: the CPU time that its runs took, shared out evenly over the cores, which no
scheduling could beat with as many runs at a time.
Target: below 360 s, and the report holds on the test split that a linear head is better than none.

Then without the start-up, which is until the first run starts (imports, the cluster, its first processes), against what
the encoder alone takes to train, views lying ready, by all runs and over the cores: at most 1.15 times as long.
And the most memory that the process of a run takes, with all that it imports, measures and draws: at most 1.2 GiB.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from benchmarks.command import run_study
from benchmarks.compare import Row, cpu_in_turns, one_thread
from benchmarks.training import Bare
from unlabeled.platform.data import load
from unlabeled.platform.processor import Processor
from unlabeled.platform.train.loop import Training
from unlabeled.studies.projection_head import STUDY

LIMIT = 360.0  # seconds
OF_ENCODER = 1.15
MAX_MB = 1.2 * 2**30 / 1e6
STEPS = 20  # of the encoder alone, which are measured


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as home:
        began, started = time.time(), time.perf_counter()
        run_study(STUDY.name, home)
        seconds = time.perf_counter() - started
        report = Path(home, "reports", STUDY.name)
        runs = pd.read_csv(report / "runs.csv")
        verdict = decision(pd.read_csv(report / "verdicts.csv"), higher="linear", lower="none")
    assert STUDY.measure.startswith("test/")
    cores = os.cpu_count() or 1
    work = float(runs["system/cpu_seconds"].sum()) / cores
    yield Row(
        what=f"the demo: {STUDY.name} in an empty home",
        ours=f"{seconds:.0f} s",
        reference=f"{work:.0f} s, its runs' CPU time over the cores",
        ratio=seconds / work,
        target=f"below {LIMIT:.0f} s",
        met=seconds < LIMIT,
    )
    yield from _beside_the_encoder(runs, began, seconds, cores)
    yield Row(
        what="its claim that linear beats none",
        ours=verdict,
        reference=f"published, {STUDY.measure}",
        target="held",
        met=verdict == "held",
    )


def _beside_the_encoder(runs: pd.DataFrame, began: float, seconds: float, cores: int) -> Iterator[Row]:
    """Say what it takes beyond its start and its encoder, and how much memory a run."""
    start = pd.to_datetime(runs["started"], utc=True).min().timestamp() - began
    encoder = _encoder_seconds() * len(runs) / cores
    yield Row.of_ratio(
        what=f"  of it without the {start:.0f} s until its first run",
        ours=f"{seconds - start:.0f} s",
        reference=f"{encoder:.0f} s, its encoders alone",
        ratio=(seconds - start) / encoder,
        most=OF_ENCODER,
    )
    yield Row.of_ratio(
        what="  most memory of a run's process",
        ours=f"{runs['system/peak_memory_mb'].max():,.0f} MB",
        reference="1.2 GiB",
        ratio=float(runs["system/peak_memory_mb"].max()) / MAX_MB,
        most=1.0,
    )


def _encoder_seconds() -> float:
    """Return the CPU seconds that a run's encoder takes to train by itself."""
    run = STUDY.base("laptop")
    training = Training(run, load(run.data), Processor.here(run.precision))
    with one_thread():
        (step,) = cpu_in_turns(Bare(training).step, rounds=STEPS)
    return statistics.median(step) * training.total_steps


def decision(verdicts: pd.DataFrame, higher: str, lower: str) -> str:
    """Return what the report says of one comparison."""
    found = verdicts[(verdicts["higher"] == higher) & (verdicts["lower"] == lower)]
    return str(found["decision"].iloc[0])
