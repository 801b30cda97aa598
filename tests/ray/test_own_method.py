"""A method that stands in a study's own file trains wherever runs go, and may end its process."""

import shutil
from pathlib import Path

import forked
import pytest

from unlabeled.dashboards import frames

UNMEASURED = ("--set", "evaluation.final=[]", "--set", "evaluation.follow=[]")
STUDY = Path(__file__).with_name("own_method_study.py")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_method_in_a_studys_own_file_trains_where_its_runs_go(
    tmp_path: Path, home: Path, joined: tuple[str, str], workers: str
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    study = shutil.copy(STUDY, folder / f"my_way_up_{workers}.py")
    ran = forked.run(["study", "run", str(study), "--home", str(home), "--workers", workers, *joined])
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "1 finished, 0 failed" in ran.stdout
    runs = frames.runs("ways-up", home)
    assert runs["method.name"].tolist() == ["way-up"]
    assert runs["environment:workers"].tolist() == [workers]
    assert "way/top1" in set(frames.epochs("ways-up", home)["metric"])


def test_an_error_of_the_gpu_ends_its_run_and_process_and_want_of_memory_only_the_run(
    tmp_path: Path, home: Path, joined: tuple[str, str]
) -> None:
    rows: dict[str, dict[str, object]] = {
        "first": {},
        "memory": {"method.ends_with": "OutOfMemoryError"},
        "second": {"optimizer.learning_rate": 0.1},
        "broken": {"method.ends_with": "AcceleratorError"},
        "last": {"optimizer.learning_rate": 0.2},
    }
    study = tmp_path / "my_broken_study.py"
    study.write_text(STUDY.read_text().replace('{"alone": {}}', repr(rows)))
    one = ("--max-concurrent", "1")
    ran = forked.run(["study", "run", str(study), "--home", str(home), *one, *joined, *UNMEASURED])
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert "3 finished, 2 failed" in ran.stdout
    assert "Traceback" not in ran.stderr
    runs = frames.runs("ways-up", home).set_index("row")
    failed = runs[runs["status"] == "FAILED"]
    assert sorted(failed.index) == ["broken", "memory"]
    assert failed.loc["broken", "reason"] == "AcceleratorError: CUDA error: device-side assert triggered"
    assert failed.loc["memory", "reason"].startswith("OutOfMemoryError: ")
    processes = frames.epochs("ways-up", home).query("metric == 'way/process'").set_index("row")["value"]
    assert processes["first"] == processes["second"], "one process does several runs"
    assert processes["last"] != processes["second"], "but none after its GPU failed"
