"""How long does the demo take, and does it show what it should? Takes minutes, so it runs only by its name.

Measured: the wall time of the study of projection heads at laptop scale, by the command line in an empty home, from
process start to the report. Beside it: the CPU time that its runs took, shared out evenly over the cores, which no
scheduling could beat with as many runs at a time.
Target: below 360 s, and the report holds on the test split that a linear head is better than none.
"""

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from benchmarks.command import run_study
from benchmarks.compare import Row
from unlabeled.studies.projection_head import STUDY

LIMIT = 360.0  # seconds


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as home:
        started = time.perf_counter()
        run_study(STUDY.name, home)
        seconds = time.perf_counter() - started
        report = Path(home, "reports", STUDY.name)
        work = float(pd.read_csv(report / "runs.csv")["system/cpu_seconds"].sum()) / (os.cpu_count() or 1)
        verdict = decision(pd.read_csv(report / "verdicts.csv"), higher="linear", lower="none")
    assert STUDY.measure.startswith("test/")
    yield Row(
        what=f"the demo: {STUDY.name} in an empty home",
        ours=f"{seconds:.0f} s",
        reference=f"{work:.0f} s, its runs' CPU time over the cores",
        ratio=seconds / work,
        target=f"below {LIMIT:.0f} s",
        met=seconds < LIMIT,
    )
    yield Row(
        what="its claim that linear beats none",
        ours=verdict,
        reference=f"published, {STUDY.measure}",
        target="held",
        met=verdict == "held",
    )


def decision(verdicts: pd.DataFrame, higher: str, lower: str) -> str:
    """Return what the report says of one comparison."""
    found = verdicts[(verdicts["higher"] == higher) & (verdicts["lower"] == lower)]
    return str(found["decision"].iloc[0])
