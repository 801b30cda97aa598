"""The command line as a process of its own, that a test can watch and kill."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import forked
import pytest
from forked import Forked
from patience import wait_until
from ray.cluster_utils import Cluster

SMALL = {
    "data.train_images": "256",
    "batch_size": "64",
    "epochs": "2",
    "encoder.width": "8",
    "evaluation.tsne_images": "0",
    "evaluation.follow_images": "100",
}


class Driver:
    """Runs one command in a home with small settings, to its end or in the background."""

    def __init__(self, home: Path, *words: str, **settings: str) -> None:
        fields = {**SMALL, **{path.replace("__", "."): value for path, value in settings.items()}}
        sets = [part for path, value in fields.items() for part in ("--set", f"{path}={value}")]
        self.home, self.log = home, home / "driver.log"
        self.words = [*words, "--home", str(home), *sets]

    def run(self, *more: str) -> subprocess.CompletedProcess[str]:
        """Run to the end."""
        return forked.run([*self.words, *more])

    def start(self, *more: str) -> Forked:
        """Start in a process group of its own, so that a signal reaches only it, and wait for a new checkpoint."""
        before = self.checkpoints()
        self._said = len(self.log.read_text()) if self.log.exists() else 0
        process = Forked([*self.words, *more], self.log, self.log)

        def has_begun() -> bool:
            assert process.poll() is None, f"ended too early: {self.said()}"
            return bool(self.checkpoints() - before)

        wait_until(has_begun, lambda: f"no checkpoint yet: {self.said()}")
        return process

    def said(self) -> str:
        """Return what the command that was started last has said until now."""
        return self.log.read_text()[self._said :]

    def checkpoints(self) -> set[Path]:
        """Return the checkpoints of runs under way."""
        return set(self.home.glob("work/*/step-*.pt"))


@pytest.fixture(scope="session")
def driver() -> Callable[..., Driver]:
    """Make drivers: ``driver(home, "run", "simclr", epochs="3")``."""
    return Driver


@pytest.fixture(scope="session")
def joined() -> Iterator[tuple[str, str]]:
    """The words by which a command joins a cluster of two cores, for tests that break nothing of it.

    To start one takes as long as a small study does.
    """
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    yield "--address", cluster.address
    cluster.shutdown()
