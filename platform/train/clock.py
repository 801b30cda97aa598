"""How long a run has taken."""

import time


class Clock:
    """Wall and CPU seconds of a run over all its stretches; time between a kill and the going on doesn't count."""

    def __init__(self) -> None:
        self._since = (time.monotonic(), time.process_time())
        self._before = (0.0, 0.0)

    def add(self, before: tuple[float, float]) -> None:
        """Count what :meth:`read` gave before an interruption."""
        self._before = before

    def read(self) -> tuple[float, float]:
        """Return wall and CPU seconds."""
        wall, cpu = time.monotonic() - self._since[0], time.process_time() - self._since[1]
        return self._before[0] + wall, self._before[1] + cpu
