"""Workers measure together what one measures alone; who is slow is waited for, who fails or dies is told to all."""

import runpy
from pathlib import Path
from typing import Any

import pytest
import torch

from unlabeled.platform import collective
from unlabeled.platform.collective import waiting
from unlabeled.platform.data import load
from unlabeled.platform.evaluate.sharing import Shares
from unlabeled.platform.testing.processes import ended
from unlabeled.platform.train.events import Event, Finished, Started
from unlabeled.platform.train.execution import execute
from unlabeled.platform.train.notes import Notes

SCRIPT = Path(__file__).with_name("sharing_worker.py")
WORKER = runpy.run_path(str(SCRIPT))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workers")


@pytest.fixture(scope="module")
def said(folder: Path) -> list[list[str]]:
    """Run two workers; return what each said."""
    found = ended([(SCRIPT, rank, 2, folder) for rank in range(2)])
    assert [code for code, _ in found] == [0, 0], "\n".join(text for _, text in found)
    return [[line for line in text.splitlines() if line.partition(":")[0] in ENDS] for _, text in found]


ENDS = ("slow", "no memory", "refused", "dies")


def test_two_workers_measure_bitwise_what_one_measures(
    said: list[list[str]], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name in (("extraction", "CHUNK"), ("measuring", "CHUNK"), ("sharing", "BYTES")):
        monkeypatch.setattr(WORKER[module], name, None)  # the script sets it; it is put back
    alone: dict[str, Any] = WORKER["results"]()
    first, second = (torch.load(folder / f"{rank}.pt") for rank in range(2))
    assert first["read"].keys() == alone["read"].keys()
    for name, x in alone["read"].items():
        assert torch.equal(first["read"][name], x), name
    assert sum(map(len, alone["scores"])) > 40
    assert {len(x) for name, x in second["read"].items() if not name.endswith("'s")} == {0}, "nobody else keeps any"
    for name in ("scores", "odd scores", "notes"):
        assert first[name] == alone[name], name
    assert alone["notes"][0] == []
    assert "7.png is no picture" in " ".join(alone["notes"][1])
    assert "on purpose" in " ".join(alone["notes"][1])
    assert not any(second["scores"])


def test_who_is_slow_is_waited_for_and_who_fails_is_told_to_all(said: list[list[str]]) -> None:
    first, second = said
    assert first[0].startswith("slow: "), "longer than collectives wait"
    assert first[0].endswith("scores, []")
    assert int(first[0].split()[1]) > 10
    assert second[0] == "slow: 0 scores, []"
    assert first[1:3] == second[1:3] == ["no memory: MemoryError: none", "refused: UserError: no picture"]


def test_a_worker_that_dies_while_it_sends_is_no_note_on_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    meeting = waiting.Meeting()
    meeting.workers = 2
    shares = Shares(torch.split(torch.arange(5), 2), meeting)
    assert [own.tolist() for own in shares.own] == [[0, 1], [4]]

    def gone(x: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("worker 1 is gone")

    monkeypatch.setattr(collective, "gather", gone)
    with (
        pytest.raises(waiting.WorkerError, match="did not come: worker 1 is gone"),
        Notes().guard("kNN was not measured"),
    ):
        list(shares.every(0, torch.zeros(2, 3)))


def test_a_worker_that_dies_ends_all_and_fewer_go_on(said: list[list[str]], folder: Path) -> None:
    first, second = said
    assert first[3:] == ["dies: WorkerError: worker 1 gave no sign of life for 3 s"]
    assert second[3:] == []
    run, events = WORKER["SHORT"], list[Event]()
    execute(run, load(run.data), folder, WORKER["CPU"], events.append)
    started, finished = events[0], events[-1]
    assert isinstance(started, Started)
    assert isinstance(finished, Finished)
    assert (started.step, len(started.epochs)) == (2, 1), "training is not repeated"
    assert finished.metrics["test/knn/top1"] > 0.0
