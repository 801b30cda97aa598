"""A budget of time: runs are begun while they can be expected to end within it."""

import math
import time
from collections.abc import Callable, Mapping


class Budget:
    """Seconds from now on, and how long runs take.

    Args:
        seconds: in all; infinite where there is no bound.
        clock: seconds that pass.
    """

    def __init__(self, seconds: float = math.inf, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds, self._clock, self._begun = seconds, clock, clock()
        self._of_row: dict[str, list[float]] = {}

    @property
    def spent(self) -> float:
        """Seconds that have passed."""
        return self._clock() - self._begun

    @property
    def left(self) -> float:
        """Seconds that are left; not below 0."""
        return max(0.0, self.seconds - self.spent)

    def learn(self, seconds: Mapping[str, float]) -> None:
        """Take in how long runs of rows took before."""
        for row, each in seconds.items():
            self.note(row, each)

    def note(self, row: str, seconds: float) -> None:
        """Take in how long a run took."""
        self._of_row.setdefault(row, []).append(seconds)

    def allows(self, row: str) -> bool:
        """Tell whether a run of a row may begin: its last ones, or any others where it has none, took no longer."""
        known = self._of_row.get(row) or [each for of_row in self._of_row.values() for each in of_row]
        expected = sum(known[-4:]) / len(known[-4:]) if known else 0.0
        return self.left > 0 and expected <= self.left
