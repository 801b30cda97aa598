"""What workers on one machine write into shared memory arrives; who dies is noticed; nothing is left behind."""

from pathlib import Path

import pytest

from unlabeled.platform.testing.processes import ended

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("exchange_worker.py")

pytestmark = pytest.mark.needs("shared memory")


def run(what: str, folder: Path, workers: int) -> list[tuple[int, str]]:
    """Run workers to their end; return each one's exit code and what it said."""
    return ended([("-W", "error", SCRIPT, what, i, workers, folder / "meeting") for i in range(workers)])


def test_three_workers_see_what_each_of_them_sent(tmp_path: Path) -> None:
    before = set(Path("/dev/shm").glob("unlabeled-*"))
    found = run("many", tmp_path, workers=3)
    assert [code for code, _ in found] == [0, 0, 0], found
    assert not set(Path("/dev/shm").glob("unlabeled-*")) - before


def test_a_worker_that_dies_is_noticed(tmp_path: Path) -> None:
    (code, said), _ = run("lonely", tmp_path, workers=2)
    assert code != 0
    assert "RuntimeError: worker 1 is gone" in said


def test_a_group_goes_on_with_fewer(tmp_path: Path) -> None:
    found = run("fewer", tmp_path, workers=3)
    assert [(code, text.strip()) for code, text in found] == [(0, "done")] * 3
