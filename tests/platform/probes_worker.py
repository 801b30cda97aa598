"""Probes features of two sizes in a file; prints what each probe took above them at its peak, and their size, bytes.

Given: the folder. What probes keep at most is made small first, so that a small test shows it.
"""

import json
import sys
from pathlib import Path

import torch

from unlabeled.platform.evaluate import KNN, FeatureProbe, Features, KMeans, Linear, lloyd, regression
from unlabeled.platform.evaluate.extraction import mapped
from unlabeled.platform.processor import Processor

SIZES, DIM, CLASSES = (20_000, 80_000), 256, 20
PROBES = (Linear(tolerance=1e-3), KNN(), KMeans(num_clusters=CLASSES, num_starts=2))


def on_disk(rows: int, folder: Path) -> Features:
    """Return classes around centres of their own, all but a few rows made at a time."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(CLASSES, DIM, generator=generator)
    x, labels = mapped((rows, DIM), folder), torch.randint(CLASSES, (rows,), generator=generator)
    for some, told in zip(torch.split(x, 1000), torch.split(labels, 1000), strict=True):
        some.copy_(0.3 * centres[told] + torch.randn(some.shape, generator=generator))
    return Features(x, labels)


def peak_of(probe: FeatureProbe, train: Features, test: Features) -> float:
    """Return the bytes that a probe took above what there was."""
    processor = Processor.here("fp32")
    processor.forget_peak()
    before = processor.peak_memory_mb()
    probe(train, test)
    return (processor.peak_memory_mb() - before) * 1e6


if __name__ == "__main__":
    torch.set_num_threads(1)
    regression.KEPT, lloyd.SAMPLE, lloyd.SAMPLE_OF_EACH = 2**17, 2**12, 1
    folder = Path(sys.argv[1])
    test = on_disk(500, folder)
    PROBES[0](test, test)  # what is loaded once
    PROBES[2](test, test)
    found = []
    for rows in SIZES:
        train = on_disk(rows, folder)
        found.append({probe.key: peak_of(probe, train, test) for probe in PROBES})
    print(json.dumps([*found, SIZES[-1] * DIM * 4]))
