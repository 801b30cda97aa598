"""Which commit the code is at."""

import os
import subprocess
from pathlib import Path

VARIABLE = "UNLABELED_COMMIT"  # says it where a job's snapshot has no history


def commit() -> str:
    """Return the commit of the checkout that this code lies in, marked if it was changed; empty where there is none."""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
        cwd=Path(__file__).resolve().parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip() or os.environ.get(VARIABLE, "")
