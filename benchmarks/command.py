"""Run Python from the repository's root, as a user does."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_SHOWN = 20  # lines of what a failed command said


def python(*arguments: str) -> str:
    """Run this interpreter with the given arguments and return what it printed.

    Raises:
        RuntimeError: it failed; the end of what it said is the message.
    """
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        said = "\n".join(done.stderr.splitlines()[-_SHOWN:])
        raise RuntimeError(f"python {' '.join(arguments)} ended with code {done.returncode}:\n{said}")
    return done.stdout


def run_study(name: str, home: str | Path, *arguments: str) -> str:
    """Run a study by the command line, on a cluster of its own, and return what it printed."""
    return python("-m", "unlabeled", "study", "run", name, "--home", str(home), "--address", "local", *arguments)
