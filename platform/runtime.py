"""One run from start to end, wherever it is: resume, train, follow, checkpoint, probe, and say what happened.

``execute`` runs in this process or in a Tune trial's; what it says through ``report`` is all that the driver learns.
"""

import json
import logging
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from unlabeled.platform import checkpoint
from unlabeled.platform.config import RunConfig
from unlabeled.platform.data import Data
from unlabeled.platform.evaluate.pictures import draw_tsne, draw_views_of
from unlabeled.platform.evaluate.protocol import Evaluation
from unlabeled.platform.export import save_encoder
from unlabeled.platform.processor import Processor
from unlabeled.platform.train import Training, build_method

CHECKPOINT_SECONDS = 60.0  # the most work that a killed run loses, where epochs are longer than this
PROGRESS_SECONDS = 1.0

Metrics = dict[str, float]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Started:
    """The run begins, or goes on after ``step`` steps, with the epochs that it already has."""

    environment: dict[str, str]
    step: int
    epochs: list[Metrics]


@dataclass(frozen=True)
class Progress:
    """Some steps on; said about every second."""

    step: int
    total_steps: int
    images_per_second: float


@dataclass(frozen=True)
class Noted:
    """Something that a person should know of; the run goes on."""

    text: str


@dataclass(frozen=True)
class EpochDone:
    """Epoch number ``epoch`` (1 is the first) is done and in a checkpoint."""

    epoch: int
    metrics: Metrics


@dataclass(frozen=True)
class Finished:
    """The run is complete; its files lie under ``files``."""

    metrics: Metrics
    files: Path = field(default=Path())


@dataclass(frozen=True)
class Failed:
    """The run ended with an error of its own."""

    reason: str


Event = Started | Progress | Noted | EpochDone | Finished | Failed
Report = Callable[[Event], None]


def execute(run: RunConfig, data: Data, home: Path, processor: Processor, report: Report) -> None:
    """Run ``run`` to its end, from its newest checkpoint where it has one.

    Its folder under ``home`` is named by its fingerprint, so whoever runs it next goes on where it stopped.
    """
    clock = _Clock()
    processor.forget_peak()
    folder = home / "work" / run.fingerprint(data.checksum)
    evaluation = Evaluation(run, data, processor)
    untrained = _untrained(run, data, home, processor, evaluation)
    training = Training(run, data, processor)
    saved = checkpoint.load_newest(folder, processor.device)
    epochs: list[Metrics] = []
    if saved is not None:
        training.restore(saved["training"])
        epochs = saved["epochs"]
        clock.add(saved["clock"])
    report(Started(_environment(processor), training.step, list(epochs)))

    def save() -> None:
        state = {"training": training.state(), "epochs": epochs, "clock": clock.read()}
        checkpoint.save(folder, training.step, state)

    spoke = saved_at = time.monotonic()
    try:
        for step in training.steps():
            now = time.monotonic()
            if step % training.steps_per_epoch == 0:
                metrics = training.end_epoch()
                if evaluation.due(training.epoch):
                    metrics |= evaluation.follow(training.method.encoder)
                epochs.append(metrics)
                save()
                saved_at = now
                report(EpochDone(training.epoch, metrics))
            elif now - saved_at > CHECKPOINT_SECONDS:
                save()
                saved_at = now
            if now - spoke > PROGRESS_SECONDS:
                speed = training.meter.steps * run.batch_size / max(training.meter.seconds, 1e-9)
                report(Progress(step, training.total_steps, speed or epochs[-1]["train/images_per_second"]))
                spoke = now
    except KeyboardInterrupt:
        save()
        raise
    encoder = training.method.encoder
    final = evaluation.final(encoder)
    _write_files(run, data, training, folder / "files", processor)
    wall_seconds, cpu_seconds = clock.read()
    report(
        Finished(
            metrics={
                **final,
                **untrained,
                "system/wall_seconds": wall_seconds,
                "system/cpu_seconds": cpu_seconds,
                "system/peak_memory_mb": processor.peak_memory_mb(),
                "system/encoder_parameters": float(sum(p.numel() for p in encoder.parameters())),
            },
            files=folder / "files",
        )
    )


class _Clock:
    """Wall and CPU seconds of a run over all its stretches; time between a kill and the going on doesn't count."""

    def __init__(self) -> None:
        self._since = (time.monotonic(), time.process_time())
        self._before = (0.0, 0.0)

    def add(self, before: tuple[float, float]) -> None:
        self._before = before

    def read(self) -> tuple[float, float]:
        wall, cpu = time.monotonic() - self._since[0], time.process_time() - self._since[1]
        return self._before[0] + wall, self._before[1] + cpu


def _untrained(run: RunConfig, data: Data, home: Path, processor: Processor, evaluation: Evaluation) -> Metrics:
    """Measure the encoder before training, once for all runs that start from the same weights."""
    what = (run.encoder.canonical_json(), run.data.canonical_json(), data.checksum, str(run.seed), processor.precision)
    path = home / "work" / "untrained" / f"{run.evaluation.digest(*what)}.json"
    if path.is_file():
        found: Metrics = json.loads(path.read_text())
        return found
    found = evaluation.untrained(build_method(run, data, processor).encoder)
    checkpoint.write_atomically(path, json.dumps(found).encode())
    return found


def _write_files(run: RunConfig, data: Data, training: Training, folder: Path, processor: Processor) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    save_encoder(training.method.encoder, run.encoder, data, folder / "encoder")
    draw_views_of(run, data, folder / "views.png")
    if run.evaluation.tsne_images and data.test.labels is not None:
        draw_tsne(training.method.encoder, run, data, processor, folder / "tsne.png")


def _environment(processor: Processor) -> dict[str, str]:
    return {
        "processor": processor.name,
        "device": processor.device.type,
        "precision": processor.precision,
        "threads": str(torch.get_num_threads()),
        "host": socket.gethostname(),
        "process": str(os.getpid()),
    }
