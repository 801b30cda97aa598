"""Are probes as quick as they can be, and do they stay in bounded memory?

Measured, on synthetic features, on one thread of CPU time, ours and scikit-learn's in turns in one process:

* The linear probe against scikit-learn's LogisticRegression (lbfgs on float32, its quickest) with the same penalty: the
  loosest tolerance of each whose loss is within 1e-4 of the optimum's, relatively; and beside it, without a target,
  ours solved as it always is, to a gradient of 1e-8. Target: at least 3 times as fast at the same loss.
* kNN against KNeighborsClassifier (brute force, cosine, the same weights) with 2,000 pictures asked. Target: 5 times.
  What stands in the way is shown beside it: the product of the features alone, which both have to compute.
* k-means against KMeans of scikit-learn, one start, no target.
* Memory of what is a tenth of ImageNet: 128,000 x 2,048 features of 1,000 classes in a file, and of half as many, each
  in a process of its own: the process's peak above what it had before and the features themselves, which the rule
  allows once. What is measured is memory, so each probe is stopped after few passes, which take as much as many.
  Target: at most 2 GiB; and of what the features grow by from half to whole, at most half is added to the peak (a
  copy would add all; pages of the file that the system took away and reads again count, too).
"""

import functools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.cluster import KMeans as SklearnKMeans
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from threadpoolctl import threadpool_limits
from torch import Tensor

from benchmarks.command import python
from benchmarks.compare import Row, cpu_in_turns, one_thread, paired_ratio
from unlabeled.platform.evaluate import KNN, FeatureProbe, Features, KMeans, Linear, lloyd
from unlabeled.platform.evaluate.extraction import mapped
from unlabeled.platform.evaluate.regression import Moments
from unlabeled.platform.processor import Processor

SIZES = tuple((rows, dim, classes) for rows, dim in ((10_000, 128), (50_000, 512)) for classes in (10, 100))
ASKED = 2000
ROUNDS = 3
SAME_LOSS = 1e-4
TOLERANCES = (3e-3, 2e-3, 1e-3, 7e-4, 5e-4, 3e-4, 2e-4, 1e-4, 5e-5, 2e-5, 1e-5, 1e-6)
LINEAR, NEAREST = 3.0, 5.0
TENTH = (128_000, 2048, 1000)
MAX_MB, MAX_GROWTH = 2147.0, 0.5


def rows() -> Iterator[Row]:
    with one_thread(), threadpool_limits(1):
        for size in SIZES:
            train, test = features(*size)
            yield from _linear(train, f"{size[0]:,} x {size[1]}, {size[2]} classes")
        for size in SIZES[1::2]:
            train, test = features(*size)
            yield from _nearest(train, test, f"{size[0]:,} x {size[1]}")
            yield _clusters(train, f"{size[0]:,} x {size[1]}, {size[2]} clusters")
    yield from _memory()


def features(num: int, dim: int, classes: int) -> tuple[Features, Features]:
    """Make features as networks give them: none negative, of falling variance in rotated directions, classes mixed."""
    generator = torch.Generator().manual_seed(0)
    spread = torch.arange(1, dim + 1).float().pow(-0.5)
    spread *= (dim / spread.square().sum()).sqrt()
    rotation = torch.linalg.qr(torch.randn(dim, dim, generator=generator))[0]
    centres = torch.randn(classes, dim, generator=generator) * (2.0 / dim**0.5)
    labels = torch.randint(classes, (num + ASKED,), generator=generator)
    x = (centres[labels] + torch.randn(num + ASKED, dim, generator=generator)) * spread @ rotation
    x = 2.0 * (x + 0.3).relu()
    return Features(x[:num], labels[:num]), Features(x[num:], labels[num:])


def _linear(train: Features, what: str) -> Iterator[Row]:
    assert train.labels is not None
    moments, labels, l2 = Moments.of(train.x, train.x.device), train.labels.numpy(), Linear().l2
    x = moments.standardised(train.x)
    shown = x.float().numpy()

    def loss(weight: Tensor, bias: Tensor) -> float:
        assert train.labels is not None
        return float(F.cross_entropy(F.linear(x, weight, bias), train.labels) + l2 / 2.0 * weight.square().sum())

    def theirs(tolerance: float) -> float:
        solver = LogisticRegression(C=1.0 / (l2 * len(x)), tol=tolerance, max_iter=5000).fit(shown, labels)
        weight, bias = (torch.from_numpy(part).double() for part in (solver.coef_, solver.intercept_))
        return loss(weight, bias)

    def ours(tolerance: float) -> float:
        assert train.labels is not None
        return loss(*Linear(tolerance=tolerance).solve(x.float(), train.labels)[:2])

    best = ours(Linear().tolerance)
    chosen = {solve: _loosest(solve, best) for solve in (ours, theirs)}
    assert train.labels is not None
    solve = functools.partial(Linear(tolerance=chosen[ours]).learn, train)
    fit = functools.partial(
        LogisticRegression(C=1.0 / (l2 * len(x)), tol=chosen[theirs], max_iter=5000).fit, shown, labels
    )
    quick, slow, exact = cpu_in_turns(solve, fit, functools.partial(Linear().learn, train), rounds=ROUNDS)
    yield _beside(f"linear, {what}: loss within 1e-4", quick, slow, " at 1e-4", LINEAR)
    yield _beside(f"linear, {what}: gradient 1e-8", exact, slow, " at 1e-4")


def _loosest(solve: Callable[[float], float], best: float) -> float:
    """Return the loosest tolerance with which a solver comes to the loss."""
    return next(each for each in TOLERANCES if solve(each) <= best * (1.0 + SAME_LOSS))


def _nearest(train: Features, test: Features, what: str) -> Iterator[Row]:
    assert train.labels is not None
    assert test.labels is not None
    probe = KNN()
    solver = KNeighborsClassifier(
        probe.neighbors,
        metric="cosine",
        algorithm="brute",
        weights=lambda distance: np.exp((1.0 - distance) / probe.temperature),
    )
    bank, asked, labels, told = train.x.numpy(), test.x.numpy(), train.labels.numpy(), test.labels.numpy()
    unit = [F.normalize(features.x, dim=1) for features in (test, train)]
    works = (
        lambda: probe(train, test),
        lambda: solver.fit(bank, labels).score(asked, told),
        lambda: [part @ unit[1].T for part in torch.split(unit[0], 512)],
    )
    quick, slow, product = cpu_in_turns(*works, rounds=ROUNDS)
    yield _beside(f"kNN, {what}", quick, slow, target=NEAREST)
    yield _beside(f"kNN, {what}: the product alone", product, slow)


def _clusters(train: Features, what: str) -> Row:
    assert train.labels is not None
    unit, num_clusters = F.normalize(train.x, dim=1).numpy(), int(train.labels.max()) + 1
    ours = KMeans(num_clusters=num_clusters, num_starts=1)
    solver = SklearnKMeans(num_clusters, n_init=1, random_state=0)
    quick, slow = cpu_in_turns(lambda: ours.learn(train), lambda: solver.fit(unit), rounds=1)
    return _beside(f"k-means, {what}, one start", quick, slow)


def _beside(what: str, seconds: list[float], slow: list[float], where: str = "", target: float | None = None) -> Row:
    ratio = paired_ratio(slow, seconds)
    return Row.of_ratio(
        what=what,
        ours=f"{statistics.median(seconds):.2f} s",
        reference=f"{statistics.median(slow):.2f} s, scikit-learn's{where}",
        ratio=ratio,
        least=target,
    )


def _memory() -> Iterator[Row]:
    num, dim, classes = TENTH
    half, whole = (json.loads(python("-m", "benchmarks.probes", str(rows))) for rows in (num // 2, num))
    for probe, (peak_mb, seconds) in whole.items():
        growth = (peak_mb - half[probe][0]) / (num // 2 * dim * 4 / 1e6)
        yield Row(
            what=f"{probe}, {num:,} x {dim:,}, {classes:,} classes: peak",
            ours=f"{peak_mb:,.0f} MB, {seconds:.0f} s",
            reference=f"{half[probe][0]:,.0f} MB, half the rows; features {num * dim * 4 / 1e6:,.0f} MB",
            ratio=growth,
            target=f"at most {MAX_GROWTH}, and {MAX_MB:,.0f} MB",
            met=growth <= MAX_GROWTH and peak_mb <= MAX_MB,
        )


def _measure(num: int) -> dict[str, tuple[float, float]]:
    """Return what each probe takes above the features, MB, and its seconds."""
    _, dim, classes = TENTH
    processor, found = Processor.here("fp32"), {}
    lloyd._MAX_PASSES = 2
    probes: tuple[FeatureProbe, ...] = (Linear(max_iterations=2), KNN(), KMeans(num_starts=2))
    with tempfile.TemporaryDirectory(prefix="probes-", dir=os.environ.get("TMPDIR")) as folder, one_thread():
        train, test = (_in_a_file(count, dim, classes, Path(folder)) for count in (num, ASKED))
        for probe in probes:
            processor.forget_peak()
            before, started = processor.peak_memory_mb(), time.process_time()
            probe(train, test)
            found[probe.key] = processor.peak_memory_mb() - before, time.process_time() - started
    return found


def _in_a_file(num: int, dim: int, classes: int, folder: Path) -> Features:
    generator = torch.Generator().manual_seed(num)
    centres = torch.randn(classes, dim, generator=torch.Generator().manual_seed(0))
    x, labels = mapped((num, dim), folder), torch.randint(classes, (num,), generator=generator)
    for some, told in zip(torch.split(x, 1000), torch.split(labels, 1000), strict=True):
        some.copy_(0.3 * centres[told] + torch.randn(some.shape, generator=generator))
    return Features(x, labels)


if __name__ == "__main__":
    print(json.dumps(_measure(int(sys.argv[1]))))
