"""Loaders, as far as they need no cluster."""

import itertools
import threading
import time

import pytest

from unlabeled.platform.drive import loaders
from unlabeled.platform.drive.loaders import PATIENCE_SECONDS, Loaders


class Queued(loaders._Place):
    """A place whose loader waits for a core of its node."""

    def __init__(self, waited: float) -> None:
        super().__init__()
        self.actor, self.node, self.started_at = object(), "0123456789abcdef", time.monotonic() - waited

    def is_ready(self) -> bool:
        return False


def with_places(*places: loaders._Place) -> Loaders:
    made = object.__new__(Loaders)
    made._lock, made._turns, made._warned, made._waited = threading.Lock(), itertools.count(), False, False
    made._free = list(places)
    return made


def test_a_loader_that_gets_no_core_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    young = with_places(Queued(1.0))
    assert young(0) is None
    assert not caplog.records
    old = with_places(Queued(PATIENCE_SECONDS + 1.0), Queued(PATIENCE_SECONDS + 2.0))
    assert [old(step) for step in range(3)] == [None] * 3
    (said,) = caplog.messages
    assert said.startswith("a loader has waited 61 s for a core of node 01234567, or for its data there")
