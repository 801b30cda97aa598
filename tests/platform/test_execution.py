"""One run from start to end in this process: what it says, what it leaves, and how it goes on after an interruption."""

import contextlib
import errno
import json
import logging
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from unlabeled.platform.config import EvaluationConfig, RunConfig
from unlabeled.platform.data import Data
from unlabeled.platform.errors import UserError
from unlabeled.platform.evaluate import KNN
from unlabeled.platform.optim import without_compiler
from unlabeled.platform.processor import Processor
from unlabeled.platform.train import checkpoint, loop
from unlabeled.platform.train.checkpoint import checkpoints
from unlabeled.platform.train.events import EpochDone, Event, Finished, Noted, Progress, Started, forwarding_warnings
from unlabeled.platform.train.execution import execute
from unlabeled.platform.train.export import load_encoder


class StopError(Exception):
    """What a test kills a run with."""


def run_until(run: RunConfig, data: Data, home: Path, processor: Processor, epoch: int = 99) -> list[Event]:
    """Execute, collecting events, and die right after ``epoch`` was reported."""
    events: list[Event] = []

    def report(event: Event) -> None:
        events.append(event)
        if isinstance(event, EpochDone) and event.epoch == epoch:
            raise StopError

    with contextlib.suppress(StopError):
        execute(run, data, home, processor, report)
    return events


def weights(home: Path) -> dict[str, torch.Tensor]:
    (path,) = home.glob("work/*/files/encoder/encoder.safetensors")
    loaded: dict[str, torch.Tensor] = load_file(path)
    return loaded


def test_a_run_tells_its_story_in_order(
    small_run: RunConfig, small_data: Data, processor: Processor, tmp_path: Path
) -> None:
    events = run_until(small_run.with_field("evaluation.tsne_images", 60), small_data, tmp_path, processor)
    kinds = [type(event).__name__ for event in events if type(event).__name__ != "Progress"]
    assert kinds == ["Started", "EpochDone", "EpochDone", "Finished"]
    started, *epochs, finished = [event for event in events if type(event).__name__ != "Progress"]
    assert isinstance(started, Started)
    assert (started.step, started.epochs) == (0, [])
    assert started.environment["precision"] == "fp32"
    assert started.environment["cpu_capability"] == torch.backends.cpu.get_cpu_capability()
    for event in epochs:
        assert isinstance(event, EpochDone)
        assert {"train/loss", "contrast/top1", "health/rankme", "knn/top1", "train/images_per_second"} <= set(
            event.metrics
        )
    assert isinstance(finished, Finished)
    assert {"test/linear/top1", "test/knn/top1", "untrained/linear/top1", "system/peak_memory_mb"} <= set(
        finished.metrics
    )
    files = {str(path.relative_to(finished.files)) for path in finished.files.rglob("*") if path.is_file()}
    assert files == {
        "encoder/encoder.safetensors",
        "encoder/encoder.json",
        "encoder/README.md",
        "method.safetensors",
        "training.json",
        "views.png",
        "tsne.png",
    }


def test_a_killed_run_goes_on_and_ends_as_if_it_never_stopped(
    small_run: RunConfig, small_data: Data, processor: Processor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "CHECK_EVERY", 2)
    whole = run_until(small_run, small_data, tmp_path / "whole", processor)
    before = run_until(small_run, small_data, tmp_path / "killed", processor, epoch=1)
    resumed = run_until(small_run, small_data, tmp_path / "killed", processor)
    started = resumed[0]
    assert isinstance(started, Started)
    assert started.step == 4
    assert len(started.epochs) == 1, (
        "the epoch that is done is told again: the driver may have died before it logged it"
    )
    one, other = weights(tmp_path / "whole"), weights(tmp_path / "killed")
    assert all(torch.equal(one[name], other[name]) for name in one)
    measured = [{k: v for k, v in events[-1].metrics.items() if "system" not in k} for events in (whole, resumed)]  # type: ignore[union-attr]
    assert measured[0] == measured[1]
    assert list(losses(whole)) == [2, 4, 6, 8]
    assert {**losses(before), **losses(resumed)} == losses(whole)


def losses(events: list[Event]) -> dict[int, float]:
    return {step: loss for event in events if isinstance(event, Progress) for step, loss in event.losses.items()}


def test_a_run_that_was_complete_but_not_logged_only_measures_again(
    small_run: RunConfig, small_data: Data, processor: Processor, tmp_path: Path
) -> None:
    first = run_until(small_run, small_data, tmp_path, processor)
    again = run_until(small_run, small_data, tmp_path, processor)
    assert [type(event).__name__ for event in again] == ["Started", "Finished"]
    assert again[0].step == 8  # type: ignore[union-attr]
    assert again[-1].metrics["test/linear/top1"] == first[-1].metrics["test/linear/top1"]  # type: ignore[union-attr]


def of(run: RunConfig, data: Data, home: Path, processor: Processor, trained: Path) -> list[Event]:
    """Measure what another run has trained."""
    events: list[Event] = []
    execute(run, data, home, processor, events.append, trained)
    return events


def test_what_is_trained_is_measured_again_as_if_it_were_trained_again(
    small_run: RunConfig, small_data: Data, processor: Processor, tmp_path: Path
) -> None:
    first = run_until(small_run, small_data, tmp_path / "first", processor)
    other = small_run.with_field("evaluation", EvaluationConfig(final=(KNN(neighbors=5),), follow_images=80))
    afresh = run_until(other, small_data, tmp_path / "afresh", processor)
    again = of(other, small_data, tmp_path / "again", processor, first[-1].files)  # type: ignore[union-attr]
    assert [type(event).__name__ for event in again] == ["Started", "Finished"]
    started, finished = again
    assert isinstance(started, Started)
    assert isinstance(finished, Finished)
    assert started.step == 8
    expected = {k: v for k, v in afresh[-1].metrics.items() if "system" not in k}  # type: ignore[union-attr]
    assert {k: v for k, v in finished.metrics.items() if "system" not in k} == expected
    epochs = [event for event in first if isinstance(event, EpochDone)]
    last = [event for event in afresh if isinstance(event, EpochDone)][-1]
    assert {k: v for k, v in started.epochs[-1].items() if "second" not in k} == {
        k: v for k, v in last.metrics.items() if "second" not in k
    }
    assert "knn/top1" not in started.epochs[0], "it was another evaluation that followed"
    assert started.epochs[0]["train/loss"] == epochs[0].metrics["train/loss"]
    assert set(weights(tmp_path / "again")) == set(weights(tmp_path / "first"))


def test_kept_weights_that_are_not_whole_are_trained_again(
    small_run: RunConfig, small_data: Data, processor: Processor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = run_until(small_run, small_data, tmp_path / "first", processor)[-1].files  # type: ignore[union-attr]
    (kept / "method.safetensors").write_bytes((kept / "method.safetensors").read_bytes()[:-8])
    other = small_run.with_field("evaluation.final", (KNN(neighbors=5),))
    again = of(other, small_data, tmp_path / "again", processor, kept)
    assert again[0].step == 0  # type: ignore[union-attr]
    assert "are not whole, so the run is trained again" in caplog.text


def test_a_damaged_checkpoint_costs_one_checkpoint(
    small_run: RunConfig, small_data: Data, processor: Processor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run_until(small_run, small_data, tmp_path, processor)
    before = weights(tmp_path)
    folder = tmp_path / "work" / small_run.fingerprint(small_data.checksum)
    checkpoints(folder)[0].write_bytes(b"damaged")
    again = run_until(small_run, small_data, tmp_path, processor)
    assert again[0].step == 4  # type: ignore[union-attr]
    assert "is damaged" in caplog.text
    assert all(torch.equal(before[name], tensor) for name, tensor in weights(tmp_path).items())


def test_the_untrained_encoder_is_measured_once_per_start(
    small_run: RunConfig, small_data: Data, processor: Processor, tmp_path: Path
) -> None:
    run_until(small_run, small_data, tmp_path, processor)
    run_until(small_run.with_field("method.head", ()), small_data, tmp_path, processor)
    run_until(small_run.with_field("seed", 1), small_data, tmp_path, processor)
    found = list((tmp_path / "work" / "untrained").glob("*.json"))
    assert len(found) == 2, "one for each seed: both heads start from the same encoder"
    assert "untrained/knn/top1" in json.loads(found[0].read_text())


def test_the_encoder_is_loaded_as_its_readme_says(
    small_run: RunConfig, small_data: Data, processor: Processor, tmp_path: Path
) -> None:
    events = run_until(small_run, small_data, tmp_path, processor)
    assert isinstance(events[-1], Finished)
    folder = events[-1].files / "encoder"
    code = (folder / "README.md").read_text().split("```python\n")[1].split("```")[0]
    names = {"images": torch.rand(2, 1, 28, 28)}
    exec(code.replace("path/to/encoder", str(folder)), names)
    assert names["features"].shape == (2, 64)
    assert torch.equal(load_encoder(folder)(names["images"]), names["features"])
    held = load_file(folder / "encoder.safetensors")
    assert float(held["mean"]) == pytest.approx(small_data.format.mean[0]), (
        "what it standardises by is among its weights"
    )
    del held["mean"]
    save_file(held, folder / "encoder.safetensors")
    with pytest.raises(UserError, match=r"safetensors holds other weights than are needed \(mean differs\): .* export"):
        load_encoder(folder)
    card = json.loads((folder / "encoder.json").read_text())
    card["encoder"]["depth"] = 4  # as an older version had it
    (folder / "encoder.json").write_text(json.dumps(card))
    with pytest.raises(UserError, match=r"encoder\.json can't be read here: there is no field 'encoder\.depth' in "):
        load_encoder(folder)
    card["method"]["name"] = "another"
    (folder / "encoder.json").write_text(json.dumps(card))
    with pytest.raises(UserError, match=r"is of the method 'another', which is not known here; first import"):
        load_encoder(folder)
    (folder / "encoder.safetensors").unlink()
    with pytest.raises(UserError, match=r"no encoder\.safetensors in .*encoder; give the encoder folder"):
        load_encoder(folder)


def test_a_checkpoint_of_other_weights_is_one_clear_line(
    small_run: RunConfig, small_data: Data, processor: Processor, tmp_path: Path
) -> None:
    run_until(small_run, small_data, tmp_path, processor, epoch=1)
    (folder,) = (path for path in (tmp_path / "work").iterdir() if path.name != "untrained")
    state = checkpoint.load_newest(folder)
    assert state is not None
    del state["training"]["method"]["encoder.mean"], state["training"]["method"]["encoder.std"]
    checkpoint.save(folder, 5, state)
    with pytest.raises(
        UserError, match=r"the checkpoint in .* holds other .*encoder\.mean and 1 more.* remove it"
    ) as at:
        run_until(small_run, small_data, tmp_path, processor)
    assert "\n" not in str(at.value)


def stopped_at_the_sixth_step(
    interrupt: Callable[[], None],
    run: RunConfig,
    data: Data,
    home: Path,
    processor: Processor,
    monkeypatch: pytest.MonkeyPatch,
) -> int:
    """Interrupt a run within a step; return where it went on from, to the end that it has uninterrupted."""
    run_until(run, data, home / "whole", processor)
    built, calls = without_compiler(torch.optim.AdamW), []
    step = built.step

    def interrupted(*given: object) -> object:
        done = step(*given)  # type: ignore[arg-type]
        calls.append(1)
        if len(calls) == 6:
            interrupt()
        return done

    with monkeypatch.context() as patch:
        patch.setattr(built, "step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_until(run, data, home / "stopped", processor)
    started = run_until(run, data, home / "stopped", processor)[0]
    one, other = weights(home / "whole"), weights(home / "stopped")
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert isinstance(started, Started)
    return started.step


def test_an_interrupt_in_the_middle_of_a_step_leaves_no_half_step_behind(
    small_run: RunConfig, small_data: Data, processor: Processor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    stopped_at_the_sixth_step(interrupt, small_run, small_data, tmp_path, processor, monkeypatch)


def test_ctrl_c_in_a_step_is_taken_after_it_and_its_state_is_saved(
    small_run: RunConfig, small_data: Data, processor: Processor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt() -> None:
        signal.raise_signal(signal.SIGINT)

    begun = stopped_at_the_sixth_step(interrupt, small_run, small_data, tmp_path, processor, monkeypatch)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert begun == 6


@pytest.mark.parametrize("error", [OSError("no such folder"), RuntimeError("closed")])
def test_a_pruned_run_ends_without_a_word(
    small_run: RunConfig,
    small_data: Data,
    processor: Processor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    """As Tune ends it, in the report; its folder may be gone while its checkpoint is written."""
    told: list[Event] = []

    def report(event: Event) -> None:
        assert not told or not isinstance(told[-1], EpochDone), "whoever reports now waits for ever"
        told.append(event)
        if isinstance(event, EpochDone):
            raise SystemExit(0)

    def fail(*given: object) -> None:
        raise error

    monkeypatch.setattr(checkpoint, "save", fail)
    with forwarding_warnings(report) as say, pytest.raises(SystemExit):
        execute(small_run, small_data, tmp_path, processor, say)
    assert isinstance(told[-1], EpochDone)


def test_what_other_threads_warn_of_is_said_on_the_runs_own_and_not_of_a_pruned_run() -> None:
    told: list[tuple[Event, int]] = []

    def report(event: Event) -> None:
        told.append((event, threading.get_ident()))
        if event == Noted("pruned"):
            raise SystemExit(0)

    def warn(text: str) -> None:
        logging.getLogger("unlabeled.reader").warning(text)

    def warn_elsewhere(text: str) -> None:
        thread = threading.Thread(target=warn, args=(text,))
        thread.start()
        thread.join()

    with forwarding_warnings(report) as say:
        warn_elsewhere("lost")
        assert not told
        warn("here")
        warn_elsewhere("lost again")
        with pytest.raises(SystemExit):
            say(Noted("pruned"))
        warn_elsewhere("too late")
        warn("too late")
        say(Noted("too late"))
    expected = ["lost", "here", "lost again", "pruned"]
    assert told == [(Noted(text), threading.get_ident()) for text in expected]


def test_a_disk_without_room_for_checkpoints_is_a_note_and_the_run_goes_on(
    small_run: RunConfig,
    small_data: Data,
    processor: Processor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    save, tried = checkpoint.save, []

    def full(folder: Path, step: int, state: checkpoint.State) -> Path:
        tried.append(step)
        if step > 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        return save(folder, step, state)

    monkeypatch.setattr(checkpoint, "save", full)
    events = run_until(small_run, small_data, tmp_path, processor)
    assert tried == [4, 8]
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert "test/linear/top1" in finished.metrics
    assert finished.notes == ("a checkpoint was not written: [Errno 28] No space left on device",)
    assert "a checkpoint of step 8 was not written: [Errno 28] No space left on device" in caplog.text
    folder = tmp_path / "work" / small_run.fingerprint(small_data.checksum)
    assert [path.name[:13] for path in checkpoints(folder)] == ["step-00000004"]
