"""What does pruning save of a search, and what does it cost its result?

The same search of 30 short trials twice, on Ray Tune with Optuna's TPE: with ASHA on the followed kNN, and without
pruning. Measured is the training of the trials, in pictures seen; the rest (start-up, repetitions) is the same for
both. Then each search's best trial is repeated over three further seeds, on validation.

Target: at most half the pictures, and a mean that is not below the 95 % interval of the unpruned search's best.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

from benchmarks.compare import Row
from unlabeled.dashboards import frames
from unlabeled.dashboards.inference import mean_interval
from unlabeled.platform.drive.resources import Resources
from unlabeled.platform.search import Choice, Search
from unlabeled.platform.search.course import Course
from unlabeled.platform.search.start import start
from unlabeled.platform.search.strategy import PrunerName
from unlabeled.studies.searches import SEARCHES

MAX_TRAINING = 0.5  # of what the search without pruning trains


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        images, seconds, scores = {}, {}, {}
        for pruner in ("none", "asha"):
            home = Path(folder, pruner)
            home.mkdir()
            started = perf_counter()
            course = run(home, pruner)
            seconds[pruner] = perf_counter() - started
            runs = frames.runs(course.search.name, home)
            images[pruner] = float(runs.loc[runs["search.stage"] == "trial", "search/images_seen"].sum())
            scores[pruner] = list(course.contenders[0].scores.values())
    share = images["asha"] / images["none"]
    yield Row(
        what="training of 30 trials, with ASHA",
        ours=f"{images['asha']:,.0f} pictures, {seconds['asha']:.0f} s in all",
        reference=f"{images['none']:,.0f} pictures, {seconds['none']:.0f} s in all, without pruning",
        ratio=share,
        target=f"at most {MAX_TRAINING}",
        met=share <= MAX_TRAINING,
    )
    best, pruned = mean_interval(scores["none"]), mean_interval(scores["asha"])
    yield Row(
        what="its best trial over three further seeds",
        ours=f"{pruned.mean:.1%}",
        reference=f"{best.mean:.1%} ({best.low:.1%} to {best.high:.1%}), without pruning",
        ratio=pruned.mean / best.mean,
        target="not below the interval",
        met=pruned.mean >= best.low,
    )


def run(home: Path, pruner: PrunerName) -> Course:
    """Do the search from its start to its end."""
    search = short()
    return start(search, search.base("laptop"), "laptop", home, Resources(address="local"), pruner=pruner)


def short() -> Search:
    """Declare the laptop's search of SimCLR on 1,000 pictures and a narrow encoder."""
    declared = SEARCHES["simclr-laptop"]
    base = declared.profiles["laptop"]
    for path, value in {"data.train_images": 1000, "encoder.width": 8}.items():
        base = base.with_field(path, value)
    space = {**declared.space, "batch_size": Choice(values=(32, 64, 128, 256))}
    return declared.with_fields(
        {"profiles": {"laptop": base}, "space": space, "trials": 30, "best": 1, "further_seeds": 3}
    )
