"""A driver whose runs log as real ones do and train nothing: for tests in this process, and as a process of its own.

As a process: ``python fake_driver.py HOME STUDY RUNS SECONDS_PER_RUN [RUN.EPOCH]``; it prints each epoch of each run
that it did, and stays at the one that is named until it is killed.
"""

import io
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from unlabeled.methods.contrastive.simclr import SimCLRConfig
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import DataConfig
from unlabeled.platform.drive.display import Display
from unlabeled.platform.drive.recorder import Outcome, Recorder
from unlabeled.platform.study import Study
from unlabeled.platform.track import Store
from unlabeled.platform.train.events import EpochDone, Failed, Finished, Started

EPOCHS = 3
FINAL = {"test/linear/top1": 0.8, "system/wall_seconds": 1.0}


def make_study(runs: int, name: str = "heads") -> Study:
    base = RunConfig(
        method=SimCLRConfig(temperature=0.2), data=DataConfig(name="fashion-mnist-12k", train_images=256), batch_size=64
    )
    return Study(
        name=name,
        question="Which head?",
        source="a paper",
        expected="a trend",
        cost="little",
        profiles={"laptop": base},
        rows={"linear": {"method.head": (16,)}},
        seeds=tuple(range(runs)),
    )


class FakeDriver:
    """Drives a study's runs, each of which says what a run says.

    Attributes:
        did: the numbers of the runs that it did.
        said: all that a person saw.
    """

    def __init__(self, home: Path, runs: int, name: str = "heads", seconds: float = 0.0) -> None:
        self.study, self.seconds = make_study(runs, name), seconds
        self.base = self.study.base("laptop")
        self.did: list[int] = []
        self.console = Console(file=io.StringIO(), width=400)
        self.display = Display(runs, self.study.measure, self.console)
        log = Store(home).open_study(self.study.record("laptop"))
        self.recorder = Recorder(self.study.runs(self.base), self.base, home, log)
        self.files = home / "given"
        self.files.mkdir(exist_ok=True)
        (self.files / "encoder.txt").write_text("weights")

    @property
    def said(self) -> str:
        """What was printed."""
        file = self.console.file
        assert isinstance(file, io.StringIO)
        return file.getvalue()

    def go(
        self, after: Callable[[int, int], None] = lambda number, epoch: None, fails: tuple[int, ...] = ()
    ) -> Outcome:
        """Do what there is to do; ``after`` is called with each run's number and epoch."""
        if not self.recorder.unfinished():
            return self.recorder.outcome
        with self.recorder:
            while not self.recorder.is_over:
                number = self.recorder.next(self.display)
                if number is None:
                    time.sleep(0.05)
                    continue
                self.did.append(number)
                self.run(number, after, number in fails)
        return self.recorder.outcome

    def run(self, number: int, after: Callable[[int, int], None], fails: bool) -> None:
        self.recorder.take(self.display, number, Started({"host": "here"}, 0, []))
        for epoch in range(1, EPOCHS + 1):
            time.sleep(self.seconds / EPOCHS)
            self.recorder.take(self.display, number, EpochDone(epoch, {"train/loss": 1 / epoch, "health/rankme": 3.0}))
            after(number, epoch)
        self.recorder.take(self.display, number, Failed("on purpose") if fails else Finished(FINAL, self.files))


if __name__ == "__main__":
    driver = FakeDriver(Path(sys.argv[1]), int(sys.argv[3]), sys.argv[2], float(sys.argv[4]))
    print("ready", flush=True)

    def after(number: int, epoch: int) -> None:
        print(f"{number}.{epoch}", flush=True)
        if [f"{number}.{epoch}"] == sys.argv[5:]:
            threading.Event().wait()

    driver.go(after)
    print("did", *driver.did, flush=True)
