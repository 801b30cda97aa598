"""Python processes side by side, such as the workers of one run."""

import os
import subprocess
import sys
from collections.abc import Sequence

HANG_SECONDS = 900.0  # a deadline for hangs, not for speed


def ended(commands: Sequence[Sequence[object]]) -> list[tuple[int, str]]:
    """Run Python with each of some arguments at the same time; return each one's exit code and what it said.

    They import what this process can import, and none outlives the call.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "GLOO_SOCKET_IFNAME": "lo"}
    processes = [
        subprocess.Popen(
            [sys.executable, *map(str, command)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for command in commands
    ]
    try:
        said = [process.communicate(timeout=HANG_SECONDS)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, text) for process, text in zip(processes, said, strict=True)]


def run_together(commands: Sequence[Sequence[object]]) -> None:
    """Run them to a good end.

    Raises:
        AssertionError: one of them failed; it holds what all of them said.
    """
    found = ended(commands)
    assert [code for code, _ in found] == [0] * len(found), "\n".join(text for _, text in found)
