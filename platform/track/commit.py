"""Which code runs: the commit that it is at, and the versions of the libraries that give its numbers."""

import functools
import os
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

VARIABLE = "UNLABELED_COMMIT"  # says it where a job's snapshot has no history
_SECONDS = 20.0  # for git, which may wait for a far file system or for a program that its settings name
_HERE = Path(__file__).resolve()


def commit() -> str:
    """Return the commit of the checkout that this code lies in, marked if it was changed; empty where that is unknown.

    It is unknown without a checkout, without a git program, and where git refuses the checkout: another user's, a
    broken one. A repository that the code merely lies in, such as a project's with its own environment, says nothing.
    """
    described = ""
    if _git("ls-files", "--error-unmatch", "--", _HERE.name):
        described = _git("describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")
    return described or os.environ.get(VARIABLE, "")


def _git(*words: str) -> str:
    """Return what git answers about the folder of this file, or nothing where it has no answer."""
    told_elsewhere = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR"}  # as in a hook of another one
    environment = {name: value for name, value in os.environ.items() if name not in told_elsewhere}
    try:
        git = subprocess.Popen(
            ["git", *words],
            cwd=_HERE.parent,
            env={**environment, "GIT_OPTIONAL_LOCKS": "0"},  # it would write to the checkout's index
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            errors="replace",
            start_new_session=True,  # so that it can be ended with all that it started
        )
    except OSError:
        return ""
    with git:
        try:
            said = git.communicate(timeout=_SECONDS)[0]
        except subprocess.TimeoutExpired:
            os.killpg(git.pid, signal.SIGKILL)
            return ""
    return said.strip() if git.returncode == 0 else ""


@functools.cache
def versions() -> dict[str, str]:
    """Return what code and libraries run here."""
    found = {name: version(name) for name in ("torch", "torchvision", "ray", "mlflow", "optuna")}
    found["python"] = sys.version.split()[0]
    found["commit"] = commit() or "unknown"
    return found
