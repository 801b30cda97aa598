"""How long does the command line take to answer?

Measured: the wall time of ``unlabeled --help`` from process start to exit, median of five. Beside it, in turns: Python
doing nothing, and Python importing torch, which is what an import of weight at the top of a file would cost.
Target: below 0.7 s.
"""

import statistics
from collections.abc import Iterator
from functools import partial

from benchmarks.command import python
from benchmarks.compare import Row, paired_ratio, wall_in_turns

ROUNDS = 5
LIMIT = 0.7  # seconds


def rows() -> Iterator[Row]:
    ours, nothing, torch = wall_in_turns(
        partial(python, "-m", "unlabeled", "--help"),
        partial(python, "-c", "pass"),
        partial(python, "-c", "import torch"),
        rounds=ROUNDS,
    )
    seconds = statistics.median(ours)
    for reference, name, target in ((nothing, "python -c pass", f"below {LIMIT} s"), (torch, "import torch", "")):
        yield Row(
            what="unlabeled --help",
            ours=f"{seconds:.2f} s",
            reference=f"{statistics.median(reference):.2f} s, {name}",
            ratio=paired_ratio(ours, reference),
            target=target,
            met=seconds < LIMIT if target else None,
        )
