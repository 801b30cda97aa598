"""Ctrl-C between two steps of training instead of within one, so that the last state can be saved."""

import signal
import threading
from collections.abc import Iterator
from types import FrameType


class Stop:
    """Takes the first Ctrl-C that comes in a step for a wish to stop after it; a second one doesn't wait.

    Only where Ctrl-C comes to this thread, and would end it.

    Attributes:
        is_asked: whether it came.
    """

    def __init__(self) -> None:
        self.is_asked = False

    def between(self, steps: Iterator[int]) -> Iterator[int]:
        """Take the steps one by one; what is done between them is ended by Ctrl-C at once."""
        if threading.current_thread() is not threading.main_thread():
            yield from steps
            return
        while True:
            before = signal.getsignal(signal.SIGINT)
            if before is not signal.default_int_handler:  # somebody else's
                yield from steps
                return
            signal.signal(signal.SIGINT, self._ask)
            try:
                step = next(steps, None)
            finally:
                signal.signal(signal.SIGINT, before)
            if step is None:
                return
            yield step

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.is_asked:
            raise KeyboardInterrupt
        self.is_asked = True
