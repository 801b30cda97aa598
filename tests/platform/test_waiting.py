"""What the first worker does alone may take longer than collectives wait, and its end is every worker's."""

from pathlib import Path

from unlabeled.platform.testing.processes import ended

WORKER = Path(__file__).with_name("waiting_worker.py")


def test_the_others_wait_longer_than_collectives_do_and_learn_how_the_first_one_ends(tmp_path: Path) -> None:
    """A run whose evaluations take longer than its workers wait for each other; then a first worker that fails."""
    (first_code, first), (second_code, second) = ended([(WORKER, rank, 2, tmp_path) for rank in range(2)])
    assert (first_code, second_code) == (0, 0), first + second
    assert [line for line in first.splitlines() if line.startswith(("trains", "refused", "broken", "dies"))] == [
        "trains: 0 epochs before, notes ()",
        "refused: UserError: temperature 0 must be above 0",
        "broken: ValueError: ours",
    ]
    assert [line for line in second.splitlines() if line.startswith(("trains", "refused", "broken", "dies"))] == [
        "refused: UserError: temperature 0 must be above 0",
        "broken: WorkerError: worker 0 failed: ValueError: ours",
        "dies: WorkerError: worker 0 gave no sign of life for 3 s",
    ]
