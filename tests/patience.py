"""How long a test waits for what has to happen: a deadline is for hangs, never for speed."""

import time
from collections.abc import Callable

HANG_SECONDS = 900.0  # what takes half a minute on an idle machine, thirty times over


def wait_until(holds: Callable[[], bool], told: Callable[[], str] = lambda: "it never happened") -> None:
    """Wait until a condition holds; ``told`` says what was going on where it never does."""
    deadline = time.monotonic() + HANG_SECONDS
    while not holds():
        assert time.monotonic() < deadline, told()
        time.sleep(0.05)
