"""The command line as a process of its own, that a test can watch and kill."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from patience import HANG_SECONDS, wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
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
        self.command = [sys.executable, "-m", "unlabeled", *words, "--home", str(home), *sets]

    def run(self, *more: str) -> subprocess.CompletedProcess[str]:
        """Run to the end."""
        return subprocess.run(
            [*self.command, *more], cwd=ROOT, capture_output=True, text=True, check=False, timeout=HANG_SECONDS
        )

    def start(self, *more: str) -> subprocess.Popen[bytes]:
        """Start in a process group of its own, so that a signal reaches only it, and wait for the first checkpoint."""
        with self.log.open("ab") as log:
            process = subprocess.Popen([*self.command, *more], cwd=ROOT, stdout=log, stderr=log, start_new_session=True)

        def has_begun() -> bool:
            assert process.poll() is None, f"ended too early: {self.log.read_text()}"
            return any(self.home.glob("work/*/step-*.pt"))

        wait_until(has_begun, lambda: f"no checkpoint yet: {self.log.read_text()}")
        return process


@pytest.fixture(scope="session")
def driver() -> Callable[..., Driver]:
    """Make drivers: ``driver(home, "run", "simclr", epochs="3")``."""
    return Driver
