import errno
import logging
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from patience import HANG_SECONDS

from unlabeled.platform.train import checkpoint, saving
from unlabeled.platform.train.checkpoint import KEPT, checkpoints, load_newest, save
from unlabeled.platform.train.saving import MOST_COST, Saver


def test_what_is_saved_is_read_and_only_the_newest_are_kept(tmp_path: Path) -> None:
    for step in range(KEPT + 2):
        save(tmp_path, step, {"step": step, "x": torch.full((3,), float(step))})
    state = load_newest(tmp_path)
    assert state is not None
    assert state["step"] == KEPT + 1
    assert torch.equal(state["x"], torch.full((3,), float(KEPT + 1)))
    assert len(checkpoints(tmp_path)) == KEPT


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before_and_says_so(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    save(tmp_path, 1, {"step": 1})
    newest = save(tmp_path, 2, {"step": 2})
    content = bytearray(newest.read_bytes())
    if damage == "flipped":
        content[len(content) // 2] ^= 1
    newest.write_bytes({"cut": content[:-7], "flipped": content, "empty": b""}[damage])
    with caplog.at_level(logging.WARNING):
        state = load_newest(tmp_path)
    assert state is not None
    assert state["step"] == 1
    assert newest.name in caplog.text
    assert "going on from the one before" in caplog.text


def test_an_unfinished_write_is_no_checkpoint(tmp_path: Path) -> None:
    save(tmp_path, 1, {"step": 1})
    (tmp_path / ".step-00000002-0123456789ab.pt.77").write_bytes(b"half")
    state = load_newest(tmp_path)
    assert state is not None
    assert state["step"] == 1


def test_no_checkpoint_at_all(tmp_path: Path) -> None:
    assert load_newest(tmp_path / "nowhere") is None


def test_a_checkpoint_runs_no_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "owned",))

    save(tmp_path, 1, {"x": Evil()})
    with pytest.raises(Exception, match=r"[Ww]eights.only"):
        load_newest(tmp_path)
    assert not (tmp_path / "owned").exists()


def test_a_file_system_without_room_leaves_the_one_before_and_nothing_of_this_one(tmp_path: Path) -> None:
    older = save(tmp_path, 1, {"step": 1})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    for room in (100, 200_000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
        try:
            with pytest.raises(OSError, match="File too large") as found:
                save(tmp_path, 2, {"x": torch.zeros(100_000)})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert found.value.errno == errno.EFBIG
        assert list(tmp_path.iterdir()) == [older]


def test_what_was_written_last_is_kept_beside_damaged_ones_of_later_steps(tmp_path: Path) -> None:
    for step in (8, 9):
        save(tmp_path, step, {"step": step}).write_bytes(b"damaged")
    for step in (5, 6):
        save(tmp_path, step, {"step": step})
        state = load_newest(tmp_path)
        assert state is not None
        assert state["step"] == step
    assert len(checkpoints(tmp_path)) == KEPT


def forked(work: Callable[[], None]) -> int:
    """Run in a process of its own, which ends with it; return its number."""
    pid = os.fork()
    if not pid:
        try:
            work()
        finally:
            os._exit(1)
    return pid


def whole(step: int) -> dict[str, object]:
    return {"step": step, "x": torch.full((50_000,), float(step)), "y": {step: torch.full((7,), -float(step))}}


def test_killed_at_any_moment_the_last_that_was_written_is_whole(tmp_path: Path) -> None:
    """Brute force: a process that does nothing but save is killed, and the next goes on from what it left."""
    chance, begun = random.Random(0), 0

    def saving() -> None:
        for step in range(begun + 1, 10**6):
            save(tmp_path, step, whole(step))

    killed_within = 0
    for _ in range(25):
        pid = forked(saving)
        time.sleep(chance.uniform(0.01, 0.06))
        os.kill(pid, signal.SIGKILL)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
        killed_within += any(path.name.startswith(".") for path in tmp_path.glob(".*"))
        state = load_newest(tmp_path)
        step = 0 if state is None else state["step"]
        assert step >= begun
        if state is not None:
            expected = whole(step)
            assert torch.equal(state["x"], expected["x"])
            assert torch.equal(state["y"][step], expected["y"][step])  # type: ignore[index]
        assert len(list(tmp_path.iterdir())) <= KEPT + 2, "two, one too many, and half a one"
        begun = step
    assert begun > 0
    assert killed_within > 0, "else it was never killed in the midst of writing"
    save(tmp_path, begun + 1, whole(begun + 1))
    assert len(list(tmp_path.iterdir())) == KEPT, "what was half written is gone"


@pytest.mark.parametrize("hosts", [1, 2])
def test_several_that_write_to_one_folder_leave_each_other_alone(
    tmp_path: Path, hosts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if hosts == 2:  # as on a file system whose locks are each host's own
        monkeypatch.setattr(checkpoint.fcntl, "flock", lambda *_: None)

    def saving(first: int) -> Callable[[], None]:
        def work() -> None:
            if hosts == 2:
                monkeypatch.setattr(checkpoint.socket, "gethostname", lambda: f"host{first}")
            for step in range(first, first + 60, 2):
                save(tmp_path, step, whole(step))
            os._exit(0)

        return work

    pids = [forked(saving(first)) for first in (0, 1)]
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [0, 0]
    state = load_newest(tmp_path)
    assert state is not None
    assert state["step"] >= 58
    assert not list(tmp_path.glob(".*"))
    assert len(checkpoints(tmp_path)) <= KEPT + 1


def test_what_another_host_left_half_written_goes_once_it_is_old(tmp_path: Path) -> None:
    new, old = (tmp_path / f".step-00000001.{number}@elsewhere" for number in range(2))
    for half in (new, old):
        half.write_bytes(b"half")
    os.utime(old, (0.0, time.time() - 4000.0))
    save(tmp_path, 2, {"step": 2})
    assert list(tmp_path.glob(".*")) == [new]


class Clock:
    """Time that a test moves on."""

    def __init__(self) -> None:
        self.now = self.core = 0.0
        self.share = 1.0  # of a core that the thread gets

    def monotonic(self) -> float:
        return self.now

    def waited_for_core(self) -> float:
        return self.now * (1.0 - self.share)

    perf_counter = monotonic

    def thread_time(self) -> float:
        return self.core


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(saving, "time", clock)
    monkeypatch.setattr(saving, "waited_for_core", clock.waited_for_core)
    return clock


def test_checkpoints_are_as_far_apart_as_what_they_cost_asks_for(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []

    def write(folder: Path, step: int, state: object) -> None:
        written.append(step)
        clock.core += 3.0

    monkeypatch.setattr(checkpoint, "save", write)
    saver = Saver(tmp_path, pytest.fail)
    assert saver.is_due(0.0), "what one costs is not known yet"
    assert not saver.is_due()
    due = []
    for second in range(1, 3001):
        clock.now = float(second)
        if saver.is_due():
            due.append(second)
            saver.save(second, {})
            saver.close()
    assert due[:3] == [60, 260, 460], "3 seconds are 1.5 % of 200"
    assert written == due
    assert saver.cost_seconds <= MOST_COST * 3000 + 3.0
    assert not saver.is_due(0.0), "nor is one where it would be a good moment"
    clock.share = 0.25
    saver.save(4000, {})
    saver.close()
    for passed, is_due in ((700.0, False), (900.0, True)):
        clock.now = 3000.0 + passed
        assert saver.is_due() is is_due, "where others have three quarters of the core, it pays four times as late"


@pytest.mark.needs("linux")
def test_a_thread_that_shares_its_core_waits_for_it() -> None:
    before, cores = saving.waited_for_core(), os.sched_getaffinity(0)
    until = time.monotonic() + HANG_SECONDS
    try:
        os.sched_setaffinity(0, {min(cores)})
        with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
            try:
                while saving.waited_for_core() - before < 0.1:
                    assert time.monotonic() < until
            finally:
                busy.kill()
    finally:
        os.sched_setaffinity(0, cores)


def test_a_state_is_saved_as_it_was_and_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, write, at_once = threading.Event(), save, []

    def waiting(folder: Path, step: int, state: checkpoint.State) -> Path:
        at_once.append(1)
        assert len(at_once) == 1
        go_on.wait()
        path = write(folder, step, state)
        at_once.pop()
        return path

    monkeypatch.setattr(checkpoint, "save", waiting)
    saver = Saver(tmp_path, pytest.fail)
    x, epochs = torch.arange(6.0).view(2, 3).t(), [{"loss": 1.0}]
    tied = torch.ones(1000)
    for step in (1, 2):
        state = {"x": x, "tied": [tied, tied], "epochs": epochs, "pair": (x[0], None)}
        saver.save(step, state)
        assert not saver.is_due(0.0), "it is being written"
        x.add_(1.0)
        epochs.append({"loss": 2.0})
        threading.Timer(0.05, go_on.set).start()
    saver.close()
    found = load_newest(tmp_path)
    assert found is not None
    assert torch.equal(found["x"], torch.arange(6.0).view(2, 3).t() + 1.0)
    assert found["x"].stride() == (1, 3)
    assert torch.equal(found["pair"][0], found["x"][0])
    assert found["epochs"] == [{"loss": 1.0}, {"loss": 2.0}]
    assert found["tied"][0].data_ptr() == found["tied"][1].data_ptr(), "written once"
    checkpoints(tmp_path)[0].unlink()
    older = load_newest(tmp_path)
    assert older is not None
    assert torch.equal(older["x"], torch.arange(6.0).view(2, 3).t())


def test_what_keeps_a_checkpoint_from_the_disk_is_told_and_other_errors_are_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    saver = Saver(tmp_path, told.append)
    errors: list[Exception] = [OSError(errno.ENOSPC, "No space left on device"), ValueError("ours")]

    def failing(folder: Path, step: int, state: object) -> None:
        raise errors.pop(0)

    monkeypatch.setattr(checkpoint, "save", failing)
    saver.save(1, {})
    saver.close()
    assert told == ["[Errno 28] No space left on device"]
    saver.save(2, {})
    with pytest.raises(ValueError, match="ours"):
        saver.close()
    saver.close()
    assert len(told) == 1
