import logging
from pathlib import Path

import pytest
import torch

from unlabeled.platform.train.checkpoint import KEPT, checkpoints, load_newest, save

CPU = torch.device("cpu")


def test_what_is_saved_is_read_and_only_the_newest_are_kept(tmp_path: Path) -> None:
    for step in range(KEPT + 2):
        save(tmp_path, step, {"step": step, "x": torch.full((3,), float(step))})
    state = load_newest(tmp_path, CPU)
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
        state = load_newest(tmp_path, CPU)
    assert state is not None
    assert state["step"] == 1
    assert newest.name in caplog.text
    assert "going on from the one before" in caplog.text


def test_an_unfinished_write_is_no_checkpoint(tmp_path: Path) -> None:
    save(tmp_path, 1, {"step": 1})
    (tmp_path / ".step-00000002-0123456789ab.pt.77").write_bytes(b"half")
    state = load_newest(tmp_path, CPU)
    assert state is not None
    assert state["step"] == 1


def test_no_checkpoint_at_all(tmp_path: Path) -> None:
    assert load_newest(tmp_path / "nowhere", CPU) is None


def test_a_checkpoint_runs_no_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "owned",))

    save(tmp_path, 1, {"x": Evil()})
    with pytest.raises(Exception, match=r"[Ww]eights.only"):
        load_newest(tmp_path, CPU)
    assert not (tmp_path / "owned").exists()
