"""Every method trains on a GPU as it does on a CPU, and its steps wait for nothing."""

import io
import os
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from needs import NEEDS
from torch import Tensor

from unlabeled.methods import METHODS
from unlabeled.methods.contrastive.simclr import SimCLRConfig
from unlabeled.platform.encoder import ViTConfig
from unlabeled.platform.method import EmbeddingMethod, MethodConfig
from unlabeled.platform.processor import Processor
from unlabeled.platform.testing.examples import Exact, distance, run_of
from unlabeled.platform.testing.gpu_steps import refusing_waits
from unlabeled.platform.testing.processes import run_together
from unlabeled.platform.testing.training import TOLERANCE
from unlabeled.platform.train.compiled import BACKEND, compiling
from unlabeled.platform.train.loaded import data_of
from unlabeled.platform.train.loop import Training

LOSS = 1e-3  # of the first loss, relative: sums in another order
RESUMED = 0.05  # of a weight after few steps, relative to its tensor's largest: atomic additions come in any order
PARTS = 1e-2  # of a gradient, relative to its tensor's largest

# Where these tests themselves are tried, on a CPU, a few do: there every method has a suite of its own.
ON_CPU = os.environ.get("UNLABELED_TEST_DEVICE") == "cpu"
NAMES = ["simclr", "moco", "mae"] if ON_CPU else list(METHODS)
config = pytest.mark.parametrize("config", [METHODS[name] for name in NAMES], ids=NAMES)


def first_step(training: Training) -> tuple[float, dict[str, Tensor]]:
    next(training.steps())
    gradients = {name: p.grad.cpu() for name, p in training.method.named_parameters() if p.grad is not None}
    return float(training.meter.sums["train/loss"]), gradients


@config
def test_its_first_loss_is_a_cpus(config: type[MethodConfig], gpu: Processor) -> None:
    run = run_of(config.example())
    data = data_of(run)
    here, _ = first_step(Training(run, data, gpu))
    there, _ = first_step(Training(run, data, Processor(torch.device("cpu"), "fp32")))
    assert here == pytest.approx(there, rel=LOSS)


@config
def test_its_steps_wait_for_nothing(config: type[MethodConfig], gpu: Processor) -> None:
    run = run_of(config.example())
    training = Training(run, data_of(run), gpu)
    steps = training.steps()
    next(steps)  # constants are made, algorithms chosen
    with refusing_waits(gpu.device):
        next(steps)
    assert torch.stack([p.isfinite().all() for p in training.method.parameters()]).all()


@pytest.mark.needs(*(["c++"] if ON_CPU else []))
def test_what_the_compiler_wrote_gives_the_first_gradient_but_for_rounding(gpu: Processor) -> None:
    """In float64: in float32 what is nearly 0 before a ReLU falls on another side, and gradients differ by 2 %."""
    run = run_of(SimCLRConfig.example())
    torch.set_default_dtype(torch.float64)  # what a method is built in
    try:
        plain = Training(run, data_of(run), Exact(gpu.device))
        with compiling(BACKEND):
            compiled = Training(run, data_of(run), Exact(gpu.device))
    finally:
        torch.set_default_dtype(torch.float32)
    (loss, gradients), (ours, found) = first_step(plain), first_step(compiled)
    assert ours == pytest.approx(loss, rel=TOLERANCE)
    assert max(distance(found, gradients).values()) < TOLERANCE


@config
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_it_learns_to_the_end(config: type[MethodConfig], precision: str, gpu: Processor) -> None:
    run = run_of(config.example(), precision=precision)
    training = Training(run, data_of(run), Processor(gpu.device, precision))  # type: ignore[arg-type]
    losses = [means["train/loss"] for means in training.epochs()]
    assert len(losses) == 2
    assert all(loss == loss for loss in losses)


@config
def test_resumed_is_near_uninterrupted(config: type[MethodConfig], gpu: Processor) -> None:
    run = run_of(config.example())
    data, buffer = data_of(run), io.BytesIO()
    whole, resumed = Training(run, data, gpu), Training(run, data, gpu)
    for step in whole.steps():
        if step == 3:
            torch.save(whole.state(), buffer)
    buffer.seek(0)
    resumed.restore(torch.load(buffer, weights_only=True, map_location="cpu"))
    for _ in resumed.steps():
        pass
    ours, theirs = (
        {name: p.detach().cpu() for name, p in training.method.named_parameters()} for training in (resumed, whole)
    )
    off = distance(ours, theirs)
    assert sorted(off.values())[len(off) // 2] < RESUMED, off


@pytest.mark.parametrize(
    "config",
    [METHODS[name] for name in ("simclr", "mae", "supcon")],
    ids=lambda config: config.name,
)
def test_micro_batches_give_the_whole_batchs_gradient(config: type[MethodConfig], gpu: Processor) -> None:
    """Without batch norm, which would see other batches."""
    example = config.example()
    encoder = example.encoder if isinstance(example.encoder, ViTConfig) else ViTConfig(width=8, depth=1, patch_px=4)
    run = run_of(example, encoder=encoder)
    if config.name == "simclr":
        run = run.with_field("method.head", (16,))
    data = data_of(run)
    whole = first_step(Training(run, data, gpu))
    parts = Training(run.with_field("micro_batch", run.batch_size // 2), data, gpu)
    assert isinstance(parts.method, EmbeddingMethod) or parts.method.cut == "per-sample"
    loss, gradients = first_step(parts)
    assert loss == pytest.approx(whole[0], rel=LOSS)
    off = distance(gradients, whole[1])
    assert sorted(off.values())[len(off) // 2] < PARTS, off


def test_two_processes_on_one_gpu_take_one_processs_step(gpu: Processor, tmp_path: Path) -> None:
    """By gloo: NCCL takes no GPU twice."""
    call = "import sys; sys.path[:0] = [{!r}]; from test_training import worker; worker({}, {!r}, {!r})"
    here = str(Path(__file__).parent)
    run_together([("-c", call.format(here, n, str(tmp_path), gpu.device.type)) for n in range(2)])
    together = [torch.load(tmp_path / f"{n}.pt") for n in range(2)]
    run = run_of(METHODS["simclr"].example())
    loss, gradients = first_step(Training(run, data_of(run), gpu))
    assert sum(float(each["loss"]) for each in together) / 2 == pytest.approx(loss, rel=LOSS)
    off = distance(together[0]["gradients"], gradients)
    assert sorted(off.values())[len(off) // 2] < PARTS, off


def worker(rank: int, place: str, device: str) -> None:
    """Take a step as one of two workers."""
    dist.init_process_group(
        "gloo", init_method=f"file://{place}/meeting", rank=rank, world_size=2, timeout=timedelta(minutes=5)
    )
    run = run_of(METHODS["simclr"].example())
    loss, gradients = first_step(Training(run, data_of(run), Processor(torch.device(device), "fp32")))
    torch.save({"loss": torch.tensor(loss), "gradients": gradients}, Path(place, f"{rank}.pt"))
    dist.destroy_process_group()


def test_a_share_of_the_memory_is_no_more_than_that(gpu: Processor) -> None:
    if gpu.device.type != "cuda":
        pytest.skip(NEEDS["gpu"].reason)
    total = torch.cuda.get_device_properties(gpu.device).total_memory
    try:
        Processor.here("fp32", gpus=0.25)
        with pytest.raises(torch.OutOfMemoryError):
            torch.empty(int(total * 0.4), dtype=torch.uint8, device=gpu.device)
        torch.empty(int(total * 0.1), dtype=torch.uint8, device=gpu.device)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.cuda.empty_cache()
