"""How long does each study's laptop profile take on two cores?

Of each row (of many, some) a few steps are trained on one thread, and what is measured of a run is measured once: of an
encoder that has learned next to nothing, whose linear probe takes longer than it will. CPU seconds, so that other work
counts little; scaled to all steps, looks, rows and seeds, and halved, as two runs go at once. Target: at most 30
minutes, of the 7 x 7 matrix at most 90.
"""

import time
from collections.abc import Iterator

from benchmarks.compare import Row, one_thread
from unlabeled.platform.config import RunConfig
from unlabeled.platform.processor import Processor
from unlabeled.platform.study import Study
from unlabeled.platform.train.loaded import data_of, load_other
from unlabeled.platform.train.loop import Training
from unlabeled.platform.train.measuring import Evaluation
from unlabeled.studies import STUDIES

STEPS = 6
MAX_ROWS = 13
MAX_MINUTES = {"augmentation-composition": 90.0}
USUAL_MINUTES = 30.0


def rows() -> Iterator[Row]:
    with one_thread():
        for study in STUDIES.values():
            yield cost(study)


def cost(study: Study) -> Row:
    """Estimate one study."""
    every = [run.config for run in study.runs(study.base("laptop"), "laptop")][: len(study.row_settings())]
    some = every[:: -(-len(every) // MAX_ROWS)]
    seconds = sum(seconds_of(run) for run in some) * len(every) / len(some) * len(study.seeds)
    minutes, most = seconds / 2 / 60, MAX_MINUTES.get(study.name, USUAL_MINUTES)
    runs = len(every) * len(study.seeds)
    reference = f"{runs} runs of {seconds / runs:.0f} s, two at once"
    return Row(study.name, f"{minutes:.0f} minutes", reference, None, f"at most {most:.0f}", minutes <= most)


def seconds_of(run: RunConfig) -> float:
    """Estimate the CPU seconds of one run."""
    data, processor = data_of(run), Processor.here(run.precision)
    evaluation = Evaluation(run, data, processor, load_other(run, data))
    training = Training(run, data, processor)
    steps = training.steps()
    next(steps)
    started = time.process_time()
    for _ in range(min(STEPS, training.total_steps - 1)):
        next(steps)
    a_step = (time.process_time() - started) / STEPS
    started = time.process_time()
    evaluation.follow(training.method)
    a_look = time.process_time() - started
    started = time.process_time()
    evaluation.final(training.method)
    final = time.process_time() - started
    looks = run.epochs // run.evaluation.every_epochs
    return a_step * training.total_steps + a_look * looks + 2 * final  # the untrained encoder is probed, too
