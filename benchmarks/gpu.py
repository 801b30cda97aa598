"""How fast does one GPU train? ``python -m benchmarks.gpu``; it needs neither Ray nor MLflow.

Images per second of the engine's whole step in bf16, pictures resident in memory, and the share of the bare encoder's
step (forward, backward and optimiser on views that lie ready) that is reached: SimCLR, MoCo and MAE with a ResNet-18 at
32 px, batch 1,024, and a ResNet-50 at 224 px, batch 256 (MAE: a ViT of 192 channels, and ViT-B/16). ``--cpu`` tries
it on a CPU, small.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.training import Bare
from unlabeled.methods.contrastive.moco import MoCoConfig
from unlabeled.methods.contrastive.simclr import SimCLRConfig
from unlabeled.methods.masked.mae import MAEConfig
from unlabeled.platform.augment import SIMCLR, SIMCLR_SMALL, two_views
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data
from unlabeled.platform.data.images import ArrayImages
from unlabeled.platform.encoder import EncoderConfig, TimmConfig, ViTConfig
from unlabeled.platform.method import MethodConfig
from unlabeled.platform.optim import SGD, AdamW, OptimizerConfig
from unlabeled.platform.processor import Processor
from unlabeled.platform.train.loop import Training

TURNS, SECONDS = 5, 3.0
SIZES = {32: ("resnet18", 1024, 4096), 224: ("resnet50", 256, 1024)}  # encoder, batch, pictures


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--cpu", action="store_true", help="try it on a CPU, small")
    is_trial = parser.parse_args().cpu
    if not is_trial and not torch.cuda.is_available():
        print("there is no GPU that torch can use; --cpu tries the benchmark on a CPU")
        return 1
    processor = Processor(torch.device("cpu" if is_trial else "cuda"), "fp32" if is_trial else "bf16")
    print(f"{processor.name}, torch {torch.__version__}, {processor.precision}")
    for px in (32,) if is_trial else SIZES:
        for name in ("simclr", "moco", "mae"):
            measure(name, px, processor, is_trial)
    return 0


def measure(name: str, px: int, processor: Processor, is_trial: bool) -> None:
    """Let the whole step and the bare encoder's take turns, and print a line."""
    _, batch, count = SIZES[px]
    batch, count = (16, 64) if is_trial else (batch, count)
    run = run_of(name, px, batch)
    training = Training(run, data_of(pictures(count, px)), processor)
    steps, bare = training.steps(), Bare(training)
    works = {"whole": lambda: next(steps), "bare": bare.step}
    found: dict[str, list[float]] = {what: [] for what in works}
    for turn in range(2 if is_trial else TURNS + 1):
        for what, work in works.items():
            speed = batch / seconds_of(work, processor, 0.1 if is_trial else SECONDS)
            if turn:
                found[what].append(speed)
    whole, alone = (statistics.median(each) for each in found.values())
    share = statistics.median(a / b for a, b in zip(found["whole"], found["bare"], strict=True))
    print(
        f"{name} {run.encoder.called} {px} px, batch {batch}: {whole:,.0f} images/s, {share:.2f} of the bare encoder's "
        f"{alone:,.0f}, {processor.peak_memory_mb():,.0f} MB"
    )


def run_of(name: str, px: int, batch: int) -> RunConfig:
    """Return a run that is longer than it is measured."""
    method: MethodConfig
    encoder: EncoderConfig = TimmConfig(model=SIZES[px][0])
    optimizer: OptimizerConfig = SGD(learning_rate=0.06)
    views = two_views(SIMCLR_SMALL if px == 32 else SIMCLR)
    if name == "simclr":
        method = SimCLRConfig(views=views)
    elif name == "moco":
        method = MoCoConfig(views=views, bn_groups=1, shuffle_bn=False, queue=4096)
    else:
        method, optimizer = MAEConfig(), AdamW(learning_rate=1.5e-4)
        encoder = ViTConfig(patch_px=4) if px == 32 else TimmConfig(model="vit_base_patch16_224")
    return RunConfig(method=method, encoder=encoder, optimizer=optimizer, batch_size=batch, epochs=100_000)


def pictures(count: int, px: int) -> Tensor:
    """Return noise, uint8 [count, 3, px, px]."""
    return torch.randint(256, (count, 3, px, px), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def data_of(pictures: Tensor) -> Data:
    """Return pictures that lie in memory, uint8 [N, C, H, H], as data."""
    source = ArrayImages(pictures.numpy())
    return Data("pictures", source, source, source, source, source, "0" * 64, "made here", "made here")


def seconds_of(work: Callable[[], object], processor: Processor, least: float) -> float:
    """Return a step's seconds, over at least so many of them, after two that are not measured."""

    def wait() -> None:
        if processor.device.type == "cuda":
            torch.cuda.synchronize()

    for _ in range(2):
        work()
    wait()
    started, count = time.perf_counter(), 0
    while time.perf_counter() - started < least:
        for _ in range(10 if processor.device.type == "cuda" else 1):  # between two waits
            work()
            count += 1
        wait()
    return (time.perf_counter() - started) / count


if __name__ == "__main__":
    sys.exit(main())
