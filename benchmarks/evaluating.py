"""What do two workers gain where a run is measured? Takes minutes, so it runs only by its name.

The laptop scale of the study of projection heads (28 px, small convnet), kNN and linear probe on all splits, untrained:
two processes of one thread each beside the first of them alone, in turns. Features are shared, probes are the first's.

* What two take of the first worker's CPU time and of the wall clock, beside one. Target: at least 1.5 times as fast
  where only features are read, in CPU time, which other work on the machine leaves alone.
"""

import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.distributed as dist

from benchmarks.compare import Row, paired_ratio
from unlabeled.platform import collective
from unlabeled.platform.data import load
from unlabeled.platform.evaluate import KNN, Linear, every
from unlabeled.platform.method import Method
from unlabeled.platform.processor import Processor
from unlabeled.platform.testing.processes import run_together
from unlabeled.platform.train.built import build_method
from unlabeled.platform.train.measuring import Evaluation
from unlabeled.studies.projection_head import STUDY

TURNS = 3
LEAST_GAIN = 1.5
SETS = {"features and kNN": every((KNN(),)), "features, kNN and linear probe": every((KNN(), Linear()))}

Taken = dict[str, dict[str, list[tuple[float, float]]]]


def rows() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        call = f"from {__name__} import measure; measure({{}}, {folder!r})"
        run_together([("-c", call.format(rank)) for rank in range(2)])
        taken: Taken = json.loads(Path(folder, "taken").read_text())
    for what, sides in taken.items():
        for clock, unit in enumerate(("CPU", "wall")):
            two, one = ([each[clock] for each in sides[side]] for side in ("two", "one"))
            yield Row.of_ratio(
                what=f"{what}, two workers, {unit} time",
                ours=f"{min(two):.1f} s",
                reference=f"{min(one):.1f} s, one of them alone",
                ratio=paired_ratio(one, two),
                least=LEAST_GAIN if unit == "CPU" and "linear" not in what else None,
            )


def measure(rank: int, folder: str) -> None:
    """Be one of two workers, and the first alone in between."""
    torch.set_num_threads(1)
    base = STUDY.base("laptop").with_field("precision", "fp32")
    data, processor = load(base.data), Processor(torch.device("cpu"), "fp32")
    method = build_method(base, data, processor)
    taken: Taken = {}
    for what, final in SETS.items():
        run = base.with_field("evaluation.final", final)
        taken[what] = {"two": [], "one": []}
        for turn in range(TURNS + 1):
            meeting = f"file://{folder}/{len(taken)} {turn}"
            dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=2)
            together = _seconds(Evaluation(run, data, processor), method)
            collective.gather(torch.zeros(1))  # nobody goes while another is still here
            dist.destroy_process_group()
            if rank == 0:
                alone = _seconds(Evaluation(run, data, processor), method)
                if turn:  # the first warms up
                    taken[what]["two"].append(together)
                    taken[what]["one"].append(alone)
    if rank == 0:
        Path(folder, "taken").write_text(json.dumps(taken))


def _seconds(evaluation: Evaluation, method: Method) -> tuple[float, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    evaluation.final(method)
    assert not evaluation.notes
    return time.process_time() - cpu, time.perf_counter() - wall
