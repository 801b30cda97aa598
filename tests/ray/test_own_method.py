"""A method that stands in a study's own file trains wherever runs go: in Tune's processes, and on workers."""

import shutil
from pathlib import Path

import forked
import pytest

from unlabeled.dashboards import frames

STUDY = Path(__file__).with_name("own_method_study.py")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_method_in_a_studys_own_file_trains_where_its_runs_go(tmp_path: Path, home: Path, workers: str) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    study = shutil.copy(STUDY, folder / f"my_way_up_{workers}.py")
    ran = forked.run(["study", "run", str(study), "--home", str(home), "--workers", workers])
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "1 finished, 0 failed" in ran.stdout
    runs = frames.runs("ways-up", home)
    assert runs["method.name"].tolist() == ["way-up"]
    assert runs["environment:workers"].tolist() == [workers]
    assert "way/top1" in set(frames.epochs("ways-up", home)["metric"])
