"""What a run computes on follows what it was given; what the system doesn't tell is left out."""

from pathlib import Path

import pytest
import torch

from unlabeled.platform import processor as module
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data
from unlabeled.platform.errors import UserError
from unlabeled.platform.processor import Processor, breaks_process, precision_here
from unlabeled.platform.train import execution
from unlabeled.platform.train.events import Event, Failed
from unlabeled.platform.train.loop import Training
from unlabeled.platform.train.memory import TrainingMemory

STATUS = "Name:\tpython\nVmRSS:\t  200000 kB\n"


@pytest.mark.parametrize(("gpus", "device"), [(None, "cuda"), (1.0, "cuda"), (0.25, "cuda"), (0.0, "cpu")])
def test_a_gpu_is_taken_where_one_was_given(monkeypatch: pytest.MonkeyPatch, gpus: float | None, device: str) -> None:
    shares: list[float] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", shares.append)
    assert Processor.here("fp32", gpus).device.type == device
    assert shares == ([0.25] if gpus == 0.25 else [])
    monkeypatch.setattr(module, "has_fast_bf16", lambda kind: kind == "cuda")
    assert precision_here(gpus) == ("bf16" if device == "cuda" else "fp32"), (
        "of what it computes on, not of what it sees"
    )


def test_a_gpu_that_torch_does_not_find_is_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match="a GPU was asked for, and torch finds none here"):
        Processor.here("fp32", 1.0)
    assert Processor.here("fp32").device.type == "cpu"


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"self/status": ""},
        {"self/status": STATUS, "cpuinfo": "processor : 0\n"},
        {"self/status": STATUS, "self/clear_refs": ""},
        {"self/status": "VmRSS:\nVmHWM:\n", "self/clear_refs": "", "cpuinfo": ""},
    ],
)
def test_a_system_that_does_not_tell_its_memory_leaves_that_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_run: RunConfig, small_data: Data, files: dict[str, str]
) -> None:
    for path, text in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    if "self/clear_refs" not in files:
        (tmp_path / "self" / "clear_refs").mkdir(parents=True, exist_ok=True)  # can't be written
    monkeypatch.setattr(module, "_PROC", tmp_path)
    module.has_fast_bf16.cache_clear()
    module._cpu_name.cache_clear()
    try:
        here = Processor.here("auto", 0.0)
        assert (here.precision, here.memory_mb()) == ("fp32", 204.8 if STATUS in files.values() else None)
        assert here.name is not None
        memory = TrainingMemory(here)
        training = Training(small_run, small_data, here)
        for step in training.steps():
            memory.follow(last=False)
            memory.begin(training.method, training.optimizer)
            if step == 3:
                break
        assert memory.training_mb is None
        assert memory.peak_mb() > 50, "of the whole process, as far as it can be known"
    finally:
        module.has_fast_bf16.cache_clear()
        module._cpu_name.cache_clear()


def test_pictures_and_frames_lie_channels_last(processor: Processor) -> None:
    pictures, clips, sounds = torch.rand(2, 3, 4, 5), torch.rand(2, 6, 3, 4, 5), torch.rand(2, 1, 9)
    for given in (pictures, clips, sounds):
        assert torch.equal(processor.layout(given), given)
    assert processor.layout(pictures).is_contiguous(memory_format=torch.channels_last)
    frames = processor.layout(clips).flatten(0, 1)
    assert frames.is_contiguous(memory_format=torch.channels_last)
    assert frames.data_ptr() == processor.layout(frames).data_ptr(), "no copy is made of frames that are flattened"
    assert processor.layout(sounds).is_contiguous()


@pytest.mark.parametrize(
    ("error", "breaks"),
    [
        (torch.AcceleratorError("CUDA error: an illegal memory access was encountered"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm(...)`"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR"), True),
        (torch.distributed.DistBackendError("NCCL error in: ProcessGroupNCCL.cpp:3384, unhandled cuda error"), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)"), False),
        (ValueError("CUDA error"), False),
    ],
)
def test_errors_that_a_gpu_does_not_recover_from_are_known(
    error: Exception, breaks: bool, small_run: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ends(*_: object) -> None:
        raise error

    said: list[Event] = []
    monkeypatch.setattr(execution, "execute", ends)
    assert execution.execute_safely(small_run, tmp_path, 0.0, said.append) is not breaks
    assert said == [Failed(f"{type(error).__name__}: {error}", breaks)]
    led_to = KeyError("what it led to")
    led_to.__context__ = error
    assert breaks_process(led_to) is breaks
