"""Python processes side by side, such as the workers of one run.

They are forked from one that has imported what takes each of them seconds. As new ones they can be signalled, killed
and waited for; options of Python other than ``-W ACTION`` need an interpreter of their own, and get it.
"""

import atexit
import contextlib
import multiprocessing
import multiprocessing.process
import os
import runpy
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

HANG_SECONDS = 900.0  # a deadline for hangs, not for speed
_ACTIONS = ("error", "ignore", "always", "default", "module", "once")
_SERVER = multiprocessing.get_context("forkserver")
_imported: list[str] = []


def preload(*modules: str) -> None:
    """Let modules be imported before anything is forked; what comes after the first process is too late, and slower."""
    _imported.extend(module for module in modules if module not in _imported)
    _SERVER.set_forkserver_preload(_imported)


preload(__name__, "unlabeled.platform.testing.worker", "torch._dynamo")  # the last comes with DDP


def ended(commands: Sequence[Sequence[object]]) -> list[tuple[int, str]]:
    """Run Python with each of some arguments at the same time; return each one's exit code and what it said.

    They import what this process can import, and none outlives the call.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "GLOO_SOCKET_IFNAME": "lo"}
    deadline, processes = time.monotonic() + HANG_SECONDS, list[multiprocessing.process.BaseProcess]()
    with tempfile.TemporaryDirectory() as folder:
        said = [Path(folder, str(number)) for number in range(len(commands))]
        try:
            for command, file in zip(commands, said, strict=True):
                words = [str(word) for word in command]
                begun = _SERVER.Process(target=_run, args=(words, str(file), environment))
                begun.start()
                processes.append(begun)
            for process in processes:
                process.join(max(0.0, deadline - time.monotonic()))
                if process.exitcode is None:
                    raise TimeoutError(f"after {HANG_SECONDS:g} s: {[file.read_text() for file in said]}")
        finally:
            for process in processes:
                process.kill()
                process.join()
        return [
            (-1 if process.exitcode is None else process.exitcode, file.read_text())
            for process, file in zip(processes, said, strict=True)
        ]


def run_together(commands: Sequence[Sequence[object]]) -> None:
    """Run them to a good end.

    Raises:
        AssertionError: one of them failed; it holds what all of them said.
    """
    found = ended(commands)
    assert [code for code, _ in found] == [0] * len(found), "\n".join(text for _, text in found)


def _run(words: list[str], said: str, environment: Mapping[str, str]) -> None:
    """Be the Python that is called with these words."""
    with as_if_new(environment, said, said):
        actions = []
        while words[0] == "-W" and words[1] in _ACTIONS:
            actions.append(words[1])
            del words[:2]
        if words[0].startswith("-") and words[0] != "-c":
            os.execv(sys.executable, [sys.executable, *(f"-W{action}" for action in actions), *words])
        for action in actions:
            warnings.simplefilter(action)  # type: ignore[arg-type]
        code, sys.argv = (words[1], ["-c", *words[2:]]) if words[0] == "-c" else ("", words)
        if code:
            exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
        else:
            sys.path.insert(0, str(Path(words[0]).resolve().parent))
            runpy.run_path(words[0], run_name="__main__")


@contextlib.contextmanager
def as_if_new(environment: Mapping[str, str], out: str, err: str) -> Iterator[None]:
    """Let a forked process be as a new one: with an environment and an end of its own, and what it says in files."""
    os.environ.clear()
    os.environ.update(environment)
    for path, stream in ((out, 1), (err, 2)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, stream)
        os.close(file)
    atexit.register(sys.stdout.flush)
    try:
        yield
    finally:
        atexit._run_exitfuncs()  # which multiprocessing leaves out
