"""The command line in processes of its own, forked from one that has imported what takes it seconds.

As a user's it can be signalled, killed and waited for; what a new interpreter would do beyond that, ``python -m
unlabeled`` shows in the tests of jobs and documents.
"""

import importlib
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from patience import HANG_SECONDS

from unlabeled.platform.testing.processes import as_if_new, preload

ROOT = Path(__file__).resolve().parent.parent
# All but Ray, which reads variables as it is imported.
_IMPORTED = [
    *("unlabeled.platform.cli", "unlabeled.studies", "unlabeled.platform.track", "unlabeled.dashboards.publish"),
    *("scipy.stats", "sklearn.metrics", "mlflow.store.tracking.sqlalchemy_store", "optuna"),
]
_SERVER = multiprocessing.get_context("forkserver")
preload(*_IMPORTED)


class Forked:
    """One command that runs; ``subprocess.Popen`` as far as tests need it."""

    def __init__(self, words: Sequence[str], out: Path, err: Path, environment: Mapping[str, str] = os.environ) -> None:
        self._process = _SERVER.Process(target=_command, args=(list(words), str(out), str(err), dict(environment)))
        self._process.start()

    @property
    def pid(self) -> int:
        """Its number, which is its process group's, too."""
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        """Return its exit code, negative where a signal ended it, or None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float = HANG_SECONDS) -> int:
        """Wait for its end, and return its exit code."""
        self._process.join(timeout)
        code = self.poll()
        assert code is not None, f"process {self.pid} did not end"
        return code

    def kill(self) -> None:
        """Send SIGKILL to the process, and to no other of its group."""
        self._process.kill()

    def terminate(self) -> None:
        """Send SIGTERM."""
        self._process.terminate()


def run(words: Sequence[str], environment: Mapping[str, str] = os.environ) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end; it is killed where the test is interrupted."""
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        process = Forked(words, out, err, environment)
        try:
            code = process.wait()
        finally:
            process.kill()
        return subprocess.CompletedProcess(words, code, out.read_text(), err.read_text())


def _command(words: list[str], out: str, err: str, environment: dict[str, str]) -> None:
    os.setsid()
    os.chdir(ROOT)
    sys.argv = ["unlabeled", *words]
    with as_if_new(environment, out, err):
        importlib.import_module("unlabeled.platform.cli").main()
