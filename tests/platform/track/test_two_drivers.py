"""Two drivers at once on one store never do a run twice, and take over from one that died."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_driver import EPOCHS, FINAL, FakeDriver, make_study
from patience import HANG_SECONDS, wait_until

from unlabeled.dashboards import frames
from unlabeled.platform.errors import UserError
from unlabeled.platform.track import Store, leases
from unlabeled.platform.track.driver import Driver
from unlabeled.platform.track.leases import Leases
from unlabeled.platform.train.events import EpochDone, Finished, Started

SCRIPT = Path(__file__).with_name("fake_driver.py")


def in_threads(*works: Callable[[], object]) -> None:
    """Do all at once; an error of one is the test's."""
    errors: list[BaseException] = []

    def careful(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=careful, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=HANG_SECONDS)
        assert not thread.is_alive()
    if errors:
        raise errors[0]


def assert_logged_once(home: Path, runs: int) -> None:
    found = frames.runs("heads", home)
    assert sorted(found["seed"]) == list(range(runs)), "a run was done twice, or never"
    assert set(found["status"]) == {"FINISHED"}
    assert (found["test/linear/top1"] == FINAL["test/linear/top1"]).all()
    losses = frames.epochs("heads", home).query("metric == 'train/loss'")
    assert (losses.groupby("run_id")["epoch"].apply(tuple) == tuple(range(1, EPOCHS + 1))).all()
    points = list(Store(home).histories(found["run_id"].tolist(), ["train/loss"]))
    assert len(points) == runs * EPOCHS, "an epoch was logged twice"
    assert not list(home.glob("outbox/*")), "something waits to be sent"


def start(home: Path, runs: int, until: str) -> subprocess.Popen[str]:
    """Start a driver that does nothing more from some run's epoch on."""
    command = [sys.executable, str(SCRIPT), str(home), "heads", str(runs), "0", until]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdout is not None
    for said in process.stdout:
        if said.strip() == line:
            return
    pytest.fail(f"ended without {line!r}: {process.communicate()[1]}")


def test_two_drivers_at_once_share_the_runs(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    one, other = FakeDriver(home, 12, seconds=0.05), FakeDriver(home, 12, seconds=0.05)
    in_threads(one.go, other.go)
    assert sorted(one.did + other.did) == list(range(12))
    assert one.did
    assert other.did
    for driver in (one, other):
        outcome = driver.recorder.outcome
        assert (outcome.finished, outcome.elsewhere) == (len(driver.did), 12 - len(driver.did))
    assert_logged_once(home, 12)
    said = "".join([one.said, other.said, *capfd.readouterr()])
    assert "locked" not in said
    assert "Traceback" not in said


def test_drivers_that_begin_at_the_same_moment_agree_on_one_experiment(home: Path) -> None:
    drivers: list[FakeDriver] = []
    in_threads(*[lambda: drivers.append(FakeDriver(home, 3))] * 4)
    assert len({driver.recorder.log.id for driver in drivers}) == 1
    in_threads(*[driver.go for driver in drivers])
    assert_logged_once(home, 3)
    store = Store(home)
    ledgers = store.client.search_runs([store.experiment(leases.LEDGERS).experiment_id])
    assert len(ledgers) == 1, "a ledger that nobody uses is left"
    assert not [tag for tag in ledgers[0].data.tags if tag.startswith("driver.")]


def test_drivers_of_two_studies_at_once_do_not_hinder_each_other(home: Path) -> None:
    one, other = FakeDriver(home, 6), FakeDriver(home, 6, name="others")
    in_threads(one.go, other.go)
    assert (one.recorder.outcome.finished, other.recorder.outcome.finished) == (6, 6)


def test_a_driver_waits_for_what_others_have_and_says_who(home: Path) -> None:
    holder = FakeDriver(home, 2)
    others = [FakeDriver(home, 2)]

    def meanwhile(number: int, epoch: int) -> None:
        if (number, epoch) == (1, 1):
            waiting = threading.Thread(target=others[0].go)
            threads.append(waiting)
            waiting.start()
        if (number, epoch) == (1, 2):
            wait_until(lambda: "waiting" in others[0].said)

    threads: list[threading.Thread] = []
    holder.go(after=meanwhile)
    threads[0].join(timeout=HANG_SECONDS)
    assert others[0].did == []
    assert others[0].recorder.outcome.elsewhere == 2
    line = rf"waiting for runs that others have in hand: .*linear seed 1 \(process {os.getpid()} on .*\)"
    assert re.search(line, others[0].said)
    assert_logged_once(home, 2)


def test_a_run_that_fails_elsewhere_meanwhile_is_not_tried_again(home: Path) -> None:
    holder, other = FakeDriver(home, 1), FakeDriver(home, 1)
    threads: list[threading.Thread] = []

    def meanwhile(number: int, epoch: int) -> None:
        if epoch == 1:
            threads.append(threading.Thread(target=other.go))
            threads[0].start()
        if epoch == 2:
            wait_until(lambda: "waiting" in other.said)

    holder.go(after=meanwhile, fails=(0,))
    threads[0].join(timeout=HANG_SECONDS)
    assert (other.did, other.recorder.outcome.failed) == ([], 1)
    again = FakeDriver(home, 1)
    assert again.go().finished == 1, "the next command tries it again"
    assert_logged_once(home, 1)


def test_a_killed_drivers_runs_are_taken_over_at_once_in_the_same_mlflow_runs(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "SILENT_SECONDS", 1e9)  # that it is silent must not be what tells
    process = start(home, 4, until="1.1")
    wait_for(process, "0.3")
    wait_for(process, "1.1")  # run 0 is done, run 1 under way
    other = FakeDriver(home, 4)
    thread = threading.Thread(target=other.go)
    thread.start()
    wait_until(lambda: other.did == [2, 3] and "waiting" in other.said)
    wait_until(lambda: list(frames.runs("heads", home)["status"]).count("FINISHED") == 3)  # run 0 was sent, too
    before = set(frames.runs("heads", home)["run_id"])
    process.send_signal(signal.SIGKILL)
    process.communicate()
    thread.join(timeout=HANG_SECONDS)
    assert other.did == [2, 3, 1]
    assert before <= set(frames.runs("heads", home)["run_id"])
    FakeDriver(home, 4)  # a command begins by sending what the dead driver left
    assert_logged_once(home, 4)


def test_a_driver_elsewhere_that_falls_silent_is_taken_over_and_finds_out(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "SILENT_SECONDS", 1e9)
    monkeypatch.setattr(leases, "BEAT_SECONDS", 1e9)
    store = Store(home)
    _, ledger = store.open_experiment(make_study(1).record("laptop"))
    paused, other = Leases(store.client, ledger), Leases(store.client, ledger)
    paused.beat()
    other.beat()
    assert paused.take("f")
    other.refresh()
    assert not other.take("f")
    monkeypatch.setattr(leases, "SILENT_SECONDS", 0.0)  # it has been silent for long enough
    assert other.take("f")
    assert not paused.is_sure("f"), "the one that was paused must not write any more"
    other.end("f", "FINISHED")
    paused.refresh()
    assert paused.end_of("f") == "FINISHED"


def test_the_same_lease_is_taken_by_one_of_many_at_once(home: Path) -> None:
    store = Store(home)
    _, ledger = store.open_experiment(make_study(1).record("laptop"))
    many = [Leases(store.client, ledger) for _ in range(6)]
    taken: list[bool] = []
    for run in ("a", "b", "c"):
        in_threads(*[lambda each=each, run=run: taken.append(each.take(run)) for each in many])
    assert sum(taken) == 3


def test_a_process_is_gone_only_where_that_can_be_seen() -> None:
    here = Driver.here()
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert not here.is_gone
    assert Driver("a:1:b", here.machine, ended.pid).is_gone
    assert not Driver("a:1:b", "another machine", ended.pid).is_gone


def test_a_run_that_another_driver_has_is_not_logged_by_a_second(home: Path) -> None:
    one, other = FakeDriver(home, 1), FakeDriver(home, 1)
    with one.recorder, other.recorder:
        one.recorder.unfinished()
        assert one.recorder.next(one.display) == 0
        other.recorder._display = other.display
        other.recorder.take(other.display, 0, Started({}, 0, []))
        other.recorder.take(other.display, 0, EpochDone(1, {"train/loss": 9.0}))
        other.recorder.take(other.display, 0, Finished(FINAL, other.files))
        one.run(0, lambda number, epoch: None, fails=False)
    assert "does it too; what it gives here is not logged" in other.said
    assert_logged_once(home, 1)


def test_a_run_that_another_driver_took_before_its_first_word_is_over_here(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where this machine slept while the run began; else the command would wait for it for ever."""
    driver = FakeDriver(home, 2)
    with driver.recorder:
        driver.recorder.unfinished()
        assert driver.recorder.next(driver.display) == 0
        with monkeypatch.context() as lost:
            lost.setattr(driver.recorder.log, "claim", lambda fingerprint: "others")
            driver.recorder.take(driver.display, 0, Started({}, 0, []))
        driver.recorder.take(driver.display, 0, Finished(FINAL, driver.files))
        assert driver.recorder.next(driver.display) == 1
        driver.run(1, lambda number, epoch: None, fails=False)
        assert driver.recorder.is_over
    assert (driver.recorder.outcome.elsewhere, driver.recorder.outcome.finished) == (1, 1)
    assert "1/1 linear seed 1" in driver.said


def test_an_experiment_of_somebody_else_is_one_clear_line(home: Path) -> None:
    Store(home).client.create_experiment("heads")
    with pytest.raises(UserError, match=r"'heads' .* was not made by unlabeled.*mlflow experiments rename -x \d+"):
        FakeDriver(home, 1)
